#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <lsm/core/bytes.hpp>
#include <lsm/core/hash.hpp>
#include <lsm/core/reader_slots.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/levels.hpp>
#include <lsm/db/state/found_entry.hpp>
#include <lsm/db/state/version.hpp>

namespace lsm::detail {

/// Which tables a lookup searched. Added to the counters once, at its end, because threads share these.
class search_count {
public:
    explicit search_count(read_counters& total) noexcept : total_(total) {}
    search_count(const search_count&) = delete;
    search_count& operator=(const search_count&) = delete;
    ~search_count() {
        if (searched_ != 0) total_.tables_searched.fetch_add(searched_, std::memory_order_relaxed);
        if (filtered_ != 0) total_.filter_misses.fetch_add(filtered_, std::memory_order_relaxed);
    }

    /// Whether the table's filter lets the key pass.
    template <class Table>
    [[nodiscard]] bool is_candidate(const Table& table, std::uint64_t hash) noexcept {
        const bool candidate = table.may_contain(hash);
        ++(candidate ? searched_ : filtered_);
        return candidate;
    }

private:
    read_counters& total_;
    std::uint64_t searched_ = 0;
    std::uint64_t filtered_ = 0;
};

/// Returns the newest entry of `key` in a version, a tombstone included, as a reader at sequence `at` sees it; or no
/// entry. Errors: damage in a table, io, stale. Requires that the caller has entered the reader_slots of `counters`,
/// and stays there while it uses the entry.
template <class Alloc>
result<found_entry<Alloc>> lookup(const version<Alloc>& in, bytes_view key, sequence at, block_options options,
                                  read_counters& counters, lookup_buffer& buffer) {
    // From the newest place to the oldest: the first entry that is found hides all others.
    const std::uint64_t hash = xxh64(key);
    for (const auto& memtable : in.memtables) {
        if (!memtable->entries.may_contain(hash)) continue;
        if (const auto* const seen = memtable->entries.find(key, at)) return found_entry<Alloc>{seen->entry()};
    }
    search_count count(counters);
    // Tables of level 0 overlap, so every one that covers the key is a candidate, from the newest to the oldest.
    for (const auto& t : in.tables->levels[0]) {
        if (!t->covers(key) || !count.is_candidate(*t, hash)) continue;
        auto found = t->find(key, options, counters, buffer);
        if (!found || found->entry) return found;
    }
    // In each deeper level at most one table covers the key.
    for (std::size_t level = 1; level < level_count; ++level) {
        const auto* const t = in.tables->in_level(level, key);
        if (t == nullptr || !count.is_candidate(*t, hash)) continue;
        auto found = t->find(key, options, counters, buffer);
        if (!found || found->entry) return found;
    }
    return found_entry<Alloc>();
}

}  // namespace lsm::detail
