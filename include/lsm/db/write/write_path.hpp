#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include <lsm/core/batch_coding.hpp>
#include <lsm/core/bytes.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/compaction/maintenance.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/db/state/counters.hpp>
#include <lsm/db/state/db_context.hpp>
#include <lsm/db/state/memory_budget.hpp>
#include <lsm/db/state/version_store.hpp>
#include <lsm/db/write/throttle.hpp>
#include <lsm/db/write/write_queue.hpp>
#include <lsm/wal/writer.hpp>

namespace lsm::detail {

/// The path of a write: its turn in the queue, the log, the active memtable, and finally visibility to readers. A
/// memtable that is full freezes together with its log, and maintenance flushes it to a table.
template <class Alloc>
class write_path {
public:
    write_path(db_context<Alloc>& context, version_store<Alloc>& versions, maintenance<Alloc>& upkeep,
               memory_budget<Alloc>& memory)
        : context_(context),
          versions_(versions),
          maintenance_(upkeep),
          memory_(memory),
          throttle_(context, upkeep, memory),
          log_(new_log(std::nullopt)) {}

    /// Continues with a memtable of the current version and the log it was replayed from, which has `intact_log` intact
    /// bytes, or does not exist. Requires that there are no frozen logs.
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
        context_.counters.write_latency.add(watch.nanoseconds());
        return std::move(mine.outcome);
    }

    /// Freezes the active memtable, unless it is empty. If no further memtable may freeze, first waits until the oldest
    /// is flushed. Returns the number of the newest frozen memtable, or nothing if there is none.
    result<std::optional<std::uint64_t>> freeze() {
        while (const auto oldest = nth_newest_frozen(throttle_.max_frozen() - 1))
            if (auto flushed = maintenance_.wait_flushed(*oldest); !flushed) return std::move(flushed).error();
        waiting_write mine;
        static_cast<void>(queue_.join(mine));  // shares its turn with no other write, so it always leads
        write_queue::turn turn(queue_, mine);
        auto done = context_.health.check();
        if (done && active_->entries.len() != 0) done = rotate();
        turn.finish(done);
        if (!done) return std::move(done).error();
        return nth_newest_frozen(0);
    }

    /// Calls `use` while no thread writes.
    template <class Use>
    void between_writes(Use use) {
        waiting_write mine;
        static_cast<void>(queue_.join(mine));
        write_queue::turn turn(queue_, mine);
        use();
        turn.finish({});
    }

    /// Makes the log durable and closes it. Requires that no thread writes any more.
    result<void> close_log() { return log_.close(); }

    [[nodiscard]] std::shared_ptr<db_memtable<Alloc>> new_memtable() {
        return std::allocate_shared<db_memtable<Alloc>>(context_.alloc, ++memtable_number_,
                                                        memory_.write_buffer_bytes() / filter_share, context_.alloc);
    }

private:
    static constexpr std::size_t max_group_bytes = std::size_t{1} << 20;

    // Schedules the flush of a frozen memtable, whatever becomes of the write, but only after the turn is over: the
    // flush may run inside this call, and other writers need not wait for it.
    struct flush_scheduler {
        explicit flush_scheduler(maintenance<Alloc>& upkeep) noexcept : maintenance_(upkeep) {}
        flush_scheduler(const flush_scheduler&) = delete;
        flush_scheduler& operator=(const flush_scheduler&) = delete;
        ~flush_scheduler() {
            if (rotated) maintenance_.schedule();
        }
        bool rotated = false;
        maintenance<Alloc>& maintenance_;
    };

    void lead(waiting_write& mine) {
        flush_scheduler after(maintenance_);
        write_queue::turn turn(queue_, mine);
        auto ready = make_room(after.rotated);
        if (mine.sync) turn.linger();
        turn.gather(max_group_bytes);
        if (ready) throttle_.delay(turn.bytes(), active_->entries.used_bytes());
        turn.finish(ready ? commit(turn) : ready);
    }

    // Freezes a full memtable, if there may be another frozen one; otherwise the write goes into the full one.
    result<void> make_room(bool& rotated) {
        if (auto good = context_.health.check(); !good) return good;
        const std::size_t active_bytes = active_->entries.used_bytes();
        const bool full = active_->entries.len() != 0 && active_bytes >= memory_.write_buffer_bytes();
        if (full) {
            auto room = throttle_.wait_for_room(active_bytes);
            if (!room) return std::move(room).error();
            if (*room) {
                if (auto done = rotate(); !done) return done;
                rotated = true;
            }
        }
        throttle_.measure(active_->entries.used_bytes(), full);
        return {};
    }

    // The log, then the memtable, then readers. All memory is taken first: if it runs out, nothing has happened.
    result<void> commit(const write_queue::turn& group) {
        log_.begin_record();
        log_.add_to_record(group.operations());
        group.for_each([&](bytes_view operations, std::uint32_t) { log_.add_to_record(operations); });
        active_->entries.reserve(group.operations(), group.bytes());
        if (auto logged = log_.append_record(context_.options.map_log && !group.sync()); !logged)
            return log_failed(std::move(logged).error());
        if (group.sync())
            if (auto synced = log_.sync(); !synced) return log_failed(std::move(synced).error());

        // All of the group has one sequence, and readers see it only when all of it is in the memtable.
        const sequence next = versions_.visible() + 1;
        std::uint64_t payload = 0;
        group.for_each([&](bytes_view operations, std::uint32_t count) { payload += apply(operations, count, next); });
        versions_.show(next);

        auto& counters = context_.counters;
        count(counters.writes, group.members());
        count(counters.operations, group.operations());
        count(counters.groups, 1);
        count(counters.syncs, group.sync());
        count(counters.user_bytes, payload);
        count(counters.log_bytes, group.bytes() + batch_header_bytes + log_header_bytes);
        return {};
    }

    // Returns the bytes of keys and values.
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

    // Freezes the memtable and its log. All memory is taken before the log gets its new name.
    result<void> rotate() {
        auto fresh = new_memtable();
        fresh->entries.expect_prefix(active_->entries.common_prefix());
        auto next = versions_.prepare();
        active_->logs = {frozen_log_name(log_number_ + 1)};
        if (auto rotated = log_.rotate(context_.directory.path_of(active_->logs.front())); !rotated)
            return log_failed(std::move(rotated).error());
        ++log_number_;
        versions_.publish(std::move(next), [&](const version<Alloc>* old, version<Alloc>& filled) {
            filled.memtables.push_back(fresh);
            filled.take_memtables_but(nullptr, *old);
            filled.tables = old->tables;
        });
        active_ = std::move(fresh);
        return {};
    }

    // A full disk leaves nothing of the write in the log, which stays usable; any other failure ends all writing.
    LSM_COLD result<void> log_failed(error why) {
        if (log_.failure()) return context_.health.poison(std::move(why));
        return why;
    }

    // The number of the n-th newest frozen memtable, counted from 0, if there are that many.
    [[nodiscard]] std::optional<std::uint64_t> nth_newest_frozen(std::size_t n) const {
        const typename version_store<Alloc>::reading now(versions_);
        if (now->memtables.size() <= 1 + n) return std::nullopt;
        return now->memtables[1 + n]->number;
    }

    [[nodiscard]] wal::basic_writer<Alloc> new_log(std::optional<std::uint64_t> intact) const {
        const auto& directory = context_.directory;
        wal::basic_writer<Alloc> out(directory.fs(), directory.path_of(log_name), intact, context_.alloc);
        out.preallocate(context_.options.log_preallocation_bytes);
        return out;
    }

    // The part of a memtable's memory that its filter gets: about three bytes for an entry of 100 bytes, which takes
    // 200 with its node.
    static constexpr std::size_t filter_share = 64;

    db_context<Alloc>& context_;
    version_store<Alloc>& versions_;
    maintenance<Alloc>& maintenance_;
    memory_budget<Alloc>& memory_;
    write_queue queue_;

    // Used by the leader alone:
    throttle<Alloc> throttle_;
    std::shared_ptr<db_memtable<Alloc>> active_;
    wal::basic_writer<Alloc> log_;
    std::uint64_t log_number_ = 0;
    std::uint64_t memtable_number_ = 0;
};

}  // namespace lsm::detail
