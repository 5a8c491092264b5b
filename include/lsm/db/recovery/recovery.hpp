#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/result.hpp>
#include <lsm/db/compaction/compactor.hpp>
#include <lsm/db/disk/directory_contents.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/db/disk/manifest.hpp>
#include <lsm/db/options.hpp>
#include <lsm/db/recovery/log_replay.hpp>
#include <lsm/db/state/table_store.hpp>
#include <lsm/db/state/version_store.hpp>
#include <lsm/db/write/write_path.hpp>
#include <lsm/io/file.hpp>

namespace lsm::detail {

/// Brings up what a directory holds: its tables and logs become the current version.
template <class Alloc>
class recovery {
public:
    recovery(io::file_system& fs, std::string_view directory, const options& how, version_store<Alloc>& versions,
             table_store<Alloc>& tables, compactor<Alloc>& maker, write_path<Alloc>& writes, const Alloc& alloc)
        : alloc_(alloc),
          fs_(fs),
          directory_(directory),
          options_(how),
          versions_(versions),
          tables_(tables),
          maker_(maker),
          writes_(writes) {}

    /// Before anything is locked: makes the directory, or refuses what can be refused without a trace.
    static result<void> prepare_directory(io::file_system& fs, std::string_view directory, const options& opts) {
        if (opts.read_only) return {};
        if (opts.create_if_missing && !opts.error_if_exists) return make_directories(fs, directory);
        const auto contents = directory_contents::read(fs, directory);
        if (contents && contents->database() && opts.error_if_exists) return there_is_one(directory);
        if (opts.create_if_missing) return make_directories(fs, directory);
        if (!contents) return contents.error();
        if (!contents->database()) return failure(errc::not_found, "there is no database").in(directory);
        return {};
    }

    /// For one who will write: what logs hold and no memtable goes on with is in tables afterwards, and what nothing
    /// lists is gone. Reads all there is, and changes the disk only when all of it is good.
    result<recovery_report> recover() {
        auto contents = directory_contents::read(fs_, directory_);
        if (!contents) return std::move(contents).error();
        if (contents->database() && options_.error_if_exists) return there_is_one(directory_);
        auto frozen = contents->frozen_logs.empty() ? nullptr : writes_.new_memtable();
        auto memtable = writes_.new_memtable();
        log_replay<Alloc> logs(fs_, mode(), alloc_);
        auto found = load(*contents, logs, frozen ? *frozen : *memtable, *memtable);
        if (!found) return std::move(found).error();

        const bool cuts = !logs.to_keep().empty();
        const auto damaged = cuts && contents->log ? std::exchange(memtable, writes_.new_memtable()) : nullptr;
        if (auto left = check_numbers(frozen.get(), damaged.get(), cuts, *contents); !left)
            return std::move(left).error();
        publish(memtable, {damaged, frozen}, std::move(found->tables), logs.written());
        if (!contents->manifest) {
            if (auto synced = sync_name_of_found(fs_, directory_); !synced) return std::move(synced).error();
            if (auto created = tables_.write_manifest(); !created) return std::move(created).error();
        }
        if (auto settled = settle_logs(frozen.get(), damaged.get(), logs, *contents); !settled)
            return std::move(settled).error();
        if (auto removed = remove_orphans(*contents, found->lines); !removed) return std::move(removed).error();

        const bool continues = contents->log && !damaged;
        writes_.begin(std::move(memtable), continues ? std::optional(logs.intact_bytes()) : std::nullopt);
        return logs.report();
    }

    /// For one who only reads: changes nothing. The directory is read and then looked at again; if a writer changed it
    /// meanwhile, it is read anew.
    result<recovery_report> read() {
        for (unsigned attempt = 0;; ++attempt) {
            const auto before = directory_contents::read(fs_, directory_);
            if (!before) return before.error();
            if (!before->database()) return failure(errc::not_found, "there is no database").in(directory_);
            auto memtable = writes_.new_memtable();
            log_replay<Alloc> logs(fs_, mode(), alloc_);
            auto found = load(*before, logs, *memtable, *memtable);
            const auto after = directory_contents::read(fs_, directory_);
            const bool quiet = after && before->same_state(*after);
            if (!found && quiet && attempt >= quiet_attempts) return std::move(found).error();
            const auto lines = quiet ? listed(*after) : result<std::vector<manifest_line>>(failure(errc::stale, ""));
            if (found && lines && found->lines == *lines) {
                publish(std::move(memtable), {}, std::move(found->tables), logs.written());
                return logs.report();
            }
            if (attempt >= most_attempts)
                return failure(errc::stale, "a writer changes the directory faster than it can be read").in(directory_);
        }
    }

private:
    static constexpr unsigned quiet_attempts = 2;
    static constexpr unsigned most_attempts = 1000;

    [[nodiscard]] static error there_is_one(std::string_view directory) noexcept {
        return failure(errc::exists, "there is a database already").in(directory);
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

    [[nodiscard]] wal::recovery mode() const noexcept {
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
    const options& options_;
    version_store<Alloc>& versions_;
    table_store<Alloc>& tables_;
    compactor<Alloc>& maker_;
    write_path<Alloc>& writes_;
};

}  // namespace lsm::detail
