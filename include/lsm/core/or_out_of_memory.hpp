#pragma once

#include <cerrno>
#include <new>
#include <string_view>
#include <utility>

#include <lsm/config.hpp>
#include <lsm/core/error.hpp>
#include <lsm/core/result.hpp>

namespace lsm::detail {

/// Returns the error of running out of memory: io with ENOMEM. Its text begins with `place`, for example the directory.
[[nodiscard]] LSM_COLD inline error out_of_memory(std::string_view place) noexcept {
    return system_failure("allocate", ENOMEM).in(place);
}

/// Calls `f` and returns its result. If it throws std::bad_alloc, returns out_of_memory(place). Other exceptions pass
/// through.
template <class F>
auto or_out_of_memory(std::string_view place, F f) -> decltype(f()) {
#if defined(__cpp_exceptions)
    try {
        return f();
    } catch (const std::bad_alloc&) {
        return out_of_memory(place);
    }
#else
    static_cast<void>(place);
    return f();
#endif
}

/// Calls `f`, which returns nothing. If it throws std::bad_alloc, ignores that: the rest of its work is not done.
template <class F>
void unless_out_of_memory(F f) noexcept {
    static_cast<void>(or_out_of_memory({}, [&f]() -> result<void> {
        f();
        return {};
    }));
}

}  // namespace lsm::detail
