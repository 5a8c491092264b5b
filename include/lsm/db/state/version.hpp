#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/hash.hpp>
#include <lsm/core/prefix_search.hpp>
#include <lsm/core/reader_slots.hpp>
#include <lsm/core/result.hpp>
#include <lsm/core/vector_of.hpp>
#include <lsm/db/disk/manifest.hpp>
#include <lsm/db/state/db_table.hpp>
#include <lsm/memtable/memtable.hpp>

namespace lsm::detail {

inline constexpr std::size_t level_count = highest_level + 1;

/// The tables of the database at one time. Level 0 stands newest first; each other level in key order, without overlap.
/// Immutable once it is part of a version.
template <class Alloc>
class table_set {
public:
    vector_of<table_list<Alloc>, Alloc> levels;

    explicit table_set(const Alloc& alloc)
        : levels(level_count, table_list<Alloc>(alloc), alloc), fences_(level_count, fence_list(alloc), alloc) {}

    /// To be called when all tables are there, before any is looked for.
    void index_levels() {
        for (std::size_t level = 1; level < level_count; ++level) {
            const auto& tables = levels[level];
            fence_list& fences = fences_[level];
            fences.numbers.clear();
            if (tables.empty()) continue;
            fences.shared = shared_prefix(tables.front()->largest(), tables.back()->largest());
            fences.numbers.reserve(tables.size());
            for (const auto& t : tables) fences.numbers.push_back(leading_number(t->largest().substr(fences.shared)));
        }
    }

    /// Calls `use` with the level and the pointer of each, in the order of MANIFEST.
    template <class Use>
    void for_each(Use use) const {
        for (std::size_t level = 0; level < level_count; ++level)
            for (const auto& t : levels[level]) use(static_cast<int>(level), t);
    }
    [[nodiscard]] std::vector<manifest_line> lines() const {
        std::vector<manifest_line> out;
        for_each([&](int level, const auto& t) { out.push_back({level, t->id()}); });
        return out;
    }
    [[nodiscard]] std::uint64_t memory_bytes() const noexcept {
        std::uint64_t out = 0;
        for_each([&](int, const auto& t) { out += t->memory_bytes(); });
        return out;
    }

    /// The only table of a level above 0 that can hold `key`; null if there is none.
    [[nodiscard]] const db_table<Alloc>* in_level(std::size_t level, bytes_view key) const noexcept {
        const auto& tables = levels[level];
        const fence_list& fences = fences_[level];
        const std::size_t number = search_by_number<bound::lower>(
            tables.size(), fences.shared, key, [&](std::size_t i) { return fences.numbers[i]; },
            [](std::uint64_t n) { return n; }, [&](std::size_t i) { return tables[i]->largest(); });
        return number < tables.size() && tables[number]->smallest() <= key ? tables[number].get() : nullptr;
    }

private:
    // The largest keys of the tables, as numbers behind the bytes that they share.
    struct fence_list {
        explicit fence_list(const Alloc& alloc) : numbers(alloc) {}
        vector_of<std::uint64_t, Alloc> numbers;
        std::size_t shared = 0;
    };
    vector_of<fence_list, Alloc> fences_;
};

/// A memtable of the database, and the logs that hold the same.
template <class Alloc>
struct db_memtable {
    memtable_core<Alloc> entries;
    std::uint64_t number;           // in the order of their making
    std::vector<std::string> logs;  // names, oldest first; set when it freezes

    db_memtable(std::uint64_t n, std::size_t filter_bytes, const Alloc& alloc)
        : entries(alloc, filter_bytes), number(n) {}
};

/// The entries of a memtable as a reader at `at` sees them. Does not own the memtable.
template <class Alloc>
[[nodiscard]] memtable_cursor<Alloc> cursor_of(const db_memtable<Alloc>& from, sequence at) {
    return {std::shared_ptr<const memtable_core<Alloc>>(std::shared_ptr<void>(), &from.entries), at};
}

template <class Alloc>
using memtable_list = vector_of<std::shared_ptr<const db_memtable<Alloc>>, Alloc>;

/// What the database holds at one time. Immutable once it is published, except that the active memtable grows: a reader
/// sees it up to a sequence, to be read after the version.
template <class Alloc>
struct version : std::enable_shared_from_this<version<Alloc>> {
    memtable_list<Alloc> memtables;  // newest first; the first is the active one, the others wait to be flushed
    std::shared_ptr<const table_set<Alloc>> tables;

    // Of the version_store, for a version that is history.
    mutable std::chrono::steady_clock::time_point superseded_at;
    mutable std::shared_ptr<const version> next_retired;

    explicit version(const Alloc& alloc) : memtables(alloc) {}
};

/// Calls `use` with the newest entry of `key`, tombstones included, while it is in memory, and with the block that it
/// is in, or null if that is a memtable; not at all if there is none. The caller has entered the reader_slots that
/// `counted` is of.
template <class Alloc, class Use>
result<void> find_newest(const version<Alloc>& in, bytes_view key, sequence at, block_options how,
                         read_counters& counted, Use use) {
    const std::uint64_t hash = xxh64(key);
    for (const auto& memtable : in.memtables) {
        if (!memtable->entries.may_contain(hash)) continue;
        if (const auto* const seen = memtable->entries.find(key, at)) {
            use(seen->entry(), static_cast<block_contents<Alloc>*>(nullptr));
            return {};
        }
    }
    std::uint64_t searched = 0;
    std::uint64_t spared = 0;
    const auto look_into = [&](const db_table<Alloc>& t) -> result<bool> {
        if (!t.may_contain(hash)) {
            ++spared;
            return false;
        }
        ++searched;
        return t.find(key, how, counted, use);
    };
    const auto walk = [&]() -> result<void> {
        for (const auto& t : in.tables->levels[0]) {
            if (!t->covers(key)) continue;
            if (auto found = look_into(*t); !found || *found) return found ? result<void>() : std::move(found).error();
        }
        for (std::size_t level = 1; level < level_count; ++level) {
            const auto* const t = in.tables->in_level(level, key);
            if (t == nullptr) continue;
            if (auto found = look_into(*t); !found || *found) return found ? result<void>() : std::move(found).error();
        }
        return {};
    };
    auto outcome = walk();
    if (searched != 0) counted.tables_searched.fetch_add(searched, std::memory_order_relaxed);
    if (spared != 0) counted.filter_misses.fetch_add(spared, std::memory_order_relaxed);
    return outcome;
}

}  // namespace lsm::detail
