#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/batch_coding.hpp>
#include <lsm/core/bytes.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/compact.hpp>
#include <lsm/db/file_names.hpp>
#include <lsm/db/manifest.hpp>
#include <lsm/db/options.hpp>
#include <lsm/db/recovery.hpp>
#include <lsm/db/version.hpp>
#include <lsm/db/write_batch.hpp>
#include <lsm/io/file.hpp>
#include <lsm/io/posix_file_system.hpp>
#include <lsm/wal/writer.hpp>

namespace lsm::detail {

/// The database over bytes. What it owns on the disk: LOCK (held), MANIFEST, the tables of the current version, the log
/// of its memtable, and frozen logs that a memtable was replayed from.
///
/// Every step that changes the disk leaves a directory that opens to the same contents, whenever the power goes.
template <class Alloc>
class db_core {
public:
    using version_type = version<Alloc>;

    static result<std::shared_ptr<db_core>> open(std::string_view directory, const options& opts, const Alloc& alloc) {
        io::file_system& fs = opts.file_system != nullptr ? *opts.file_system : io::default_file_system();
        if (auto ready = prepare_directory(fs, directory, opts); !ready) return std::move(ready).error();
        auto lock = io::file::lock(fs, joined(directory, lock_name));
        if (!lock) return std::move(lock).error();
        auto core = std::allocate_shared<db_core>(alloc, fs, directory, opts, *std::move(lock), alloc);
        if (auto recovered = core->recover(); !recovered) return std::move(recovered).error();
        return core;
    }

    db_core(io::file_system& fs, std::string_view directory, const options& opts, io::file lock, const Alloc& alloc)
        : alloc_(alloc),
          fs_(fs),
          directory_(directory),
          options_(opts),
          lock_(std::move(lock)),
          cache_(std::allocate_shared<db_cache<Alloc>>(alloc, opts.block_cache_bytes, alloc)),
          memtable_(new_memtable()),
          log_(new_log(0)) {
        current_ = make_version(memtable_, table_list(alloc));
    }
    db_core(const db_core&) = delete;
    db_core& operator=(const db_core&) = delete;
    ~db_core() { static_cast<void>(close()); }

    result<void> write(const batch_builder<Alloc>& batch, write_options how) {
        if (auto ready = writable(); !ready) return ready;
        if (batch.too_large()) return failure(errc::too_large, "a write batch has at most 2^32-1 bytes and operations");
        if (batch.count() == 0) return {};
        if (memtable_->memory_bytes() >= options_.write_buffer_bytes)
            if (auto flushed = flush(); !flushed) return flushed;
        if (auto logged = log_.append(batch.encoded()); !logged) return log_failed(std::move(logged).error());
        if (how.sync.value_or(options_.sync))
            if (auto synced = log_.sync(); !synced) return log_failed(std::move(synced).error());
        apply(batch.encoded());
        return {};
    }

    /// Makes the memtable a table: the table, the MANIFEST that lists it, and only then away with the logs, oldest
    /// first.
    result<void> flush() {
        if (auto ready = writable(); !ready) return ready;
        if (memtable_->len() == 0) return {};
        if (next_table_id_ > largest_id) return failure(errc::too_large, "no table id is left").in(directory_);
        const std::uint64_t id = next_table_id_++;
        memtable_cursor<Alloc> entries(memtable_, newest_sequence);
        entries.seek_to_first();
        const sst_options format{.block_size = options_.block_bytes,
                                 .extended = options_.extended_tables,
                                 .filter_bits_per_key = options_.filter_bits_per_key};
        if (auto written = write_table_file(entries, fs_, directory_, id, format, alloc_); !written) return written;
        if (auto listed = list_new_table(id); !listed) {
            if (!failure_) static_cast<void>(fs_.remove(joined(directory_, table_name(id))));
            return listed;
        }
        return remove_logs();
    }

    result<void> close() {
        if (!lock_.is_open()) return {};
        auto done = failure_ ? result<void>() : log_.close();
        auto unlocked = lock_.close();
        failure_ = failure(errc::closed, "the database was closed").in(directory_);
        return done ? std::move(unlocked) : std::move(done);
    }

    /// Calls `use` with the newest entry of `key`, tombstones included; not at all if there is none.
    template <class Use>
    result<void> find(bytes_view key, Use use) const {
        return find_newest(*current_, key, written_, use);
    }
    /// Everything, as it is now.
    [[nodiscard]] view_cursor<Alloc> view(merge_options how) const { return view_of(*current_, written_, how, alloc_); }

    [[nodiscard]] const typename version_type::table_list& tables() const noexcept { return current_->tables; }
    [[nodiscard]] const recovery_report& recovered() const noexcept { return recovered_; }
    [[nodiscard]] const Alloc& allocator() const noexcept { return alloc_; }
    [[nodiscard]] const std::string& directory() const noexcept { return directory_; }

private:
    using table_list = typename version_type::table_list;

    // Refuses what can be refused without a trace.
    static result<void> prepare_directory(io::file_system& fs, std::string_view directory, const options& opts) {
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
        if (!contents->manifest && !(contents->tables.empty() && contents->frozen_logs.empty()))
            return failure(errc::bad_manifest, "MANIFEST is missing, but there are tables or frozen logs")
                .in(directory_);

        if (auto opened = open_listed_tables(*contents); !opened) return opened;
        log_replay<Alloc> logs(fs_, *memtable_, recovery_mode(), alloc_);
        if (auto replayed = replay_logs(logs, *contents); !replayed) return replayed;

        if (!contents->manifest) {
            // Its directory's own name was perhaps never synced.
            if (auto synced = io::sync_directory(fs_, parent_directory(directory_)); !synced) return synced;
            if (auto created = write_manifest(current_->tables); !created) return created;
        }
        if (auto settled = settle_logs(logs, *contents); !settled) return settled;
        return remove_orphans(*contents);
    }

    [[nodiscard]] wal::recovery recovery_mode() const noexcept {
        return options_.wal_recovery.value_or(options_.sync ? wal::recovery::strict_tail
                                                            : wal::recovery::point_in_time);
    }

    result<void> open_listed_tables(const directory_contents& contents) {
        std::vector<manifest_line> lines;
        if (contents.manifest) {
            auto read = read_manifest(fs_, directory_);
            if (!read) return std::move(read).error();
            lines = *std::move(read);
        }
        next_table_id_ = contents.highest_table_id + 1;
        table_list tables(alloc_);
        for (const auto& line : lines) {
            auto opened = open_table(line);
            if (!opened && opened.error().code == errc::not_found)
                return failure(errc::bad_manifest, "lists " + table_name(line.id) + ", which is missing")
                    .in(joined(directory_, manifest_name));
            if (!opened) return std::move(opened).error();
            tables.push_back(*std::move(opened));
            next_table_id_ = std::max(next_table_id_, line.id + 1);
        }
        if (auto apart = check_levels(tables); !apart) return apart;
        current_ = make_version(memtable_, std::move(tables));
        return {};
    }

    // Above level 0 tables stand in key order and do not overlap.
    result<void> check_levels(const table_list& tables) const {
        std::shared_ptr<const db_table<Alloc>> left;
        for (const auto& right : tables) {
            if (right->level() == 0 || right->index().size() == 0) continue;
            if (left && left->level() == right->level()) {
                const auto last = left->largest_key(alloc_);
                if (!last) return last.error();
                if (bytes_view(*last) >= right->index()[0].first_key)
                    return failure(errc::bad_manifest, table_name(left->id()) + " and " + table_name(right->id()) +
                                                           " overlap or are out of order")
                        .in(joined(directory_, manifest_name));
            }
            left = right;
        }
        return {};
    }

    result<std::shared_ptr<const db_table<Alloc>>> open_table(manifest_line line) const {
        auto file = io::file::open(fs_, joined(directory_, table_name(line.id)), io::open_mode::read_no_follow);
        if (!file) return std::move(file).error();
        auto opened = table<Alloc>::open(*std::move(file), alloc_);
        if (!opened) return std::move(opened).error();
        return std::allocate_shared<const db_table<Alloc>>(alloc_, line.level, line.id, *std::move(opened), cache_);
    }

    result<void> replay_logs(log_replay<Alloc>& logs, const directory_contents& contents) {
        for (const std::uint64_t number : contents.frozen_logs)
            if (auto done = logs.replay(joined(directory_, frozen_log_name(number)), true); !done) return done;
        frozen_logs_ = contents.frozen_logs;
        if (contents.log) {
            if (auto done = logs.replay(joined(directory_, log_name), false); !done) return done;
            log_ = new_log(logs.intact_bytes());
        }
        log_exists_ = contents.log;
        written_ = logs.written();
        recovered_ = logs.report();
        return {};
    }

    // Frozen logs, and damaged ones whose cut pieces are kept beside them, go: what they hold becomes a table.
    result<void> settle_logs(const log_replay<Alloc>& logs, const directory_contents& contents) {
        if (logs.to_keep().empty() && frozen_logs_.empty()) return {};
        if (!logs.to_keep().empty())
            if (auto kept = keep_cuts(fs_, directory_, contents.highest_cut_log + 1, logs.to_keep()); !kept)
                return kept;
        return memtable_->len() == 0 ? remove_logs() : flush();
    }

    result<void> remove_orphans(const directory_contents& contents) {
        const auto remove = [&](const std::string& name) {
            return io::remove_if_present(fs_, joined(directory_, name));
        };
        for (const std::string& name : contents.temporaries)
            if (auto removed = remove(name); !removed) return removed;
        for (const std::uint64_t id : contents.tables) {
            const auto is_this = [&](const auto& t) { return t->id() == id; };
            if (std::ranges::any_of(current_->tables, is_this)) continue;
            if (auto removed = remove(table_name(id)); !removed) return removed;
        }
        return {};
    }

    // Makes table `id` a part of the version in place of the memtable. Whatever needs memory is done before MANIFEST
    // says so.
    result<void> list_new_table(std::uint64_t id) {
        auto opened = open_table({0, id});
        if (!opened) return std::move(opened).error();
        table_list tables(alloc_);
        tables.reserve(1 + current_->tables.size());
        tables.push_back(*std::move(opened));
        tables.insert(tables.end(), current_->tables.begin(), current_->tables.end());
        auto fresh_memtable = new_memtable();
        auto next = make_version(fresh_memtable, std::move(tables));
        if (auto listed = write_manifest(next->tables); !listed) return listed;
        memtable_ = std::move(fresh_memtable);
        current_ = std::move(next);
        return {};
    }

    // Replayed over the table that its memtable became, a log changes nothing; replayed over a newer one it would. So
    // none may be left when the next table is written.
    result<void> remove_logs() {
        std::vector<std::string> names;
        for (const std::uint64_t number : frozen_logs_) names.push_back(frozen_log_name(number));
        if (log_exists_ || log_.len() != 0) names.emplace_back(log_name);
        log_ = new_log(0);
        for (const std::string& name : names) {
            if (auto removed = io::remove_if_present(fs_, joined(directory_, name)); !removed)
                return poison(std::move(removed).error());
            if (auto synced = io::sync_directory(fs_, directory_); !synced) return poison(std::move(synced).error());
        }
        frozen_logs_ = {};
        log_exists_ = false;
        return {};
    }

    result<void> write_manifest(const table_list& tables) {
        std::vector<manifest_line> lines;
        for (const auto& t : tables) lines.push_back({t->level(), t->id()});
        progress reached{};
        auto done = replace_manifest(fs_, directory_, lines, reached);
        if (done || reached == progress::nothing_written) return done;
        if (done.error().code == errc::no_space && reached == progress::not_renamed) return done;
        return poison(std::move(done).error());
    }

    void apply(bytes_view encoded) {
        batch_reader batch(encoded);
        bytes_view key;
        entry_view entry;
        applying_ = true;
        while (batch.next(key, entry)) memtable_->add(key, entry, written_ + 1);
        applying_ = false;
        ++written_;
    }

    [[nodiscard]] result<void> writable() const {
        if (failure_) return *failure_;
        if (applying_)
            return system_failure(
                       "memory ran out while a batch that is in the log was applied; open the database again", ENOMEM)
                .in(directory_);
        return {};
    }

    [[nodiscard]] std::shared_ptr<memtable_core<Alloc>> new_memtable() const {
        return std::allocate_shared<memtable_core<Alloc>>(alloc_, alloc_);
    }
    [[nodiscard]] wal::basic_writer<Alloc> new_log(std::uint64_t intact) const {
        return {fs_, joined(directory_, log_name), intact, alloc_};
    }
    [[nodiscard]] std::shared_ptr<const version_type> make_version(std::shared_ptr<const memtable_core<Alloc>> memtable,
                                                                   table_list tables) const {
        return std::allocate_shared<const version_type>(alloc_, version_type{std::move(memtable), std::move(tables)});
    }

    LSM_COLD result<void> log_failed(error why) {
        if (log_.failure()) return poison(std::move(why));
        return why;  // a full disk: nothing of the write is left in the log
    }
    LSM_COLD result<void> poison(error why) {
        why.what += " (the database takes no more writes until it is opened again)";
        failure_ = why;
        return why;
    }

    [[no_unique_address]] Alloc alloc_;
    io::file_system& fs_;
    std::string directory_;
    options options_;
    io::file lock_;
    std::shared_ptr<db_cache<Alloc>> cache_;
    std::shared_ptr<memtable_core<Alloc>> memtable_;
    wal::basic_writer<Alloc> log_;
    std::shared_ptr<const version_type> current_;
    std::vector<std::uint64_t> frozen_logs_;  // replayed into memtable_, oldest first
    bool log_exists_ = false;                 // at open, under its name
    bool applying_ = false;                   // left so by an exception: the memtable lacks a part of what the log has
    std::uint64_t next_table_id_ = 1;
    sequence written_ = 0;
    recovery_report recovered_;
    std::optional<error> failure_;  // why writes are refused
};

}  // namespace lsm::detail
