#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include <lsm/core/error.hpp>
#include <lsm/db/levels.hpp>

namespace lsm {

/// How long calls took, in nanoseconds. Percentiles are at most an eighth too high.
struct latency_summary {
    std::uint64_t count = 0;
    std::uint64_t p50 = 0;
    std::uint64_t p95 = 0;
    std::uint64_t p99 = 0;
    std::uint64_t longest = 0;
};

/// What a database has done since it was opened, and what it holds.
struct statistics {
    std::uint64_t writes = 0;      ///< calls of put, del and write
    std::uint64_t operations = 0;  ///< puts and deletes in them
    std::uint64_t groups = 0;      ///< log records; each took one write and at most one sync
    std::uint64_t syncs = 0;
    std::uint64_t gets = 0;
    std::uint64_t gets_found = 0;
    std::uint64_t cursors = 0;
    latency_summary write_latency;  ///< of every write
    latency_summary read_latency;   ///< of one get in 64

    std::uint64_t user_bytes = 0;  ///< keys and values written
    std::uint64_t log_bytes = 0;
    std::uint64_t flush_bytes = 0;
    std::uint64_t compaction_bytes = 0;
    std::uint64_t compaction_bytes_read = 0;
    std::uint64_t flushes = 0;
    std::uint64_t compactions = 0;  ///< merges
    std::uint64_t moves = 0;        ///< compactions that only moved a table to another level
    /// Bytes written to log and tables for each byte of keys and values.
    [[nodiscard]] double write_amplification() const noexcept {
        return user_bytes == 0
                   ? 0
                   : static_cast<double>(log_bytes + flush_bytes + compaction_bytes) / static_cast<double>(user_bytes);
    }

    std::uint64_t cache_hits = 0;
    std::uint64_t cache_misses = 0;
    std::uint64_t tables_searched = 0;     ///< by gets
    std::uint64_t filter_misses = 0;       ///< tables that a get skipped because of their filter
    std::uint64_t tombstones_skipped = 0;  ///< by cursors

    std::uint64_t stalls = 0;  ///< writes that were delayed because maintenance was behind
    std::uint64_t stall_nanoseconds = 0;
    std::uint64_t longest_stall_nanoseconds = 0;

    struct level {
        std::uint64_t tables = 0;
        std::uint64_t bytes = 0;
    };
    std::array<level, detail::level_count> levels{};

    struct {
        std::uint64_t memtables = 0;  ///< the active one and those that wait to be flushed
        std::uint64_t cache = 0;
        std::uint64_t indexes = 0;  ///< indexes and filters of open tables
        std::uint64_t pinned = 0;   ///< what only snapshots and cursors still hold
        std::uint64_t budget = 0;   ///< options::memory_budget_bytes
        [[nodiscard]] std::uint64_t total() const noexcept { return memtables + cache + indexes + pinned; }
    } memory;

    /// A superseded state of the database that snapshots and cursors keep.
    struct pin {
        std::uint64_t holders = 0;
        std::uint64_t age_nanoseconds = 0;  ///< since it was superseded
        std::uint64_t memory_bytes = 0;     ///< memtables and indexes that are no longer part of the database
        std::uint64_t disk_bytes = 0;       ///< table files that are no longer part of the database
    };
    std::vector<pin> pins;

    /// Why maintenance pauses or writes are refused; nothing while all is well.
    std::optional<error> trouble;
};

}  // namespace lsm
