#include <lsm/db/compaction/compaction_picker.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/parts.hpp"

namespace {

using namespace lsm::test;
using lsm::compaction_choice;
using picker = lsm::detail::compaction_picker<db_parts::alloc>;
using id_list = std::vector<std::uint64_t>;

/// Always makes the same choice, and keeps the layout of the last call.
class fixed_choice final : public lsm::compaction_policy {
public:
    explicit fixed_choice(id_list inputs, int output_level) : choice_{std::move(inputs), output_level} {}
    std::optional<compaction_choice> choose(const lsm::table_layout& layout) const override {
        seen = layout;
        return choice_;
    }
    mutable lsm::table_layout seen;

private:
    compaction_choice choice_;
};

// The inputs of the pick in ascending order; empty if there is none.
id_list picked(const picker& from, const db_parts::table_set& tables, bool readers_wait = false) {
    auto choice = from.pick(tables, readers_wait);
    if (!choice) return {};
    std::ranges::sort(choice->inputs);
    return choice->inputs;
}

void set_two_pairs(db_parts& parts) {
    parts.set_tables({{0, 4, {{"m", "4"}}}, {0, 3, {{"m", "3"}}}, {0, 2, {{"a", "2"}}}, {0, 1, {{"a", "1"}}}});
}

}  // namespace

TEST_CASE("compaction picker: the style selects the policy unless the options have one") {
    db_parts parts;
    parts.set_tables({{0, 2, {{"a", "2"}}}, {0, 1, {{"a", "1"}}}});
    const auto tables = parts.versions.tables();
    const auto pick = [&](lsm::compaction_style style, const lsm::compaction_policy* own = nullptr) {
        return picker({.style = style, .level0_trigger = 2, .policy = own}, {}).pick(*tables, false);
    };
    CHECK(pick(lsm::compaction_style::leveled).value().output_level == 1);
    CHECK(pick(lsm::compaction_style::size_tiered).value().output_level == 0);
    CHECK_FALSE(pick(lsm::compaction_style::none));
    const fixed_choice own({1, 2}, 3);
    CHECK(pick(lsm::compaction_style::none, &own).value().output_level == 3);
}

TEST_CASE("compaction picker: a policy sees the tables that have entries") {
    db_parts parts;
    parts.set_tables({{0, 3, {}}, {0, 2, {{"b", "2"}, {"d", "2"}}}, {2, 1, {{"a", "1"}}}});
    const fixed_choice policy({2}, 1);
    const picker pick({.policy = &policy}, {});
    const auto tables = parts.versions.tables();
    CHECK(picked(pick, *tables, true) == id_list{2});
    CHECK(policy.seen.readers_wait);
    REQUIRE(policy.seen.levels[0].size() == 1);
    CHECK(policy.seen.levels[0][0].id == 2);
    CHECK(policy.seen.levels[0][0].file_bytes == tables->levels[0][1]->file_bytes());
    CHECK(policy.seen.levels[0][0].smallest == "b");
    CHECK(policy.seen.levels[0][0].largest == "d");
    CHECK_FALSE(policy.seen.levels[0][0].busy);
    CHECK(policy.seen.levels[2].size() == 1);
    CHECK(policy.seen.running.empty());
    CHECK(picked(pick, *tables) == id_list{2});
    CHECK_FALSE(policy.seen.readers_wait);
}

TEST_CASE("compaction picker: a choice that would hide the newest entry of a key is ignored") {
    db_parts parts;
    set_two_pairs(parts);
    const fixed_choice newer({4}, 1), unknown({9}, 1);
    CHECK(picked(picker({.policy = &newer}, {}), *parts.versions.tables()).empty());
    CHECK(picked(picker({.policy = &unknown}, {}), *parts.versions.tables()).empty());
}

TEST_CASE("compaction picker: the inputs of a running compaction are busy until it ends") {
    db_parts parts;
    set_two_pairs(parts);
    const auto tables = parts.versions.tables();
    picker pick({.level0_trigger = 1}, {});
    CHECK(pick.idle());
    const auto first = pick.begin(tables, pick.pick(*tables, false).value());
    CHECK_FALSE(pick.idle());
    CHECK(picked(pick, *tables) == id_list{3, 4});
    const auto layout = pick.layout_of(*tables);
    for (const auto& t : layout.levels[0]) CHECK(t.busy == (t.id <= 2));
    REQUIRE(layout.running.size() == 1);
    CHECK(layout.running[0].smallest == "a");
    CHECK(layout.running[0].largest == "a");
    CHECK(layout.running[0].output_level == 1);

    const auto second = pick.begin(tables, pick.pick(*tables, false).value());
    CHECK(picked(pick, *tables).empty());
    pick.end(*first);
    CHECK(picked(pick, *tables) == id_list{1, 2});
    pick.end(*second);
    CHECK(pick.idle());
    CHECK(pick.layout_of(*tables).running.empty());
}

TEST_CASE("compaction picker: the inputs of a compaction that met damage are never picked again") {
    db_parts parts;
    set_two_pairs(parts);
    const auto tables = parts.versions.tables();
    picker pick({.level0_trigger = 1}, {});
    const auto failed = pick.begin(tables, {{1, 2}, 1});
    pick.leave_out_inputs(*failed);
    pick.end(*failed);
    CHECK(picked(pick, *tables) == id_list{3, 4});
    // A compaction on request may include them.
    const auto layout = pick.layout_of(*tables);
    for (const auto& t : layout.levels[0]) CHECK_FALSE(t.busy);
}
