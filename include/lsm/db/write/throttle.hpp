#pragma once

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <lsm/core/result.hpp>
#include <lsm/db/compaction/maintenance.hpp>
#include <lsm/db/event_listener.hpp>
#include <lsm/db/state/counters.hpp>
#include <lsm/db/state/db_context.hpp>
#include <lsm/db/state/memory_budget.hpp>

namespace lsm::detail {

/// Slows writers down when maintenance falls behind, and holds them up when no further memtable may freeze. Used by the
/// writer that leads, so by one thread at a time.
///
/// The delay grows smoothly with the number of frozen memtables and level-0 tables: writers feel a disk that becomes
/// slower, instead of a wall.
template <class Alloc>
class throttle {
public:
    throttle(db_context<Alloc>& context, maintenance<Alloc>& upkeep, const memory_budget<Alloc>& memory)
        : context_(context), maintenance_(upkeep), memory_(memory) {}

    /// How many memtables may be frozen at one time.
    [[nodiscard]] std::size_t max_frozen() const noexcept { return max_buffers() - 1; }

    /// Blocks until another memtable may freeze, and returns true. Gives up after 50 ms without a flush and returns
    /// false, unless the active memtable, which takes `active_bytes`, has reached twice its limit. Errors: why flushes
    /// fail, after two seconds of that; why writes are refused; closed.
    result<bool> wait_for_room(std::size_t active_bytes) {
        if (maintenance_.pressure().frozen_memtables < max_frozen()) return true;
        const stopwatch watch;
        auto room = wait_for_room(active_bytes, watch);
        record_stall(watch.nanoseconds());
        return room;
    }

    /// To be called before each write: measures the pressure again from time to time, and at once if `now`.
    void measure(std::size_t active_bytes, bool now) {
        if (!now && ++since_measured_ < writes_between_measurements) return;
        since_measured_ = 0;
        rate_ = bearable_rate(active_bytes);
    }

    /// Delays a write of this many bytes, if maintenance is behind.
    void delay(std::size_t bytes, std::size_t active_bytes) {
        if (rate_ == 0) return;
        owed_nanoseconds_ += 1e9 * static_cast<double>(bytes + write_overhead) / rate_;
        if (owed_nanoseconds_ < shortest_sleep) return;
        const stopwatch watch;
        const timespec pause{0, static_cast<long>(std::min(owed_nanoseconds_, longest_sleep))};
        ::nanosleep(&pause, nullptr);
        owed_nanoseconds_ = 0;
        record_stall(watch.nanoseconds());
        measure(active_bytes, true);
    }

private:
    [[nodiscard]] unsigned max_buffers() const noexcept { return std::max(context_.options.max_write_buffers, 2u); }

    result<bool> wait_for_room(std::size_t active_bytes, const stopwatch& watch) {
        for (;;) {
            maintenance_.schedule();
            const write_pressure now = maintenance_.pressure();
            if (now.frozen_memtables < max_frozen()) return true;
            if (auto good = context_.health.check(); !good) return std::move(good).error();
            // Flushes fail. Give them a while, if they are tried again at all: a full disk may get room.
            const bool failing = now.flush_trouble.has_value();
            if (failing && (watch.nanoseconds() > patience_nanoseconds || !now.retries)) return *now.flush_trouble;
            const bool flushed = maintenance_.wait_for_flush(std::chrono::milliseconds(50));
            // A slow flush is no reason to hold writes up, as long as the memtable does not grow without bounds.
            if (!flushed && !failing && active_bytes < 2 * memory_.write_buffer_bytes()) return false;
            if (maintenance_.pressure().stopping)
                return failure(errc::closed, "the database was closed").in(context_.directory.path());
        }
    }

    // The bytes a second that maintenance can be expected to bear; 0 for any number. Falls from the speed of a fast
    // disk to a 128th of it as frozen memtables come near their limit, or tables of level 0 near theirs.
    [[nodiscard]] double bearable_rate(std::size_t active_bytes) const {
        const write_pressure now = maintenance_.pressure();
        const double buffer_bytes = static_cast<double>(std::max<std::size_t>(memory_.write_buffer_bytes(), 1));
        const double active = std::min(static_cast<double>(active_bytes) / buffer_bytes, 1.0);
        const double half = max_buffers() / 2.0;
        const double buffers = (static_cast<double>(now.frozen_memtables) + active - half) / half;
        const auto& levels = context_.options.compaction;
        double level0 = 0;
        if (levels.level0_stop > levels.level0_slowdown)
            level0 = (static_cast<double>(now.level0_tables) - levels.level0_slowdown) /
                     (levels.level0_stop - levels.level0_slowdown);
        const double pressure = std::min(std::max(buffers, level0), 1.0);
        return pressure <= 0 ? 0 : fastest_rate * std::exp2(-7 * pressure);
    }

    void record_stall(std::uint64_t nanoseconds) {
        auto& counters = context_.counters;
        count(counters.stalls, 1);
        count(counters.stall_nanoseconds, nanoseconds);
        if (nanoseconds > counters.longest_stall_nanoseconds.load(std::memory_order_relaxed))
            counters.longest_stall_nanoseconds.store(nanoseconds, std::memory_order_relaxed);
        if (context_.options.listener != nullptr) context_.options.listener->stalled({nanoseconds});
    }

    static constexpr double fastest_rate = 128e6;
    static constexpr std::size_t write_overhead = 32;  // a write costs something besides its bytes
    static constexpr double shortest_sleep = 1e6;      // the system cannot sleep much shorter
    static constexpr double longest_sleep = 5e7;
    static constexpr unsigned writes_between_measurements = 256;
    static constexpr std::uint64_t patience_nanoseconds = 2'000'000'000;

    db_context<Alloc>& context_;
    maintenance<Alloc>& maintenance_;
    const memory_budget<Alloc>& memory_;
    double rate_ = 0;  // 0 for no limit
    double owed_nanoseconds_ = 0;
    unsigned since_measured_ = 0;
};

}  // namespace lsm::detail
