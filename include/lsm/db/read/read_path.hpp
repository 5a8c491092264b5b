#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include <lsm/core/bytes.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/reader_slots.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/compaction/maintenance.hpp>
#include <lsm/db/read/lookup.hpp>
#include <lsm/db/read/scan_cursor.hpp>
#include <lsm/db/state/counters.hpp>
#include <lsm/db/state/db_context.hpp>
#include <lsm/db/state/memory_budget.hpp>
#include <lsm/db/state/pin.hpp>
#include <lsm/db/state/version_store.hpp>
#include <lsm/merge/merging_iterator.hpp>

namespace lsm::detail {

/// The path of a read: takes the current version, or the pinned one of a snapshot, and looks a key up in it or opens a
/// cursor over it. Readers never wait for writers or for maintenance. Any thread.
///
/// In each function `at` is the pin of a snapshot, or null for the current state. Errors: invalid_argument if the
/// snapshot was taken of another database; those of lookup().
template <class Alloc>
class read_path {
    using reading = typename version_store<Alloc>::reading;

public:
    read_path(db_context<Alloc>& context, version_store<Alloc>& versions, memory_budget<Alloc>& memory,
              maintenance<Alloc>& upkeep, std::shared_ptr<reader_slots> readers,
              std::shared_ptr<const unpin_notifier> notifier)
        : context_(context),
          versions_(versions),
          memory_(memory),
          maintenance_(upkeep),
          readers_(std::move(readers)),
          notifier_(std::move(notifier)) {}

    /// Calls `use(entry)` with the newest entry of `key`, a tombstone included, or not at all if there is none. The
    /// entry is valid only inside the call.
    template <class Use>
    result<void> find(bytes_view key, const pinned_version<Alloc>* at, block_options options, Use use) {
        return find_entry(key, at, options,
                          [&](const found_entry<Alloc>& found, const reading&) { use(*found.entry); });
    }

    /// An entry that stays valid.
    struct kept_entry {
        entry_view entry;
        entry_keeper<Alloc> keeper;
    };
    /// Returns the newest entry of `key`, a tombstone included, and what keeps it valid.
    result<std::optional<kept_entry>> find_kept(bytes_view key, const pinned_version<Alloc>* at,
                                                block_options options) {
        options.pin = true;
        result<std::optional<kept_entry>> out = std::optional<kept_entry>();
        auto done = find_entry(key, at, options, [&](const found_entry<Alloc>& found, const reading& now) {
            kept_entry& kept = out->emplace();
            kept.entry = *found.entry;
            if (found.block != nullptr) {
                found.block->hold();
                kept.keeper.block = item_pointer<block_contents<Alloc>>(found.block);
            } else if (at != nullptr) {
                // Constructed in place: a temporary pin that ends here could notify maintenance, which may run in this
                // thread and would wait for this reading to end.
                kept.keeper.state.emplace(*at);
            } else {
                kept.keeper.state.emplace(versions_.pin(now));
            }
        });
        if (!done) return std::move(done).error();
        return out;
    }

    /// Looks up many keys as of one moment: calls `use(i, entry)` for each key that has an entry.
    template <class Keys, class Use>
    result<void> find_all(const Keys& keys, const pinned_version<Alloc>* at, block_options options, Use use) {
        if (auto own = check_own(at); !own) return own;
        const auto pinned = at != nullptr ? *at : versions_.pin();
        for (std::size_t i = 0; i < keys.size(); ++i) {
            // A reading for each key: maintenance waits for readings, and many keys take long.
            const reading now(versions_);
            count_get(now);
            lookup_buffer buffer;
            auto found = lookup(*pinned, keys[i], pinned.at(), options, now.counters(), buffer);
            if (!found) return std::move(found).error();
            if (!found->entry) continue;
            count_found(now, *found->entry);
            use(i, *found->entry);
        }
        return {};
    }

    /// Opens a cursor over everything, without a position. Its status tells errors.
    [[nodiscard]] scan_cursor<Alloc> scan(const pinned_version<Alloc>* at, merge_options options,
                                          block_options blocks) {
        if (auto own = check_own(at); !own) return scan_cursor<Alloc>(std::move(own).error(), context_.alloc);
        bool level0_due = false;
        {
            const reading now(versions_);
            now.counters().cursors.fetch_add(1, std::memory_order_relaxed);
            level0_due = at == nullptr && charge_level0(*now, cursor_loss);
        }
        if (level0_due) maintenance_.merge_level0_soon();
        if (at != nullptr) return scan_cursor<Alloc>(*at, readers_, options, blocks, context_.alloc);
        auto pinned = pin();
        if (!pinned) return scan_cursor<Alloc>(std::move(pinned).error(), context_.alloc);
        return scan_cursor<Alloc>(*std::move(pinned), readers_, options, blocks, context_.alloc);
    }

    /// Pins the current state. Errors: over_budget if pins hold too much memory already.
    [[nodiscard]] result<pinned_version<Alloc>> pin() {
        if (memory_.exceeded()) {
            memory_.rebalance();  // perhaps pins were released that have not been freed yet
            if (memory_.exceeded())
                return failure(errc::over_budget, "snapshots and cursors hold all of the memory budget")
                    .in(context_.directory.path());
        }
        return versions_.pin();
    }

private:
    // One get in this many is timed, and charged for all of them.
    static constexpr std::uint64_t gets_per_sample = 64;

    // About how much longer a get and a cursor take for each table of level 0, in nanoseconds; and how much lost time
    // is worth a merge.
    static constexpr std::uint64_t get_loss = 50;
    static constexpr std::uint64_t cursor_loss = 2000;
    static constexpr std::uint64_t max_loss = 100'000'000;

    [[nodiscard]] result<void> check_own(const pinned_version<Alloc>* at) const {
        if (at == nullptr || at->belongs_to(*notifier_)) return {};
        return failure(errc::invalid_argument, "the snapshot was taken of another db").in(context_.directory.path());
    }

    // Calls use(found, now) with the entry, if there is one, inside the reading.
    template <class Use>
    result<void> find_entry(bytes_view key, const pinned_version<Alloc>* at, block_options options, Use use) {
        if (auto own = check_own(at); !own) return own;
        bool level0_due = false;
        {
            const reading now(versions_);
            const bool timed = count_get(now) % gets_per_sample == 0;
            const stopwatch watch(timed);
            lookup_buffer buffer;
            const auto found = at != nullptr ? lookup(**at, key, at->at(), options, now.counters(), buffer)
                                             : lookup(*now, key, now.at(), options, now.counters(), buffer);
            if (!found) return found.error();
            if (found->entry) {
                count_found(now, *found->entry);
                use(*found, now);
            }
            if (timed) {
                context_.counters.read_latency.add(watch.nanoseconds());
                level0_due = at == nullptr && charge_level0(*now, gets_per_sample * get_loss);
            }
        }
        // Only after the reading: the merge may run in this thread, and waits for readings to end.
        if (level0_due) maintenance_.merge_level0_soon();
        return {};
    }

    static std::uint64_t count_get(const reading& now) noexcept {
        return now.counters().gets.fetch_add(1, std::memory_order_relaxed);
    }
    static void count_found(const reading& now, entry_view entry) noexcept {
        if (!entry.tombstone()) now.counters().found.fetch_add(1, std::memory_order_relaxed);
    }

    // Adds up the time that readers lose because level 0 has as many tables as its next merge needs. Returns whether
    // that merge should not wait any longer.
    [[nodiscard]] bool charge_level0(const version<Alloc>& in, std::uint64_t loss_per_table) {
        const std::uint64_t tables = in.tables->levels[0].size();
        if (tables < context_.options.compaction.level0_trigger || !maintenance_.compacts()) return false;
        const std::uint64_t loss = tables * loss_per_table;
        if (lost_.fetch_add(loss, std::memory_order_relaxed) < max_loss) return false;
        lost_.store(0, std::memory_order_relaxed);
        return true;
    }

    db_context<Alloc>& context_;
    version_store<Alloc>& versions_;
    memory_budget<Alloc>& memory_;
    maintenance<Alloc>& maintenance_;
    std::shared_ptr<reader_slots> readers_;
    std::shared_ptr<const unpin_notifier> notifier_;
    std::atomic<std::uint64_t> lost_ = 0;  // nanoseconds
};

}  // namespace lsm::detail
