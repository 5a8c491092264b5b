#pragma once

#include <sched.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

#include <lsm/core/bytes.hpp>
#include <lsm/core/or_out_of_memory.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/statistics.hpp>

namespace lsm::detail {

/// A write that waits for its turn; lives on the stack of the thread that makes it, as long as it takes.
class waiting_write {
public:
    /// `count` operations of a batch, without the count in front.
    waiting_write(bytes_view operations_of, std::uint32_t count_of, bool synced) noexcept
        : operations(operations_of), count(count_of), sync(synced) {}
    /// One that writes nothing, and shares its turn with nobody.
    waiting_write() noexcept : alone(true) {}

    const bytes_view operations = {};
    const std::uint32_t count = 0;
    const bool sync = false;
    const bool alone = false;
    result<void> outcome = {};

private:
    friend class write_queue;
    enum : int { waiting, leading, done };
    std::atomic<int> state_ = waiting;
    waiting_write* behind_ = nullptr;
};

/// Puts writers into one order. The first in the queue leads: it writes for itself and for those behind it (group
/// commit), tells them how that went, and then the next in the queue leads.
class write_queue {
public:
    /// Waits until `mine` leads, which is true, or a leader has written it: then mine.outcome tells.
    [[nodiscard]] bool join(waiting_write& mine) noexcept {
        {
            const std::lock_guard guard(mutex_);
            (last_ == nullptr ? first_ : last_->behind_) = &mine;
            last_ = &mine;
            ++size_;
            if (first_ == &mine) return true;
        }
        mine.state_.wait(waiting_write::waiting, std::memory_order_acquire);
        return mine.state_.load(std::memory_order_acquire) == waiting_write::leading;
    }

    /// What a leader has: the right to write, for a group that begins with itself. Ends with the object; without
    /// finish() the group's writes have failed for want of memory.
    class turn {
    public:
        turn(write_queue& queue, waiting_write& leader) noexcept
            : queue_(queue),
              leader_(leader),
              last_(&leader),
              bytes_(leader.operations.size()),
              operations_(leader.count) {}
        turn(const turn&) = delete;
        turn& operator=(const turn&) = delete;
        ~turn() {
            if (!finished_) finish(out_of_memory("write"));
        }

        /// Gives those who wrote just now, and are likely to write again, a moment to come: what costs as much as a
        /// sync is worth waiting for company.
        void linger() const noexcept {
            const stopwatch watch;
            while (queue_.size_.load(std::memory_order_relaxed) < queue_.expected_ && watch.nanoseconds() < 50'000)
                ::sched_yield();
        }

        /// Takes in those who wait behind the group, in their order, as long as they fit: the operations of all are to
        /// be at most `most_bytes`, and none is synced if the leader is not.
        void gather(std::size_t most_bytes) noexcept {
            if (leader_.alone) return;
            const std::lock_guard guard(queue_.mutex_);
            for (waiting_write* next = last_->behind_; next != nullptr; next = next->behind_) {
                if (next->alone || (next->sync && !leader_.sync) || bytes_ >= most_bytes ||
                    next->operations.size() > most_bytes - bytes_ || next->count > UINT32_MAX - operations_)
                    break;
                bytes_ += next->operations.size();
                operations_ += next->count;
                ++members_;
                last_ = next;
            }
        }

        /// Of the whole group.
        [[nodiscard]] std::uint32_t operations() const noexcept { return operations_; }
        [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
        [[nodiscard]] unsigned members() const noexcept { return members_; }
        [[nodiscard]] bool sync() const noexcept { return leader_.sync; }

        /// Calls `use` with the operations of each member and their number, in order.
        template <class Use>
        void for_each(Use use) const {
            for (const waiting_write* w = &leader_;; w = w->behind_) {
                use(w->operations, w->count);
                if (w == last_) return;
            }
        }

        /// Hands the turn on and tells the group how it went.
        void finish(const result<void>& outcome) noexcept {
            finished_ = true;
            queue_.leave(*last_, members_);
            waiting_write* w = &leader_ == last_ ? nullptr : leader_.behind_;
            while (w != nullptr) {
                waiting_write* const next = w == last_ ? nullptr : w->behind_;  // whoever is told may be gone at once
                w->outcome = outcome ? result<void>() : copy_of(outcome.error());
                tell(*w, waiting_write::done);
                w = next;
            }
            leader_.outcome = outcome ? result<void>() : copy_of(outcome.error());
        }

    private:
        write_queue& queue_;
        waiting_write& leader_;
        waiting_write* last_;
        std::size_t bytes_;
        std::uint32_t operations_;
        unsigned members_ = 1;
        bool finished_ = false;
    };

private:
    static void tell(waiting_write& who, int what) noexcept {
        // In the one order of all: notify_one() looks for waiters next, and must not look before.
        who.state_.store(what, std::memory_order_seq_cst);
        who.state_.notify_one();
    }

    // Everyone up to `last` leaves; the one behind leads. It is told first, so that its writing begins while the others
    // wake up.
    void leave(waiting_write& last, unsigned members) noexcept {
        waiting_write* next = nullptr;
        {
            const std::lock_guard guard(mutex_);
            expected_ = size_.load(std::memory_order_relaxed);
            size_ -= members;
            first_ = next = last.behind_;
            if (next == nullptr) last_ = nullptr;
        }
        if (next != nullptr) tell(*next, waiting_write::leading);
    }

    std::mutex mutex_;
    waiting_write* first_ = nullptr;
    waiting_write* last_ = nullptr;
    std::atomic<unsigned> size_ = 0;
    unsigned expected_ = 0;  // how many wrote or waited when the last turn ended; for the leader
};

}  // namespace lsm::detail
