#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/compaction_policy.hpp>
#include <lsm/db/levels.hpp>

namespace lsm::detail {

/// The keys from the smallest to the largest of some tables; empty if there are none.
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

/// Calls `use(table, chosen)` for every table that `is_chosen`, and for every table that a merge of these into a level
/// above 0 must include: an older table before the output level whose keys overlap those of the newer inputs, and a
/// table of the output level whose keys overlap those of all inputs. Goes from new to old.
/// Requires that the chosen tables lie in levels 0 to `output_level`.
template <class IsChosen, class Use>
void for_each_merged(const table_layout& layout, int output_level, IsChosen is_chosen, Use use) {
    key_hull newer;
    // In level 0 every table is older than the ones before it, so the hull grows from table to table.
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
        // Tables of one level are disjoint, so that only newer inputs can drag a table along; but the output must not
        // overlap what stays in its level, whichever input it comes from.
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

/// Returns the chosen tables and those that for_each_merged() adds to them.
template <class IsChosen>
[[nodiscard]] compaction_choice complete_choice(const table_layout& layout, int output_level, IsChosen is_chosen) {
    compaction_choice out{.output_level = output_level};
    for_each_merged(layout, output_level, is_chosen, [&](const table_summary& t, bool) { out.inputs.push_back(t.id); });
    return out;
}

/// Returns a table that a merge of `inputs` tables, which lie in `hull`, must include but does not, or null.
template <class IsInput>
[[nodiscard]] const table_summary* find_left_out(const table_layout& layout, int output_level, std::size_t inputs,
                                                 const key_hull& hull, IsInput is_input) {
    const table_summary* left_out = nullptr;
    if (output_level != 0) {
        for_each_merged(layout, output_level, is_input, [&left_out](const table_summary& t, bool chosen) {
            if (!chosen) left_out = &t;
        });
        return left_out;
    }
    // The output takes the newest input's place: a table between the inputs that shares keys with them would become
    // older than entries that it overwrote.
    std::size_t seen = 0;
    for (const auto& t : layout.levels[0])
        if (is_input(t))
            ++seen;
        else if (seen != 0 && seen != inputs && hull.overlaps(t))
            left_out = &t;
    return left_out;
}

/// Checks that a choice can run beside the compactions in `layout.running`: every lookup then finds what it found
/// before, and levels above 0 stay without overlap. A tombstone may be dropped if nothing older than the inputs had its
/// key when they were chosen. Errors: invalid_argument.
///
/// Why this suffices. Let an input share a key with a table T that is not an input. If T is older, it is also older
/// than the output: a T before or beside the output would overlap newer inputs, and be refused here. If T is newer, it
/// stays newer: an output only moves down, and in level 0, where it takes the newest input's place, no T lies between
/// the inputs. The inputs of a compaction that runs at the same time are such tables T, and ours are to it. So of two
/// compactions that share a key, the one with the newer entry ends before all of the other's inputs that have the key,
/// whichever finishes first. One case remains: outputs that share no key but overlap, each in a gap of the other. So no
/// two may write to one level there.
[[nodiscard]] inline result<void> check_choice(const table_layout& layout, const compaction_choice& choice) {
    const auto refused = [](std::string_view why) {
        return failure(errc::invalid_argument, std::string("a compaction ").append(why));
    };
    const auto refused_table = [&](std::string_view why, const table_summary& t) {
        return refused(std::string(why).append(" table ").append(std::to_string(t.id)));
    };
    const int output_level = choice.output_level;
    if (output_level < 0 || output_level > highest_level) return refused("into a level outside 0 to 6");
    std::vector<std::uint64_t> ids = choice.inputs;
    if (ids.empty()) return refused("without tables");
    std::sort(ids.begin(), ids.end());
    if (std::adjacent_find(ids.begin(), ids.end()) != ids.end()) return refused("that names a table twice");
    const auto is_input = [&ids](const table_summary& t) { return std::binary_search(ids.begin(), ids.end(), t.id); };

    key_hull hull;
    std::size_t found = 0;
    for (int level = 0; level <= highest_level; ++level)
        for (const auto& t : layout.levels[static_cast<std::size_t>(level)]) {
            if (!is_input(t)) continue;
            if (t.busy) return refused_table("of a busy table:", t);
            if (level > output_level) return refused_table("into a level above its", t);
            hull.add(t);
            ++found;
        }
    if (found != ids.size()) return refused("of a table that does not exist");

    if (const auto* const left_out = find_left_out(layout, output_level, ids.size(), hull, is_input))
        return refused_table("that leaves out", *left_out);
    for (const auto& other : layout.running)
        if (output_level != 0 && other.output_level == output_level && hull.overlaps(other))
            return refused("that overlaps a running one");
    return {};
}

/// Returns the merge of all tables with keys in [from, to), a missing bound being that end of all keys, into the
/// deepest level that has any of them, at least level 1. Returns nothing if there are no such tables. Merges also
/// tables that all lie in one level: they may have tombstones that hide nothing any more.
/// Errors: locked while a running compaction or a busy table is in the way.
[[nodiscard]] inline result<std::optional<compaction_choice>> choose_range(const table_layout& layout,
                                                                           std::optional<bytes_view> from,
                                                                           std::optional<bytes_view> to) {
    const bool nowhere = from && to && *from >= *to;
    const auto inside = [&](const table_summary& t) {
        return !nowhere && (!from || t.largest >= *from) && (!to || t.smallest < *to);
    };
    const auto has_none_inside = [&](int level) {
        const auto& tables = layout.levels[static_cast<std::size_t>(level)];
        return std::none_of(tables.begin(), tables.end(), inside);
    };
    int deepest = highest_level;
    while (deepest >= 0 && has_none_inside(deepest)) --deepest;
    if (deepest < 0) return std::nullopt;
    auto choice = complete_choice(layout, std::max(deepest, 1), inside);
    if (!check_choice(layout, choice)) return failure(errc::locked, "a running compaction is in the way");
    return choice;
}

}  // namespace lsm::detail
