#pragma once

#include <unistd.h>

#include <atomic>
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
#include <lsm/core/sha256.hpp>
#include <lsm/db/admin/checkpoint.hpp>
#include <lsm/db/admin/verify.hpp>
#include <lsm/db/compaction/compactor.hpp>
#include <lsm/db/compaction/maintenance.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/db/options.hpp>
#include <lsm/db/read/scan_cursor.hpp>
#include <lsm/db/recovery/recovery.hpp>
#include <lsm/db/state/health.hpp>
#include <lsm/db/state/memory_budget.hpp>
#include <lsm/db/state/table_store.hpp>
#include <lsm/db/state/version_store.hpp>
#include <lsm/db/statistics.hpp>
#include <lsm/db/write/write_path.hpp>
#include <lsm/io/executor.hpp>
#include <lsm/io/file.hpp>
#include <lsm/io/posix_file_system.hpp>
#include <lsm/merge/serialize_stream.hpp>

namespace lsm::detail {

/// The database over bytes: its parts, and how they come up and go down. What it owns on the disk: LOCK (held),
/// MANIFEST, the tables of the current version, and the logs of its memtables.
///
/// Every step that changes the disk leaves a directory that opens to the same contents, whenever the power goes.
template <class Alloc>
class db_core final : private unpin_notifier::listener {
public:
    static result<std::shared_ptr<db_core>> open(std::string_view directory, const options& opts, const Alloc& alloc) {
        io::file_system& fs = opts.file_system != nullptr ? *opts.file_system : io::default_file_system();
        if (auto ready = recovery<Alloc>::prepare_directory(fs, directory, opts); !ready)
            return std::move(ready).error();
        io::file lock;
        if (!opts.read_only) {
            auto taken = io::file::lock(fs, joined(directory, lock_name));
            if (!taken) return std::move(taken).error();
            lock = *std::move(taken);
        }
        auto core = std::allocate_shared<db_core>(alloc, fs, directory, opts, std::move(lock), alloc);
        auto recovered = opts.read_only ? core->refresh() : core->recover();
        if (!recovered) return std::move(recovered).error();
        return core;
    }

    db_core(io::file_system& fs, std::string_view directory, const options& opts, io::file lock, const Alloc& alloc)
        : alloc_(alloc),
          fs_(fs),
          directory_(directory),
          options_(opts),
          lock_(std::move(lock)),
          own_executor_(opts.background_threads),
          bell_(std::allocate_shared<unpin_notifier>(alloc, static_cast<unpin_notifier::listener*>(this))),
          readers_(std::allocate_shared<reader_slots>(alloc)),
          shared_(std::allocate_shared<table_resources<Alloc>>(alloc, opts, readers_)),
          health_(opts.listener),
          versions_(readers_, bell_, alloc),
          memory_(options_, shared_),
          tables_(fs, directory_, shared_, versions_, health_, alloc),
          maker_(fs, directory_, options_, tables_, versions_, memory_, health_, counted_, alloc),
          maintenance_(directory_, options_, opts.executor != nullptr ? *opts.executor : own_executor_, maker_,
                       versions_, memory_, health_, alloc),
          writes_(fs, directory_, options_, versions_, maintenance_, memory_, health_, counted_, alloc) {}
    db_core(const db_core&) = delete;
    db_core& operator=(const db_core&) = delete;
    ~db_core() {
        static_cast<void>(or_out_of_memory(directory_, [this] { return close(); }));
    }

    result<void> write(bytes_view operations, std::uint32_t count, write_options how) {
        return writes_.write(operations, count, how.sync.value_or(options_.sync));
    }

    /// Why writes are refused, if they are.
    [[nodiscard]] result<void> writable() const { return health_.check(); }

    /// Calls `use` with the newest entry of `key`, tombstones included, and with what keeps it; not at all if there is
    /// none. What keeps it must not be let go before this returns.
    template <class Use>
    result<void> find(bytes_view key, const pinned_version<Alloc>* at, block_options how, Use use) {
        if (auto own = check_own(at); !own) return own;
        bool level0_due = false;
        auto done = find(key, at, how, use, level0_due);
        if (level0_due) maintenance_.merge_level0_soon();
        return done;
    }
    /// Many at once, as of one moment: `use(i, entry)` for each key that has an entry.
    template <class Keys, class Use>
    result<void> find_all(const Keys& keys, const pinned_version<Alloc>* at, block_options how, Use use) {
        if (auto own = check_own(at); !own) return own;
        const auto pinned = at != nullptr ? *at : versions_.pin();
        for (std::size_t i = 0; i < keys.size(); ++i) {
            // One after the other: maintenance waits for lookups that are under way, not for pins.
            const typename version_store<Alloc>::reading now(versions_);
            auto& counted = now.counters();
            counted.gets.fetch_add(1, std::memory_order_relaxed);
            auto done =
                find_newest(*pinned, keys[i], pinned.at(), how, counted, [&](entry_view entry, block_contents<Alloc>*) {
                    if (!entry.tombstone()) counted.found.fetch_add(1, std::memory_order_relaxed);
                    use(i, entry);
                });
            if (!done) return done;
        }
        return {};
    }

    /// The state of this moment. over_budget, if pins hold too much memory already.
    [[nodiscard]] result<pinned_version<Alloc>> pin() {
        if (memory_.exceeded()) {
            versions_.reclaim();  // perhaps what was let go has not been freed yet
            memory_.update(versions_);
            if (memory_.exceeded())
                return failure(errc::over_budget, "snapshots and cursors hold what the memory budget has")
                    .in(directory_);
        }
        return versions_.pin();
    }
    [[nodiscard]] scan_cursor<Alloc> view(const pinned_version<Alloc>* at, merge_options how, block_options blocks) {
        if (auto own = check_own(at); !own) return scan_cursor<Alloc>(std::move(own).error(), alloc_);
        bool level0_due = false;
        {
            const typename version_store<Alloc>::reading now(versions_);
            now.counters().cursors.fetch_add(1, std::memory_order_relaxed);
            level0_due = at == nullptr && charge_level0(*now, cursor_loss);
        }
        if (level0_due) maintenance_.merge_level0_soon();
        if (at != nullptr) return scan_cursor<Alloc>(*at, readers_, how, blocks, alloc_);
        auto pinned = pin();
        if (!pinned) return scan_cursor<Alloc>(std::move(pinned).error(), alloc_);
        return scan_cursor<Alloc>(*std::move(pinned), readers_, how, blocks, alloc_);
    }

    result<void> flush() {
        auto frozen = writes_.freeze();
        if (!frozen) return std::move(frozen).error();
        if (!*frozen) return {};
        return maintenance_.wait_flushed(**frozen);
    }
    result<void> compact(std::optional<bytes_view> from, std::optional<bytes_view> to) {
        if (auto flushed = flush(); !flushed) return flushed;
        return maintenance_.compact(from, to);
    }
    result<void> settle() { return maintenance_.settle(); }

    result<void> checkpoint(std::string_view to) {
        if (health_.closed()) return health_.check();
        const typename table_store<Alloc>::file_hold hold(tables_);
        return write_checkpoint(fs_, versions_.pin(), to, options_, alloc_);
    }
    result<verify_report> verify() {
        if (health_.closed()) return std::move(health_.check()).error();
        const typename table_store<Alloc>::file_hold hold(tables_);
        const auto pinned = versions_.pin();
        // close() says so before it lets go of the directory.
        const auto shared = [this] { return options_.read_only || health_.closed(); };
        return verify_tables(fs_, *pinned, shared, alloc_);
    }
    result<sha256::digest> digest(const pinned_version<Alloc>* at) {
        auto all = view(at, {.drop_tombstones = true}, {.fill_cache = false});
        all.seek_to_first();
        sha256_sink out;
        if (auto done = serialize_stream(all, out, alloc_); !done) return std::move(done).error();
        return out.finish();
    }

    [[nodiscard]] statistics stats() {
        statistics out;
        const auto& c = counted_;
        out.writes = c.writes;
        out.operations = c.operations;
        out.groups = c.groups;
        out.syncs = c.syncs;
        out.write_latency = c.write_latency.summary();
        out.read_latency = c.read_latency.summary();
        out.user_bytes = c.user_bytes;
        out.log_bytes = c.log_bytes;
        out.flush_bytes = c.flush_bytes;
        out.compaction_bytes = c.compaction_bytes;
        out.compaction_bytes_read = c.compaction_bytes_read;
        out.flushes = c.flushes;
        out.compactions = c.compactions;
        out.moves = c.moves;
        out.stalls = c.stalls;
        out.stall_nanoseconds = c.stall_nanoseconds;
        out.longest_stall_nanoseconds = c.longest_stall_nanoseconds;
        const auto& slots = versions_.slots();
        out.gets = slots.sum(&read_counters::gets);
        out.gets_found = slots.sum(&read_counters::found);
        out.cursors = slots.sum(&read_counters::cursors);
        out.tables_searched = slots.sum(&read_counters::tables_searched);
        out.tombstones_skipped = slots.sum(&read_counters::tombstones_skipped);
        out.filter_misses = slots.sum(&read_counters::filter_misses);
        out.cache_hits = slots.sum(&read_counters::cache_hits);
        out.cache_misses = slots.sum(&read_counters::cache_misses);
        {
            const typename version_store<Alloc>::reading now(versions_);
            now->tables->for_each([&](int level, const auto& t) {
                auto& of = out.levels[static_cast<std::size_t>(level)];
                ++of.tables;
                of.bytes += t->file_bytes();
            });
            for (const auto& m : now->memtables) out.memory.memtables += m->entries.memory_bytes();
            out.memory.indexes = now->tables->memory_bytes();
        }
        out.memory.cache = shared_->cache.used();
        out.memory.budget = options_.memory_budget_bytes;
        out.pins = versions_.pins();
        for (const auto& pin : out.pins) out.memory.pinned += pin.memory_bytes;
        out.trouble = maintenance_.trouble();
        if (auto good = health_.check(); !good) out.trouble = good.error();
        return out;
    }

    /// Whether this is the process that has opened it, and no child of it.
    [[nodiscard]] bool in_opening_process() const noexcept { return home_ == ::getpid(); }

    /// Stops maintenance, then lets go of the log and the directory. Requires in_opening_process().
    result<void> close() {
        error refusal = failure(errc::closed, "the database was closed").in(directory_);
        maintenance_.stop();  // from here on memory may run out, and the database is closed all the same
        result<void> done;
        writes_.between_writes([&] {
            if (health_.closed()) return;
            const auto before = or_out_of_memory(directory_, [this] { return health_.check(); });
            health_.close(std::move(refusal));
            bell_->disconnect();
            static_cast<void>(or_out_of_memory(directory_, [this]() -> result<void> {
                versions_.for_each_pinned(&table_store<Alloc>::let_outlive);
                return {};
            }));
            // Whatever else writes may be refused for, the log can be sound.
            done = or_out_of_memory(directory_, [this] { return writes_.close_log(); });
            if (!done && !before) done = before;
            tables_.release();
            auto unlocked = or_out_of_memory(directory_, [this] { return lock_.close(); });
            if (done) done = std::move(unlocked);
        });
        return done;
    }

    [[nodiscard]] std::shared_ptr<const table_set<Alloc>> tables() { return versions_.tables(); }
    [[nodiscard]] recovery_report recovered() const {
        const std::lock_guard guard(refreshing_);
        return recovered_;
    }
    [[nodiscard]] const Alloc& allocator() const noexcept { return alloc_; }
    [[nodiscard]] const std::string& directory() const noexcept { return directory_; }

    /// Of a database that was opened to read: moves on to the state of the directory as it is now.
    result<void> refresh() {
        if (!options_.read_only) return failure(errc::invalid_argument, "not opened with read_only").in(directory_);
        if (health_.closed()) return health_.check();
        const std::lock_guard one_at_a_time(refreshing_);
        auto report = recovering().read();
        if (!report) return std::move(report).error();
        recovered_ = *report;
        health_.refuse(failure(errc::read_only, "opened to be read").in(directory_));
        versions_.reclaim();
        memory_.update(versions_);
        return {};
    }

private:
    static constexpr std::uint64_t reads_per_sample = 64;

    [[nodiscard]] result<void> check_own(const pinned_version<Alloc>* at) const {
        if (at == nullptr || at->of(bell_.get())) return {};
        return failure(errc::invalid_argument, "the snapshot was taken of another db").in(directory_);
    }

    // `level0_due` tells whether level 0 is to be merged now: when the reading is over, as that may wait for readers.
    template <class Use>
    result<void> find(bytes_view key, const pinned_version<Alloc>* at, block_options how, Use use, bool& level0_due) {
        const typename version_store<Alloc>::reading now(versions_);
        auto& counted = now.counters();
        const bool timed = counted.gets.fetch_add(1, std::memory_order_relaxed) % reads_per_sample == 0;
        const stopwatch watch(timed);
        const auto counting = [&](entry_view entry, block_contents<Alloc>* block) {
            if (!entry.tombstone()) counted.found.fetch_add(1, std::memory_order_relaxed);
            use(entry, [&] {
                entry_keeper<Alloc> keeper;
                if (block != nullptr) {
                    block->hold();
                    keeper.block = item_pointer<block_contents<Alloc>>(block);
                } else if (at != nullptr) {
                    // In place: a temporary that let go of a version could ring for maintenance, which may run in this
                    // thread and wait for all readers, of whom this is one.
                    keeper.state.emplace(*at);
                } else {
                    keeper.state.emplace(versions_.pin(now));
                }
                return keeper;
            });
        };
        auto done = at != nullptr ? find_newest(**at, key, at->at(), how, counted, counting)
                                  : find_newest(*now, key, now.at(), how, counted, counting);
        if (timed) {
            counted_.read_latency.add(watch.nanoseconds());
            level0_due = at == nullptr && charge_level0(*now, reads_per_sample * get_loss);
        }
        return done;
    }

    class sha256_sink final : public io::sink {
    public:
        result<void> append(bytes_view data) override {
            hash_.update(data);
            return {};
        }
        [[nodiscard]] sha256::digest finish() { return hash_.finish(); }

    private:
        sha256 hash_;
    };

    // What a get and a cursor take longer for each table of level 0, in nanoseconds, about; and how much of that is
    // worth a merge.
    static constexpr std::uint64_t get_loss = 50;
    static constexpr std::uint64_t cursor_loss = 2000;
    static constexpr std::uint64_t intolerable_loss = 100'000'000;

    // A reader had more tables to look into than there will be after the next merge of level 0; true if that should not
    // wait any longer.
    [[nodiscard]] bool charge_level0(const version<Alloc>& in, std::uint64_t for_each_table) {
        const std::uint64_t tables = in.tables->levels[0].size();
        if (tables < options_.compaction.level0_trigger || !maintenance_.compacts()) return false;
        if (lost_.fetch_add(tables * for_each_table, std::memory_order_relaxed) < intolerable_loss) return false;
        lost_.store(0, std::memory_order_relaxed);
        return true;
    }

    void pin_released() noexcept override { maintenance_.schedule_reclaim(); }

    [[nodiscard]] recovery<Alloc> recovering() {
        return {fs_, directory_, options_, versions_, tables_, maker_, writes_, alloc_};
    }
    result<void> recover() {
        auto report = recovering().recover();
        if (!report) return std::move(report).error();
        recovered_ = *report;
        memory_.update(versions_);
        maintenance_.schedule();
        return {};
    }

    [[no_unique_address]] Alloc alloc_;
    const pid_t home_ = ::getpid();
    io::file_system& fs_;
    std::string directory_;
    const options options_;
    io::file lock_;
    io::thread_executor own_executor_;
    std::shared_ptr<unpin_notifier> bell_;
    std::shared_ptr<reader_slots> readers_;
    std::atomic<std::uint64_t> lost_ = 0;
    std::shared_ptr<table_resources<Alloc>> shared_;
    health health_;
    write_counters counted_;
    version_store<Alloc> versions_;
    memory_budget<Alloc> memory_;
    table_store<Alloc> tables_;
    compactor<Alloc> maker_;
    maintenance<Alloc> maintenance_;
    write_path<Alloc> writes_;
    mutable std::mutex refreshing_;
    recovery_report recovered_;
};

}  // namespace lsm::detail
