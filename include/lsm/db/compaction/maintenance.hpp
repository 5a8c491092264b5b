#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include <lsm/core/bytes.hpp>
#include <lsm/core/or_out_of_memory.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/compaction/backoff.hpp>
#include <lsm/db/compaction/compaction.hpp>
#include <lsm/db/compaction/compaction_choice.hpp>
#include <lsm/db/compaction/compaction_picker.hpp>
#include <lsm/db/compaction/compactor.hpp>
#include <lsm/db/event_listener.hpp>
#include <lsm/db/state/db_context.hpp>
#include <lsm/db/state/memory_budget.hpp>
#include <lsm/db/state/version_store.hpp>
#include <lsm/io/executor.hpp>

namespace lsm::detail {

/// How far maintenance is behind: what decides how fast writers may go.
struct write_pressure {
    std::size_t frozen_memtables = 0;
    std::size_t level0_tables = 0;            // 0 if no compaction will reduce them
    std::optional<error> flush_trouble = {};  // why flushes pause, if they do
    bool retries = false;                     // a flush that failed is tried again without a call
    bool stopping = false;
};

/// Schedules flushes and compactions: what is due, the jobs that run on the executor, and who waits for them. One flush
/// at a time, with compactions beside it.
///
/// A kind of job that fails pauses, longer each time until it succeeds: a full disk may get room again. Tables that
/// were found to be damaged are left out of compactions. Any thread may call these functions. The lock guards what is
/// due and what runs; it is not held while work is done or the listener is called.
template <class Alloc>
class maintenance {
public:
    maintenance(db_context<Alloc>& context, io::executor& executor, compactor<Alloc>& worker,
                version_store<Alloc>& versions, memory_budget<Alloc>& memory)
        : context_(context),
          executor_(executor),
          compactor_(worker),
          versions_(versions),
          memory_(memory),
          flush_job_(*this, &maintenance::flush_one),
          picker_(context.options.compaction, context.alloc) {
        const unsigned beside_flush = executor.threads() > 1 ? executor.threads() - 1 : 1;
        for (unsigned i = 0; i < std::min<unsigned>(beside_flush, max_compactions); ++i)
            compaction_jobs_[i].emplace(*this, &maintenance::compact_one);
    }
    maintenance(const maintenance&) = delete;
    maintenance& operator=(const maintenance&) = delete;
    ~maintenance() { stop(); }

    /// Starts what is due and does not run yet. With an inline executor, does it before returning.
    void schedule() {
        while (job* const due = next_due()) executor_.submit(*due);
    }

    /// Asks for a merge of level 0, because readers have lost too much time there.
    void merge_level0_soon() {
        schedule_after([this] {
            compacting_.readers_wait = true;
            compacting_.due = true;
        });
    }
    /// Asks for reclaiming, because a pin was released.
    void schedule_reclaim() {
        schedule_after([this] { flushing_.reclaim_due = true; });
    }

    /// Blocks until the memtable with this number has become a table. Returns the error of an attempt that was made
    /// meanwhile; the memtable is kept then.
    result<void> wait_flushed(std::uint64_t frozen) {
        std::unique_lock guard(mutex_);
        const std::uint64_t failures = flushing_.failures;
        flushing_.retry_now = true;
        changed_.notify_all();
        for (;;) {
            if (!is_frozen(frozen)) return {};
            if (auto good = context_.health.check(); !good) return good;
            if (stopping_) return stopped();
            if (flushing_.failures != failures) return *flushing_.last_failure;
            guard.unlock();
            schedule();
            guard.lock();
            // An inline executor has done all it could by now, unless another thread is inside it.
            if ((runs_beside() || flush_job_.busy) && is_frozen(frozen) && flushing_.failures == failures && !stopping_)
                changed_.wait_for(guard, poll_interval);
        }
    }

    [[nodiscard]] write_pressure pressure() const {
        const std::lock_guard guard(mutex_);
        const typename version_store<Alloc>::reading now(versions_);
        return {.frozen_memtables = now->memtables.size() - 1,
                .level0_tables = compacts() ? now->tables->levels[0].size() : 0,
                .flush_trouble = flushing_.backoff.trouble(),
                .retries = runs_beside(),
                .stopping = stopping_};
    }
    /// Blocks until a flush ends, at most this long. Returns false if none did.
    bool wait_for_flush(std::chrono::nanoseconds at_most) {
        std::unique_lock guard(mutex_);
        const std::uint64_t before = flushing_.ended;
        return changed_.wait_for(guard, at_most, [&] { return flushing_.ended != before || stopping_; });
    }
    [[nodiscard]] std::optional<error> trouble() const {
        const std::lock_guard guard(mutex_);
        return any_trouble();
    }
    /// Whether compactions run by themselves, so that waiting for one makes sense.
    [[nodiscard]] bool compacts() const noexcept {
        const auto& options = context_.options.compaction;
        return runs_beside() && !halted_.load(std::memory_order_relaxed) &&
               (options.policy != nullptr || options.style != compaction_style::none);
    }

    /// Merges all tables that overlap the range into the deepest level that has any of them, in the calling thread.
    result<void> compact(std::optional<bytes_view> from, std::optional<bytes_view> to) {
        std::unique_lock guard(mutex_);
        for (;;) {
            if (auto good = context_.health.check(); !good) return good;
            if (stopping_) return stopped();
            auto tables = versions_.tables();
            const auto picked = choose_range(picker_.layout_of(*tables), from, to);
            if (!picked) {
                // No other compaction begins while this one waits, or it might wait for ever.
                ++compacting_.requests_waiting;
                changed_.wait_for(guard, poll_interval);
                --compacting_.requests_waiting;
                compacting_.due = true;
                continue;
            }
            if (!*picked) {
                guard.unlock();
                schedule();  // what had to wait for this call
                return {};
            }
            auto work = picker_.begin(std::move(tables), **picked);
            guard.unlock();
            auto done = or_out_of_memory(path(), [&] { return compactor_.compact(*work, stopping_); });
            guard.lock();
            end(*work);
            guard.unlock();
            work.reset();
            schedule();
            return done;
        }
    }

    /// Blocks until there is nothing to do. Returns an error if something cannot be done.
    result<void> settle() {
        schedule_after([this] { compacting_.due = true; });
        for (;;) {
            schedule();
            std::unique_lock guard(mutex_);
            if (auto good = context_.health.check(); !good) return good;
            if (stopping_) return stopped();
            const bool idle = !busy();
            if (idle) {
                guard.unlock();
                memory_.rebalance();
                guard.lock();
            }
            if (auto trouble = any_trouble()) return *std::move(trouble);
            if (idle) return {};
            if (runs_beside() || busy()) changed_.wait_for(guard, poll_interval);
        }
    }

    /// Cancels what runs, and blocks until nothing does. Nothing starts afterwards.
    void stop() noexcept {
        std::unique_lock guard(mutex_);
        stopping_ = true;
        changed_.notify_all();
        changed_.wait(guard, [this] { return !busy(); });
    }

private:
    static constexpr unsigned max_compactions = 15;
    // Poisoning the database does not notify waiters, so they look again after this time.
    static constexpr std::chrono::milliseconds poll_interval{100};

    class job final : public io::executor::job {
    public:
        job(maintenance& owner, bool (maintenance::*step_of)(job&)) noexcept : step(step_of), owner_(owner) {}
        void run() noexcept override { owner_.run(*this); }
        bool (maintenance::*const step)(job&);
        bool busy = false;                                   // submitted or running
        bool queued = false;                                 // submitted, and not running yet
        std::unique_ptr<const compaction<Alloc>> work = {};  // what a compaction job does first, if that is picked

    private:
        maintenance& owner_;
    };

    struct flushing_state {
        detail::backoff backoff;
        bool retry_now = false;  // a caller waits: do not wait for the end of the pause
        bool reclaim_due = false;
        std::uint64_t ended = 0;
        std::uint64_t failures = 0;
        std::optional<error> last_failure;
    };
    struct compacting_state {
        detail::backoff backoff;
        bool due = true;  // tables, or what runs, have changed since the policy was last asked
        bool readers_wait = false;
        unsigned requests_waiting = 0;  // calls of compact()
    };

    // Changes what is due, and starts it.
    template <class Change>
    void schedule_after(Change change) {
        {
            const std::lock_guard guard(mutex_);
            change();
        }
        schedule();
    }

    [[nodiscard]] const std::string& path() const noexcept { return context_.directory.path(); }
    /// Whether jobs run by themselves, and not only inside calls.
    [[nodiscard]] bool runs_beside() const noexcept { return executor_.threads() != 0; }
    [[nodiscard]] error stopped() const { return failure(errc::closed, "the database was closed").in(path()); }

    // --- what is due; all but next_due() require the lock

    [[nodiscard]] static bool is_busy(const std::optional<job>& j) noexcept { return j && j->busy; }
    [[nodiscard]] bool busy() const noexcept {
        return flush_job_.busy || std::ranges::any_of(compaction_jobs_, is_busy) || !picker_.idle();
    }
    [[nodiscard]] std::shared_ptr<const db_memtable<Alloc>> oldest_frozen() const {
        const typename version_store<Alloc>::reading now(versions_);
        return now->memtables.size() > 1 ? now->memtables.back() : nullptr;
    }
    [[nodiscard]] bool is_frozen(std::uint64_t number) const {
        const typename version_store<Alloc>::reading now(versions_);
        return std::ranges::any_of(now->memtables, [number](const auto& m) { return m->number == number; });
    }
    [[nodiscard]] bool flush_due() const {
        return !stopping_ && context_.health.good() && (flushing_.retry_now || !flushing_.backoff.pausing()) &&
               oldest_frozen() != nullptr;
    }

    // Returns a job to submit, which is busy from now on, or null.
    job* next_due() {
        const std::lock_guard guard(mutex_);
        if (!flush_job_.busy && ((flushing_.reclaim_due && !stopping_) || flush_due())) return &claim(flush_job_);
        if (!compacting_.due || !may_compact()) return nullptr;
        const auto is_free = [](const std::optional<job>& j) { return j && !j->busy; };
        const auto free = std::ranges::find_if(compaction_jobs_, is_free);
        if (free == compaction_jobs_.end()) return nullptr;
        if (compacting_.backoff.pausing()) {
            // One job waits for the end of the pause, and picks then. Inline, the next call after it tries again.
            const bool waits = !runs_beside() || std::ranges::any_of(compaction_jobs_, is_busy);
            return waits ? nullptr : &claim(**free);
        }
        // Picked before it is submitted, so that no thread starts for nothing.
        (*free)->work = begin_compaction();
        return (*free)->work ? &claim(**free) : nullptr;
    }
    job& claim(job& due) {
        due.busy = due.queued = true;
        changed_.notify_all();
        return due;
    }

    [[nodiscard]] bool may_compact() const {
        return !stopping_ && context_.health.good() && compacting_.requests_waiting == 0;
    }
    // Picks a compaction and registers it as running; null if none is due, or there is no memory to pick one.
    [[nodiscard]] std::unique_ptr<const compaction<Alloc>> begin_compaction() {
        std::unique_ptr<const compaction<Alloc>> work;
        if (!compacting_.due || compacting_.backoff.pausing() || !may_compact()) return work;
        unless_out_of_memory([&] {
            auto tables = versions_.tables();
            const auto picked = picker_.pick(*tables, compacting_.readers_wait);
            if (picked) work = picker_.begin(std::move(tables), *picked);
            compacting_.due = picked.has_value();  // if so, another one may run beside it
        });
        return work;
    }
    void end(const compaction<Alloc>& work) {
        picker_.end(work);
        compacting_.due = true;
        changed_.notify_all();
    }

    [[nodiscard]] std::optional<error> any_trouble() const {
        return flushing_.backoff.trouble() ? flushing_.backoff.trouble() : compacting_.backoff.trouble();
    }
    void note_trouble(error why, backoff& kind) {
        if (context_.health.good()) news_ = copy_of(why);  // poisoning has already told the listener
        kind.failed(std::move(why));
    }

    // A job on a thread does one thing and then resubmits itself, so that other jobs on the executor, also those of
    // other databases, get their turn even if this one pauses again and again.
    void run(job& self) {
        while ((this->*self.step)(self)) {
            schedule();
            if (runs_beside()) return resubmit(self);
        }
    }
    void resubmit(job& self) {
        {
            const std::lock_guard guard(mutex_);
            self.queued = true;
            changed_.notify_all();
        }
        executor_.submit(self);  // may run to its end, and end this object, before it returns
    }

    // These return whether there may be more to do. If not, the job is no longer busy, and this object may be gone.

    bool flush_one(job& self) {
        {
            // Reset first: a pin that is released from here on may be too late for this reclaim.
            const std::lock_guard guard(mutex_);
            flushing_.reclaim_due = false;
        }
        memory_.rebalance();
        std::shared_ptr<const db_memtable<Alloc>> oldest;
        {
            const std::lock_guard guard(mutex_);
            self.queued = false;
            if (flush_due()) {
                oldest = oldest_frozen();
                flushing_.retry_now = false;
            } else if (!flushing_.reclaim_due || stopping_) {
                return finish(self);
            }
        }
        if (!oldest) return true;
        auto done = or_out_of_memory(path(), [&] { return compactor_.flush(*oldest); });
        oldest.reset();
        note_flush(std::move(done));
        return true;
    }

    // Records how a flush ended. After a failure waits for the end of the pause, if there is a thread to do so.
    void note_flush(result<void> done) {
        std::unique_lock guard(mutex_);
        ++flushing_.ended;
        compacting_.readers_wait = false;
        compacting_.due = true;
        if (done) {
            flushing_.backoff.succeeded();
        } else {
            flushing_.last_failure = copy_of(done.error());
            note_trouble(std::move(done).error(), flushing_.backoff);
            ++flushing_.failures;
        }
        changed_.notify_all();
        if (flushing_.backoff.trouble() && runs_beside())
            changed_.wait_until(guard, flushing_.backoff.retry(), [this] { return stopping_ || flushing_.retry_now; });
        guard.unlock();
        report_news();
    }

    bool compact_one(job& self) {
        std::unique_ptr<const compaction<Alloc>> work;
        {
            std::unique_lock guard(mutex_);
            self.queued = false;
            work = std::move(self.work);
            if (!work && compacting_.backoff.pausing() && runs_beside()) {
                changed_.wait_until(guard, compacting_.backoff.retry(),
                                    [this] { return stopping_ || flush_job_.queued; });
                // The executor may have only this thread: the flush must not wait for the end of the pause.
                if (flush_job_.queued && !stopping_) return true;
            }
            if (!work) work = begin_compaction();
            if (!work) return finish(self);
        }
        auto done = or_out_of_memory(path(), [&] { return compactor_.compact(*work, stopping_); });
        {
            const std::lock_guard guard(mutex_);
            if (!done && done.error().code != errc::closed) {
                if (is_damage(done.error().code)) leave_out(*work);
                note_trouble(std::move(done).error(), compacting_.backoff);
            } else if (done) {
                compacting_.backoff.succeeded(halted_);
            }
            end(*work);
        }
        work.reset();
        report_news();
        return true;
    }

    // From now on none of the inputs is compacted without a request, as one of them is damaged.
    void leave_out(const compaction<Alloc>& failed) {
        unless_out_of_memory([&] { picker_.leave_out_inputs(failed); });
        halted_.store(true, std::memory_order_relaxed);
    }

    // Requires the lock, and is the last thing that a job does.
    bool finish(job& self) {
        self.busy = false;
        changed_.notify_all();
        return false;
    }

    [[nodiscard]] static bool is_damage(errc code) noexcept {
        return code != errc::io && code != errc::no_space && code != errc::not_found && code != errc::exists &&
               code != errc::too_large;
    }

    void report_news() {
        std::optional<error> news;
        {
            const std::lock_guard guard(mutex_);
            news.swap(news_);
        }
        if (news && context_.options.listener != nullptr) context_.options.listener->failed(*news);
    }

    db_context<Alloc>& context_;
    io::executor& executor_;
    compactor<Alloc>& compactor_;
    version_store<Alloc>& versions_;
    memory_budget<Alloc>& memory_;

    mutable std::mutex mutex_;
    std::condition_variable changed_;  // a job started, ended or was queued, or a caller asked for something
    std::atomic<bool> stopping_ = false;
    std::atomic<bool> halted_ = false;  // a damaged table stays in the way of compactions
    job flush_job_;
    std::array<std::optional<job>, max_compactions> compaction_jobs_;
    compaction_picker<Alloc> picker_;
    flushing_state flushing_;
    compacting_state compacting_;
    std::optional<error> news_;  // for the listener
};

}  // namespace lsm::detail
