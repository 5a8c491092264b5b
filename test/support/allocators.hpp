#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace lsm::test {

/// What allocators of one kind did, and when the next one is to fail.
struct allocation_log {
    std::size_t allocations = 0;
    std::size_t live_bytes = 0;
    std::size_t peak_bytes = 0;
    std::size_t fail_at = SIZE_MAX;  // the allocation (counted from 0) that throws

    void reset() { *this = {}; }
};

/// An allocator that keeps an allocation_log, takes its memory from malloc (so that operator new can be watched for
/// what goes past it), and throws std::bad_alloc when the log says so.
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
