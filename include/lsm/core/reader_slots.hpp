#pragma once

#include <pthread.h>
#include <sched.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <mutex>

namespace lsm::detail {

/// What readers count. Each slot has its own counters, so that threads in different slots do not share a cache line.
struct read_counters {
    std::atomic<std::uint64_t> gets = 0;
    std::atomic<std::uint64_t> found = 0;
    std::atomic<std::uint64_t> cursors = 0;
    std::atomic<std::uint64_t> filter_misses = 0;  // tables not searched because of their filter
    std::atomic<std::uint64_t> tables_searched = 0;
    std::atomic<std::uint64_t> cache_hits = 0;
    std::atomic<std::uint64_t> cache_misses = 0;
    std::atomic<std::uint64_t> tombstones_skipped = 0;  // by cursors
};

/// Lets threads read an object that another thread may replace and free, without a lock (sleepable RCU, after
/// P. McKenney, 2006).
///
/// A reader calls enter(), loads the pointer to the object, and destroys the `pass` when it no longer uses the object.
/// A writer replaces the pointer, calls wait(), and then frees the old object. Loading and replacing the pointer must
/// be sequentially consistent.
///
/// A writer that cannot wait (a reader, for example) records epoch() after it has replaced the pointer, and frees the
/// old object once safe() is true for that epoch. try_advance() makes the epoch progress.
///
/// Why it is correct: entering, replacing the pointer and looking at a slot have one total order. So either the reader
/// enters before wait() looks at its slot, and wait() waits for it, or the reader loads the new pointer.
///
/// Cost: entering and leaving are one atomic addition each, in the slot of the thread. Threads that share a slot are
/// correct, but slower.
///
/// Each slot counts readers in two phases. Readers enter the current phase, and wait() waits until the other one is
/// empty before it swaps them. So readers that keep entering do not delay wait() forever.
class reader_slots {
    // Two cache lines long, so that no two slots share one. Aligning it to one would require an allocator that supports
    // over-aligned types.
    struct slot {
        std::array<std::atomic<std::uint32_t>, 2> inside{};  // the readers that are inside, by phase
        read_counters counters;
        char apart[128 - sizeof(inside) - sizeof(counters)];
    };

public:
    /// Keeps a reader inside until it is destroyed.
    class pass {
    public:
        pass(const pass&) = delete;
        pass& operator=(const pass&) = delete;
        ~pass() { slot_.inside[phase_].fetch_sub(1, std::memory_order_release); }

        /// The counters of the reader's slot.
        [[nodiscard]] read_counters& counters() const noexcept { return slot_.counters; }

    private:
        friend class reader_slots;
        pass(slot& entered, unsigned phase) noexcept : slot_(entered), phase_(phase) {
            slot_.inside[phase_].fetch_add(1, std::memory_order_seq_cst);
        }
        slot& slot_;
        unsigned phase_;
    };

    /// Never blocks. A thread may enter again while it is inside.
    [[nodiscard]] pass enter() noexcept {
        return {slots_[own_slot()], phase_of(epoch_.load(std::memory_order_relaxed))};
    }

    /// Blocks until every reader that was inside when it was called has left. A thread must not call it while it is
    /// inside.
    void wait() noexcept {
        const std::lock_guard guard(advancing_);
        // A reader may have loaded the epoch long before it entered, so it can be in either phase: wait for both.
        for (int i = 0; i < 2; ++i) {
            const std::uint64_t now = epoch_.load(std::memory_order_relaxed);
            wait_until_empty(phase_of(now + 1));
            epoch_.store(now + 1, std::memory_order_seq_cst);
        }
    }

    /// The number of times that a phase was found empty.
    [[nodiscard]] std::uint64_t epoch() const noexcept { return epoch_.load(std::memory_order_seq_cst); }
    /// Returns whether all readers that were inside at epoch `recorded` have left.
    // Takes three advances. The first may have looked at some slots before the epoch was recorded. The other two began
    // later, and one of them found each phase empty.
    [[nodiscard]] bool safe(std::uint64_t recorded) const noexcept { return epoch() >= recorded + 3; }
    /// Advances the epoch by one if the phase that readers do not enter is empty. Never blocks; does nothing if another
    /// thread advances the epoch.
    void try_advance() noexcept {
        const std::unique_lock guard(advancing_, std::try_to_lock);
        if (!guard) return;
        const std::uint64_t now = epoch_.load(std::memory_order_relaxed);
        for (const slot& s : slots_)
            if (s.inside[phase_of(now + 1)].load(std::memory_order_seq_cst) != 0) return;
        epoch_.store(now + 1, std::memory_order_seq_cst);
    }

    /// Returns the sum of a counter over all slots.
    [[nodiscard]] std::uint64_t sum(std::atomic<std::uint64_t> read_counters::*counter) const noexcept {
        std::uint64_t out = 0;
        for (const slot& s : slots_) out += (s.counters.*counter).load(std::memory_order_relaxed);
        return out;
    }

private:
    static constexpr std::size_t slot_count = 64;

    // The phase that readers enter at an epoch.
    [[nodiscard]] static unsigned phase_of(std::uint64_t epoch) noexcept { return static_cast<unsigned>(epoch & 1); }

    // The slot of the calling thread: a hash of its handle, which is an address. Those of two threads are some pages
    // apart.
    [[nodiscard]] static std::size_t own_slot() noexcept {
        const auto self = static_cast<std::uint64_t>(::pthread_self());
        return static_cast<std::size_t>((self >> 6) * 0x9e3779b97f4a7c15u >> 58);
    }

    void wait_until_empty(unsigned phase) noexcept {
        for (const slot& s : slots_)
            for (unsigned tries = 0; s.inside[phase].load(std::memory_order_seq_cst) != 0; ++tries) {
                const timespec pause{0, 50'000};
                if (tries < 16)
                    ::sched_yield();
                else
                    ::nanosleep(&pause, nullptr);
            }
    }

    std::array<slot, slot_count> slots_;
    std::atomic<std::uint64_t> epoch_ = 0;
    std::mutex advancing_;
};

}  // namespace lsm::detail
