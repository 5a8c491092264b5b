#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <lsm/core/result.hpp>

/// Checks that throw when they fail. Catch reports the exception as a failure of the test; a program prints it.
namespace lsm::test {

/// A check that failed; what() describes it.
struct failed_check : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Throws failed_check with `message` if `condition` is false.
inline void require(bool condition, std::string_view message) {
    if (!condition) throw failed_check(std::string(message));
}

/// Requires success and returns the value. Throws failed_check with the error's text otherwise.
template <class T>
T must(result<T> outcome) {
    if (!outcome) throw failed_check(outcome.error().what);
    if constexpr (!std::is_void_v<T>) return *std::move(outcome);
}
/// The same; the exception's text begins with the name of the operation.
template <class T>
T must(result<T> outcome, std::string_view operation) {
    if (!outcome) throw failed_check(std::string(operation).append(": ").append(outcome.error().what));
    return must(std::move(outcome));
}

/// Requires failure and returns the error. Throws failed_check otherwise.
template <class T>
error must_fail(result<T> outcome) {
    require(!outcome.has_value(), "an operation that must fail succeeded");
    return std::move(outcome).error();
}

}  // namespace lsm::test
