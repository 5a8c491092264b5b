#pragma once

#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include <lsm/core/error.hpp>

namespace lsm {

/// A value, or why there is none: the part of std::expected<T, error> that lsm uses, for C++20. Nothing here throws:
/// reading the value of a failure, or the error of a success, is undefined, so look first.
template <class T>
class [[nodiscard]] result {
public:
    using value_type = T;
    using error_type = lsm::error;

    template <class U = T>
        requires(std::convertible_to<U, T> && !std::same_as<std::remove_cvref_t<U>, result> &&
                 !std::same_as<std::remove_cvref_t<U>, lsm::error>)
    result(U&& value) : state_(std::in_place_index<0>, std::forward<U>(value)) {}
    result(lsm::error failure) : state_(std::in_place_index<1>, std::move(failure)) {}

    [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
    [[nodiscard]] explicit operator bool() const noexcept { return has_value(); }

    [[nodiscard]] T& value() & noexcept { return *std::get_if<0>(&state_); }
    [[nodiscard]] const T& value() const& noexcept { return *std::get_if<0>(&state_); }
    [[nodiscard]] T&& value() && noexcept { return std::move(*std::get_if<0>(&state_)); }

    [[nodiscard]] T& operator*() & noexcept { return value(); }
    [[nodiscard]] const T& operator*() const& noexcept { return value(); }
    [[nodiscard]] T&& operator*() && noexcept { return std::move(*this).value(); }
    [[nodiscard]] T* operator->() noexcept { return &value(); }
    [[nodiscard]] const T* operator->() const noexcept { return &value(); }

    template <class U>
    [[nodiscard]] T value_or(U&& fallback) && {
        return has_value() ? std::move(*this).value() : static_cast<T>(std::forward<U>(fallback));
    }

    [[nodiscard]] lsm::error& error() & noexcept { return *std::get_if<1>(&state_); }
    [[nodiscard]] const lsm::error& error() const& noexcept { return *std::get_if<1>(&state_); }
    [[nodiscard]] lsm::error&& error() && noexcept { return std::move(*std::get_if<1>(&state_)); }

private:
    std::variant<T, lsm::error> state_;
};

/// Done, or why not.
template <>
class [[nodiscard]] result<void> {
public:
    using value_type = void;
    using error_type = lsm::error;

    result() noexcept = default;
    result(lsm::error failure) : error_(std::move(failure)) {}

    [[nodiscard]] bool has_value() const noexcept { return !error_; }
    [[nodiscard]] explicit operator bool() const noexcept { return has_value(); }

    [[nodiscard]] lsm::error& error() & noexcept { return *error_; }
    [[nodiscard]] const lsm::error& error() const& noexcept { return *error_; }
    [[nodiscard]] lsm::error&& error() && noexcept { return std::move(*error_); }

private:
    std::optional<lsm::error> error_;
};

}  // namespace lsm
