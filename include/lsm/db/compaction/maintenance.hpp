#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <lsm/core/bytes.hpp>
#include <lsm/core/or_out_of_memory.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/compaction/compaction.hpp>
#include <lsm/db/compaction/compaction_choice.hpp>
#include <lsm/db/compaction/compaction_picker.hpp>
#include <lsm/db/compaction/compactor.hpp>
#include <lsm/db/event_listener.hpp>
#include <lsm/db/options.hpp>
#include <lsm/db/state/health.hpp>
#include <lsm/db/state/memory_budget.hpp>
#include <lsm/db/state/version_store.hpp>
#include <lsm/io/executor.hpp>

namespace lsm::detail {

/// When flushes and compactions are done, which keep a database in shape while it is used: what is due, the jobs that
/// do it on the executor, and who waits for them. One flush at a time, compactions beside it.
///
/// A job that fails pauses, longer each time, until it succeeds: disks get room again. Tables that were found to be
/// damaged are left out of compactions. Functions are for any thread. The lock is for what is due and what runs: nobody
/// holds it while work is done or the listener is told.
template <class Alloc>
class maintenance {
public:
    maintenance(std::string_view directory, const options& how, io::executor& runner, compactor<Alloc>& maker,
                version_store<Alloc>& versions, memory_budget<Alloc>& memory, health& state, const Alloc& alloc)
        : directory_(directory),
          options_(how),
          executor_(runner),
          maker_(maker),
          versions_(versions),
          memory_(memory),
          health_(state),
          flush_job_(*this, &maintenance::run_flushes),
          picker_(how.compaction, alloc) {
        const unsigned beside_flush = runner.threads() > 1 ? runner.threads() - 1 : 1;
        for (unsigned i = 0; i < std::min<unsigned>(beside_flush, most_compactions); ++i)
            compaction_jobs_[i].emplace(*this, &maintenance::run_compactions);
    }
    maintenance(const maintenance&) = delete;
    maintenance& operator=(const maintenance&) = delete;
    ~maintenance() { stop(); }

    /// Begins what there is to do, unless it is being done; with an inline executor, does it.
    void schedule() {
        while (job* const due = next_due()) executor_.submit(*due);
    }

    /// Readers have lost so much time in level 0 that its merge should not wait.
    void merge_level0_soon() {
        {
            const std::lock_guard guard(mutex_);
            if (std::exchange(readers_wait_, true)) return;
        }
        schedule();
    }

    /// Something that was pinned is free.
    void schedule_reclaim() {
        {
            const std::lock_guard guard(mutex_);
            reclaim_due_ = true;
        }
        schedule();
    }

    /// Waits until the memtable of this number is a table. An error is that of an attempt made meanwhile: the memtable
    /// is kept.
    result<void> wait_flushed(std::uint64_t frozen) {
        std::unique_lock guard(mutex_);
        const std::uint64_t failures = flush_failures_;
        retry_at_once_ = true;
        changed_.notify_all();
        for (;;) {
            if (!waits(frozen)) return {};
            if (auto good = health_.check(); !good) return good;
            if (stopping_) return stopped();
            if (flush_failures_ != failures) return *last_flush_failure_;
            guard.unlock();
            schedule();
            guard.lock();
            if ((runs_beside() || flush_job_.busy) && waits(frozen) && flush_failures_ == failures && !stopping_)
                changed_.wait_for(guard, a_while);
        }
    }

    /// Waits for a flush to end, at most so long; false if there was none.
    bool wait_for_progress(std::chrono::nanoseconds at_most) {
        std::unique_lock guard(mutex_);
        const std::uint64_t before = flushes_ended_;
        return changed_.wait_for(guard, at_most, [&] { return flushes_ended_ != before || stopping_; });
    }
    /// Why flushes pause, if they do.
    [[nodiscard]] std::optional<error> flush_trouble() const {
        const std::lock_guard guard(mutex_);
        return flushing_.trouble;
    }
    [[nodiscard]] std::optional<error> trouble() const {
        const std::lock_guard guard(mutex_);
        return any_trouble();
    }
    /// Whether jobs run by themselves, not only inside calls.
    [[nodiscard]] bool runs_beside() const noexcept { return executor_.threads() != 0; }
    [[nodiscard]] bool stopping() const noexcept { return stopping_; }
    /// Whether it makes sense to wait for compactions.
    [[nodiscard]] bool compacts() const noexcept {
        const auto& how = options_.compaction;
        return runs_beside() && !halted_.load(std::memory_order_relaxed) &&
               (how.policy != nullptr || how.style != compaction_style::none);
    }

    /// Merges all that overlaps the range into the deepest level that has any of it, in this thread.
    result<void> compact(std::optional<bytes_view> from, std::optional<bytes_view> to) {
        std::unique_lock guard(mutex_);
        for (;;) {
            if (auto good = health_.check(); !good) return good;
            if (stopping_) return stopped();
            auto tables = versions_.tables();
            const auto picked = choose_range(picker_.layout_of(*tables), from, to);
            if (!picked) {
                ++compactions_waiting_;
                changed_.wait_for(guard, a_while);
                --compactions_waiting_;
                continue;
            }
            if (!*picked) return {};
            auto work = picker_.begin(std::move(tables), **picked);
            guard.unlock();
            auto done = or_out_of_memory(directory_, [&] { return maker_.compact(*work, stopping_); });
            guard.lock();
            end(*work);
            guard.unlock();
            work.reset();
            versions_.reclaim();
            memory_.update(versions_);
            schedule();
            return done;
        }
    }

    /// Waits until there is nothing to do. An error is why something cannot be done.
    result<void> settle() {
        for (;;) {
            schedule();
            std::unique_lock guard(mutex_);
            if (auto good = health_.check(); !good) return good;
            if (stopping_) return stopped();
            const bool idle = !busy();
            if (idle) {
                guard.unlock();
                versions_.reclaim();
                guard.lock();
            }
            if (auto trouble = any_trouble()) return *std::move(trouble);
            if (idle) return {};
            if (runs_beside() || busy()) changed_.wait_for(guard, a_while);
        }
    }

    /// Cancels what runs and waits until nothing does. Nothing begins afterwards.
    void stop() noexcept {
        std::unique_lock guard(mutex_);
        stopping_ = true;
        changed_.notify_all();
        changed_.wait(guard, [this] { return !busy(); });
    }

private:
    using clock = std::chrono::steady_clock;

    static constexpr unsigned most_compactions = 15;
    // After which who waits looks again: that writes are refused from now on comes without a notification.
    static constexpr clock::duration a_while = std::chrono::milliseconds(100);
    static constexpr clock::duration shortest_pause = std::chrono::milliseconds(50);
    static constexpr clock::duration longest_pause = std::chrono::seconds(2);

    class job final : public io::executor::job {
    public:
        job(maintenance& owner, void (maintenance::*what)(job&)) noexcept : owner_(owner), what_(what) {}
        void run() noexcept override { (owner_.*what_)(*this); }
        bool busy = false;   // submitted or running
        bool waits = false;  // submitted, and not running yet

    private:
        maintenance& owner_;
        void (maintenance::*what_)(job&);
    };

    // Why jobs of one kind pause, and how long: after each failure twice as long as before.
    struct backoff {
        std::optional<error> trouble = {};
        clock::time_point retry = {};
        clock::duration pause = shortest_pause;

        [[nodiscard]] bool pausing() const { return trouble && clock::now() < retry; }
        void lengthen(error why) {
            trouble = std::move(why);
            retry = clock::now() + pause;
            pause = std::min(2 * pause, longest_pause);
        }
    };

    [[nodiscard]] error stopped() const { return failure(errc::closed, "the database was closed").in(directory_); }

    // --- what is due; these require the lock, but for next_due()

    [[nodiscard]] static bool is_busy(const std::optional<job>& j) noexcept { return j && j->busy; }
    [[nodiscard]] bool busy() const noexcept {
        return flush_job_.busy || std::ranges::any_of(compaction_jobs_, is_busy) || !picker_.idle();
    }
    [[nodiscard]] std::shared_ptr<const db_memtable<Alloc>> oldest_frozen() const {
        const typename version_store<Alloc>::reading now(versions_);
        return now->memtables.size() > 1 ? now->memtables.back() : nullptr;
    }
    [[nodiscard]] bool waits(std::uint64_t frozen) const {
        const typename version_store<Alloc>::reading now(versions_);
        return std::ranges::any_of(now->memtables, [frozen](const auto& m) { return m->number == frozen; });
    }
    [[nodiscard]] bool flush_due() const {
        return !stopping_ && health_.good() && (retry_at_once_ || !flushing_.pausing()) && oldest_frozen() != nullptr;
    }

    job* next_due() {
        const auto tables = versions_.tables();
        const std::lock_guard guard(mutex_);
        if (!flush_job_.busy && ((reclaim_due_ && !stopping_) || flush_due())) {
            flush_job_.busy = flush_job_.waits = true;
            changed_.notify_all();
            return &flush_job_;
        }
        // One job waits until a pause is over.
        if (compacting_.pausing() && (!runs_beside() || std::ranges::any_of(compaction_jobs_, is_busy))) return nullptr;
        for (auto& slot : compaction_jobs_) {
            if (!slot || slot->busy) continue;
            const auto due = [&]() -> result<bool> { return pick(*tables).has_value(); };
            if (!or_out_of_memory(directory_, due).value_or(false)) return nullptr;
            slot->busy = slot->waits = true;
            return &*slot;
        }
        return nullptr;
    }

    [[nodiscard]] std::optional<compaction_choice> pick(const table_set<Alloc>& tables) const {
        if (stopping_ || !health_.good() || compactions_waiting_ != 0) return std::nullopt;
        return picker_.pick(tables, readers_wait_);
    }
    [[nodiscard]] std::unique_ptr<const compaction<Alloc>> begin_due() {
        if (compacting_.pausing()) return nullptr;
        auto tables = versions_.tables();
        const auto picked = pick(*tables);
        return picked ? picker_.begin(std::move(tables), *picked) : nullptr;
    }
    void end(const compaction<Alloc>& work) {
        picker_.end(work);
        changed_.notify_all();
    }

    [[nodiscard]] std::optional<error> any_trouble() const {
        return flushing_.trouble ? flushing_.trouble : compacting_.trouble;
    }
    void note_trouble(error why, backoff& kind) {
        if (health_.good()) news_ = copy_of(why);  // or the listener knows already
        kind.lengthen(std::move(why));
    }

    // --- the jobs

    // A job that has threads to run in does one thing at a time and then stands in line again: whoever else has jobs on
    // the executor, other databases included, gets a turn, also when this one pauses again and again.
    void run_flushes(job& self) {
        while (flush_one(self)) {
            schedule();
            if (runs_beside()) return resubmit(self);
        }
    }
    void run_compactions(job& self) {
        while (compact_one(self)) {
            schedule();
            if (runs_beside()) return resubmit(self);
        }
    }
    void resubmit(job& self) {
        {
            const std::lock_guard guard(mutex_);
            self.waits = true;
            changed_.notify_all();
        }
        executor_.submit(self);  // which may run it to its end meanwhile: nothing of this object is used any more
    }

    // These return whether there may be more to do. If not, the job is no longer busy, and this object may be gone.

    bool flush_one(job& self) {
        {
            const std::lock_guard guard(mutex_);
            reclaim_due_ = false;  // what is let go from now on may come too late for this time
        }
        versions_.reclaim();
        memory_.update(versions_);
        std::shared_ptr<const db_memtable<Alloc>> oldest;
        {
            const std::lock_guard guard(mutex_);
            self.waits = false;
            if (flush_due()) {
                oldest = oldest_frozen();
                retry_at_once_ = false;
            } else if (!reclaim_due_ || stopping_) {
                return ended(self);
            }
        }
        if (!oldest) return true;
        auto done = or_out_of_memory(directory_, [&] { return maker_.flush(*oldest); });
        oldest.reset();
        std::unique_lock guard(mutex_);
        ++flushes_ended_;
        readers_wait_ = false;
        if (done) {
            flushing_ = {};
        } else {
            last_flush_failure_ = copy_of(done.error());
            note_trouble(std::move(done).error(), flushing_);
            ++flush_failures_;
        }
        changed_.notify_all();
        if (flushing_.trouble && runs_beside())
            changed_.wait_until(guard, flushing_.retry, [this] { return stopping_ || retry_at_once_; });
        guard.unlock();
        report_trouble();
        return true;
    }

    bool compact_one(job& self) {
        std::unique_ptr<const compaction<Alloc>> work;
        {
            std::unique_lock guard(mutex_);
            self.waits = false;
            if (compacting_.pausing() && runs_beside()) {
                changed_.wait_until(guard, compacting_.retry, [this] { return stopping_ || flush_job_.waits; });
                if (flush_job_.waits && !stopping_) return true;  // perhaps for this very thread
            }
            auto begun = or_out_of_memory(directory_, [this]() -> result<decltype(work)> { return begin_due(); });
            if (begun) work = *std::move(begun);
            if (!work) return ended(self);
        }
        auto done = or_out_of_memory(directory_, [&] { return maker_.compact(*work, stopping_); });
        {
            const std::lock_guard guard(mutex_);
            if (done) {
                if (!halted_) compacting_.trouble.reset();
                compacting_.pause = shortest_pause;
            } else if (done.error().code != errc::closed) {
                if (is_damage(done.error().code)) {
                    static_cast<void>(or_out_of_memory(directory_, [&]() -> result<void> {
                        picker_.leave_out_inputs(*work);
                        return {};
                    }));
                    halted_.store(true, std::memory_order_relaxed);
                }
                note_trouble(std::move(done).error(), compacting_);
            }
            end(*work);
        }
        work.reset();
        versions_.reclaim();
        report_trouble();
        return true;
    }

    // Requires the lock, and is the last thing that a job does.
    bool ended(job& self) {
        self.busy = false;
        changed_.notify_all();
        return false;
    }

    [[nodiscard]] static bool is_damage(errc code) noexcept {
        return code != errc::io && code != errc::no_space && code != errc::not_found && code != errc::exists &&
               code != errc::too_large;
    }

    void report_trouble() {
        std::optional<error> news;
        {
            const std::lock_guard guard(mutex_);
            news.swap(news_);
        }
        if (news && options_.listener != nullptr) options_.listener->failed(*news);
    }

    std::string directory_;
    const options& options_;
    io::executor& executor_;
    compactor<Alloc>& maker_;
    version_store<Alloc>& versions_;
    memory_budget<Alloc>& memory_;
    health& health_;

    mutable std::mutex mutex_;
    std::condition_variable changed_;  // a job ended, or what it waits for has come
    std::atomic<bool> stopping_ = false;
    job flush_job_;
    std::array<std::optional<job>, most_compactions> compaction_jobs_;
    compaction_picker<Alloc> picker_;
    std::atomic<bool> halted_ = false;  // a damaged table stays in the way of compactions
    bool reclaim_due_ = false;
    bool readers_wait_ = false;
    unsigned compactions_waiting_ = 0;  // which somebody asked for: no others begin meanwhile

    backoff flushing_, compacting_;
    bool retry_at_once_ = false;
    std::uint64_t flush_failures_ = 0;
    std::optional<error> last_flush_failure_;
    std::uint64_t flushes_ended_ = 0;
    std::optional<error> news_;  // for the listener
};

}  // namespace lsm::detail
