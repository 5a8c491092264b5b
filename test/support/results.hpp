#pragma once

#include <lsm/core/result.hpp>

#include "support/catch.hpp"

namespace lsm::test {

/// Requires success and returns the value.
template <class T>
T must(result<T> r) {
    if (!r) FAIL(r.error().what);
    if constexpr (!std::is_void_v<T>) return *std::move(r);
}

/// Requires failure and returns the error.
template <class T>
error must_fail(result<T> r) {
    REQUIRE_FALSE(r.has_value());
    return std::move(r).error();
}

}  // namespace lsm::test
