#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace lsm::test {

/// The allocations of all allocators that share this log, and which of them is to fail.
struct allocation_log {
    std::size_t allocations = 0;
    std::size_t live_bytes = 0;
    std::size_t peak_bytes = 0;
    std::size_t fail_at = SIZE_MAX;  // the number of the allocation that throws, counted from 0

    void reset() { *this = {}; }
};

/// An allocator that keeps an allocation_log and throws std::bad_alloc where the log says so. Allocates with malloc, so
/// that a test can watch operator new for memory that does not come from the allocator.
template <class T>
class logged_allocator {
public:
    using value_type = T;

    logged_allocator(allocation_log& log) noexcept : log_(&log) {}
    template <class U>
    logged_allocator(const logged_allocator<U>& other) noexcept : log_(other.log_) {}

    T* allocate(std::size_t count) {
        if (log_->allocations++ == log_->fail_at || count > PTRDIFF_MAX / sizeof(T)) throw std::bad_alloc();
        void* const out = std::malloc(count * sizeof(T) + (count == 0));
        if (out == nullptr) throw std::bad_alloc();
        log_->live_bytes += count * sizeof(T);
        if (log_->live_bytes > log_->peak_bytes) log_->peak_bytes = log_->live_bytes;
        return static_cast<T*>(out);
    }
    void deallocate(T* at, std::size_t count) noexcept {
        log_->live_bytes -= count * sizeof(T);
        std::free(at);
    }

    template <class U>
    friend bool operator==(const logged_allocator& a, const logged_allocator<U>& b) noexcept {
        return a.log_ == logged_allocator(b).log_;
    }

private:
    template <class>
    friend class logged_allocator;
    allocation_log* log_;
};

}  // namespace lsm::test
