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
#include <lsm/db/disk/db_directory.hpp>
#include <lsm/db/disk/directory_contents.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/db/disk/manifest.hpp>
#include <lsm/db/options.hpp>
#include <lsm/db/recovery/log_replay.hpp>
#include <lsm/db/state/db_context.hpp>
#include <lsm/db/state/memory_budget.hpp>
#include <lsm/db/state/table_store.hpp>
#include <lsm/db/state/version_store.hpp>
#include <lsm/db/write/write_path.hpp>

namespace lsm::detail {

/// Loads a directory: its tables and logs become the current version.
template <class Alloc>
class recovery {
public:
    recovery(db_context<Alloc>& context, version_store<Alloc>& versions, memory_budget<Alloc>& memory,
             table_store<Alloc>& tables, compactor<Alloc>& worker, write_path<Alloc>& writes)
        : context_(context),
          versions_(versions),
          memory_(memory),
          tables_(tables),
          compactor_(worker),
          writes_(writes) {}

    /// Makes the directory, before anything is locked, or refuses what can be refused without leaving a trace.
    static result<void> prepare_directory(const db_directory& directory, const options& opts) {
        if (opts.read_only) return {};
        if (opts.create_if_missing && !opts.error_if_exists) return directory.make();
        const auto contents = directory_contents::read(directory);
        if (contents && contents->has_database() && opts.error_if_exists) return database_exists(directory);
        if (opts.create_if_missing) return directory.make();
        if (!contents) return contents.error();
        if (!contents->has_database()) return no_database(directory);
        return {};
    }

    /// Loads the directory for a writer. Reads everything first, and changes the disk only if all of it is sound. Then
    /// writes to tables what the logs hold, except for a last log that a memtable continues, and removes files that
    /// nothing lists.
    result<recovery_report> recover() {
        auto contents = directory_contents::read(directory());
        if (!contents) return std::move(contents).error();
        if (contents->has_database() && options().error_if_exists) return database_exists(directory());
        auto frozen = contents->frozen_logs.empty() ? nullptr : writes_.new_memtable();
        auto memtable = writes_.new_memtable();
        log_replay<Alloc> logs(directory(), mode(), context_.alloc);
        auto found = load(*contents, logs, frozen ? *frozen : *memtable, *memtable);
        if (!found) return std::move(found).error();

        // Nothing may be appended to a log of which a piece was cut: what it holds becomes a table.
        const bool cuts = !logs.to_keep().empty();
        const auto damaged = cuts && contents->log ? std::exchange(memtable, writes_.new_memtable()) : nullptr;
        // From here on the disk changes, so what can still be refused is refused now.
        if (auto left = check_numbers(frozen.get(), damaged.get(), cuts, *contents); !left)
            return std::move(left).error();
        publish(memtable, {damaged, frozen}, std::move(found->tables), logs.written());
        if (!contents->manifest) {
            // A new database. Its directory may be older, and its name not durable yet.
            if (auto synced = directory().sync_own_name(); !synced) return std::move(synced).error();
            if (auto created = tables_.write_manifest(); !created) return std::move(created).error();
        }
        if (auto flushed = flush_logs(frozen.get(), damaged.get(), logs, *contents); !flushed)
            return std::move(flushed).error();
        if (auto removed = remove_orphans(*contents, found->lines); !removed) return std::move(removed).error();

        const bool continues = contents->log && !damaged;
        writes_.begin(std::move(memtable), continues ? std::optional(logs.intact_bytes()) : std::nullopt);
        memory_.rebalance();
        return logs.report();
    }

    /// Loads the directory for a reader, and changes nothing. Looks at the directory again after reading it, and reads
    /// it anew if a writer has changed it meanwhile. Errors: stale if a writer is always faster.
    result<recovery_report> read() {
        for (unsigned attempt = 0;; ++attempt) {
            const auto before = directory_contents::read(directory());
            if (!before) return before.error();
            if (!before->has_database()) return no_database(directory());
            auto memtable = writes_.new_memtable();
            log_replay<Alloc> logs(directory(), mode(), context_.alloc);
            auto found = load(*before, logs, *memtable, *memtable);
            const auto after = directory_contents::read(directory());
            const bool quiet = after && before->same_names(*after);
            // An error may come from a writer that changed files under the same names: believe it only after some
            // quiet attempts.
            if (!found && quiet && attempt >= quiet_attempts) return std::move(found).error();
            const auto lines = quiet ? listed(*after) : result<std::vector<manifest_line>>(failure(errc::stale, ""));
            if (found && lines && found->lines == *lines) {
                publish(std::move(memtable), {}, std::move(found->tables), logs.written());
                memory_.rebalance();
                return logs.report();
            }
            if (attempt >= max_attempts)
                return failure(errc::stale, "a writer changes the directory faster than it can be read")
                    .in(directory().path());
        }
    }

private:
    static constexpr unsigned quiet_attempts = 2;
    static constexpr unsigned max_attempts = 1000;

    [[nodiscard]] const db_directory& directory() const noexcept { return context_.directory; }
    [[nodiscard]] const lsm::options& options() const noexcept { return context_.options; }

    static error database_exists(const db_directory& directory) noexcept {
        return failure(errc::exists, "there is a database already").in(directory.path());
    }
    static error no_database(const db_directory& directory) noexcept {
        return failure(errc::not_found, "there is no database").in(directory.path());
    }

    struct loaded {
        std::vector<manifest_line> lines;
        std::shared_ptr<const table_set<Alloc>> tables;
    };

    // Opens the tables of MANIFEST, and replays the frozen logs into `frozen` and the last one into `active`.
    result<loaded> load(const directory_contents& contents, log_replay<Alloc>& logs, db_memtable<Alloc>& frozen,
                        db_memtable<Alloc>& active) {
        auto lines = listed(contents);
        if (!lines) return std::move(lines).error();
        auto tables = tables_.open_listed(*lines, contents.highest_table_id);
        if (!tables) return std::move(tables).error();
        const auto& numbers = contents.frozen_logs;
        for (std::size_t i = 0; i < numbers.size(); ++i) {
            // Logs are frozen in order and removed from the oldest on, so that their numbers have no gaps.
            if (i > 0 && numbers[i] != numbers[i - 1] + 1)
                if (auto skipped = logs.skip_missing(frozen_log_name(numbers[i - 1] + 1)); !skipped)
                    return std::move(skipped).error();
            if (auto done = logs.replay(frozen_log_name(numbers[i]), true, frozen.entries); !done)
                return std::move(done).error();
        }
        if (contents.log)
            if (auto done = logs.replay(std::string(log_name), false, active.entries); !done)
                return std::move(done).error();
        return loaded{*std::move(lines), *std::move(tables)};
    }
    result<std::vector<manifest_line>> listed(const directory_contents& contents) const {
        if (contents.manifest) return read_manifest(directory());
        if (contents.tables.empty() && contents.frozen_logs.empty()) return std::vector<manifest_line>();
        return failure(errc::bad_manifest, "MANIFEST is missing, but there are tables or frozen logs")
            .in(directory().path());
    }

    [[nodiscard]] wal::recovery mode() const noexcept {
        return options().wal_recovery.value_or(options().sync ? wal::recovery::strict_tail
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
        versions_.show(std::max(versions_.visible(), written));  // never backwards: a reader may be in an older version
        versions_.publish(std::move(first), [](const version<Alloc>*, version<Alloc>&) {});
    }

    // Checks that there is a number for each file that flush_logs() makes.
    result<void> check_numbers(const db_memtable<Alloc>* frozen, const db_memtable<Alloc>* damaged, bool cuts,
                               const directory_contents& contents) const {
        const auto tables = [](const db_memtable<Alloc>* m) { return m != nullptr && m->entries.len() != 0 ? 1u : 0u; };
        if (cuts && contents.highest_cut_log == largest_id)
            return failure(errc::too_large, "no number is left for another such file")
                .in(directory().path_of(cut_log_name(largest_id)));
        return tables_.check_ids(tables(frozen) + tables(damaged));
    }

    // Turns the frozen logs, and a last log of which a piece was cut, into tables, and removes them. Each of the two
    // becomes a table of its own: the last log may hold what a killed program wrote and never synced, and replaying
    // only the frozen logs over a table that has it would bring older entries back.
    result<void> flush_logs(db_memtable<Alloc>* frozen, db_memtable<Alloc>* damaged, const log_replay<Alloc>& logs,
                            const directory_contents& contents) {
        if (!logs.to_keep().empty()) {
            if (auto kept = keep_cuts(logs, contents); !kept) return kept;
            std::vector<std::string> paths;
            for (const std::string& name : logs.left_out()) paths.push_back(directory().path_of(name));
            if (auto removed = compactor_.remove_logs(paths); !removed) return removed;
        }
        if (frozen != nullptr) {
            for (const std::uint64_t number : contents.frozen_logs) frozen->logs.push_back(frozen_log_name(number));
            if (auto flushed = flush(*frozen); !flushed) return flushed;
        }
        if (damaged == nullptr) return {};
        damaged->logs = {std::string(log_name)};
        return flush(*damaged);
    }
    // Copies what was cut to a new file, durably. After an error no new file is left.
    result<void> keep_cuts(const log_replay<Alloc>& logs, const directory_contents& contents) {
        const std::string name = cut_log_name(contents.highest_cut_log + 1);
        const auto copy = [&](io::file& to) { return copy_cuts(directory(), logs.to_keep(), to); };
        if (auto kept = directory().create_with(name, copy); !kept) return kept;
        if (auto synced = directory().sync(); !synced) {
            static_cast<void>(directory().remove(name));
            return synced;
        }
        // An open that failed after this point has left a copy, which may not be durable: this one replaces it.
        if (contents.highest_cut_log == 0) return {};
        const std::string last = cut_log_name(contents.highest_cut_log);
        const auto same = holds_cuts(directory(), logs.to_keep(), last);
        return same && *same ? directory().remove(last) : result<void>();
    }
    // An empty memtable makes no table, but its logs must go all the same.
    result<void> flush(const db_memtable<Alloc>& replayed) {
        if (replayed.entries.len() != 0) return compactor_.flush(replayed);
        auto next = versions_.prepare();
        versions_.publish(std::move(next), [&](const version<Alloc>* old, version<Alloc>& filled) {
            filled.take_memtables_but(&replayed, *old);
            filled.tables = old->tables;
        });
        return compactor_.remove_logs(compactor_.log_paths(replayed));
    }

    result<void> remove_orphans(const directory_contents& contents, const std::vector<manifest_line>& lines) {
        for (const std::string& name : contents.temporaries)
            if (auto removed = directory().remove(name); !removed) return removed;
        bool synced = false;
        for (const std::uint64_t id : contents.tables) {
            if (std::ranges::find(lines, id, &manifest_line::id) != lines.end()) continue;
            // The process that wrote MANIFEST may have been killed before its name was durable, and the one before it
            // may list this table: only a durable MANIFEST tells that it is an orphan.
            if (!synced)
                if (auto done = directory().sync(); !done) return done;
            synced = true;
            if (auto removed = directory().remove(table_name(id)); !removed) return removed;
        }
        return {};
    }

    db_context<Alloc>& context_;
    version_store<Alloc>& versions_;
    memory_budget<Alloc>& memory_;
    table_store<Alloc>& tables_;
    compactor<Alloc>& compactor_;
    write_path<Alloc>& writes_;
};

}  // namespace lsm::detail
