#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/compact.hpp>
#include <lsm/db/compaction.hpp>
#include <lsm/db/compaction_choice.hpp>
#include <lsm/db/compaction_policy.hpp>
#include <lsm/db/event_listener.hpp>
#include <lsm/db/health.hpp>
#include <lsm/db/memory_budget.hpp>
#include <lsm/db/options.hpp>
#include <lsm/db/statistics.hpp>
#include <lsm/db/table_store.hpp>
#include <lsm/db/version_store.hpp>
#include <lsm/io/executor.hpp>

namespace lsm::detail {

/// Makes tables of frozen memtables, and better tables of many: what keeps a database in shape while it is used.
///
/// A job that fails leaves everything as it was and pauses, longer each time, until it succeeds: disks get room again.
/// Tables that were found to be damaged are left out of compactions. Functions are for any thread.
template <class Alloc>
class maintenance {
public:
    maintenance(io::file_system& fs, std::string_view directory, const options& how, io::executor& runner,
                table_store<Alloc>& tables, version_store<Alloc>& versions, memory_budget<Alloc>& memory, health& state,
                write_counters& counted, const Alloc& alloc)
        : alloc_(alloc),
          fs_(fs),
          directory_(directory),
          options_(how),
          executor_(runner),
          tables_(tables),
          versions_(versions),
          memory_(memory),
          health_(state),
          counted_(counted),
          policy_(how.compaction),
          flush_job_(*this, &maintenance::run_flushes) {
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
    void hurry_for_readers() {
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

    /// Makes the oldest frozen memtable a table: the table, the MANIFEST that lists it, and only then away with its
    /// logs, oldest first. For the flush job, and for opening.
    result<void> flush_oldest(const db_memtable<Alloc>& oldest) {
        const stopwatch watch;
        const auto id = tables_.new_id();
        if (!id) return id.error();
        auto entries = cursor_of(oldest, newest_sequence);
        entries.seek_to_first();
        if (auto written = write_table_file(entries, fs_, directory_, *id, table_format(), alloc_); !written)
            return abandon({*id}, std::move(written).error());
        auto opened = tables_.open(*id);
        if (!opened) return abandon({*id}, std::move(opened).error());
        const flush_event event{*id, (*opened)->file_bytes(), watch.nanoseconds()};
        table_edit<Alloc> edit{.flushed = &oldest};
        edit.added.emplace_back(0, *std::move(opened));
        const auto logs = log_paths(oldest);  // before the table is listed: nothing may come between that and their end
        if (auto listed = tables_.install(edit); !listed) return abandon({*id}, std::move(listed).error());
        counted_.flush_bytes += event.file_bytes;
        ++counted_.flushes;
        if (auto removed = remove_logs(logs); !removed) return removed;
        memory_.update(versions_);
        if (options_.listener != nullptr) options_.listener->flushed(event);
        return {};
    }

    /// Replayed over the table that its memtable became, a log changes nothing; replayed over a newer one it would. So
    /// none may be left when the next table is listed.
    result<void> remove_logs(const std::vector<std::string>& paths) {
        for (const std::string& path : paths) {
            if (auto removed = io::remove_if_present(fs_, path); !removed)
                return health_.poison(std::move(removed).error());
            if (auto synced = io::sync_directory(fs_, directory_); !synced)
                return health_.poison(std::move(synced).error());
        }
        return {};
    }

    [[nodiscard]] std::vector<std::string> log_paths(const db_memtable<Alloc>& frozen) const {
        std::vector<std::string> out;
        for (const std::string& name : frozen.logs) out.push_back(joined(directory_, name));
        return out;
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
            if (runs_beside() && waits(frozen) && flush_failures_ == failures && !stopping_)
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
        return flush_trouble_;
    }
    [[nodiscard]] std::optional<error> trouble() const {
        const std::lock_guard guard(mutex_);
        return flush_trouble_ ? flush_trouble_ : compaction_trouble_;
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
            auto tables = versions_.current()->tables;
            const auto layout = layout_of(*tables);
            const auto chosen = choose_range(layout, from, to);
            if (!chosen) {
                if (chosen.error().code != errc::locked) return chosen.error();
                ++compactions_waiting_;
                changed_.wait_for(guard, a_while);
                --compactions_waiting_;
                continue;
            }
            if (!*chosen) return {};
            if (auto sound = check_choice(layout, **chosen); !sound) return sound;
            auto work = std::make_unique<const compaction<Alloc>>(tables, **chosen, alloc_);
            tables.reset();
            running_.push_back(work.get());
            guard.unlock();
            auto done = caught([&] { return perform(*work); });
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
            if (flush_trouble_) return *flush_trouble_;
            if (compaction_trouble_) return *compaction_trouble_;
            if (idle) return {};
            if (runs_beside()) changed_.wait_for(guard, a_while);
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
    static constexpr unsigned most_compactions = 15;

    class job final : public io::executor::job {
    public:
        job(maintenance& owner, void (maintenance::*what)(job&)) noexcept : owner_(owner), what_(what) {}
        void run() noexcept override { (owner_.*what_)(*this); }
        bool busy = false;  // submitted or running

    private:
        maintenance& owner_;
        void (maintenance::*what_)(job&);
    };

    // The style, or the caller's own.
    class chosen_policy {
    public:
        explicit chosen_policy(const compaction_options& how) : leveled_(how), size_tiered_(how) {
            switch (how.style) {
                case compaction_style::leveled: use_ = &leveled_; break;
                case compaction_style::size_tiered: use_ = &size_tiered_; break;
                case compaction_style::none: use_ = &none_; break;
            }
            if (how.policy != nullptr) use_ = how.policy;
        }
        chosen_policy(const chosen_policy&) = delete;
        [[nodiscard]] const compaction_policy& operator*() const noexcept { return *use_; }

    private:
        leveled_compaction leveled_;
        size_tiered_compaction size_tiered_;
        no_compaction none_;
        const compaction_policy* use_ = nullptr;
    };

    // What `f` returns; running out of memory is an error like others here, where nobody is to catch it.
    template <class F>
    static auto caught(F f) -> decltype(f()) {
#if defined(__cpp_exceptions)
        try {
            return f();
        } catch (const std::bad_alloc&) {
            return system_failure("allocate", ENOMEM);
        }
#else
        return f();
#endif
    }

    [[nodiscard]] error stopped() const { return failure(errc::closed, "the database was closed").in(directory_); }
    [[nodiscard]] sst_options table_format() const {
        return {.block_size = options_.block_bytes,
                .extended = options_.extended_tables,
                .filter_bits_per_key = options_.filter_bits_per_key};
    }

    // --- what is due; these require the lock

    [[nodiscard]] bool busy() const noexcept {
        const auto is_busy = [](const auto& j) { return j && j->busy; };
        return flush_job_.busy || std::ranges::any_of(compaction_jobs_, is_busy) || !running_.empty();
    }
    [[nodiscard]] std::shared_ptr<const db_memtable<Alloc>> oldest_frozen() const {
        const auto now = versions_.current();
        return now->memtables.size() > 1 ? now->memtables.back() : nullptr;
    }
    [[nodiscard]] bool waits(std::uint64_t frozen) const {
        const auto now = versions_.current();
        return std::ranges::any_of(now->memtables, [frozen](const auto& m) { return m->number == frozen; });
    }
    [[nodiscard]] bool flush_due() {
        if (stopping_) return false;
        if (reclaim_due_) return true;
        if (!health_.good()) return false;
        const bool pausing = flush_trouble_ && !retry_at_once_ && clock::now() < flush_retry_;
        return !pausing && oldest_frozen() != nullptr;
    }

    job* next_due() {
        const std::lock_guard guard(mutex_);
        if (!flush_job_.busy && flush_due()) {
            flush_job_.busy = true;
            return &flush_job_;
        }
        for (auto& slot : compaction_jobs_) {
            if (!slot || slot->busy) continue;
            if (!caught([this]() -> result<bool> { return pick() != nullptr; }).value_or(false)) return nullptr;
            slot->busy = true;
            return &*slot;
        }
        return nullptr;
    }

    [[nodiscard]] table_layout layout_of(const table_set<Alloc>& tables) const {
        table_layout out;
        tables.for_each([&](int level, const auto& t) {
            if (t->empty()) return;
            const auto uses = [&](const compaction<Alloc>* work) { return work->has_input(t->id()); };
            const bool taken = std::ranges::any_of(running_, uses);
            out.levels[static_cast<std::size_t>(level)].push_back(
                {t->id(), t->file_bytes(), t->smallest(), t->largest(), taken});
        });
        for (const auto* work : running_)
            if (const auto& hull = work->hull())
                out.running.push_back({hull->first, hull->second, work->output_level()});
        return out;
    }

    // The compaction that is to be done next, if there is one.
    [[nodiscard]] std::unique_ptr<compaction<Alloc>> pick() {
        if (stopping_ || !health_.good() || compactions_waiting_ != 0 ||
            (compaction_trouble_ && clock::now() < compaction_retry_))
            return nullptr;
        const auto tables = versions_.current()->tables;
        auto layout = layout_of(*tables);
        for (auto& level : layout.levels)
            for (auto& t : level) t.busy = t.busy || std::ranges::find(damaged_, t.id) != damaged_.end();
        layout.readers_wait = readers_wait_;
        const auto choice = (*policy_).choose(layout);
        if (!choice || !check_choice(layout, *choice)) return nullptr;
        return std::make_unique<compaction<Alloc>>(tables, *choice, alloc_);
    }

    void end(const compaction<Alloc>& work) {
        std::erase(running_, &work);
        changed_.notify_all();
    }

    // --- the jobs

    void run_flushes(job& self) {
        for (;;) {
            versions_.reclaim();
            memory_.update(versions_);
            std::shared_ptr<const db_memtable<Alloc>> oldest;
            {
                const std::lock_guard guard(mutex_);
                reclaim_due_ = false;
                if (flush_due() && health_.good()) oldest = oldest_frozen();
                if (!oldest) {
                    self.busy = false;
                    changed_.notify_all();
                    return;
                }
                retry_at_once_ = false;
            }
            auto done = caught([&] { return flush_oldest(*oldest); });
            oldest.reset();
            std::unique_lock guard(mutex_);
            ++flushes_ended_;
            readers_wait_ = false;
            if (done) {
                flush_trouble_.reset();
                flush_pause_ = shortest_pause;
            } else {
                last_flush_failure_ = done.error();
                note_trouble(std::move(done).error(), flush_trouble_, flush_retry_, flush_pause_);
                ++flush_failures_;
            }
            changed_.notify_all();
            const auto retry = flush_retry_;
            if (flush_trouble_ && runs_beside())
                changed_.wait_until(guard, retry, [this] { return stopping_ || retry_at_once_; });
            guard.unlock();
            report_trouble();
            schedule();
        }
    }

    void run_compactions(job& self) {
        for (;;) {
            std::unique_ptr<compaction<Alloc>> work;
            {
                std::unique_lock guard(mutex_);
                if (compaction_trouble_ && runs_beside())
                    changed_.wait_until(guard, compaction_retry_, [this] { return stopping_.load(); });
                auto picked = caught([this]() -> result<std::unique_ptr<compaction<Alloc>>> { return pick(); });
                if (picked) work = *std::move(picked);
                if (!work) {
                    self.busy = false;
                    changed_.notify_all();
                    return;
                }
                running_.push_back(work.get());
            }
            auto done = caught([&] { return perform(*work); });
            {
                const std::lock_guard guard(mutex_);
                if (done) {
                    if (!halted_) compaction_trouble_.reset();
                    compaction_pause_ = shortest_pause;
                } else if (done.error().code != errc::closed) {
                    if (is_damage(done.error().code)) {
                        work->for_each_input([this](int, const auto& t) { damaged_.push_back(t->id()); });
                        halted_.store(true, std::memory_order_relaxed);
                    }
                    note_trouble(std::move(done).error(), compaction_trouble_, compaction_retry_, compaction_pause_);
                }
                end(*work);
            }
            work.reset();
            versions_.reclaim();
            report_trouble();
            schedule();
        }
    }

    result<void> perform(const compaction<Alloc>& work) {
        const stopwatch watch;
        compaction_event event{.inputs = {},
                               .outputs = {},
                               .output_level = work.output_level(),
                               .bytes_read = 0,
                               .bytes_written = 0,
                               .nanoseconds = 0};
        work.for_each_input([&](int, const auto& t) { event.inputs.push_back(t->id()); });
        table_edit<Alloc> edit{.removed = event.inputs};
        if (auto only = work.moved()) {
            event.outputs = event.inputs;
            edit.added.emplace_back(work.output_level(), std::move(only));
            if (auto listed = tables_.install(edit); !listed) return listed;
            ++counted_.moves;
        } else {
            const auto new_id = [this] { return tables_.new_id(); };
            auto written =
                work.run({fs_, directory_, table_format(), options_.compaction.target_table_bytes, stopping_, new_id});
            if (!written) return std::move(written).error();
            event.outputs = *std::move(written);
            for (const std::uint64_t id : event.outputs) {
                auto opened = tables_.open(id);
                if (!opened) return abandon(event.outputs, std::move(opened).error());
                event.bytes_written += (*opened)->file_bytes();
                edit.added.emplace_back(work.output_level(), *std::move(opened));
            }
            if (auto listed = tables_.install(edit); !listed) return abandon(event.outputs, std::move(listed).error());
            event.bytes_read = work.input_bytes();
            ++counted_.compactions;
            counted_.compaction_bytes += event.bytes_written;
            counted_.compaction_bytes_read += event.bytes_read;
        }
        memory_.update(versions_);
        event.nanoseconds = watch.nanoseconds();
        if (options_.listener != nullptr) options_.listener->compacted(event);
        return {};
    }

    // New tables that could not be put to use. If it is not sure what MANIFEST says on the disk, they stay.
    LSM_COLD result<void> abandon(const std::vector<std::uint64_t>& ids, error why) {
        if (health_.good())
            for (const std::uint64_t id : ids) tables_.remove(id);
        return why;
    }

    [[nodiscard]] static bool is_damage(errc code) noexcept {
        return code != errc::io && code != errc::no_space && code != errc::not_found && code != errc::exists &&
               code != errc::too_large;
    }

    using clock = std::chrono::steady_clock;

    // Requires the lock.
    void note_trouble(error what, std::optional<error>& trouble, clock::time_point& retry, clock::duration& pause) {
        if (health_.good()) news_ = what;  // or the listener knows already
        trouble = std::move(what);
        retry = clock::now() + pause;
        pause = std::min<clock::duration>(2 * pause, longest_pause);
    }
    void report_trouble() {
        std::optional<error> news;
        {
            const std::lock_guard guard(mutex_);
            news.swap(news_);
        }
        if (news && options_.listener != nullptr) options_.listener->failed(*news);
    }

    // After which who waits looks again: that writes are refused from now on comes without a notification.
    static constexpr clock::duration a_while = std::chrono::milliseconds(100);
    static constexpr clock::duration shortest_pause = std::chrono::milliseconds(50);
    static constexpr clock::duration longest_pause = std::chrono::seconds(2);

    [[no_unique_address]] Alloc alloc_;
    io::file_system& fs_;
    std::string directory_;
    const options& options_;
    io::executor& executor_;
    table_store<Alloc>& tables_;
    version_store<Alloc>& versions_;
    memory_budget<Alloc>& memory_;
    health& health_;
    write_counters& counted_;
    chosen_policy policy_;

    mutable std::mutex mutex_;
    std::condition_variable changed_;  // a job ended, or what it waits for has come
    std::atomic<bool> stopping_ = false;
    job flush_job_;
    std::array<std::optional<job>, most_compactions> compaction_jobs_;
    std::vector<const compaction<Alloc>*> running_;
    std::vector<std::uint64_t> damaged_;
    std::atomic<bool> halted_ = false;
    bool reclaim_due_ = false;
    bool readers_wait_ = false;
    unsigned compactions_waiting_ = 0;  // which somebody asked for: no others begin meanwhile

    std::optional<error> flush_trouble_, compaction_trouble_;
    clock::time_point flush_retry_, compaction_retry_;
    clock::duration flush_pause_ = shortest_pause, compaction_pause_ = shortest_pause;
    bool retry_at_once_ = false;
    std::uint64_t flush_failures_ = 0;
    std::optional<error> last_flush_failure_;
    std::uint64_t flushes_ended_ = 0;
    std::optional<error> news_;  // for the listener
};

}  // namespace lsm::detail
