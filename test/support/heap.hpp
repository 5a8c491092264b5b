#pragma once

#include <atomic>
#include <cstddef>

namespace lsm::test {

/// What operator new does, which is replaced for the whole executable.
struct heap_state {
    std::atomic<std::size_t> live = 0;  // bytes
    std::atomic<std::size_t> peak = 0;
    std::atomic<long> good = -1;  // so many allocations more succeed; below 0, all
    std::atomic<long> bad = 0;    // and then so many fail
    std::atomic<bool> failed = false;

    void fail(long after, long count) {
        failed = false;
        bad = count;
        good = after;
    }
    void recover() { good = -1; }
};
extern heap_state heap;

}  // namespace lsm::test
