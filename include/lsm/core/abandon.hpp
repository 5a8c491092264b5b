#pragma once

#include <utility>

namespace lsm::detail {

/// Takes over an object and never destroys it.
template <class T>
void abandon(T object) noexcept {
    union never_destroyed {
        T object;
        explicit never_destroyed(T&& from) noexcept : object(std::move(from)) {}
        ~never_destroyed() {}
    } forever(std::move(object));
}

}  // namespace lsm::detail
