#pragma once

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <lsm/core/batch_coding.hpp>
#include <lsm/core/bytes.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/compaction/maintenance.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/db/event_listener.hpp>
#include <lsm/db/options.hpp>
#include <lsm/db/state/health.hpp>
#include <lsm/db/state/memory_budget.hpp>
#include <lsm/db/state/version_store.hpp>
#include <lsm/db/statistics.hpp>
#include <lsm/db/write/write_queue.hpp>
#include <lsm/wal/writer.hpp>

namespace lsm::detail {

/// The way of a write: its turn in the queue, the log, the active memtable, and then the eyes of readers. A memtable
/// that is full freezes together with its log, and maintenance makes it a table. When maintenance falls behind, writes
/// are slowed down, the more the further.
template <class Alloc>
class write_path {
public:
    write_path(io::file_system& fs, std::string_view directory, const options& how, version_store<Alloc>& versions,
               maintenance<Alloc>& upkeep, memory_budget<Alloc>& memory, health& state, write_counters& counted,
               const Alloc& alloc)
        : alloc_(alloc),
          fs_(fs),
          directory_(directory),
          options_(how),
          versions_(versions),
          maintenance_(upkeep),
          memory_(memory),
          health_(state),
          counted_(counted),
          log_(new_log(std::nullopt)) {}

    /// Goes on with a memtable that is part of the current version, and the log it was replayed from: so many intact
    /// bytes of it, or none that is there. Requires that there are no frozen logs.
    void begin(std::shared_ptr<db_memtable<Alloc>> active, std::optional<std::uint64_t> intact_log) {
        active_ = std::move(active);
        log_ = new_log(intact_log);
    }

    /// Applies `count` operations, or none. Any thread.
    result<void> write(bytes_view operations, std::uint32_t count, bool sync) {
        const stopwatch watch;
        if (batch_header_bytes + operations.size() > max_length)
            return failure(errc::too_large, "a write batch has at most 2^32-1 bytes");
        waiting_write mine(operations, count, sync);
        if (queue_.join(mine)) lead(mine);
        counted_.write_latency.add(watch.nanoseconds());
        return std::move(mine.outcome);
    }

    /// Freezes the active memtable, unless it is empty. The number of the newest frozen one, if there is any. Where no
    /// more may freeze, waits for the oldest to become a table first.
    result<std::optional<std::uint64_t>> freeze() {
        while (const auto oldest = nth_newest_frozen(most_frozen() - 1))
            if (auto flushed = maintenance_.wait_flushed(*oldest); !flushed) return std::move(flushed).error();
        waiting_write mine;
        static_cast<void>(queue_.join(mine));  // alone, so it always leads
        write_queue::turn turn(queue_, mine);
        auto done = health_.check();
        if (done && active_->entries.len() != 0) done = rotate();
        turn.finish(done);
        if (!done) return std::move(done).error();
        return nth_newest_frozen(0);
    }

    /// Calls `use` while nobody writes.
    template <class Use>
    void between_writes(Use use) {
        waiting_write mine;
        static_cast<void>(queue_.join(mine));
        write_queue::turn turn(queue_, mine);
        use();
        turn.finish({});
    }

    /// Makes the log durable and closes it. Requires that nobody writes any more.
    result<void> close_log() { return log_.close(); }

    [[nodiscard]] std::shared_ptr<db_memtable<Alloc>> new_memtable() {
        return std::allocate_shared<db_memtable<Alloc>>(alloc_, ++memtable_number_,
                                                        memory_.write_buffer_bytes() / filter_share, alloc_);
    }

private:
    static constexpr std::size_t most_group_bytes = std::size_t{1} << 20;

    void lead(waiting_write& mine) {
        flush_starter after(maintenance_);
        write_queue::turn turn(queue_, mine);
        auto ready = make_room(after.rotated);
        if (mine.sync) turn.linger();
        turn.gather(most_group_bytes);
        if (ready && rate_ != 0) slow_down(turn.bytes());
        turn.finish(ready ? commit(turn) : ready);
    }
    // What froze is flushed whatever becomes of the write, but when the turn is over.
    struct flush_starter {
        explicit flush_starter(maintenance<Alloc>& upkeep) noexcept : maintenance_(upkeep) {}
        flush_starter(const flush_starter&) = delete;
        flush_starter& operator=(const flush_starter&) = delete;
        ~flush_starter() {
            if (rotated) maintenance_.schedule();
        }
        bool rotated = false;
        maintenance<Alloc>& maintenance_;
    };

    // The log, then the memtable, then readers. Nothing has happened if memory runs out: it is all taken before.
    result<void> commit(const write_queue::turn& group) {
        log_.begin_record();
        log_.add_to_record(group.operations());
        group.for_each([&](bytes_view operations, std::uint32_t) { log_.add_to_record(operations); });
        active_->entries.reserve(group.operations(), group.bytes());
        if (auto logged = log_.append_record(options_.map_log && !group.sync()); !logged)
            return log_failed(std::move(logged).error());
        if (group.sync())
            if (auto synced = log_.sync(); !synced) return log_failed(std::move(synced).error());

        const sequence next = versions_.visible() + 1;
        std::uint64_t payload = 0;
        group.for_each([&](bytes_view operations, std::uint32_t count) { payload += apply(operations, count, next); });
        versions_.show(next);
        count(counted_.writes, group.members());
        count(counted_.operations, group.operations());
        count(counted_.groups, 1);
        count(counted_.syncs, group.sync());
        count(counted_.user_bytes, payload);
        count(counted_.log_bytes, group.bytes() + batch_header_bytes + log_header_bytes);
        return {};
    }

    // The bytes of keys and values.
    std::uint64_t apply(bytes_view operations, std::uint32_t count, sequence at) {
        std::uint64_t payload = 0;
        batch_reader batch(operations, count);
        bytes_view key;
        entry_view entry;
        while (batch.next(key, entry)) {
            payload += key.size() + entry.value.size();
            active_->entries.add(key, entry, at);
        }
        return payload;
    }

    // Freezes the memtable and its log. What needs memory is done before the log has its new name.
    result<void> rotate() {
        auto fresh = new_memtable();
        fresh->entries.expect(active_->entries.common_prefix());
        auto next = versions_.prepare();
        active_->logs = {frozen_log_name(log_number_ + 1)};
        if (auto rotated = log_.rotate(joined(directory_, active_->logs.front())); !rotated)
            return log_failed(std::move(rotated).error());
        ++log_number_;
        versions_.publish(std::move(next), [&](const version<Alloc>* old, version<Alloc>& filled) {
            filled.memtables.push_back(fresh);
            for (const auto& m : old->memtables) filled.memtables.push_back(m);
            filled.tables = old->tables;
        });
        active_ = std::move(fresh);
        return {};
    }

    LSM_COLD result<void> log_failed(error why) {
        if (log_.failure()) return health_.poison(std::move(why));
        return why;  // a full disk: nothing of the write is left in the log
    }

    // --- room for what comes

    result<void> make_room(bool& rotated) {
        if (auto good = health_.check(); !good) return good;
        if (active_->entries.len() != 0 && active_->entries.used_bytes() >= memory_.write_buffer_bytes()) {
            auto room = wait_for_room();
            if (!room) return std::move(room).error();
            if (*room) {
                if (auto done = rotate(); !done) return done;
                rotated = true;
            }
            rate_ = bearable_rate();
        } else if (++since_look_ >= writes_between_looks) {
            rate_ = bearable_rate();
        }
        return {};
    }

    [[nodiscard]] std::size_t most_frozen() const noexcept { return std::max(options_.max_write_buffers, 2u) - 1; }
    // The number of the newest frozen memtable but `skipped` newer ones, if there is one.
    [[nodiscard]] std::optional<std::uint64_t> nth_newest_frozen(std::size_t skipped) const {
        const typename version_store<Alloc>::reading now(versions_);
        if (now->memtables.size() <= 1 + skipped) return std::nullopt;
        return now->memtables[1 + skipped]->number;
    }
    [[nodiscard]] std::size_t frozen() const {
        const typename version_store<Alloc>::reading now(versions_);
        return now->memtables.size() - 1;
    }

    // Waits until another memtable may freeze. Not longer than a moment, as long as this one is not twice the size it
    // should have (that is false); and, if flushes fail, not longer than the patience of whoever writes.
    result<bool> wait_for_room() {
        if (frozen() < most_frozen()) return true;
        const stopwatch watch;
        const auto done = [&](result<bool> outcome) {
            note_stall(watch.nanoseconds());
            return outcome;
        };
        for (;;) {
            maintenance_.schedule();
            if (frozen() < most_frozen()) return done(true);
            if (auto good = health_.check(); !good) return done(std::move(good).error());
            const auto trouble = maintenance_.flush_trouble();
            if (trouble && (watch.nanoseconds() > patience_nanoseconds || !maintenance_.runs_beside()))
                return done(*trouble);
            if (!maintenance_.wait_for_progress(std::chrono::milliseconds(50)) && !trouble &&
                active_->entries.used_bytes() < 2 * memory_.write_buffer_bytes())
                return done(false);
            if (maintenance_.stopping()) return done(failure(errc::closed, "the database was closed").in(directory_));
        }
    }

    // Bytes a second that maintenance can be expected to bear; 0 for any. Falls from a disk's speed to nearly nothing
    // as frozen memtables come near their limit, or tables of level 0 near theirs.
    [[nodiscard]] double bearable_rate() {
        since_look_ = 0;
        const double full = static_cast<double>(active_->entries.used_bytes()) /
                            static_cast<double>(std::max<std::size_t>(memory_.write_buffer_bytes(), 1));
        const typename version_store<Alloc>::reading now(versions_);
        const double most = std::max(options_.max_write_buffers, 2u);
        const double buffers =
            (static_cast<double>(now->memtables.size() - 1) + std::min(full, 1.0) - most / 2) / (most / 2);
        const auto& how = options_.compaction;
        double level0 = 0;
        if (maintenance_.compacts() && how.level0_stop > how.level0_slowdown)
            level0 = (static_cast<double>(now->tables->levels[0].size()) - how.level0_slowdown) /
                     (how.level0_stop - how.level0_slowdown);
        const double pressure = std::min(std::max(buffers, level0), 1.0);
        if (pressure <= 0) return 0;
        double rate = fastest_rate;
        for (double left = 7 * pressure; left > 0; left -= 0.25) rate *= 0.84;  // halves with each 1/7
        return rate;
    }

    void slow_down(std::size_t incoming) {
        owed_nanoseconds_ += 1e9 * static_cast<double>(incoming + 32) / rate_;
        if (owed_nanoseconds_ < 1e6) return;  // shorter sleeps are not to be had
        const stopwatch watch;
        const timespec pause{0, static_cast<long>(std::min(owed_nanoseconds_, 5e7))};
        ::nanosleep(&pause, nullptr);
        owed_nanoseconds_ = 0;
        note_stall(watch.nanoseconds());
        rate_ = bearable_rate();
    }

    void note_stall(std::uint64_t nanoseconds) {
        count(counted_.stalls, 1);
        count(counted_.stall_nanoseconds, nanoseconds);
        if (nanoseconds > counted_.longest_stall_nanoseconds.load(std::memory_order_relaxed))
            counted_.longest_stall_nanoseconds.store(nanoseconds, std::memory_order_relaxed);
        if (options_.listener != nullptr) options_.listener->stalled({nanoseconds});
    }

    [[nodiscard]] wal::basic_writer<Alloc> new_log(std::optional<std::uint64_t> intact) const {
        wal::basic_writer<Alloc> out(fs_, joined(directory_, log_name), intact, alloc_);
        out.preallocate(options_.log_preallocation_bytes);
        return out;
    }

    // Of a memtable's memory for its filter: some three bytes for an entry of 100 bytes, which with its node takes 200.
    static constexpr std::size_t filter_share = 64;
    static constexpr double fastest_rate = 128e6;
    static constexpr unsigned writes_between_looks = 256;
    static constexpr std::uint64_t patience_nanoseconds = 2'000'000'000;

    [[no_unique_address]] Alloc alloc_;
    io::file_system& fs_;
    std::string directory_;
    const options& options_;
    version_store<Alloc>& versions_;
    maintenance<Alloc>& maintenance_;
    memory_budget<Alloc>& memory_;
    health& health_;
    write_counters& counted_;

    write_queue queue_;
    // For the leader alone:
    std::shared_ptr<db_memtable<Alloc>> active_;
    wal::basic_writer<Alloc> log_;
    std::uint64_t log_number_ = 0;
    std::uint64_t memtable_number_ = 0;
    double rate_ = 0;
    double owed_nanoseconds_ = 0;
    unsigned since_look_ = 0;
};

}  // namespace lsm::detail
