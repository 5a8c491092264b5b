#include "support/heap.hpp"

#include <malloc.h>

#include <cstdlib>
#include <new>

namespace lsm::test {
heap_state heap;
}

namespace {

using lsm::test::heap;

bool is_to_fail() noexcept {
    if (heap.good < 0) return false;
    if (heap.good > 0) {
        --heap.good;
        return false;
    }
    if (heap.bad == 0) return false;
    --heap.bad;
    heap.failed = true;
    return true;
}

void* counted_allocate(std::size_t size) noexcept {
    if (is_to_fail()) return nullptr;
    void* const out = std::malloc(size + (size == 0));
    if (out == nullptr) return nullptr;
    heap.live += ::malloc_usable_size(out);
    if (heap.live > heap.peak) heap.peak = heap.live.load();
    return out;
}

void* counted_or_throw(std::size_t size) {
    void* const out = counted_allocate(size);
    if (out == nullptr) throw std::bad_alloc();
    return out;
}

void counted_free(void* at) noexcept {
    if (at != nullptr) heap.live -= ::malloc_usable_size(at);
    std::free(at);
}

}  // namespace

// The nothrow forms are replaced too: a sanitizer has its own, and their memory must not reach our delete.
void* operator new(std::size_t size) { return counted_or_throw(size); }
void* operator new[](std::size_t size) { return counted_or_throw(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return counted_allocate(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return counted_allocate(size); }
void operator delete(void* at) noexcept { counted_free(at); }
void operator delete[](void* at) noexcept { counted_free(at); }
void operator delete(void* at, std::size_t) noexcept { counted_free(at); }
void operator delete[](void* at, std::size_t) noexcept { counted_free(at); }
void operator delete(void* at, const std::nothrow_t&) noexcept { counted_free(at); }
void operator delete[](void* at, const std::nothrow_t&) noexcept { counted_free(at); }
