#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <lsm/core/error.hpp>

namespace lsm {

/// How long calls took, in nanoseconds; percentiles are exact to an eighth.
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
    std::uint64_t groups = 0;      ///< log records: what was written with one write and at most one sync
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
    std::uint64_t moves = 0;        ///< compactions that only gave a table another level
    /// Bytes written to log and tables for each byte of the user's.
    [[nodiscard]] double write_amplification() const noexcept {
        return user_bytes == 0
                   ? 0
                   : static_cast<double>(log_bytes + flush_bytes + compaction_bytes) / static_cast<double>(user_bytes);
    }

    std::uint64_t cache_hits = 0;
    std::uint64_t cache_misses = 0;
    std::uint64_t tables_searched = 0;     ///< by gets
    std::uint64_t filter_misses = 0;       ///< tables that a filter spared a get
    std::uint64_t tombstones_skipped = 0;  ///< by cursors

    std::uint64_t stalls = 0;  ///< writes that were delayed because maintenance is behind
    std::uint64_t stall_nanoseconds = 0;
    std::uint64_t longest_stall_nanoseconds = 0;

    struct level {
        std::uint64_t tables = 0;
        std::uint64_t bytes = 0;
    };
    std::array<level, 7> levels{};

    struct {
        std::uint64_t memtables = 0;  ///< the active one, and those that wait to be flushed
        std::uint64_t cache = 0;
        std::uint64_t indexes = 0;  ///< indexes and filters of open tables
        std::uint64_t pinned = 0;   ///< what only snapshots and cursors still hold
        std::uint64_t budget = 0;   ///< options::memory_budget_bytes
        [[nodiscard]] std::uint64_t total() const noexcept { return memtables + cache + indexes + pinned; }
    } memory;

    /// A state of the database that is history, and that snapshots and cursors keep.
    struct pin {
        std::uint64_t holders = 0;
        std::uint64_t age_nanoseconds = 0;  ///< since it became history
        std::uint64_t memory_bytes = 0;     ///< memtables and indexes that are no part of the database any more
        std::uint64_t disk_bytes = 0;       ///< tables that are none
    };
    std::vector<pin> pins;

    /// Why maintenance pauses, or writes are refused; nothing while all is well.
    std::optional<error> trouble;
};

}  // namespace lsm

namespace lsm::detail {

/// Counts durations by their size: eight steps for each power of two. Any thread may add.
class latency_histogram {
public:
    void add(std::uint64_t nanoseconds) noexcept {
        counts_[bucket(nanoseconds)].fetch_add(1, std::memory_order_relaxed);
        std::uint64_t longest = longest_.load(std::memory_order_relaxed);
        while (nanoseconds > longest &&
               !longest_.compare_exchange_weak(longest, nanoseconds, std::memory_order_relaxed)) {
        }
    }

    [[nodiscard]] latency_summary summary() const noexcept {
        std::array<std::uint64_t, buckets> counts;
        latency_summary out;
        for (std::size_t i = 0; i < buckets; ++i) out.count += counts[i] = counts_[i].load(std::memory_order_relaxed);
        out.longest = longest_.load(std::memory_order_relaxed);
        const auto percentile = [&](std::uint64_t percent) {
            std::uint64_t before = 0;
            for (std::size_t i = 0; i < buckets; ++i)
                if ((before += counts[i]) * 100 >= out.count * percent) return std::min(upper_end(i), out.longest);
            return out.longest;
        };
        if (out.count == 0) return out;
        out.p50 = percentile(50);
        out.p95 = percentile(95);
        out.p99 = percentile(99);
        return out;
    }

private:
    static constexpr std::size_t steps = 8;
    static constexpr std::size_t buckets = 62 * steps;

    [[nodiscard]] static std::size_t bucket(std::uint64_t value) noexcept {
        if (value < steps) return static_cast<std::size_t>(value);
        const auto power = static_cast<unsigned>(std::bit_width(value)) - 4;  // value >> power lies in [8, 16)
        return power * steps + static_cast<std::size_t>(value >> power);
    }
    [[nodiscard]] static std::uint64_t upper_end(std::size_t bucket) noexcept {
        if (bucket < 2 * steps) return bucket;
        const std::size_t power = bucket / steps - 1;
        return ((steps + bucket % steps + 1) << power) - 1;
    }

    std::array<std::atomic<std::uint64_t>, buckets> counts_{};
    std::atomic<std::uint64_t> longest_ = 0;
};

/// What writers and maintenance count.
struct write_counters {
    using counter = std::atomic<std::uint64_t>;
    counter writes = 0, operations = 0, groups = 0, syncs = 0;
    counter user_bytes = 0, log_bytes = 0, flush_bytes = 0, compaction_bytes = 0, compaction_bytes_read = 0;
    counter flushes = 0, compactions = 0, moves = 0;
    counter stalls = 0, stall_nanoseconds = 0, longest_stall_nanoseconds = 0;
    latency_histogram write_latency, read_latency;
};

/// For counters with one writer at a time, which need no atomic addition.
inline void count(std::atomic<std::uint64_t>& counter, std::uint64_t more) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
}

class stopwatch {
public:
    /// One that is not started is not to be looked at.
    explicit stopwatch(bool started = true) noexcept : begun_(started ? clock::now() : clock::time_point()) {}

    [[nodiscard]] std::uint64_t nanoseconds() const noexcept {
        return static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::nanoseconds>(clock::now() - begun_).count());
    }

private:
    using clock = std::chrono::steady_clock;
    clock::time_point begun_;
};

}  // namespace lsm::detail
