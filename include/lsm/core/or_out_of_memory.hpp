#pragma once

#include <cerrno>
#include <new>
#include <string_view>
#include <utility>

#include <lsm/config.hpp>
#include <lsm/core/error.hpp>
#include <lsm/core/result.hpp>

namespace lsm::detail {

/// That memory ran out at `where`.
[[nodiscard]] LSM_COLD inline error out_of_memory(std::string_view where) noexcept {
    return system_failure("allocate", ENOMEM).in(where);
}

/// What `f` returns, a result; running out of memory is an error like others where nobody is to catch it.
template <class F>
auto or_out_of_memory(std::string_view where, F f) -> decltype(f()) {
#if defined(__cpp_exceptions)
    try {
        return f();
    } catch (const std::bad_alloc&) {
        return out_of_memory(where);
    }
#else
    static_cast<void>(where);
    return f();
#endif
}

/// Calls `f`, which returns nothing. If memory runs out, what it has not done is left undone.
template <class F>
void unless_out_of_memory(F f) noexcept {
    static_cast<void>(or_out_of_memory({}, [&f]() -> result<void> {
        f();
        return {};
    }));
}

}  // namespace lsm::detail
