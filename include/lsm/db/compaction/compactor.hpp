#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <lsm/core/or_out_of_memory.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/compaction/compaction.hpp>
#include <lsm/db/disk/table_files.hpp>
#include <lsm/db/event_listener.hpp>
#include <lsm/db/state/db_context.hpp>
#include <lsm/db/state/table_store.hpp>
#include <lsm/db/state/version.hpp>

namespace lsm::detail {

/// Carries out flushes and compactions: writes the new tables, then the MANIFEST that lists them, and only then deletes
/// the inputs. After an error before the MANIFEST everything is as it was. Any thread may call these functions, flush()
/// one thread at a time.
template <class Alloc>
class compactor {
public:
    compactor(db_context<Alloc>& context, table_store<Alloc>& tables) : context_(context), tables_(tables) {}

    /// Writes the oldest frozen memtable to a table, and removes its logs, oldest first.
    result<void> flush(const db_memtable<Alloc>& oldest) {
        const stopwatch watch;
        new_tables fresh(tables_, context_.health);
        const auto id = fresh.next_id();
        if (!id) return id.error();
        auto entries = cursor_of(oldest, newest_sequence);
        entries.seek_to_first();
        const auto format = table_format(context_.options);
        if (auto written = write_table_file(entries, context_.directory, *id, format, context_.alloc); !written)
            return written;
        auto opened = tables_.open(*id);
        if (!opened) return std::move(opened).error();
        const flush_event event{*id, (*opened)->file_bytes(), watch.nanoseconds()};
        table_edit<Alloc> edit{.flushed = &oldest};
        edit.added.emplace_back(0, *std::move(opened));
        // Taken now, because between listing the table and removing its logs no allocation may fail.
        const auto logs = log_paths(oldest);
        if (auto listed = tables_.install(edit); !listed) return listed;
        fresh.keep();
        context_.counters.flush_bytes += event.file_bytes;
        ++context_.counters.flushes;
        if (auto removed = remove_logs(logs); !removed) return removed;
        if (context_.options.listener != nullptr) context_.options.listener->flushed(event);
        return {};
    }

    /// Removes logs, in this order, each durably. Poisons the database if that fails: a log that is replayed over the
    /// table of its own memtable changes nothing, but over a newer table it would, so that none may be left when the
    /// next table is listed.
    result<void> remove_logs(const std::vector<std::string>& paths) {
        auto removed = or_out_of_memory(context_.directory.path(), [&]() -> result<void> {
            for (const std::string& path : paths) {
                if (auto gone = io::remove_if_present(context_.directory.fs(), path); !gone) return gone;
                if (auto synced = context_.directory.sync(); !synced) return synced;
            }
            return {};
        });
        if (!removed) return context_.health.poison(std::move(removed).error());
        return {};
    }
    [[nodiscard]] std::vector<std::string> log_paths(const db_memtable<Alloc>& frozen) const {
        std::vector<std::string> out;
        for (const std::string& name : frozen.logs) out.push_back(context_.directory.path_of(name));
        return out;
    }

    /// Merges the inputs, or moves a single one to its new level. Errors: closed if it was cancelled.
    result<void> compact(const compaction<Alloc>& work, const std::atomic<bool>& cancelled) {
        const stopwatch watch;
        compaction_event event{};
        event.output_level = work.output_level();
        work.for_each_input([&](int, const auto& t) { event.inputs.push_back(t->id()); });
        auto moved = work.moved();
        if (auto done = moved ? move(std::move(moved), event) : merge(work, cancelled, event); !done) return done;
        event.nanoseconds = watch.nanoseconds();
        if (context_.options.listener != nullptr) context_.options.listener->compacted(event);
        return {};
    }

private:
    // The files of tables that are not listed yet. Removes them when it ends, unless they were put to use. They stay
    // also if the database was poisoned, because MANIFEST on the disk may then list them.
    class new_tables {
    public:
        new_tables(table_store<Alloc>& tables, const health& state) noexcept : tables_(tables), health_(state) {}
        new_tables(const new_tables&) = delete;
        new_tables& operator=(const new_tables&) = delete;
        ~new_tables() {
            if (health_.good())
                for (const std::uint64_t id : ids_) tables_.remove(id);
        }

        [[nodiscard]] result<std::uint64_t> next_id() {
            ids_.push_back(0);  // takes the memory before there is a file that could be forgotten
            auto id = tables_.new_id();
            if (id)
                ids_.back() = *id;
            else
                ids_.pop_back();
            return id;
        }
        void keep() noexcept { ids_.clear(); }

    private:
        table_store<Alloc>& tables_;
        const health& health_;
        std::vector<std::uint64_t> ids_;
    };

    result<void> move(table_pointer<Alloc> table, compaction_event& event) {
        event.outputs = event.inputs;
        table_edit<Alloc> edit{.removed = event.inputs};
        edit.added.emplace_back(event.output_level, std::move(table));
        if (auto listed = tables_.install(edit); !listed) return listed;
        ++context_.counters.moves;
        return {};
    }

    result<void> merge(const compaction<Alloc>& work, const std::atomic<bool>& cancelled, compaction_event& event) {
        new_tables fresh(tables_, context_.health);
        const auto new_id = [&fresh] { return fresh.next_id(); };
        auto written = work.run({context_.directory, table_format(context_.options),
                                 context_.options.compaction.target_table_bytes, cancelled, new_id});
        if (!written) return std::move(written).error();
        event.outputs = *std::move(written);
        event.bytes_read = work.input_bytes();
        table_edit<Alloc> edit{.removed = event.inputs};
        for (const std::uint64_t id : event.outputs) {
            auto opened = tables_.open(id);
            if (!opened) return std::move(opened).error();
            event.bytes_written += (*opened)->file_bytes();
            edit.added.emplace_back(event.output_level, *std::move(opened));
        }
        if (auto listed = tables_.install(edit); !listed) return listed;
        fresh.keep();
        ++context_.counters.compactions;
        context_.counters.compaction_bytes += event.bytes_written;
        context_.counters.compaction_bytes_read += event.bytes_read;
        return {};
    }

    db_context<Alloc>& context_;
    table_store<Alloc>& tables_;
};

}  // namespace lsm::detail
