#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/result.hpp>
#include <lsm/core/sha256.hpp>
#include <lsm/db/checkpoint.hpp>
#include <lsm/db/file_names.hpp>
#include <lsm/db/health.hpp>
#include <lsm/db/maintenance.hpp>
#include <lsm/db/manifest.hpp>
#include <lsm/db/memory_budget.hpp>
#include <lsm/db/options.hpp>
#include <lsm/db/recovery.hpp>
#include <lsm/db/statistics.hpp>
#include <lsm/db/table_maker.hpp>
#include <lsm/db/table_store.hpp>
#include <lsm/db/verify.hpp>
#include <lsm/db/version_store.hpp>
#include <lsm/db/view.hpp>
#include <lsm/db/write_path.hpp>
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
class db_core final : private release_bell::listener {
public:
    static result<std::shared_ptr<db_core>> open(std::string_view directory, const options& opts, const Alloc& alloc) {
        io::file_system& fs = opts.file_system != nullptr ? *opts.file_system : io::default_file_system();
        if (auto ready = prepare_directory(fs, directory, opts); !ready) return std::move(ready).error();
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
          bell_(std::allocate_shared<release_bell>(alloc, static_cast<release_bell::listener*>(this))),
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
    ~db_core() { static_cast<void>(close()); }

    result<void> write(bytes_view operations, std::uint32_t count, write_options how) {
        return writes_.write(operations, count, how.sync.value_or(options_.sync));
    }

    /// Why writes are refused, if they are.
    [[nodiscard]] result<void> writable() const { return health_.check(); }

    /// Calls `use` with the newest entry of `key`, tombstones included, and with what keeps it; not at all if there is
    /// none.
    template <class Use>
    result<void> find(bytes_view key, const pinned_version<Alloc>* at, block_options how, Use use) {
        const typename version_store<Alloc>::reading now(versions_);
        auto& counted = now.counted();
        const bool timed = counted.gets.fetch_add(1, std::memory_order_relaxed) % reads_per_sample == 0;
        const stopwatch watch(timed);
        const auto counting = [&](entry_view entry, block_contents<Alloc>* block) {
            if (!entry.tombstone()) counted.found.fetch_add(1, std::memory_order_relaxed);
            use(entry, [&] {
                entry_keeper<Alloc> keeper;
                if (block != nullptr) {
                    block->hold();
                    keeper.block = item_pointer<block_contents<Alloc>>(block);
                } else {
                    keeper.state = at != nullptr ? *at : versions_.pin(now);
                }
                return keeper;
            });
        };
        auto done = at != nullptr ? find_newest(**at, key, at->at(), how, counted, counting)
                                  : find_newest(*now, key, now.at(), how, counted, counting);
        if (timed) {
            counted_.read_latency.add(watch.nanoseconds());
            if (at == nullptr) lose_time(*now, reads_per_sample * get_loss);
        }
        return done;
    }
    /// Many at once, as of one moment: `use(i, entry)` for each key that has an entry.
    template <class Keys, class Use>
    result<void> find_all(const Keys& keys, const pinned_version<Alloc>* at, block_options how, Use use) {
        const typename version_store<Alloc>::reading now(versions_);
        auto& counted = now.counted();
        counted.gets.fetch_add(keys.size(), std::memory_order_relaxed);
        for (std::size_t i = 0; i < keys.size(); ++i) {
            const auto use_one = [&](entry_view entry, block_contents<Alloc>*) {
                if (!entry.tombstone()) counted.found.fetch_add(1, std::memory_order_relaxed);
                use(i, entry);
            };
            auto done = at != nullptr ? find_newest(**at, keys[i], at->at(), how, counted, use_one)
                                      : find_newest(*now, keys[i], now.at(), how, counted, use_one);
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
    [[nodiscard]] view_cursor<Alloc> view(const pinned_version<Alloc>* at, merge_options how, block_options blocks) {
        {
            const typename version_store<Alloc>::reading now(versions_);
            now.counted().cursors.fetch_add(1, std::memory_order_relaxed);
            if (at == nullptr) lose_time(*now, cursor_loss);
        }
        if (at != nullptr) return view_cursor<Alloc>(*at, readers_, how, blocks, alloc_);
        auto pinned = pin();
        if (!pinned) return view_cursor<Alloc>(std::move(pinned).error(), alloc_);
        return view_cursor<Alloc>(*std::move(pinned), readers_, how, blocks, alloc_);
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
        return write_checkpoint(fs_, directory_, versions_.pin(), to, options_, alloc_);
    }
    result<verify_report> verify() {
        if (health_.closed()) return std::move(health_.check()).error();
        const typename table_store<Alloc>::file_hold hold(tables_);
        const auto pinned = versions_.pin();
        return verify_tables(fs_, directory_, *pinned, options_.read_only, alloc_);
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
        const auto now = versions_.current();
        now->tables->for_each([&](int level, const auto& t) {
            auto& of = out.levels[static_cast<std::size_t>(level)];
            ++of.tables;
            of.bytes += t->file_bytes();
        });
        for (const auto& m : now->memtables) out.memory.memtables += m->entries.memory_bytes();
        out.memory.cache = shared_->cache.used();
        out.memory.indexes = now->tables->memory_bytes();
        out.memory.budget = options_.memory_budget_bytes;
        out.pins = versions_.pins();
        for (const auto& pin : out.pins) out.memory.pinned += pin.memory_bytes;
        out.trouble = maintenance_.trouble();
        if (auto good = health_.check(); !good) out.trouble = good.error();
        return out;
    }

    /// Stops maintenance, then lets go of the log and the directory.
    result<void> close() {
        maintenance_.stop();
        result<void> done;
        writes_.between_writes([&] {
            const bool sound = health_.good();
            if (health_.close(failure(errc::closed, "the database was closed").in(directory_))) return;
            bell_->disconnect();
            versions_.for_each_pinned(&table_store<Alloc>::let_outlive);
            if (sound) done = writes_.close_log();
            auto unlocked = lock_.close();
            if (done) done = std::move(unlocked);
        });
        return done;
    }

    [[nodiscard]] std::shared_ptr<const version<Alloc>> current() const { return versions_.current(); }
    [[nodiscard]] recovery_report recovered() const {
        const std::lock_guard guard(refreshing_);
        return recovered_;
    }
    [[nodiscard]] const Alloc& allocator() const noexcept { return alloc_; }
    [[nodiscard]] const std::string& directory() const noexcept { return directory_; }

    /// Of a database that was opened to read: moves on to the state of the directory as it is now. It is read and then
    /// looked at again; if a writer changed it meanwhile, it is read anew.
    result<void> refresh() {
        if (!options_.read_only) return failure(errc::invalid_argument, "not opened with read_only").in(directory_);
        if (health_.closed()) return health_.check();
        const std::lock_guard one_at_a_time(refreshing_);
        for (unsigned attempt = 0;; ++attempt) {
            const auto before = directory_contents::read(fs_, directory_);
            if (!before) return before.error();
            if (!before->database()) return failure(errc::not_found, "there is no database").in(directory_);
            auto memtable = writes_.new_memtable();
            log_replay<Alloc> logs(fs_, recovery_mode(), alloc_);
            auto found = load(*before, logs, *memtable, *memtable);
            const auto after = directory_contents::read(fs_, directory_);
            const bool quiet = after && before->same_state(*after);
            if (!found && quiet && attempt >= quiet_attempts) return std::move(found).error();
            const auto lines = quiet ? listed(*after) : result<std::vector<manifest_line>>(failure(errc::stale, ""));
            if (found && lines && found->lines == *lines) {
                recovered_ = logs.report();
                publish(std::move(memtable), {}, std::move(found->tables), logs.written());
                health_.refuse(failure(errc::read_only, "opened to be read").in(directory_));
                versions_.reclaim();
                memory_.update(versions_);
                return {};
            }
            if (attempt >= most_attempts)
                return failure(errc::stale, "a writer changes the directory faster than it can be read").in(directory_);
        }
    }

private:
    static constexpr std::uint64_t reads_per_sample = 64;
    static constexpr unsigned quiet_attempts = 2;
    static constexpr unsigned most_attempts = 1000;

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

    // A reader had more tables to look into than there will be after the next merge of level 0.
    void lose_time(const version<Alloc>& in, std::uint64_t for_each_table) {
        const std::uint64_t tables = in.tables->levels[0].size();
        if (tables < options_.compaction.level0_trigger || !maintenance_.compacts()) return;
        if (lost_.fetch_add(tables * for_each_table, std::memory_order_relaxed) < intolerable_loss) return;
        lost_.store(0, std::memory_order_relaxed);
        maintenance_.hurry_for_readers();
    }

    void pin_released() noexcept override { maintenance_.schedule_reclaim(); }

    // Refuses what can be refused without a trace.
    static result<void> prepare_directory(io::file_system& fs, std::string_view directory, const options& opts) {
        if (opts.read_only) return {};
        if (opts.create_if_missing) return make_directories(fs, directory);
        const auto contents = directory_contents::read(fs, directory);
        if (!contents) return contents.error();
        if (!contents->database()) return failure(errc::not_found, "there is no database").in(directory);
        return {};
    }

    // Reads all there is, and changes the disk only when all of it is good.
    result<void> recover() {
        auto contents = directory_contents::read(fs_, directory_);
        if (!contents) return std::move(contents).error();
        if (contents->database() && options_.error_if_exists)
            return failure(errc::exists, "there is a database already").in(directory_);
        auto frozen = contents->frozen_logs.empty() ? nullptr : writes_.new_memtable();
        auto memtable = writes_.new_memtable();
        log_replay<Alloc> logs(fs_, recovery_mode(), alloc_);
        auto found = load(*contents, logs, frozen ? *frozen : *memtable, *memtable);
        if (!found) return std::move(found).error();
        recovered_ = logs.report();

        const bool cuts = !logs.to_keep().empty();
        const auto damaged = cuts && contents->log ? std::exchange(memtable, writes_.new_memtable()) : nullptr;
        if (auto left = check_numbers(frozen.get(), damaged.get(), cuts, *contents); !left)
            return std::move(left).error();
        publish(memtable, {damaged, frozen}, std::move(found->tables), logs.written());
        if (!contents->manifest) {
            // Its directory's own name was perhaps never synced.
            if (auto synced = io::sync_directory(fs_, parent_directory(directory_)); !synced) return synced;
            if (auto created = tables_.write_manifest(); !created) return created;
        }
        if (auto settled = settle_logs(frozen.get(), damaged.get(), logs, *contents); !settled) return settled;
        if (auto removed = remove_orphans(*contents, found->lines); !removed) return removed;

        const bool continues = contents->log && !damaged;
        writes_.begin(std::move(memtable), continues ? std::optional(logs.intact_bytes()) : std::nullopt);
        memory_.update(versions_);
        maintenance_.schedule();
        return {};
    }

    struct loaded {
        std::vector<manifest_line> lines;
        std::shared_ptr<const table_set<Alloc>> tables;
    };

    // The tables of MANIFEST; the logs are replayed, the frozen ones into `frozen` and the last one into `active`.
    result<loaded> load(const directory_contents& contents, log_replay<Alloc>& logs, db_memtable<Alloc>& frozen,
                        db_memtable<Alloc>& active) {
        auto lines = listed(contents);
        if (!lines) return std::move(lines).error();
        auto tables = tables_.open_listed(*lines, contents.highest_table_id);
        if (!tables) return std::move(tables).error();
        for (const std::uint64_t number : contents.frozen_logs)
            if (auto done = logs.replay(joined(directory_, frozen_log_name(number)), true, frozen.entries); !done)
                return std::move(done).error();
        if (contents.log)
            if (auto done = logs.replay(joined(directory_, log_name), false, active.entries); !done)
                return std::move(done).error();
        return loaded{*std::move(lines), *std::move(tables)};
    }
    result<std::vector<manifest_line>> listed(const directory_contents& contents) const {
        if (contents.manifest) return read_manifest(fs_, directory_);
        if (contents.tables.empty() && contents.frozen_logs.empty()) return std::vector<manifest_line>();
        return failure(errc::bad_manifest, "MANIFEST is missing, but there are tables or frozen logs").in(directory_);
    }

    [[nodiscard]] wal::recovery recovery_mode() const noexcept {
        return options_.wal_recovery.value_or(options_.sync ? wal::recovery::strict_tail
                                                            : wal::recovery::point_in_time);
    }

    void publish(std::shared_ptr<db_memtable<Alloc>> active,
                 std::initializer_list<std::shared_ptr<db_memtable<Alloc>>> older,
                 std::shared_ptr<const table_set<Alloc>> tables, sequence written) {
        auto first = versions_.prepare();
        first->memtables.push_back(std::move(active));
        for (const auto& m : older)
            if (m) first->memtables.push_back(m);
        first->tables = std::move(tables);
        versions_.show(std::max(versions_.visible(), written));  // never back: a reader may be in an older version
        versions_.publish(std::move(first), [](const version<Alloc>*, version<Alloc>&) {});
    }

    // What settle_logs() makes has a number to go by: to find none only then would be too late to change nothing.
    result<void> check_numbers(const db_memtable<Alloc>* frozen, const db_memtable<Alloc>* damaged, bool cuts,
                               const directory_contents& contents) const {
        const auto tables = [](const db_memtable<Alloc>* m) { return m != nullptr && m->entries.len() != 0 ? 1u : 0u; };
        if (cuts && contents.highest_cut_log == largest_id)
            return failure(errc::too_large, "no number is left for another such file")
                .in(joined(directory_, cut_log_name(largest_id)));
        return tables_.check_ids(tables(frozen) + tables(damaged));
    }

    // Frozen logs, and a damaged one whose cut pieces are kept beside it, go: what they hold becomes tables. Each a
    // table of its own: the last log may hold what a killed program wrote and never synced, and to replay the others
    // alone over a table that has it would bring older entries back.
    result<void> settle_logs(db_memtable<Alloc>* frozen, db_memtable<Alloc>* damaged, const log_replay<Alloc>& logs,
                             const directory_contents& contents) {
        if (!logs.to_keep().empty()) {
            if (auto kept = keep_cuts(fs_, directory_, contents.highest_cut_log + 1, logs.to_keep()); !kept)
                return kept;
            if (auto removed = maker_.remove_logs(logs.left_out()); !removed) return removed;
        }
        if (frozen != nullptr) {
            for (const std::uint64_t number : contents.frozen_logs) frozen->logs.push_back(frozen_log_name(number));
            if (auto settled = settle(*frozen); !settled) return settled;
        }
        if (damaged == nullptr) return {};
        damaged->logs = {std::string(log_name)};
        return settle(*damaged);
    }
    result<void> settle(const db_memtable<Alloc>& replayed) {
        if (replayed.entries.len() != 0) return maker_.flush(replayed);
        auto next = versions_.prepare();
        versions_.publish(std::move(next), [&](const version<Alloc>* old, version<Alloc>& filled) {
            for (const auto& m : old->memtables)
                if (m.get() != &replayed) filled.memtables.push_back(m);
            filled.tables = old->tables;
        });
        return maker_.remove_logs(maker_.log_paths(replayed));
    }

    result<void> remove_orphans(const directory_contents& contents, const std::vector<manifest_line>& lines) {
        const auto remove = [&](const std::string& name) {
            return io::remove_if_present(fs_, joined(directory_, name));
        };
        for (const std::string& name : contents.temporaries)
            if (auto removed = remove(name); !removed) return removed;
        bool certain = false;
        for (const std::uint64_t id : contents.tables) {
            const auto is_this = [id](const manifest_line& line) { return line.id == id; };
            if (std::ranges::any_of(lines, is_this)) continue;
            // Whoever put the MANIFEST there was perhaps killed before it was sure to stay, and the one before lists
            // it.
            if (!std::exchange(certain, true))
                if (auto synced = io::sync_directory(fs_, directory_); !synced) return synced;
            if (auto removed = remove(table_name(id)); !removed) return removed;
        }
        return {};
    }

    [[no_unique_address]] Alloc alloc_;
    io::file_system& fs_;
    std::string directory_;
    const options options_;
    io::file lock_;
    io::thread_executor own_executor_;
    std::shared_ptr<release_bell> bell_;
    std::shared_ptr<reader_slots> readers_;
    std::atomic<std::uint64_t> lost_ = 0;
    std::shared_ptr<table_resources<Alloc>> shared_;
    health health_;
    write_counters counted_;
    version_store<Alloc> versions_;
    memory_budget<Alloc> memory_;
    table_store<Alloc> tables_;
    table_maker<Alloc> maker_;
    maintenance<Alloc> maintenance_;
    write_path<Alloc> writes_;
    mutable std::mutex refreshing_;
    recovery_report recovered_;
};

}  // namespace lsm::detail
