#include <lsm/db/compaction_policy.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "support/results.hpp"
#include "support/seed.hpp"

namespace {

using namespace lsm::test;
using lsm::bytes;
using lsm::bytes_view;
using lsm::compaction_choice;
using lsm::compaction_options;
using lsm::errc;
using lsm::table_layout;

using tables = std::vector<lsm::table_summary>;

std::string text(const std::optional<compaction_choice>& choice) {
    if (!choice) return "nothing";
    auto ids = choice->inputs;
    std::ranges::sort(ids);
    std::string out;
    for (const auto id : ids) out += std::to_string(id) + " ";
    return out + "into " + std::to_string(choice->output_level);
}

// Why a choice is refused.
std::string refusal(const table_layout& layout, std::vector<std::uint64_t> inputs, int output_level) {
    const auto checked = lsm::detail::check_choice(layout, {std::move(inputs), output_level});
    if (checked) return "accepted";
    CHECK(checked.error().code == errc::invalid_argument);
    return checked.error().what.substr(std::string("invalid_argument: a compaction ").size());
}

std::string range(const table_layout& layout, std::optional<bytes_view> from, std::optional<bytes_view> to) {
    return text(must(lsm::detail::choose_range(layout, from, to)));
}

std::string leveled(const table_layout& layout) {
    return text(lsm::leveled_compaction({.level0_trigger = 2, .level_factor = 2, .level1_bytes = 100}).choose(layout));
}
std::string size_tiered(const table_layout& layout) {
    return text(lsm::size_tiered_compaction({.level0_trigger = 3, .level0_slowdown = 6}).choose(layout));
}

// Tables in level 0, the newest first, of these sizes; the ids say where they stand.
table_layout sized(const std::vector<std::uint64_t>& sizes) {
    table_layout out;
    for (const auto size : sizes) out.levels[0].push_back({out.levels[0].size() + 1, size, "a", "z"});
    return out;
}

// What a table says of a key: the number of the write that it comes from, and whether that deleted it.
struct written {
    int number;
    bool deleted;
};

struct model_table {
    std::uint64_t id;
    std::map<bytes, written> entries;
};
using model_table_pointer = std::shared_ptr<const model_table>;
bytes_view smallest_of(const model_table_pointer& t) { return t->entries.begin()->first; }
bytes_view largest_of(const model_table_pointer& t) { return t->entries.rbegin()->first; }

using model_levels = std::array<std::vector<model_table_pointer>, 7>;

/// The tables of a database, and what should be found in them.
class modelled_tables {
public:
    static constexpr std::uint64_t entry_bytes = 10;

    explicit modelled_tables(std::size_t entries_a_table) : entries_a_table_(entries_a_table) {}

    void flush(const std::map<bytes, bool>& keys_deleted) {
        auto table = std::make_shared<model_table>();
        table->id = ++last_id_;
        for (const auto& [key, deleted] : keys_deleted) table->entries[key] = newest_[key] = {++last_number_, deleted};
        flushed_bytes_ += table->entries.size() * entry_bytes;
        levels_[0].insert(levels_[0].begin(), std::move(table));
    }

    [[nodiscard]] table_layout layout() const {
        table_layout out;
        for (std::size_t level = 0; level < levels_.size(); ++level)
            for (const auto& t : levels_[level]) {
                const bool busy = std::ranges::any_of(running_, [&](const job& j) { return j.has(t->id); });
                const auto size = t->entries.size() * entry_bytes;
                out.levels[level].push_back({t->id, size, smallest_of(t), largest_of(t), busy});
            }
        for (const auto& j : running_) out.running.push_back({j.smallest(), j.largest(), j.output_level});
        return out;
    }

    /// Requires a choice that check_choice() accepts.
    void start(const compaction_choice& choice) {
        job fresh{.inputs = {}, .first_level = -1, .output_level = choice.output_level, .older = {}};
        for (std::size_t level = 0; level < levels_.size(); ++level)
            for (const auto& t : levels_[level]) {
                if (std::ranges::find(choice.inputs, t->id) != choice.inputs.end()) {
                    if (fresh.first_level < 0) fresh.first_level = static_cast<int>(level);
                    fresh.inputs.push_back(t);
                    fresh.older.clear();
                } else if (level > static_cast<std::size_t>(choice.output_level) || choice.output_level == 0) {
                    fresh.older.push_back(t);
                }
            }
        running_.push_back(std::move(fresh));
    }

    [[nodiscard]] std::size_t running() const { return running_.size(); }

    /// Ends a running compaction: the merge of what its inputs hold, without tombstones of which nothing older was
    /// there when it began. A lone table that goes down is only moved.
    void finish(std::size_t which) {
        const job done = std::move(running_[which]);
        running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(which));
        std::vector<model_table_pointer> outputs;
        if (done.inputs.size() == 1 && done.first_level != done.output_level) {
            outputs = done.inputs;
        } else {
            std::map<bytes, written> merged;
            for (const auto& t : done.inputs) merged.insert(t->entries.begin(), t->entries.end());
            std::erase_if(merged, [&](const auto& entry) {
                return entry.second.deleted && std::ranges::none_of(done.older, [&](const auto& t) {
                           return t->entries.contains(entry.first);
                       });
            });
            std::shared_ptr<model_table> last;
            for (auto& [key, entry] : merged) {
                if (!last || (done.output_level > 0 && last->entries.size() == entries_a_table_)) {
                    last = std::make_shared<model_table>(model_table{++last_id_, {}});
                    outputs.push_back(last);
                }
                last->entries.emplace_hint(last->entries.end(), key, entry);
            }
            compacted_bytes_ += merged.size() * entry_bytes;
        }

        auto& output_level = levels_[static_cast<std::size_t>(done.output_level)];
        const auto is_input = [&](const auto& t) { return done.has(t->id); };
        const auto newest = std::ranges::find_if(output_level, is_input) - output_level.begin();
        for (auto& level : levels_) std::erase_if(level, is_input);
        const auto place = output_level.begin() + (done.output_level == 0 ? newest : 0);
        output_level.insert(place, outputs.begin(), outputs.end());
        if (done.output_level > 0) std::ranges::sort(output_level, {}, smallest_of);
    }

    /// What is wrong: nothing.
    [[nodiscard]] std::string defect() const {
        for (std::size_t level = 1; level < levels_.size(); ++level)
            for (std::size_t i = 1; i < levels_[level].size(); ++i)
                if (largest_of(levels_[level][i - 1]) >= smallest_of(levels_[level][i]))
                    return "overlap in level " + std::to_string(level);
        std::map<bytes_view, int> seen;
        for (const auto& level : levels_)
            for (const auto& t : level)
                for (const auto& [key, entry] : t->entries) {
                    const auto newer = seen.find(key);
                    if (newer == seen.end() ? entry.number != newest_.at(key).number : entry.number >= newer->second)
                        return key + " is hidden by something older";
                    seen[key] = entry.number;
                }
        for (const auto& [key, entry] : newest_)
            if (!entry.deleted && !seen.contains(key)) return key + " is lost";
        return {};
    }

    [[nodiscard]] const model_levels& levels() const { return levels_; }
    /// Bytes written for each byte that was flushed.
    [[nodiscard]] double write_amplification() const {
        return 1 + static_cast<double>(compacted_bytes_) / static_cast<double>(flushed_bytes_);
    }

private:
    struct job {
        std::vector<model_table_pointer> inputs;  // newest first
        int first_level;
        int output_level;
        std::vector<model_table_pointer> older;  // than all inputs, when it began

        [[nodiscard]] bool has(std::uint64_t id) const {
            return std::ranges::any_of(inputs, [id](const auto& t) { return t->id == id; });
        }
        [[nodiscard]] bytes_view smallest() const {
            bytes_view out = smallest_of(inputs[0]);
            for (const auto& t : inputs) out = std::min(out, smallest_of(t));
            return out;
        }
        [[nodiscard]] bytes_view largest() const {
            bytes_view out;
            for (const auto& t : inputs) out = std::max(out, largest_of(t));
            return out;
        }
    };

    std::size_t entries_a_table_;
    model_levels levels_;
    std::vector<job> running_;
    std::map<bytes, written> newest_;
    int last_number_ = 0;
    std::uint64_t last_id_ = 0;
    std::uint64_t flushed_bytes_ = 0;
    std::uint64_t compacted_bytes_ = 0;
};

/// Random things happen to the tables, and they have to stay good.
class random_history {
public:
    explicit random_history(std::uint64_t seed) : random_(seed) {}

    void step() {
        const auto what = below(100);
        if (what < 15)
            flush();
        else if (what < 35)
            follow(leveled_);
        else if (what < 45)
            follow(size_tiered_);
        else if (what < 47)
            try_range();
        else if (what < 85)
            try_anything();
        else if (tables_.running() != 0)
            tables_.finish(below(tables_.running()));
        REQUIRE(tables_.defect() == "");
    }

    /// Until there is nothing left to do.
    void settle(const lsm::compaction_policy& policy) {
        while (tables_.running() != 0) tables_.finish(0);
        while (const auto choice = policy.choose(tables_.layout())) {
            start(*choice);
            tables_.finish(0);
        }
        REQUIRE(tables_.defect() == "");
    }

    void flush() {
        std::map<bytes, bool> keys;
        const auto start = below(300);
        const auto width = 1 + below(below(2) == 0 ? 300 : 30);
        for (auto count = 1 + below(20); count != 0; --count) keys[key(start + below(width))] = below(4) == 0;
        tables_.flush(keys);
    }

    [[nodiscard]] modelled_tables& tables() { return tables_; }
    [[nodiscard]] const lsm::leveled_compaction& leveled() const { return leveled_; }
    [[nodiscard]] unsigned accepted() const { return accepted_; }
    [[nodiscard]] unsigned refused() const { return refused_; }

private:
    std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }
    static bytes key(std::size_t n) { return std::to_string(1000 + n); }

    void start(const compaction_choice& choice) {
        INFO(text(choice));
        must(lsm::detail::check_choice(tables_.layout(), choice));
        tables_.start(choice);
    }

    void follow(const lsm::compaction_policy& policy) {
        if (tables_.running() == 5) return;
        if (const auto choice = policy.choose(tables_.layout())) start(*choice);
    }

    void try_range() {
        const auto from = key(below(300)), to = key(below(300));
        const auto layout = tables_.layout();
        const auto choice = lsm::detail::choose_range(layout, from, to);
        if (choice && *choice) start(**choice);
        if (!choice) {
            CHECK(choice.error().code == errc::locked);
            CHECK(tables_.running() != 0);
        }
    }

    // Neighbours in some levels, or what a merge of some tables needs but for one that is left out; into any level.
    void try_anything() {
        if (tables_.running() == 5) return;
        const auto layout = tables_.layout();
        compaction_choice choice;
        const auto deepest = below(4);
        choice.output_level = static_cast<int>(deepest + below(4) / 3 * (1 + below(2)));
        for (auto level = below(deepest + 1); level <= deepest; ++level) {
            const auto& in = layout.levels[level];
            if (in.empty()) continue;
            const auto first = below(in.size());
            const auto count = std::min(in.size() - first, 1 + below(3));
            for (auto i = first; i < first + count; ++i)
                if (below(4) != 0) choice.inputs.push_back(in[i].id);
        }
        if (below(2) == 0 && choice.output_level > 0) {
            choice = lsm::detail::complete_choice(layout, choice.output_level, [&](const lsm::table_summary& t) {
                return std::ranges::find(choice.inputs, t.id) != choice.inputs.end();
            });
            if (!choice.inputs.empty() && below(2) == 0)
                choice.inputs.erase(choice.inputs.begin() + static_cast<std::ptrdiff_t>(below(choice.inputs.size())));
        }
        if (lsm::detail::check_choice(layout, choice)) {
            ++accepted_;
            tables_.start(choice);
        } else {
            ++refused_;
        }
    }

    std::mt19937_64 random_;
    modelled_tables tables_{10};
    lsm::leveled_compaction leveled_{compaction_options{.level_factor = 3, .level1_bytes = 400}};
    lsm::size_tiered_compaction size_tiered_{compaction_options{}};
    unsigned accepted_ = 0;
    unsigned refused_ = 0;
};

// A history of tables with random keys, each compaction done at once.
double write_amplification(const lsm::compaction_policy& policy, unsigned flushes, unsigned entries_a_table) {
    std::mt19937_64 random(seed_or(7));
    modelled_tables all(entries_a_table);
    for (unsigned i = 0; i < flushes; ++i) {
        std::map<bytes, bool> keys;
        while (keys.size() < entries_a_table) {
            const auto number = random();
            keys[bytes(reinterpret_cast<const char*>(&number), sizeof number)] = false;
        }
        all.flush(keys);
        while (const auto choice = policy.choose(all.layout())) {
            all.start(*choice);
            all.finish(0);
        }
    }
    CHECK(all.defect() == "");
    return all.write_amplification();
}

}  // namespace

TEST_CASE("compaction choice: its inputs are there and free and named once") {
    table_layout layout;
    layout.levels[0] = tables{{1, 1, "a", "b"}, {2, 1, "c", "d", true}};
    CHECK(refusal(layout, {1}, 1) == "accepted");
    CHECK(refusal(layout, {}, 1) == "without tables");
    CHECK(refusal(layout, {1, 1}, 1) == "that names a table twice");
    CHECK(refusal(layout, {1, 3}, 1) == "of a table that does not exist");
    CHECK(refusal(layout, {1, 2}, 1) == "of a busy table: table 2");
}

TEST_CASE("compaction choice: the output goes down or stays where it is") {
    table_layout layout;
    layout.levels[2] = tables{{1, 1, "a", "b"}};
    CHECK(refusal(layout, {1}, 2) == "accepted");
    CHECK(refusal(layout, {1}, 6) == "accepted");
    CHECK(refusal(layout, {1}, 1) == "into a level above its table 1");
    CHECK(refusal(layout, {1}, 7) == "into a level outside 0 to 6");
    CHECK(refusal(layout, {1}, -1) == "into a level outside 0 to 6");
}

TEST_CASE("compaction choice: nothing older stays above the output") {
    table_layout layout;
    layout.levels[0] = tables{{1, 1, "a", "e"}, {2, 1, "d", "m"}, {3, 1, "x", "z"}};
    layout.levels[1] = tables{{4, 1, "b", "c"}, {5, 1, "n", "o"}};
    CHECK(refusal(layout, {1, 4}, 1) == "that leaves out table 2");
    CHECK(refusal(layout, {2}, 1) == "accepted");
    CHECK(refusal(layout, {1, 2}, 2) == "that leaves out table 4");
    CHECK(refusal(layout, {1, 2, 4}, 2) == "accepted");
    CHECK(refusal(layout, {3, 5}, 1) == "accepted");
}

TEST_CASE("compaction choice: nothing lies beside the output between its first and last key") {
    table_layout layout;
    layout.levels[0] = tables{{1, 1, "a", "b"}, {2, 1, "x", "z"}};
    layout.levels[1] = tables{{3, 1, "m", "n"}};
    layout.levels[2] = tables{{4, 1, "a", "z"}};
    CHECK(refusal(layout, {1, 2}, 1) == "that leaves out table 3");
    CHECK(refusal(layout, {1, 2, 3}, 1) == "accepted");
    CHECK(refusal(layout, {1}, 1) == "accepted");
    CHECK(refusal(layout, {3}, 2) == "that leaves out table 4");
    layout.levels[1][0].busy = true;
    CHECK(refusal(layout, {1, 2}, 1) == "that leaves out table 3");
}

TEST_CASE("compaction choice: neighbours in a level go down apart but do not merge apart") {
    table_layout layout;
    layout.levels[1] = tables{{1, 1, "a", "b"}, {2, 1, "m", "n"}, {3, 1, "x", "z"}};
    CHECK(refusal(layout, {1, 3}, 1) == "that leaves out table 2");
    CHECK(refusal(layout, {1, 2}, 1) == "accepted");
    CHECK(refusal(layout, {1, 3}, 2) == "accepted");
}

TEST_CASE("compaction choice: in level 0 nothing of the same keys is between the inputs") {
    table_layout layout;
    layout.levels[0] = tables{{1, 1, "m", "n"}, {2, 1, "a", "c"}, {3, 1, "b", "d"}, {4, 1, "x", "z"}, {5, 1, "a", "e"}};
    CHECK(refusal(layout, {2, 3}, 0) == "accepted");
    CHECK(refusal(layout, {2, 3, 5}, 0) == "accepted");
    CHECK(refusal(layout, {2, 5}, 0) == "that leaves out table 3");
    CHECK(refusal(layout, {1, 2, 4}, 0) == "that leaves out table 3");
    CHECK(refusal(layout, {1}, 0) == "accepted");
}

TEST_CASE("compaction choice: two that run put no overlapping tables into one level") {
    table_layout layout;
    layout.levels[0] = tables{{1, 1, "a", "c"}};
    layout.levels[1] = tables{{2, 1, "e", "f"}};
    layout.levels[2] = tables{{3, 1, "d", "g"}};
    const auto beside = [&](int running_into, std::vector<std::uint64_t> inputs, int output_level) {
        layout.running = {{"c", "d", running_into}};
        return refusal(layout, std::move(inputs), output_level);
    };
    CHECK(beside(1, {1}, 1) == "that overlaps a running one");
    CHECK(beside(2, {2, 3}, 2) == "that overlaps a running one");
    CHECK(beside(1, {2}, 1) == "accepted");
    CHECK(beside(1, {2, 3}, 2) == "accepted");
    CHECK(beside(2, {1}, 1) == "accepted");
    CHECK(beside(0, {1}, 0) == "accepted");
}

TEST_CASE("compaction range: all that has keys of it goes into the deepest level that has any") {
    table_layout layout;
    CHECK(range(layout, {}, {}) == "nothing");
    layout.levels[0] = tables{{1, 1, "a", "c"}, {2, 1, "x", "z"}};
    CHECK(range(layout, {}, {}) == "1 2 into 1");
    layout.levels[1] = tables{{3, 1, "b", "d"}, {4, 1, "e", "f"}};
    layout.levels[3] = tables{{5, 1, "a", "b"}};
    CHECK(range(layout, {}, {}) == "1 2 3 4 5 into 3");
    CHECK(range(layout, "e", {}) == "2 4 into 1");
    CHECK(range(layout, {}, "a") == "nothing");
    CHECK(range(layout, "z", {}) == "2 into 1");
    CHECK(range(layout, "z0", {}) == "nothing");
    CHECK(range(layout, "g", "x") == "nothing");
    CHECK(range(layout, "f", "b") == "nothing");
    CHECK(range(layout, "b", "b") == "nothing");
}

TEST_CASE("compaction range: older tables and neighbours come along and newer ones need not") {
    table_layout layout;
    layout.levels[0] = tables{{1, 1, "d", "k"}, {2, 1, "a", "e"}, {3, 1, "d", "f"}, {4, 1, "m", "n"}};
    layout.levels[1] = tables{{5, 1, "f", "g"}, {6, 1, "h", "i"}};
    layout.levels[2] = tables{{7, 1, "b", "c"}, {8, 1, "g", "h"}, {9, 1, "i", "j"}};
    CHECK(range(layout, "a", "c") == "2 3 5 7 8 into 2");
}

TEST_CASE("compaction range: a lone table in the deepest level is chosen") {
    table_layout layout;
    layout.levels[4] = tables{{1, 1, "", "b"}};
    CHECK(range(layout, {}, {}) == "1 into 4");
    CHECK(range(layout, "", "a") == "1 into 4");
}

TEST_CASE("compaction range: one that runs in the way is told from nothing to do") {
    table_layout layout;
    layout.levels[0] = tables{{1, 1, "a", "c"}, {2, 1, "x", "z"}};
    layout.levels[1] = tables{{3, 1, "b", "d", true}};
    layout.running = {{"b", "d", 2}};
    CHECK(must_fail(lsm::detail::choose_range(layout, "a", "b")).code == errc::locked);
    CHECK(range(layout, "e", "f") == "nothing");
    CHECK(range(layout, "x", {}) == "2 into 1");
    layout.levels[1].clear();
    layout.running = {{"b", "y", 1}};
    CHECK(must_fail(lsm::detail::choose_range(layout, "x", {})).code == errc::locked);
}

TEST_CASE("leveled compaction: levels within their size are left alone") {
    table_layout layout;
    CHECK(leveled(layout) == "nothing");
    layout.levels[0] = tables{{1, 1000, "a", "b"}};
    layout.levels[1] = tables{{2, 99, "a", "z"}};
    layout.levels[2] = tables{{3, 199, "a", "z"}};
    layout.levels[6] = tables{{4, 1'000'000'000, "a", "z"}};
    CHECK(leveled(layout) == "nothing");
}

TEST_CASE("leveled compaction: tables of level 0 go down with all that overlap them") {
    table_layout layout;
    layout.levels[0] = tables{{1, 1, "g", "j"}, {2, 1, "m", "n"}, {3, 1, "c", "h"}, {4, 1, "a", "d"}};
    layout.levels[1] = tables{{5, 1, "b", "b"}, {6, 1, "i", "l"}, {7, 1, "m", "n"}};
    CHECK(leveled(layout) == "1 3 4 5 6 into 1");
}

TEST_CASE("leveled compaction: an old table with keys of its own goes down alone") {
    table_layout layout;
    layout.levels[0] = tables{{1, 1, "a", "d"}, {2, 1, "b", "e"}, {3, 1, "x", "y"}};
    layout.levels[1] = tables{{4, 3, "a", "w"}};
    CHECK(leveled(layout) == "3 into 1");
}

TEST_CASE("leveled compaction: what is blocked in level 0 leaves the rest its turn") {
    table_layout layout;
    layout.levels[0] = tables{{1, 1, "a", "d"}, {2, 1, "w", "x"}, {3, 1, "b", "e"}, {4, 1, "x", "y"}};
    layout.levels[1] = tables{{5, 1, "y", "z", true}};
    layout.running = {{"y", "z", 2}};
    CHECK(leveled(layout) == "1 3 into 1");
    layout.running.push_back({"d", "f", 1});
    CHECK(leveled(layout) == "nothing");
}

TEST_CASE("leveled compaction: the level most beyond its size comes first") {
    table_layout layout;
    layout.levels[0] = tables{{1, 90, "a", "b"}, {2, 90, "a", "b"}, {3, 90, "a", "b"}};
    layout.levels[1] = tables{{4, 140, "c", "d"}};
    layout.levels[2] = tables{{5, 500, "e", "f"}};
    CHECK(leveled(layout) == "5 into 3");
    layout.levels[2][0].file_bytes = 290;
    CHECK(leveled(layout) == "1 2 3 into 1");
    layout.levels[0].pop_back();
    CHECK(leveled(layout) == "5 into 3");
    layout.levels[3] = tables{{6, 1, "f", "g", true}};
    CHECK(leveled(layout) == "4 into 2");
    layout.levels[1][0].file_bytes = 99;
    CHECK(leveled(layout) == "1 2 into 1");
    layout.levels[0][0].busy = true;
    CHECK(leveled(layout) == "nothing");
}

TEST_CASE("leveled compaction: small tables in level 0 wait for more while level 1 is large") {
    table_layout layout;
    layout.levels[0] = tables{{1, 10, "a", "b"}, {2, 10, "a", "b"}, {3, 10, "a", "b"}};
    layout.levels[1] = tables{{9, 50, "a", "b"}};
    CHECK(leveled(layout) == "nothing");
    layout.levels[0].push_back({4, 10, "a", "b"});
    CHECK(leveled(layout) == "1 2 3 4 9 into 1");
    layout.levels[0] = tables{{1, 1, "a", "b"}, {2, 1, "a", "b"}, {3, 1, "a", "b"}, {4, 1, "a", "b"}, {5, 1, "a", "b"}};
    CHECK(leveled(layout) == "nothing");
    layout.levels[0].push_back({6, 1, "a", "b"});
    CHECK(leveled(layout) == "1 2 3 4 5 6 9 into 1");
}

TEST_CASE("leveled compaction: busy tables do not count") {
    table_layout layout;
    layout.levels[0] = tables{{1, 99, "a", "b"}, {2, 99, "c", "d", true}};
    layout.levels[1] = tables{{3, 90, "e", "f"}, {4, 90, "g", "h", true}};
    CHECK(leveled(layout) == "nothing");
    layout.levels[1][1].busy = false;
    CHECK(leveled(layout) == "3 into 2");
    layout.levels[1].clear();
    layout.levels[0][1].busy = false;
    CHECK(leveled(layout) == "2 into 1");
}

TEST_CASE("leveled compaction: the table that overlaps the least for its size goes down") {
    table_layout layout;
    layout.levels[1] = tables{{4, 50, "a", "c"}, {3, 50, "d", "f"}, {2, 100, "g", "i"}};
    layout.levels[2] = tables{{5, 10, "b", "b"}, {6, 10, "c", "d"}, {7, 15, "e", "g"}, {8, 15, "h", "k"}};
    CHECK(leveled(layout) == "2 7 8 into 2");
    layout.levels[2][3].file_bytes = 26;
    CHECK(leveled(layout) == "4 5 6 into 2");
    layout.levels[2][0].busy = true;
    CHECK(leveled(layout) == "2 7 8 into 2");
    layout.levels[2].clear();
    CHECK(leveled(layout) == "2 into 2");
}

TEST_CASE("leveled compaction: options that make no sense do no harm") {
    table_layout layout;
    const lsm::leveled_compaction policy({.level0_trigger = 0, .level_factor = 0, .level1_bytes = 0});
    CHECK(text(policy.choose(layout)) == "nothing");
    layout.levels[1] = tables{{1, 1, "a", "b"}};
    CHECK(text(policy.choose(layout)) == "1 into 2");
    layout.levels[0] = tables{{2, 0, "a", "b"}, {3, 0, "a", "b"}};
    CHECK(text(policy.choose(layout)) == "1 2 3 into 1");
}

TEST_CASE("size tiered compaction: neighbours of like size become one") {
    CHECK(size_tiered({}) == "nothing");
    CHECK(size_tiered(sized({10, 10})) == "nothing");
    CHECK(size_tiered(sized({10, 13, 7})) == "1 2 3 into 0");
    CHECK(size_tiered(sized({10, 14, 6})) == "nothing");
    CHECK(size_tiered(sized({10, 10, 10, 10, 10, 10, 10})) == "1 2 3 4 5 6 7 into 0");
    CHECK(size_tiered(sized({10, 10, 10, 90, 90})) == "1 2 3 into 0");
    CHECK(size_tiered(sized({90, 10, 10, 10})) == "2 3 4 into 0");
}

TEST_CASE("size tiered compaction: small tables go along with their neighbours") {
    CHECK(size_tiered(sized({10, 10, 1, 10})) == "1 2 3 4 into 0");
    CHECK(size_tiered(sized({10, 10, 30, 30, 30})) == "1 2 3 4 5 into 0");
    CHECK(size_tiered(sized({10, 10, 40, 10, 10})) == "nothing");
}

TEST_CASE("size tiered compaction: too many tables become fewer where that is worth the most") {
    CHECK(size_tiered(sized({1, 2, 4, 8, 16, 32})) == "nothing");
    CHECK(size_tiered(sized({1, 2, 4, 8, 14, 32, 64})) == "1 2 3 4 5 into 0");
    auto layout = sized({10, 1, 100, 30, 60, 10, 1000});
    CHECK(size_tiered(layout) == "1 2 3 4 5 6 into 0");
    layout.levels[0][2].busy = true;
    CHECK(size_tiered(layout) == "4 5 6 into 0");
    for (auto& t : layout.levels[0]) t.busy = t.id % 3 == 0;
    CHECK(size_tiered(layout) == "nothing");
}

TEST_CASE("size tiered compaction: busy tables and other levels are left alone") {
    auto layout = sized({50, 50, 50, 50, 10, 10, 10, 10});
    layout.levels[1] = tables{{10, 10, "a", "b"}, {11, 10, "c", "d"}, {12, 10, "e", "f"}};
    layout.levels[0][3].busy = true;
    CHECK(size_tiered(layout) == "1 2 3 into 0");
    layout.levels[0][1].busy = true;
    CHECK(size_tiered(layout) == "5 6 7 8 into 0");
    layout.levels[0][6].busy = true;
    CHECK(size_tiered(layout) == "nothing");
}

TEST_CASE("size tiered compaction: one table alone is never merged") {
    const lsm::size_tiered_compaction policy({.level0_trigger = 0, .level0_slowdown = 0});
    CHECK(text(policy.choose({})) == "nothing");
    CHECK(text(policy.choose(sized({1}))) == "nothing");
    CHECK(text(policy.choose(sized({1, 10}))) == "1 2 into 0");
}

TEST_CASE("no compaction: nothing is chosen") {
    CHECK(text(lsm::no_compaction().choose(sized({1, 1, 1, 1, 1, 1, 1, 1, 1, 1}))) == "nothing");
}

TEST_CASE("compaction policy: any number at once of what is accepted keeps every newest entry") {
    const auto seed = seed_or(11);
    const auto steps = number_or("LSM_OPERATIONS", 2500);
    for (std::uint64_t round = 0; round < 4; ++round) {
        INFO("LSM_SEED=" << seed + round);
        random_history history(seed + round);
        for (std::uint64_t i = 0; i < steps; ++i) history.step();
        CHECK(history.accepted() > steps / 40);
        CHECK(history.refused() > steps / 40);
    }
}

TEST_CASE("compaction policy: leveled ends with every level within its size") {
    const auto seed = seed_or(12);
    INFO("LSM_SEED=" << seed);
    random_history history(seed);
    for (int i = 0; i < 400; ++i) history.flush();
    history.settle(history.leveled());
    const auto& levels = history.tables().levels();
    CHECK(levels[0].size() < 12);
    std::size_t most_entries = 40;
    for (std::size_t level = 1; level < 6; ++level, most_entries *= 3) {
        std::size_t entries = 0;
        for (const auto& t : levels[level]) entries += t->entries.size();
        CHECK(entries < most_entries);
    }
}

TEST_CASE("compaction policy: a merge of everything leaves one level without deleted keys") {
    const auto seed = seed_or(13);
    INFO("LSM_SEED=" << seed);
    random_history history(seed);
    for (int i = 0; i < 100; ++i) history.flush();
    history.settle(history.leveled());
    auto& all = history.tables();
    all.start(*must(lsm::detail::choose_range(all.layout(), {}, {})));
    all.finish(0);
    CHECK(all.defect() == "");
    CHECK(std::ranges::count_if(all.levels(), [](const auto& level) { return !level.empty(); }) == 1);
    for (const auto& level : all.levels())
        for (const auto& t : level)
            CHECK(std::ranges::none_of(t->entries, [](const auto& entry) { return entry.second.deleted; }));
}

TEST_CASE("compaction policy: random keys are written a bearable number of times") {
    // In the proportions of the defaults: four flushes make level 1, a flush is as large as a table.
    constexpr unsigned entries = 20;
    constexpr std::uint64_t table_bytes = entries * modelled_tables::entry_bytes;
    const compaction_options how{.level1_bytes = 4 * table_bytes, .target_table_bytes = table_bytes};
    CHECK(write_amplification(lsm::leveled_compaction(how), 2000, entries) < 17);
    CHECK(write_amplification(lsm::size_tiered_compaction(how), 2000, entries) < 8);
}

TEST_CASE("leveled compaction: level 0 grows beside a large level 1 until readers wait") {
    table_layout layout = sized({10, 10, 10});
    layout.levels[1].push_back({9, 1000, "a", "z"});
    const lsm::leveled_compaction policy({.level0_trigger = 2, .level1_bytes = 100'000});
    CHECK(text(policy.choose(layout)) == "nothing");
    layout.readers_wait = true;
    CHECK(text(policy.choose(layout)) == "1 2 3 9 into 1");
}
