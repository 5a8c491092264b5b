#pragma once

#include <concepts>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <lsm/core/error.hpp>

namespace lsm {

/// A value or an error: the part of std::expected<T, error> that lsm uses, for C++20. Accessing the value of an error,
/// or the error of a value, is undefined behaviour and does not throw, so check has_value() first.
template <class T>
class [[nodiscard]] result {
public:
    using value_type = T;
    using error_type = lsm::error;

    template <class U = T>
    requires(std::convertible_to<U, T> && !std::same_as<std::remove_cvref_t<U>, result> &&
             !std::same_as<std::remove_cvref_t<U>, lsm::error>) result(U&& value)
        : good_(true), value_(std::forward<U>(value)) {}
    result(lsm::error failure) noexcept : good_(false), error_(std::move(failure)) {}

    result(const result& other) requires std::copy_constructible<T> : good_(other.good_) { take(other); }
    result(result&& other) noexcept(std::is_nothrow_move_constructible_v<T>) : good_(other.good_) {
        take(std::move(other));
    }
    result& operator=(result other) noexcept requires std::is_nothrow_move_constructible_v<T> {
        clear();
        good_ = other.good_;
        take(std::move(other));
        return *this;
    }
    ~result() { clear(); }

    [[nodiscard]] bool has_value() const noexcept { return good_; }
    [[nodiscard]] explicit operator bool() const noexcept { return good_; }

    [[nodiscard]] T& value() & noexcept { return value_; }
    [[nodiscard]] const T& value() const& noexcept { return value_; }
    [[nodiscard]] T&& value() && noexcept { return std::move(value_); }

    [[nodiscard]] T& operator*() & noexcept { return value_; }
    [[nodiscard]] const T& operator*() const& noexcept { return value_; }
    [[nodiscard]] T&& operator*() && noexcept { return std::move(value_); }
    [[nodiscard]] T* operator->() noexcept { return std::addressof(value_); }
    [[nodiscard]] const T* operator->() const noexcept { return std::addressof(value_); }

    template <class U>
    [[nodiscard]] T value_or(U&& fallback) && {
        return good_ ? std::move(value_) : static_cast<T>(std::forward<U>(fallback));
    }

    [[nodiscard]] lsm::error& error() & noexcept { return error_; }
    [[nodiscard]] const lsm::error& error() const& noexcept { return error_; }
    [[nodiscard]] lsm::error&& error() && noexcept { return std::move(error_); }

private:
    // Constructs the member that is alive in `other`. Requires that none is alive here, and good_ == other.good_.
    template <class Other>
    void take(Other&& other) {
        if (good_)
            std::construct_at(std::addressof(value_), std::forward<Other>(other).value_);
        else
            std::construct_at(std::addressof(error_), std::forward<Other>(other).error_);
    }
    void clear() noexcept {
        if (good_)
            std::destroy_at(std::addressof(value_));
        else
            std::destroy_at(std::addressof(error_));
    }

    // A union instead of std::variant, which would be most of what a small program compiles.
    bool good_;
    union {
        T value_;
        lsm::error error_;
    };
};

/// Success without a value, or an error.
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
