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
#include <lsm/db/state/counters.hpp>

namespace lsm::detail {

/// A write that waits for its turn. Lives on the stack of the writing thread until the write is done.
class waiting_write {
public:
    /// `operations` are those of a batch, without the count before them.
    waiting_write(bytes_view operations_of_batch, std::uint32_t operation_count, bool synced) noexcept
        : operations(operations_of_batch), count(operation_count), sync(synced) {}
    /// Writes nothing, and shares its turn with no other write.
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
    waiting_write* next_ = nullptr;
};

/// Puts writers into one order. The first writer in the queue leads: it writes for itself and for those after it (group
/// commit), tells them the outcome, and hands the lead to the next one in the queue.
class write_queue {
public:
    /// Blocks until `mine` leads, and returns true; or until a leader has written it, and returns false: then
    /// mine.outcome is set.
    [[nodiscard]] bool join(waiting_write& mine) noexcept {
        {
            const std::lock_guard guard(mutex_);
            if (last_ == nullptr)
                first_ = &mine;
            else
                last_->next_ = &mine;
            last_ = &mine;
            ++size_;
            if (first_ == &mine) return true;
        }
        mine.state_.wait(waiting_write::waiting, std::memory_order_acquire);
        return mine.state_.load(std::memory_order_acquire) == waiting_write::leading;
    }

    /// A leader's right to write, for a group that begins with its own write. Ends with the object. Without finish()
    /// the writes of the group have failed for lack of memory.
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

        /// Waits a moment for the threads that wrote in the last turn and are likely to write again: a sync costs so
        /// much that it is worth sharing.
        void linger() const noexcept {
            const stopwatch watch;
            while (queue_.size_.load(std::memory_order_relaxed) < queue_.expected_ && watch.nanoseconds() < 50'000)
                ::sched_yield();
        }

        /// Adds the writes that wait after the group, in their order, while the operations of all take at most
        /// `max_bytes`. Adds no synced write to a group that is not synced.
        void gather(std::size_t max_bytes) noexcept {
            if (leader_.alone) return;
            const std::lock_guard guard(queue_.mutex_);
            for (waiting_write* next = last_->next_; next != nullptr; next = next->next_) {
                if (next->alone || (next->sync && !leader_.sync) || bytes_ >= max_bytes ||
                    next->operations.size() > max_bytes - bytes_ || next->count > UINT32_MAX - operations_)
                    break;
                bytes_ += next->operations.size();
                operations_ += next->count;
                ++members_;
                last_ = next;
            }
        }

        /// These describe the whole group.
        [[nodiscard]] std::uint32_t operations() const noexcept { return operations_; }
        [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
        [[nodiscard]] unsigned members() const noexcept { return members_; }
        [[nodiscard]] bool sync() const noexcept { return leader_.sync; }

        /// Calls `use(operations, count)` for each member, in order.
        template <class Use>
        void for_each(Use use) const {
            for (const waiting_write* w = &leader_;; w = w->next_) {
                use(w->operations, w->count);
                if (w == last_) return;
            }
        }

        /// Hands the lead on, and tells the group the outcome.
        void finish(const result<void>& outcome) noexcept {
            finished_ = true;
            queue_.leave(*last_, members_);
            waiting_write* w = &leader_ == last_ ? nullptr : leader_.next_;
            while (w != nullptr) {
                // A write that was told may be gone at once, so its successor is read first.
                waiting_write* const next = w == last_ ? nullptr : w->next_;
                w->outcome = outcome ? result<void>() : copy_of(outcome.error());
                set_state(*w, waiting_write::done);
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
    static void set_state(waiting_write& write, int state) noexcept {
        // Sequentially consistent, because notify_one() first looks whether a thread waits: that look must not move
        // before the store, or a thread that begins to wait in between is never woken.
        write.state_.store(state, std::memory_order_seq_cst);
        write.state_.notify_one();
    }

    // Removes all writes up to `last` from the queue. The next one leads, and learns so before the group learns its
    // outcome, so that its write begins while the group's threads wake up.
    void leave(waiting_write& last, unsigned members) noexcept {
        waiting_write* next = nullptr;
        {
            const std::lock_guard guard(mutex_);
            expected_ = size_.load(std::memory_order_relaxed);
            size_ -= members;
            next = last.next_;
            first_ = next;
            if (next == nullptr) last_ = nullptr;
        }
        if (next != nullptr) set_state(*next, waiting_write::leading);
    }

    std::mutex mutex_;
    waiting_write* first_ = nullptr;
    waiting_write* last_ = nullptr;
    std::atomic<unsigned> size_ = 0;
    unsigned expected_ = 0;  // how many wrote or waited when the last turn ended; used by the leader
};

}  // namespace lsm::detail
