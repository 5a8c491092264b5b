#pragma once

#include <atomic>
#include <cstddef>

namespace lsm::test {

/// Counts and fails the allocations of operator new, which heap.cpp replaces for the whole executable.
struct heap_state {
    std::atomic<std::size_t> live = 0;  // bytes
    std::atomic<std::size_t> peak = 0;  // bytes
    std::atomic<long> good = -1;        // this many allocations succeed; all of them if it is negative
    std::atomic<long> bad = 0;          // after them this many fail
    std::atomic<bool> failed = false;   // whether one has failed since fail()

    /// Lets `after` allocations succeed and then `count` fail.
    void fail(long after, long count) {
        failed = false;
        bad = count;
        good = after;
    }
    /// Lets all allocations succeed.
    void recover() { good = -1; }
};
extern heap_state heap;

}  // namespace lsm::test
