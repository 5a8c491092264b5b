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

/// What readers count, each thread in a slot of its own as far as there are slots, so that they do not take cache lines
/// from each other.
struct read_counters {
    std::atomic<std::uint64_t> gets = 0;
    std::atomic<std::uint64_t> found = 0;
    std::atomic<std::uint64_t> cursors = 0;
    std::atomic<std::uint64_t> filter_misses = 0;  // tables that a filter spared
    std::atomic<std::uint64_t> tables_searched = 0;
    std::atomic<std::uint64_t> cache_hits = 0;
    std::atomic<std::uint64_t> cache_misses = 0;
    std::atomic<std::uint64_t> tombstones_skipped = 0;  // by cursors
};

/// Lets readers use what others replace, without a lock: a reader enter()s, loads the pointer, and leaves when it is
/// done with what it points to. Who has replaced the pointer calls wait(), and may then free the old target.
///
/// Entering and leaving are one atomic addition each, in the thread's slot. Correct because in the one order of all
/// these (sequentially consistent) operations a reader either enters before wait() looks at its slot, and is waited
/// for, or loads the pointer after it was replaced. Slots count in two phases, so that readers who keep coming do not
/// hold up wait() for ever. After P. McKenney's sleepable RCU (2006).
///
/// Who cannot wait, a reader himself for instance, notes epoch() when the old target is out of reach, and frees it once
/// safe() says so; try_advance() moves the epoch on.
class reader_slots {
    // Two cache lines long instead of aligned to one, which not every allocator can do.
    struct slot {
        std::array<std::atomic<std::uint32_t>, 2> inside{};
        read_counters counted;
        char apart[128 - sizeof(inside) - sizeof(counted)];
    };

public:
    /// A reader's stay.
    class pass {
    public:
        pass(const pass&) = delete;
        pass& operator=(const pass&) = delete;
        ~pass() { slot_.inside[phase_].fetch_sub(1, std::memory_order_release); }

        [[nodiscard]] read_counters& counters() const noexcept { return slot_.counted; }

    private:
        friend class reader_slots;
        pass(slot& where, unsigned phase) noexcept : slot_(where), phase_(phase) {
            slot_.inside[phase_].fetch_add(1, std::memory_order_seq_cst);
        }
        slot& slot_;
        unsigned phase_;
    };

    [[nodiscard]] pass enter() noexcept {
        return {slots_[mine()], static_cast<unsigned>(phase_.load(std::memory_order_relaxed) & 1)};
    }

    /// Returns when every reader that was inside has left.
    void wait() noexcept {
        const std::lock_guard guard(advancing_);
        // A reader that read the phase long ago can still be in the other one: both are waited for.
        for (int i = 0; i < 2; ++i) {
            const std::uint64_t now = phase_.load(std::memory_order_relaxed);
            wait_for((now & 1) ^ 1);
            phase_.store(now + 1, std::memory_order_seq_cst);
        }
    }

    /// Readers have been seen to leave so many times.
    [[nodiscard]] std::uint64_t epoch() const noexcept { return phase_.load(std::memory_order_seq_cst); }
    /// Whether all readers have left who were inside at epoch `then`. The first advance since may have begun to look
    /// before; the two behind it have found both phases empty.
    [[nodiscard]] bool safe(std::uint64_t then) const noexcept { return epoch() >= then + 3; }
    /// Moves the epoch on by one if the readers allow it.
    void try_advance() noexcept {
        const std::unique_lock guard(advancing_, std::try_to_lock);
        if (!guard) return;
        const std::uint64_t now = phase_.load(std::memory_order_relaxed);
        for (const slot& s : slots_)
            if (s.inside[(now & 1) ^ 1].load(std::memory_order_seq_cst) != 0) return;
        phase_.store(now + 1, std::memory_order_seq_cst);
    }

    /// The sum of a counter over all slots.
    [[nodiscard]] std::uint64_t sum(std::atomic<std::uint64_t> read_counters::*which) const noexcept {
        std::uint64_t out = 0;
        for (const slot& s : slots_) out += (s.counted.*which).load(std::memory_order_relaxed);
        return out;
    }

private:
    static constexpr std::size_t slots = 64;

    // Threads lie at different addresses, some pages apart.
    [[nodiscard]] static std::size_t mine() noexcept {
        const auto self = static_cast<std::uint64_t>(::pthread_self());
        return static_cast<std::size_t>((self >> 6) * 0x9e3779b97f4a7c15u >> 58);
    }

    void wait_for(unsigned phase) noexcept {
        for (const slot& s : slots_)
            for (unsigned tries = 0; s.inside[phase].load(std::memory_order_seq_cst) != 0; ++tries) {
                const timespec pause{0, 50'000};
                if (tries < 16)
                    ::sched_yield();
                else
                    ::nanosleep(&pause, nullptr);
            }
    }

    std::array<slot, slots> slots_;
    std::atomic<std::uint64_t> phase_ = 0;
    std::mutex advancing_;
};

}  // namespace lsm::detail
