#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/prefix_search.hpp>
#include <lsm/core/vector_of.hpp>
#include <lsm/db/disk/manifest.hpp>
#include <lsm/db/levels.hpp>
#include <lsm/db/state/db_table.hpp>

namespace lsm::detail {

/// The tables of the database at one time. Level 0 is ordered newest first; every other level is in key order, without
/// overlap. Immutable once it is part of a version.
template <class Alloc>
class table_set {
public:
    vector_of<table_list<Alloc>, Alloc> levels;

    explicit table_set(const Alloc& alloc)
        : levels(level_count, table_list<Alloc>(alloc), alloc), fences_(level_count, fence_list(alloc), alloc) {}

    /// Prepares in_level(). To be called once, when all tables are in place.
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

    /// Calls `use(level, table)` for each table, in the order of MANIFEST.
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

    /// Returns the only table of a level above 0 that can hold `key`, or null.
    [[nodiscard]] const db_table<Alloc>* in_level(std::size_t level, bytes_view key) const noexcept {
        const auto& tables = levels[level];
        const fence_list& fences = fences_[level];
        const std::size_t number = search_by_number<bound::lower>(
            tables.size(), fences.shared, key, [&](std::size_t i) { return fences.numbers[i]; },
            [](std::uint64_t n) { return n; }, [&](std::size_t i) { return tables[i]->largest(); });
        return number < tables.size() && tables[number]->smallest() <= key ? tables[number].get() : nullptr;
    }

private:
    // The largest key of each table of a level, as a number: its eight bytes after the prefix that all of them share.
    // Most searches are decided by these numbers, without a look at the keys.
    struct fence_list {
        explicit fence_list(const Alloc& alloc) : numbers(alloc) {}
        vector_of<std::uint64_t, Alloc> numbers;
        std::size_t shared = 0;
    };
    vector_of<fence_list, Alloc> fences_;
};

}  // namespace lsm::detail
