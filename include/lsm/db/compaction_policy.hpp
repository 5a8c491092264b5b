#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <lsm/db/compaction/compaction_choice.hpp>
#include <lsm/db/disk/manifest.hpp>

namespace lsm {

enum class compaction_style : unsigned char {
    leveled,      ///< levels 1 to 6, each several times as large as the one above it: little space, quick reads
    size_tiered,  ///< tables of like size become one, all in level 0: few writes, more space, slower reads
    none,         ///< only when it is asked for
};

class compaction_policy;

struct compaction_options {
    compaction_style style = compaction_style::leveled;
    /// So many tables in level 0 are merged, or up to three times as many while level 1 is much larger than they are
    /// together and few reads come past them; with size_tiered, so many of like size, at least 2.
    unsigned level0_trigger = 4;
    /// From so many tables in level 0 on writers are delayed, the longest at `level0_stop`.
    unsigned level0_slowdown = 20;
    unsigned level0_stop = 36;
    /// Level 1 may have `level1_bytes` bytes, and each level below `level_factor` times what the one above it may have;
    /// the last one, 6, any number.
    unsigned level_factor = 10;
    std::uint64_t level1_bytes = std::uint64_t{256} << 20;
    /// Above level 0 a table ends when its entries have so many bytes; with 0, as with 1, each has a table of its own.
    std::uint64_t target_table_bytes = std::uint64_t{16} << 20;
    /// One of your own instead of `style`; must outlive the database.
    const compaction_policy* policy = nullptr;
};

/// Chooses what is merged next.
class compaction_policy {
public:
    virtual ~compaction_policy() = default;

    /// Called when tables have changed, until there is nothing; a choice that would not keep the newest entry of every
    /// key where it is found is not carried out. Called by any thread, one at a time, while the database is locked: it
    /// must not use the database, and should be quick.
    [[nodiscard]] virtual std::optional<compaction_choice> choose(const table_layout& layout) const = 0;
};

/// Keeps level 0 short, and each level below it within its size, the last one excepted.
class leveled_compaction final : public compaction_policy {
public:
    explicit leveled_compaction(const compaction_options& how) : how_(how) {}

    /// From the level that is the most beyond its size to the next. O(tables * log(tables)).
    [[nodiscard]] std::optional<compaction_choice> choose(const table_layout& layout) const override {
        std::array<double, detail::highest_level> scores;
        for (std::size_t level = 0; level < scores.size(); ++level) scores[level] = score(layout, level);
        for (;;) {
            const auto highest = std::max_element(scores.begin(), scores.end());
            if (*highest < 1) return std::nullopt;
            const auto level = static_cast<std::size_t>(highest - scores.begin());
            auto choice = level == 0 ? from_level0(layout) : from_level(layout, level);
            if (choice) return choice;
            *highest = 0;
        }
    }

private:
    // How many times the size that it may have; busy tables are as good as gone. In level 0 tables are counted, as each
    // is one more place to search; but their merge rewrites level 1, which should not be for few bytes.
    [[nodiscard]] double score(const table_layout& layout, std::size_t level) const {
        const double size = free_bytes(layout.levels[level]);
        if (level == 0) {
            const auto is_free = [](const table_summary& t) { return !t.busy; };
            const auto tables = std::count_if(layout.levels[0].begin(), layout.levels[0].end(), is_free);
            const double patience = layout.readers_wait ? 1
                                                        : std::clamp(free_bytes(layout.levels[1]) / std::max(size, 1.0),
                                                                     1.0, most_patience);
            return static_cast<double>(tables) / (std::max(how_.level0_trigger, 1u) * patience);
        }
        double most = static_cast<double>(std::max<std::uint64_t>(how_.level1_bytes, 1));
        for (std::size_t above = 1; above < level; ++above) most *= std::max(how_.level_factor, 1u);
        return size / most;
    }
    [[nodiscard]] static double free_bytes(const std::vector<table_summary>& tables) {
        double out = 0;
        for (const auto& t : tables) out += t.busy ? 0 : static_cast<double>(t.file_bytes);
        return out;
    }

    // The oldest table and all that overlap it, directly or by others in between; one with keys of its own goes down
    // alone. If these are blocked, then the oldest of the others, and so on.
    [[nodiscard]] static std::optional<compaction_choice> from_level0(const table_layout& layout) {
        const auto& newest_first = layout.levels[0];
        std::vector<detail::key_hull> blocked;
        for (auto oldest = newest_first.rbegin(); oldest != newest_first.rend(); ++oldest) {
            const auto has_oldest = [&](const detail::key_hull& keys) { return keys.overlaps(*oldest); };
            if (std::any_of(blocked.begin(), blocked.end(), has_oldest)) continue;
            detail::key_hull hull;
            hull.add(*oldest);
            for (detail::key_hull before; before != hull;) {
                before = hull;
                for (auto t = newest_first.rbegin(); t != newest_first.rend(); ++t)
                    if (hull.overlaps(*t)) hull.add(*t);
            }
            auto choice = detail::completed(layout, 1, [&](const table_summary& t) { return hull.overlaps(t); });
            if (detail::check_choice(layout, choice)) return choice;
            blocked.push_back(hull);
        }
        return std::nullopt;
    }

    // The table that overlaps the least of the next level for its size. One that is passed over has its turn: what is
    // below it stays as it is, while new tables beside it make its level grow.
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
            auto choice = detail::completed(layout, static_cast<int>(level) + 1,
                                            [id](const table_summary& t) { return t.id == id; });
            if (detail::check_choice(layout, choice)) return choice;
        }
        return std::nullopt;
    }

    static constexpr double most_patience = 3;

    compaction_options how_;
};

/// Merges neighbours in level 0 when they are of like size, smaller ones in between included: the outcome has to be
/// about compaction_options::level0_trigger times as large as the largest of them, so that a byte is written once for
/// each such step. Other levels are left alone.
class size_tiered_compaction final : public compaction_policy {
public:
    explicit size_tiered_compaction(const compaction_options& how)
        : trigger_(std::max(how.level0_trigger, 2u)), too_many_(how.level0_slowdown) {}

    /// The newest of such neighbours. If there are none, but more than level0_slowdown tables, those that come closest;
    /// to take the smallest would be to write the last outcome again and again. O(tables^2).
    [[nodiscard]] std::optional<compaction_choice> choose(const table_layout& layout) const override {
        const auto& tables = layout.levels[0];
        const double enough = like_size * static_cast<double>(trigger_);
        run best;
        for (std::size_t first = 0; first < tables.size() && best.gain < enough; ++first) {
            const run here = best_from(tables, first);
            if (here.gain > best.gain) best = here;
        }
        if (best.count == 0 || (best.gain < enough && tables.size() <= too_many_)) return std::nullopt;
        compaction_choice out{.output_level = 0};
        for (std::size_t i = best.first; i < best.first + best.count; ++i) out.inputs.push_back(tables[i].id);
        return out;
    }

private:
    // Neighbours; and how many times as large as the largest of them they are together.
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

    // The gain that is enough, in parts of level0_trigger: so many tables of one size have all of it.
    static constexpr double like_size = 0.75;

    std::size_t trigger_;
    std::size_t too_many_;
};

/// Leaves all tables as they are.
class no_compaction final : public compaction_policy {
public:
    [[nodiscard]] std::optional<compaction_choice> choose(const table_layout&) const override { return std::nullopt; }
};

}  // namespace lsm
