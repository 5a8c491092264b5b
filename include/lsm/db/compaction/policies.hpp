#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <lsm/db/compaction/compaction_choice.hpp>
#include <lsm/db/compaction_policy.hpp>
#include <lsm/db/levels.hpp>

/// The policies of compaction_style.
namespace lsm {

/// Keeps level 0 short, and every level below it, except the last, within its size.
class leveled_compaction final : public compaction_policy {
public:
    explicit leveled_compaction(const compaction_options& options) : options_(options) {}

    /// Compacts the level that exceeds its size the most into the next one. O(tables * log(tables)).
    [[nodiscard]] std::optional<compaction_choice> choose(const table_layout& layout) const override {
        std::array<double, detail::highest_level> scores;
        for (std::size_t level = 0; level < scores.size(); ++level) scores[level] = score(layout, level);
        for (;;) {
            const auto highest = std::max_element(scores.begin(), scores.end());
            if (*highest < 1) return std::nullopt;
            const auto level = static_cast<std::size_t>(highest - scores.begin());
            auto choice = level == 0 ? from_level0(layout) : from_level(layout, level);
            if (choice) return choice;
            // Running compactions block all of this level: the next one in order of need may still be free.
            *highest = 0;
        }
    }

private:
    // The size of a level in multiples of its limit. Busy tables count as gone. In level 0 tables are counted, as each
    // is one more place to search; but merging them rewrites level 1, which is wasteful for few bytes.
    [[nodiscard]] double score(const table_layout& layout, std::size_t level) const {
        const double size = free_bytes(layout.levels[level]);
        if (level == 0) {
            const auto is_free = [](const table_summary& t) { return !t.busy; };
            const auto tables = std::count_if(layout.levels[0].begin(), layout.levels[0].end(), is_free);
            const double level1_ratio = free_bytes(layout.levels[1]) / std::max(size, 1.0);
            const double patience = layout.readers_wait ? 1 : std::clamp(level1_ratio, 1.0, max_patience);
            return static_cast<double>(tables) / (std::max(options_.level0_trigger, 1u) * patience);
        }
        double limit = static_cast<double>(std::max<std::uint64_t>(options_.level1_bytes, 1));
        for (std::size_t above = 1; above < level; ++above) limit *= std::max(options_.level_factor, 1u);
        return size / limit;
    }
    [[nodiscard]] static double free_bytes(const std::vector<table_summary>& tables) {
        double out = 0;
        for (const auto& t : tables) out += t.busy ? 0 : static_cast<double>(t.file_bytes);
        return out;
    }

    // Chooses the oldest table and all that overlap it, directly or through others; a table without overlap moves down
    // alone. If running compactions block these, tries the oldest of the remaining tables, and so on.
    [[nodiscard]] static std::optional<compaction_choice> from_level0(const table_layout& layout) {
        const auto& newest_first = layout.levels[0];
        std::vector<detail::key_hull> blocked;
        for (auto oldest = newest_first.rbegin(); oldest != newest_first.rend(); ++oldest) {
            const auto has_oldest = [&](const detail::key_hull& keys) { return keys.overlaps(*oldest); };
            if (std::any_of(blocked.begin(), blocked.end(), has_oldest)) continue;
            // A table that joins widens the hull, which may then overlap tables that were passed before.
            detail::key_hull hull;
            hull.add(*oldest);
            for (detail::key_hull before; before != hull;) {
                before = hull;
                for (auto t = newest_first.rbegin(); t != newest_first.rend(); ++t)
                    if (hull.overlaps(*t)) hull.add(*t);
            }
            auto choice = detail::complete_choice(layout, 1, [&](const table_summary& t) { return hull.overlaps(t); });
            if (detail::check_choice(layout, choice)) return choice;
            blocked.push_back(hull);
        }
        return std::nullopt;
    }

    // Chooses the table that overlaps the least of the next level for its size. A table that is passed over gets its
    // turn: what lies below it stays as it is, while new tables beside it make its level grow.
    [[nodiscard]] static std::optional<compaction_choice> from_level(const table_layout& layout, std::size_t level) {
        const auto& below = layout.levels[level + 1];
        std::vector<std::pair<double, std::uint64_t>> order;  // cost and id
        std::size_t first = 0;
        for (const auto& t : layout.levels[level]) {
            while (first < below.size() && below[first].largest < t.smallest) ++first;
            bool blocked = t.busy;
            double cost = 0;
            for (std::size_t i = first; i < below.size() && below[i].smallest <= t.largest; ++i) {
                blocked = blocked || below[i].busy;
                cost += static_cast<double>(below[i].file_bytes);
            }
            const auto size = static_cast<double>(std::max<std::uint64_t>(t.file_bytes, 1));
            if (!blocked) order.emplace_back(cost / size, t.id);
        }
        std::sort(order.begin(), order.end());
        for (const auto& candidate : order) {
            const std::uint64_t id = candidate.second;
            const auto is_candidate = [id](const table_summary& t) { return t.id == id; };
            auto choice = detail::complete_choice(layout, static_cast<int>(level) + 1, is_candidate);
            if (detail::check_choice(layout, choice)) return choice;
        }
        return std::nullopt;
    }

    static constexpr double max_patience = 3;

    compaction_options options_;
};

/// Merges neighbours in level 0 that are of similar size, smaller tables between them included. The result must be
/// about compaction_options::level0_trigger times as large as the largest of them, so that each byte is written once
/// for each such step. Leaves the other levels alone.
class size_tiered_compaction final : public compaction_policy {
public:
    explicit size_tiered_compaction(const compaction_options& options)
        : trigger_(std::max(options.level0_trigger, 2u)), max_tables_(options.level0_slowdown) {}

    /// Chooses the newest such neighbours. If there are none, but more than level0_slowdown tables, chooses those that
    /// come closest; taking the smallest instead would rewrite the last result again and again. O(tables^2).
    [[nodiscard]] std::optional<compaction_choice> choose(const table_layout& layout) const override {
        const auto& tables = layout.levels[0];
        const double enough = similar_size * static_cast<double>(trigger_);
        run best;
        for (std::size_t first = 0; first < tables.size() && best.gain < enough; ++first) {
            const run here = best_from(tables, first);
            if (here.gain > best.gain) best = here;
        }
        if (best.count == 0 || (best.gain < enough && tables.size() <= max_tables_)) return std::nullopt;
        compaction_choice out{.output_level = 0};
        for (std::size_t i = best.first; i < best.first + best.count; ++i) out.inputs.push_back(tables[i].id);
        return out;
    }

private:
    // Neighbours; the gain is the size of all of them in multiples of the largest.
    struct run {
        std::size_t first = 0;
        std::size_t count = 0;
        double gain = 0;
    };

    [[nodiscard]] run best_from(const std::vector<table_summary>& tables, std::size_t first) const {
        run best;
        double total = 0;
        double largest = 1;
        for (std::size_t i = first; i < tables.size() && !tables[i].busy; ++i) {
            const auto size = static_cast<double>(tables[i].file_bytes);
            total += size;
            largest = std::max(largest, size);
            const std::size_t count = i - first + 1;
            if (count >= trigger_ && total / largest > best.gain) best = {first, count, total / largest};
        }
        return best;
    }

    // The gain that is enough, as a fraction of level0_trigger, which that many tables of equal size reach.
    static constexpr double similar_size = 0.75;

    std::size_t trigger_;
    std::size_t max_tables_;
};

/// Never compacts.
class no_compaction final : public compaction_policy {
public:
    [[nodiscard]] std::optional<compaction_choice> choose(const table_layout&) const override { return std::nullopt; }
};

}  // namespace lsm
