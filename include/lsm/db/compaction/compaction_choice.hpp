#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/disk/manifest.hpp>

namespace lsm {

/// A table of the database, one with entries; the keys live elsewhere.
struct table_summary {
    std::uint64_t id;
    std::uint64_t file_bytes;
    bytes_view smallest;
    bytes_view largest;
    bool busy = false;  ///< not to be chosen: an input of a running compaction, or damaged
};

/// A compaction that is not done yet. Its inputs are busy, its outputs will lie in output_level, between the smallest
/// and the largest key of all inputs.
struct running_compaction {
    bytes_view smallest;
    bytes_view largest;
    int output_level;
};

/// The tables of a database at one time, those without entries left out.
struct table_layout {
    /// Level 0 stands newest first; each other level in key order, without overlap.
    std::array<std::vector<table_summary>, detail::highest_level + 1> levels = {};
    std::vector<running_compaction> running = {};
    /// Readers lose time in level 0, and nothing was flushed since they have told so.
    bool readers_wait = false;
};

/// Tables to be merged, by their ids in any order, and the level that the outcome goes to. In level 0 it becomes one
/// table, which takes the place of the newest input.
struct compaction_choice {
    std::vector<std::uint64_t> inputs = {};
    int output_level = 0;
};

}  // namespace lsm

namespace lsm::detail {

/// The keys from the smallest to the largest of some tables; none if there are none.
class key_hull {
public:
    template <class Keys>
    void add(const Keys& of) noexcept {
        if (empty_ || of.smallest < smallest_) smallest_ = of.smallest;
        if (empty_ || of.largest > largest_) largest_ = of.largest;
        empty_ = false;
    }
    template <class Keys>
    [[nodiscard]] bool overlaps(const Keys& with) const noexcept {
        return !empty_ && with.smallest <= largest_ && smallest_ <= with.largest;
    }

    friend bool operator==(const key_hull&, const key_hull&) = default;

private:
    bool empty_ = true;
    bytes_view smallest_, largest_;
};

/// Calls `use(table, chosen)` for every table that `is_chosen`, and for those that a merge of these into a level above
/// 0 has to take along: an older table in front of the output that has keys between the smallest and the largest of the
/// newer inputs; and one in the output's level that has keys between those of all inputs. Goes from new to old.
/// Requires that the chosen lie in levels 0 to `output_level`.
template <class IsChosen, class Use>
void for_each_merged(const table_layout& layout, int output_level, IsChosen is_chosen, Use use) {
    key_hull newer;
    for (const auto& t : layout.levels[0]) {
        const bool chosen = is_chosen(t);
        if (!chosen && !newer.overlaps(t)) continue;
        newer.add(t);
        use(t, chosen);
    }
    for (int level = 1; level <= output_level; ++level) {
        const auto& tables = layout.levels[static_cast<std::size_t>(level)];
        key_hull all = newer;
        for (const auto& t : tables)
            if (is_chosen(t)) all.add(t);
        const key_hull reached = level == output_level ? all : newer;
        for (const auto& t : tables) {
            const bool chosen = is_chosen(t);
            if (!chosen && !reached.overlaps(t)) continue;
            all.add(t);
            use(t, chosen);
        }
        newer = all;
    }
}

/// The chosen tables and those that have to come along, as in for_each_merged().
template <class IsChosen>
[[nodiscard]] compaction_choice completed(const table_layout& layout, int output_level, IsChosen is_chosen) {
    compaction_choice out{.output_level = output_level};
    for_each_merged(layout, output_level, is_chosen, [&](const table_summary& t, bool) { out.inputs.push_back(t.id); });
    return out;
}

/// Whether a choice can be carried out while those in `layout.running` are: every lookup then finds what it found
/// before, and levels above 0 stay without overlap. A tombstone may be dropped if nothing older than the inputs had its
/// key when they were chosen. Errors: invalid_argument.
///
/// Why that is so. Let an input and a table T that is none have a key in common. If T is older, it is behind the
/// output, too: in front of it or beside it T would overlap newer inputs, and be refused. If T is newer, it stays in
/// front: an output only goes down, and in level 0, where it stands in the newest input's place, T is not between the
/// inputs. The inputs of a compaction that runs beside are such tables T, and ours are to it. So of two that share a
/// key, the one with the newer entry ends in front of all of the other's inputs that have it, whichever ends first.
/// What remains is that outputs overlap without a key in common, each in a gap of the other: no two may write to one
/// level there.
[[nodiscard]] inline result<void> check_choice(const table_layout& layout, const compaction_choice& choice) {
    const auto refused = [](std::string_view why) {
        return failure(errc::invalid_argument, std::string("a compaction ").append(why));
    };
    const auto about = [&](std::string_view why, const table_summary& t) {
        return refused(std::string(why).append(" table ").append(std::to_string(t.id)));
    };
    const int output_level = choice.output_level;
    if (output_level < 0 || output_level > highest_level) return refused("into a level outside 0 to 6");
    std::vector<std::uint64_t> ids = choice.inputs;
    if (ids.empty()) return refused("of no tables");
    std::sort(ids.begin(), ids.end());
    if (std::adjacent_find(ids.begin(), ids.end()) != ids.end()) return refused("that names a table twice");
    const auto is_input = [&ids](const table_summary& t) { return std::binary_search(ids.begin(), ids.end(), t.id); };

    key_hull hull;
    std::size_t found = 0;
    for (int level = 0; level <= highest_level; ++level)
        for (const auto& t : layout.levels[static_cast<std::size_t>(level)]) {
            if (!is_input(t)) continue;
            if (t.busy) return about("of a busy table:", t);
            if (level > output_level) return about("into a level above its", t);
            hull.add(t);
            ++found;
        }
    if (found != ids.size()) return refused("of a table that is not there");

    const table_summary* left_out = nullptr;
    if (output_level == 0) {
        std::size_t seen = 0;
        for (const auto& t : layout.levels[0])
            if (is_input(t))
                ++seen;
            else if (seen != 0 && seen != ids.size() && hull.overlaps(t))
                left_out = &t;
    } else {
        for_each_merged(layout, output_level, is_input, [&left_out](const table_summary& t, bool chosen) {
            if (!chosen) left_out = &t;
        });
    }
    if (left_out != nullptr) return about("that leaves out", *left_out);

    for (const auto& other : layout.running)
        if (output_level != 0 && other.output_level == output_level && hull.overlaps(other))
            return refused("beside one that is running");
    return {};
}

/// The merge of all tables with keys from `from` (included) to `to` (not included), or to an end of all keys, into the
/// deepest level that has any of them, at least level 1; nothing if there are none. It is chosen also when all of them
/// are in that level already: they may have tombstones that hide nothing any more.
/// Errors: locked while a running compaction is in the way, or a busy table.
[[nodiscard]] inline result<std::optional<compaction_choice>> choose_range(const table_layout& layout,
                                                                           std::optional<bytes_view> from,
                                                                           std::optional<bytes_view> to) {
    const bool nowhere = from && to && *from >= *to;
    const auto inside = [&](const table_summary& t) {
        return !nowhere && (!from || t.largest >= *from) && (!to || t.smallest < *to);
    };
    int deepest = highest_level;
    const auto empty = [&](const std::vector<table_summary>& level) {
        return std::none_of(level.begin(), level.end(), inside);
    };
    while (deepest >= 0 && empty(layout.levels[static_cast<std::size_t>(deepest)])) --deepest;
    if (deepest < 0) return std::nullopt;
    auto choice = completed(layout, std::max(deepest, 1), inside);
    if (!check_choice(layout, choice)) return failure(errc::locked, "a running compaction is in the way");
    return choice;
}

}  // namespace lsm::detail
