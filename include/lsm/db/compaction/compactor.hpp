#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/or_out_of_memory.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/compact.hpp>
#include <lsm/db/compaction/compaction.hpp>
#include <lsm/db/event_listener.hpp>
#include <lsm/db/options.hpp>
#include <lsm/db/state/health.hpp>
#include <lsm/db/state/memory_budget.hpp>
#include <lsm/db/state/table_store.hpp>
#include <lsm/db/state/version_store.hpp>
#include <lsm/db/statistics.hpp>
#include <lsm/io/file.hpp>

namespace lsm::detail {

/// Carries out flushes and compactions: the new tables, the MANIFEST that lists them, and only then away with what they
/// were made of. An error before they are listed leaves everything as it was. Any thread, for flushes one at a time.
template <class Alloc>
class compactor {
public:
    compactor(io::file_system& fs, std::string_view directory, const options& how, table_store<Alloc>& tables,
              version_store<Alloc>& versions, memory_budget<Alloc>& memory, health& state, write_counters& counted,
              const Alloc& alloc)
        : alloc_(alloc),
          fs_(fs),
          directory_(directory),
          options_(how),
          tables_(tables),
          versions_(versions),
          memory_(memory),
          health_(state),
          counted_(counted) {}

    /// Makes the oldest frozen memtable a table; its logs go, oldest first.
    result<void> flush(const db_memtable<Alloc>& oldest) {
        const stopwatch watch;
        new_tables made(tables_, health_);
        const auto id = made.next_id();
        if (!id) return id.error();
        auto entries = cursor_of(oldest, newest_sequence);
        entries.seek_to_first();
        if (auto written = write_table_file(entries, fs_, directory_, *id, table_format(), alloc_); !written)
            return written;
        auto opened = tables_.open(*id);
        if (!opened) return std::move(opened).error();
        const flush_event event{*id, (*opened)->file_bytes(), watch.nanoseconds()};
        table_edit<Alloc> edit{.flushed = &oldest};
        edit.added.emplace_back(0, *std::move(opened));
        const auto logs = log_paths(oldest);  // before the table is listed: nothing may come between that and their end
        if (auto listed = tables_.install(edit); !listed) return listed;
        made.keep();
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
        auto removed = or_out_of_memory(directory_, [&]() -> result<void> {
            for (const std::string& path : paths) {
                if (auto gone = io::remove_if_present(fs_, path); !gone) return gone;
                if (auto synced = io::sync_directory(fs_, directory_); !synced) return synced;
            }
            return {};
        });
        if (!removed) return health_.poison(std::move(removed).error());
        return {};
    }
    [[nodiscard]] std::vector<std::string> log_paths(const db_memtable<Alloc>& frozen) const {
        std::vector<std::string> out;
        for (const std::string& name : frozen.logs) out.push_back(joined(directory_, name));
        return out;
    }

    /// Merges the inputs, or moves the one that there is. Errors: closed, if it was cancelled.
    result<void> compact(const compaction<Alloc>& work, const std::atomic<bool>& cancelled) {
        const stopwatch watch;
        compaction_event event{};
        event.output_level = work.output_level();
        work.for_each_input([&](int, const auto& t) { event.inputs.push_back(t->id()); });
        table_edit<Alloc> edit{.removed = event.inputs};
        if (auto only = work.moved()) {
            event.outputs = event.inputs;
            edit.added.emplace_back(work.output_level(), std::move(only));
            if (auto listed = tables_.install(edit); !listed) return listed;
            ++counted_.moves;
        } else {
            new_tables made(tables_, health_);
            const auto new_id = [&made] { return made.next_id(); };
            auto written =
                work.run({fs_, directory_, table_format(), options_.compaction.target_table_bytes, cancelled, new_id});
            if (!written) return std::move(written).error();
            event.outputs = *std::move(written);
            for (const std::uint64_t id : event.outputs) {
                auto opened = tables_.open(id);
                if (!opened) return std::move(opened).error();
                event.bytes_written += (*opened)->file_bytes();
                edit.added.emplace_back(work.output_level(), *std::move(opened));
            }
            if (auto listed = tables_.install(edit); !listed) return listed;
            made.keep();
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

private:
    // The files of tables that are not listed yet, which go with it unless they were put to use. If it is not sure what
    // MANIFEST says on the disk, they stay.
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
            ids_.push_back(0);  // before there is something to lose
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

    [[nodiscard]] sst_options table_format() const {
        return {.block_size = options_.block_bytes,
                .extended = options_.extended_tables,
                .filter_bits_per_key = options_.filter_bits_per_key};
    }

    [[no_unique_address]] Alloc alloc_;
    io::file_system& fs_;
    std::string directory_;
    const options& options_;
    table_store<Alloc>& tables_;
    version_store<Alloc>& versions_;
    memory_budget<Alloc>& memory_;
    health& health_;
    write_counters& counted_;
};

}  // namespace lsm::detail
