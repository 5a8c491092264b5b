#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include <lsm/db/statistics.hpp>

namespace lsm::detail {

/// Counts durations by their size, in eight steps for each power of two. Any thread may add.
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
        latency_summary out;
        std::array<std::uint64_t, buckets> counts;
        for (std::size_t i = 0; i < buckets; ++i) {
            counts[i] = counts_[i].load(std::memory_order_relaxed);
            out.count += counts[i];
        }
        if (out.count == 0) return out;
        out.longest = longest_.load(std::memory_order_relaxed);
        const auto percentile = [&](std::uint64_t percent) {
            std::uint64_t so_far = 0;
            for (std::size_t i = 0; i < buckets; ++i) {
                so_far += counts[i];
                if (so_far * 100 >= out.count * percent) return std::min(upper_end(i), out.longest);
            }
            return out.longest;
        };
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

/// What writers and maintenance count, and how long calls took.
struct db_counters {
    using counter = std::atomic<std::uint64_t>;
    counter writes = 0, operations = 0, groups = 0, syncs = 0;
    counter user_bytes = 0, log_bytes = 0, flush_bytes = 0, compaction_bytes = 0, compaction_bytes_read = 0;
    counter flushes = 0, compactions = 0, moves = 0;
    counter stalls = 0, stall_nanoseconds = 0, longest_stall_nanoseconds = 0;
    latency_histogram write_latency, read_latency;
};

/// Adds to a counter that has one writer at a time, which needs no atomic addition.
inline void count(std::atomic<std::uint64_t>& counter, std::uint64_t more) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
}

class stopwatch {
public:
    /// A stopwatch that is not started must not be read.
    explicit stopwatch(bool started = true) noexcept : begin_(started ? clock::now() : clock::time_point()) {}

    [[nodiscard]] std::uint64_t nanoseconds() const noexcept {
        return static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::nanoseconds>(clock::now() - begin_).count());
    }

private:
    using clock = std::chrono::steady_clock;
    clock::time_point begin_;
};

}  // namespace lsm::detail
