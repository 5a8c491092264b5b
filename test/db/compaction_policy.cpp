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

#include <lsm/db/compaction/compaction_choice.hpp>
#include <lsm/db/compaction/policies.hpp>

#include "db/compaction/layouts.hpp"
#include "support/catch.hpp"
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

// The entry of a key: the number of the write that it comes from, and whether that write deleted the key.
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

/// The tables of a database without their files, and the newest write of each key, which must be found in them.
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

    /// Ends the running compaction with this index: replaces its inputs by their merge, without the tombstones whose
    /// key no older table had when the compaction began. A lone table that goes down is only moved.
    void finish(std::size_t index) {
        const job done = std::move(running_[index]);
        running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
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

    /// Returns what is wrong with the tables; empty if nothing is.
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
                        return key + " is hidden by an older entry";
                    seen[key] = entry.number;
                }
        for (const auto& [key, entry] : newest_)
            if (!entry.deleted && !seen.contains(key)) return key + " is lost";
        return {};
    }

    [[nodiscard]] const model_levels& levels() const { return levels_; }
    /// Bytes written for each byte flushed.
    [[nodiscard]] double write_amplification() const {
        return 1 + static_cast<double>(compacted_bytes_) / static_cast<double>(flushed_bytes_);
    }

private:
    struct job {
        std::vector<model_table_pointer> inputs;  // newest first
        int first_level;
        int output_level;
        std::vector<model_table_pointer> older;  // older than all inputs when it began

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

/// Random flushes and compactions of tables, which must stay without a defect.
class random_history {
public:
    explicit random_history(std::uint64_t seed) : random_(seed) {}

    void step() {
        const auto choice = below(100);
        if (choice < 15)
            flush();
        else if (choice < 35)
            follow(leveled_);
        else if (choice < 45)
            follow(size_tiered_);
        else if (choice < 47)
            try_range();
        else if (choice < 85)
            try_anything();
        else if (tables_.running() != 0)
            tables_.finish(below(tables_.running()));
        REQUIRE(tables_.defect() == "");
    }

    /// Ends the running compactions, and carries out those of the policy until it chooses none.
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
        INFO(text_of(choice));
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

    // Tries a choice that is often refused: neighbours in some levels, perhaps completed as a merge needs it and
    // perhaps without one of these tables, into any level.
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

// Flushes tables with random keys, and carries out each compaction at once.
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

TEST_CASE("compaction policy: accepted choices keep every newest entry however many run at once") {
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

TEST_CASE("compaction policy: leveled compaction ends with every level within its size") {
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

TEST_CASE("compaction policy: a merge of all tables leaves one level without tombstones") {
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

TEST_CASE("compaction policy: the write amplification of random keys has a bound") {
    // The proportions of the defaults: level 1 is as large as four flushes, and a table as large as one.
    constexpr unsigned entries = 20;
    constexpr std::uint64_t table_bytes = entries * modelled_tables::entry_bytes;
    const compaction_options options{.level1_bytes = 4 * table_bytes, .target_table_bytes = table_bytes};
    CHECK(write_amplification(lsm::leveled_compaction(options), 2000, entries) < 17);
    CHECK(write_amplification(lsm::size_tiered_compaction(options), 2000, entries) < 8);
}
