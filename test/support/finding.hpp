#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <lsm/core/result.hpp>

/// Checks for code that runs under libFuzzer as well as under Catch: a failed one is thrown.
namespace lsm::test {

struct finding : std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline void require(bool good, std::string_view what) {
    if (!good) throw finding(std::string(what));
}

/// Requires success and returns the value.
template <class T>
T sound(result<T> r) {
    if (!r) throw finding(r.error().what);
    if constexpr (!std::is_void_v<T>) return *std::move(r);
}

}  // namespace lsm::test
