#pragma once

#include <cstddef>
#include <optional>
#include <utility>

#include <lsm/core/error.hpp>
#include <lsm/core/reader_slots.hpp>
#include <lsm/db/state/db_context.hpp>
#include <lsm/db/state/db_table.hpp>
#include <lsm/db/state/version_store.hpp>
#include <lsm/db/statistics.hpp>

namespace lsm::detail {

inline void add_write_counters(const db_counters& counters, statistics& out) {
    out.writes = counters.writes;
    out.operations = counters.operations;
    out.groups = counters.groups;
    out.syncs = counters.syncs;
    out.write_latency = counters.write_latency.summary();
    out.read_latency = counters.read_latency.summary();
    out.user_bytes = counters.user_bytes;
    out.log_bytes = counters.log_bytes;
    out.flush_bytes = counters.flush_bytes;
    out.compaction_bytes = counters.compaction_bytes;
    out.compaction_bytes_read = counters.compaction_bytes_read;
    out.flushes = counters.flushes;
    out.compactions = counters.compactions;
    out.moves = counters.moves;
    out.stalls = counters.stalls;
    out.stall_nanoseconds = counters.stall_nanoseconds;
    out.longest_stall_nanoseconds = counters.longest_stall_nanoseconds;
}

inline void add_read_counters(const reader_slots& readers, statistics& out) {
    out.gets = readers.sum(&read_counters::gets);
    out.gets_found = readers.sum(&read_counters::found);
    out.cursors = readers.sum(&read_counters::cursors);
    out.tables_searched = readers.sum(&read_counters::tables_searched);
    out.tombstones_skipped = readers.sum(&read_counters::tombstones_skipped);
    out.filter_misses = readers.sum(&read_counters::filter_misses);
    out.cache_hits = readers.sum(&read_counters::cache_hits);
    out.cache_misses = readers.sum(&read_counters::cache_misses);
}

/// Returns what a database has done and what it holds. `trouble` is why its maintenance pauses.
template <class Alloc>
[[nodiscard]] statistics collect_statistics(const db_context<Alloc>& context, version_store<Alloc>& versions,
                                            const table_resources<Alloc>& shared, std::optional<error> trouble) {
    statistics out;
    add_write_counters(context.counters, out);
    add_read_counters(versions.readers(), out);
    {
        const typename version_store<Alloc>::reading now(versions);
        now->tables->for_each([&](int level, const auto& t) {
            auto& of = out.levels[static_cast<std::size_t>(level)];
            ++of.tables;
            of.bytes += t->file_bytes();
        });
        for (const auto& m : now->memtables) out.memory.memtables += m->entries.memory_bytes();
        out.memory.indexes = now->tables->memory_bytes();
    }
    out.memory.cache = shared.cache.used();
    out.memory.budget = context.options.memory_budget_bytes;
    out.pins = versions.pins();
    for (const auto& pin : out.pins) out.memory.pinned += pin.memory_bytes;
    out.trouble = std::move(trouble);
    if (auto good = context.health.check(); !good) out.trouble = good.error();
    return out;
}

}  // namespace lsm::detail
