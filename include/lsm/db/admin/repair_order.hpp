#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/hex.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/disk/db_directory.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/db/disk/manifest.hpp>
#include <lsm/db/repair_report.hpp>
#include <lsm/fwd.hpp>
#include <lsm/io/file.hpp>
#include <lsm/sstable/reader.hpp>

namespace lsm::detail {

/// A table without a defect, which repair() keeps.
struct sound_table {
    manifest_line line;
    bool listed;  // whether the old MANIFEST gives its place
    bool empty = true;
    bytes smallest = {};
    bytes largest = {};

    static result<sst_reader> open(const db_directory& directory, std::uint64_t id) {
        auto file = directory.open_to_read(table_name(id));
        if (!file) return std::move(file).error();
        return sst_reader::open(*std::move(file));
    }

    /// Reads all of the table's file, with one block in memory. Errors: those of a damaged table; io.
    static result<sound_table> read(const db_directory& directory, manifest_line line, bool listed) {
        const auto reader = open(directory, line.id);
        if (!reader) return reader.error();
        const auto entries = reader->len();
        if (!entries) return entries.error();
        sound_table out{.line = line, .listed = listed, .empty = *entries == 0};
        auto at = reader->byte_cursor();
        at.seek_to_first();
        if (at.valid()) out.smallest = at.key();
        at.seek_to_last();
        if (at.valid()) out.largest = at.key();
        if (auto status = at.status(); !status) return std::move(status).error();
        return out;
    }
};

/// Places the tables that are not listed among those that are; see repair().
class repair_order {
public:
    /// Requires that `tables` has first the listed ones, in their order, then the others from the highest id to the
    /// lowest.
    repair_order(const db_directory& directory, std::vector<sound_table> tables, bool newer_by_id)
        : directory_(directory),
          tables_(std::move(tables)),
          newer_by_id_(newer_by_id),
          listed_(static_cast<std::size_t>(std::ranges::count(tables_, true, &sound_table::listed))),
          listed_before_(tables_.size()) {
        // By default each goes before the first listed table of level 0 that has a lower id.
        for (std::size_t i = listed_; i < tables_.size(); ++i)
            while (listed_before_[i] < listed_ && tables_[listed_before_[i]].line.level == 0 &&
                   tables_[listed_before_[i]].line.id > tables_[i].line.id)
                ++listed_before_[i];
    }

    /// Fills in the report's tables and decided keys. Errors: bad_manifest, corruption, those of a damaged table, io.
    result<void> find(repair_report& report) {
        if (auto disjoint = check_levels(); !disjoint) return disjoint;
        if (auto compared = compare(report); !compared) return compared;
        arrange(report);
        return {};
    }

private:
    using cursor = decltype(std::declval<const sst_reader&>().byte_cursor());

    // A table in the walk. It is opened when its first key is reached.
    struct walker {
        bytes_view first_key;
        std::optional<cursor> at = {};

        [[nodiscard]] bytes_view key() const { return at ? at->key() : first_key; }
    };

    [[nodiscard]] std::string name(std::size_t i) const { return table_name(tables_[i].line.id); }

    result<void> check_levels() const {
        std::optional<std::size_t> left;
        for (std::size_t right = 0; right < listed_; ++right) {
            if (tables_[right].line.level == 0 || tables_[right].empty) continue;
            if (left && tables_[*left].line.level == tables_[right].line.level &&
                tables_[*left].largest >= tables_[right].smallest)
                return failure(errc::bad_manifest, name(*left) + " and " + name(right) + " overlap or are out of order")
                    .in(directory_.path_of(manifest_name));
            left = right;
        }
        return {};
    }

    // Walks all tables at once, key by key, with one block in memory of each table that has keys around there.
    result<void> compare(repair_report& report) {
        if (listed_ == tables_.size()) return {};
        std::vector<walker> walkers;
        std::vector<std::size_t> heap;
        for (std::size_t i = 0; i < tables_.size(); ++i) {
            walkers.push_back({tables_[i].smallest});
            if (!tables_[i].empty) heap.push_back(i);
        }
        const auto later = [&](std::size_t a, std::size_t b) {
            const int order = walkers[a].key().compare(walkers[b].key());
            return order != 0 ? order > 0 : a > b;
        };
        std::ranges::make_heap(heap, later);
        std::vector<std::size_t> holders;
        while (!heap.empty()) {
            // All tables that have the smallest key, in the order of tables_.
            holders.clear();
            do {
                std::ranges::pop_heap(heap, later);
                holders.push_back(heap.back());
                heap.pop_back();
                if (auto begun = begin(walkers[holders.back()], holders.back()); !begun) return begun;
            } while (!heap.empty() && walkers[heap.front()].key() == walkers[holders.front()].key());
            if (auto decided = decide_key(walkers, holders, report); !decided) return decided;
            for (const std::size_t i : holders) {
                auto& at = walkers[i].at;
                at->next();
                if (auto status = at->status(); !status) return status;
                if (at->valid()) {
                    heap.push_back(i);
                    std::ranges::push_heap(heap, later);
                } else {
                    at.reset();
                }
            }
        }
        return {};
    }

    result<void> begin(walker& table, std::size_t i) const {
        if (table.at) return {};
        const auto reader = sound_table::open(directory_, tables_[i].line.id);
        if (!reader) return reader.error();
        table.at.emplace(reader->byte_cursor());
        table.at->seek_to_first();
        return table.at->status();
    }

    // `holders` are the tables that have a key, in the order of tables_. If any of them is listed, the first one is the
    // newest listed table, and hides the other listed ones.
    result<void> decide_key(const std::vector<walker>& walkers, const std::vector<std::size_t>& holders,
                            repair_report& report) {
        const std::size_t first = holders.front();
        bool differ = false;
        for (const std::size_t i : holders) {
            if (i < listed_ || walkers[i].at->entry() == walkers[first].at->entry()) continue;
            if (!newer_by_id_)
                return failure(errc::corruption, name(first) + " and " + name(i) + " differ on the key " +
                                                     hex(walkers[i].key()) + ", and which is newer is not known")
                    .in(directory_.path());
            differ = true;
            // newer_by_id: a listed table with a higher id is newer, so it must come first.
            if (first < listed_ && tables_[i].line.id < tables_[first].line.id)
                listed_before_[i] = std::max(listed_before_[i], first + 1);
        }
        if (!differ || ++report.decided_keys > repair_report::most_decided_keys) return {};
        repair_report::decided_key decided{bytes(walkers[first].key()), {}};
        for (const std::size_t i : holders) decided.tables.push_back(tables_[i].line.id);
        report.decided.push_back(std::move(decided));
        return {};
    }

    // A table that comes before one of level 0 must be in level 0 too.
    void arrange(repair_report& report) const {
        std::size_t next = 0;
        for (std::size_t i = listed_; i < tables_.size(); ++i) {
            for (; next < listed_before_[i]; ++next) report.tables.push_back({0, tables_[next].line.id, true});
            report.tables.push_back({0, tables_[i].line.id, false});
        }
        for (; next < listed_; ++next) report.tables.push_back({tables_[next].line.level, tables_[next].line.id, true});

        std::map<std::uint64_t, std::size_t> places;
        for (const auto& table : report.tables) places.emplace(table.id, places.size());
        for (auto& decided : report.decided)
            std::ranges::sort(decided.tables, {}, [&](std::uint64_t id) { return places.at(id); });
    }

    const db_directory& directory_;
    std::vector<sound_table> tables_;
    bool newer_by_id_;
    std::size_t listed_;                      // how many are listed: the first ones
    std::vector<std::size_t> listed_before_;  // how many listed tables must come before one that is not listed
};

}  // namespace lsm::detail
