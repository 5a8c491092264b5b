#include <lsm/db/compaction/compaction_choice.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "db/compaction/layouts.hpp"
#include "support/catch.hpp"
#include "support/results.hpp"

namespace {

using namespace lsm::test;
using lsm::bytes_view;
using lsm::errc;
using lsm::table_layout;

// Why a choice is refused, or "accepted".
std::string refusal(const table_layout& layout, std::vector<std::uint64_t> inputs, int output_level) {
    const auto checked = lsm::detail::check_choice(layout, {std::move(inputs), output_level});
    if (checked) return "accepted";
    CHECK(checked.error().code == errc::invalid_argument);
    return checked.error().what.substr(std::string("invalid_argument: a compaction ").size());
}

std::string range(const table_layout& layout, std::optional<bytes_view> from, std::optional<bytes_view> to) {
    return text_of(must(lsm::detail::choose_range(layout, from, to)));
}

}  // namespace

TEST_CASE("compaction choice: its inputs must exist and be free and be named once") {
    table_layout layout;
    layout.levels[0] = table_summaries{{1, 1, "a", "b"}, {2, 1, "c", "d", true}};
    CHECK(refusal(layout, {1}, 1) == "accepted");
    CHECK(refusal(layout, {}, 1) == "without tables");
    CHECK(refusal(layout, {1, 1}, 1) == "that names a table twice");
    CHECK(refusal(layout, {1, 3}, 1) == "of a table that does not exist");
    CHECK(refusal(layout, {1, 2}, 1) == "of a busy table: table 2");
}

TEST_CASE("compaction choice: the output must not lie above an input") {
    table_layout layout;
    layout.levels[2] = table_summaries{{1, 1, "a", "b"}};
    CHECK(refusal(layout, {1}, 2) == "accepted");
    CHECK(refusal(layout, {1}, 6) == "accepted");
    CHECK(refusal(layout, {1}, 1) == "into a level above its table 1");
    CHECK(refusal(layout, {1}, 7) == "into a level outside 0 to 6");
    CHECK(refusal(layout, {1}, -1) == "into a level outside 0 to 6");
}

TEST_CASE("compaction choice: no older table with the same keys may stay above the output") {
    table_layout layout;
    layout.levels[0] = table_summaries{{1, 1, "a", "e"}, {2, 1, "d", "m"}, {3, 1, "x", "z"}};
    layout.levels[1] = table_summaries{{4, 1, "b", "c"}, {5, 1, "n", "o"}};
    CHECK(refusal(layout, {1, 4}, 1) == "that leaves out table 2");
    CHECK(refusal(layout, {2}, 1) == "accepted");
    CHECK(refusal(layout, {1, 2}, 2) == "that leaves out table 4");
    CHECK(refusal(layout, {1, 2, 4}, 2) == "accepted");
    CHECK(refusal(layout, {3, 5}, 1) == "accepted");
}

TEST_CASE("compaction choice: the output must not overlap a table of its level that is not an input") {
    table_layout layout;
    layout.levels[0] = table_summaries{{1, 1, "a", "b"}, {2, 1, "x", "z"}};
    layout.levels[1] = table_summaries{{3, 1, "m", "n"}};
    layout.levels[2] = table_summaries{{4, 1, "a", "z"}};
    CHECK(refusal(layout, {1, 2}, 1) == "that leaves out table 3");
    CHECK(refusal(layout, {1, 2, 3}, 1) == "accepted");
    CHECK(refusal(layout, {1}, 1) == "accepted");
    CHECK(refusal(layout, {3}, 2) == "that leaves out table 4");
    layout.levels[1][0].busy = true;
    CHECK(refusal(layout, {1, 2}, 1) == "that leaves out table 3");
}

TEST_CASE("compaction choice: distant tables of a level may move down together but not merge in their level") {
    table_layout layout;
    layout.levels[1] = table_summaries{{1, 1, "a", "b"}, {2, 1, "m", "n"}, {3, 1, "x", "z"}};
    CHECK(refusal(layout, {1, 3}, 1) == "that leaves out table 2");
    CHECK(refusal(layout, {1, 2}, 1) == "accepted");
    CHECK(refusal(layout, {1, 3}, 2) == "accepted");
}

TEST_CASE("compaction choice: in level 0 no table with the same keys may lie between the inputs") {
    table_layout layout;
    layout.levels[0] =
        table_summaries{{1, 1, "m", "n"}, {2, 1, "a", "c"}, {3, 1, "b", "d"}, {4, 1, "x", "z"}, {5, 1, "a", "e"}};
    CHECK(refusal(layout, {2, 3}, 0) == "accepted");
    CHECK(refusal(layout, {2, 3, 5}, 0) == "accepted");
    CHECK(refusal(layout, {2, 5}, 0) == "that leaves out table 3");
    CHECK(refusal(layout, {1, 2, 4}, 0) == "that leaves out table 3");
    CHECK(refusal(layout, {1}, 0) == "accepted");
}

TEST_CASE("compaction choice: two running compactions must not write overlapping tables into one level") {
    table_layout layout;
    layout.levels[0] = table_summaries{{1, 1, "a", "c"}};
    layout.levels[1] = table_summaries{{2, 1, "e", "f"}};
    layout.levels[2] = table_summaries{{3, 1, "d", "g"}};
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

TEST_CASE("compaction range: all tables with keys in it are merged into the deepest of their levels") {
    table_layout layout;
    CHECK(range(layout, {}, {}) == "nothing");
    layout.levels[0] = table_summaries{{1, 1, "a", "c"}, {2, 1, "x", "z"}};
    CHECK(range(layout, {}, {}) == "1 2 into 1");
    layout.levels[1] = table_summaries{{3, 1, "b", "d"}, {4, 1, "e", "f"}};
    layout.levels[3] = table_summaries{{5, 1, "a", "b"}};
    CHECK(range(layout, {}, {}) == "1 2 3 4 5 into 3");
    CHECK(range(layout, "e", {}) == "2 4 into 1");
    CHECK(range(layout, {}, "a") == "nothing");
    CHECK(range(layout, "z", {}) == "2 into 1");
    CHECK(range(layout, "z0", {}) == "nothing");
    CHECK(range(layout, "g", "x") == "nothing");
    CHECK(range(layout, "f", "b") == "nothing");
    CHECK(range(layout, "b", "b") == "nothing");
}

TEST_CASE("compaction range: older tables and overlapping neighbours are included and newer ones are not") {
    table_layout layout;
    layout.levels[0] = table_summaries{{1, 1, "d", "k"}, {2, 1, "a", "e"}, {3, 1, "d", "f"}, {4, 1, "m", "n"}};
    layout.levels[1] = table_summaries{{5, 1, "f", "g"}, {6, 1, "h", "i"}};
    layout.levels[2] = table_summaries{{7, 1, "b", "c"}, {8, 1, "g", "h"}, {9, 1, "i", "j"}};
    CHECK(range(layout, "a", "c") == "2 3 5 7 8 into 2");
}

TEST_CASE("compaction range: a lone table in the deepest level is chosen") {
    table_layout layout;
    layout.levels[4] = table_summaries{{1, 1, "", "b"}};
    CHECK(range(layout, {}, {}) == "1 into 4");
    CHECK(range(layout, "", "a") == "1 into 4");
}

TEST_CASE("compaction range: a running compaction in the way is an error and nothing to do is not") {
    table_layout layout;
    layout.levels[0] = table_summaries{{1, 1, "a", "c"}, {2, 1, "x", "z"}};
    layout.levels[1] = table_summaries{{3, 1, "b", "d", true}};
    layout.running = {{"b", "d", 2}};
    CHECK(must_fail(lsm::detail::choose_range(layout, "a", "b")).code == errc::locked);
    CHECK(range(layout, "e", "f") == "nothing");
    CHECK(range(layout, "x", {}) == "2 into 1");
    layout.levels[1].clear();
    layout.running = {{"b", "y", 1}};
    CHECK(must_fail(lsm::detail::choose_range(layout, "x", {})).code == errc::locked);
}
