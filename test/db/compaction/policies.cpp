#include <lsm/db/compaction/policies.hpp>

#include <string>

#include "db/compaction/layouts.hpp"
#include "support/catch.hpp"

namespace {

using namespace lsm::test;
using lsm::table_layout;

std::string leveled(const table_layout& layout) {
    return text_of(
        lsm::leveled_compaction({.level0_trigger = 2, .level_factor = 2, .level1_bytes = 100}).choose(layout));
}
std::string size_tiered(const table_layout& layout) {
    return text_of(lsm::size_tiered_compaction({.level0_trigger = 3, .level0_slowdown = 6}).choose(layout));
}

}  // namespace

TEST_CASE("leveled compaction: levels within their size are left alone") {
    table_layout layout;
    CHECK(leveled(layout) == "nothing");
    layout.levels[0] = table_summaries{{1, 1000, "a", "b"}};
    layout.levels[1] = table_summaries{{2, 99, "a", "z"}};
    layout.levels[2] = table_summaries{{3, 199, "a", "z"}};
    layout.levels[6] = table_summaries{{4, 1'000'000'000, "a", "z"}};
    CHECK(leveled(layout) == "nothing");
}

TEST_CASE("leveled compaction: tables of level 0 move down with all that overlap them") {
    table_layout layout;
    layout.levels[0] = table_summaries{{1, 1, "g", "j"}, {2, 1, "m", "n"}, {3, 1, "c", "h"}, {4, 1, "a", "d"}};
    layout.levels[1] = table_summaries{{5, 1, "b", "b"}, {6, 1, "i", "l"}, {7, 1, "m", "n"}};
    CHECK(leveled(layout) == "1 3 4 5 6 into 1");
}

TEST_CASE("leveled compaction: an old table that overlaps no other moves down alone") {
    table_layout layout;
    layout.levels[0] = table_summaries{{1, 1, "a", "d"}, {2, 1, "b", "e"}, {3, 1, "x", "y"}};
    layout.levels[1] = table_summaries{{4, 3, "a", "w"}};
    CHECK(leveled(layout) == "3 into 1");
}

TEST_CASE("leveled compaction: if a running compaction blocks tables of level 0 others are chosen") {
    table_layout layout;
    layout.levels[0] = table_summaries{{1, 1, "a", "d"}, {2, 1, "w", "x"}, {3, 1, "b", "e"}, {4, 1, "x", "y"}};
    layout.levels[1] = table_summaries{{5, 1, "y", "z", true}};
    layout.running = {{"y", "z", 2}};
    CHECK(leveled(layout) == "1 3 into 1");
    layout.running.push_back({"d", "f", 1});
    CHECK(leveled(layout) == "nothing");
}

TEST_CASE("leveled compaction: the level that exceeds its size the most comes first") {
    table_layout layout;
    layout.levels[0] = table_summaries{{1, 90, "a", "b"}, {2, 90, "a", "b"}, {3, 90, "a", "b"}};
    layout.levels[1] = table_summaries{{4, 140, "c", "d"}};
    layout.levels[2] = table_summaries{{5, 500, "e", "f"}};
    CHECK(leveled(layout) == "5 into 3");
    layout.levels[2][0].file_bytes = 290;
    CHECK(leveled(layout) == "1 2 3 into 1");
    layout.levels[0].pop_back();
    CHECK(leveled(layout) == "5 into 3");
    layout.levels[3] = table_summaries{{6, 1, "f", "g", true}};
    CHECK(leveled(layout) == "4 into 2");
    layout.levels[1][0].file_bytes = 99;
    CHECK(leveled(layout) == "1 2 into 1");
    layout.levels[0][0].busy = true;
    CHECK(leveled(layout) == "nothing");
}

TEST_CASE("leveled compaction: small tables of level 0 wait for more while level 1 is large") {
    table_layout layout;
    layout.levels[0] = table_summaries{{1, 10, "a", "b"}, {2, 10, "a", "b"}, {3, 10, "a", "b"}};
    layout.levels[1] = table_summaries{{9, 50, "a", "b"}};
    CHECK(leveled(layout) == "nothing");
    layout.levels[0].push_back({4, 10, "a", "b"});
    CHECK(leveled(layout) == "1 2 3 4 9 into 1");
    layout.levels[0] =
        table_summaries{{1, 1, "a", "b"}, {2, 1, "a", "b"}, {3, 1, "a", "b"}, {4, 1, "a", "b"}, {5, 1, "a", "b"}};
    CHECK(leveled(layout) == "nothing");
    layout.levels[0].push_back({6, 1, "a", "b"});
    CHECK(leveled(layout) == "1 2 3 4 5 6 9 into 1");
}

TEST_CASE("leveled compaction: busy tables do not count") {
    table_layout layout;
    layout.levels[0] = table_summaries{{1, 99, "a", "b"}, {2, 99, "c", "d", true}};
    layout.levels[1] = table_summaries{{3, 90, "e", "f"}, {4, 90, "g", "h", true}};
    CHECK(leveled(layout) == "nothing");
    layout.levels[1][1].busy = false;
    CHECK(leveled(layout) == "3 into 2");
    layout.levels[1].clear();
    layout.levels[0][1].busy = false;
    CHECK(leveled(layout) == "2 into 1");
}

TEST_CASE("leveled compaction: the table that overlaps the least for its size moves down") {
    table_layout layout;
    layout.levels[1] = table_summaries{{4, 50, "a", "c"}, {3, 50, "d", "f"}, {2, 100, "g", "i"}};
    layout.levels[2] = table_summaries{{5, 10, "b", "b"}, {6, 10, "c", "d"}, {7, 15, "e", "g"}, {8, 15, "h", "k"}};
    CHECK(leveled(layout) == "2 7 8 into 2");
    layout.levels[2][3].file_bytes = 26;
    CHECK(leveled(layout) == "4 5 6 into 2");
    layout.levels[2][0].busy = true;
    CHECK(leveled(layout) == "2 7 8 into 2");
    layout.levels[2].clear();
    CHECK(leveled(layout) == "2 into 2");
}

TEST_CASE("leveled compaction: options of 0 count as 1") {
    table_layout layout;
    const lsm::leveled_compaction policy({.level0_trigger = 0, .level_factor = 0, .level1_bytes = 0});
    CHECK(text_of(policy.choose(layout)) == "nothing");
    layout.levels[1] = table_summaries{{1, 1, "a", "b"}};
    CHECK(text_of(policy.choose(layout)) == "1 into 2");
    layout.levels[0] = table_summaries{{2, 0, "a", "b"}, {3, 0, "a", "b"}};
    CHECK(text_of(policy.choose(layout)) == "1 2 3 into 1");
}

TEST_CASE("size tiered compaction: neighbours of similar size are merged") {
    CHECK(size_tiered({}) == "nothing");
    CHECK(size_tiered(level0_of({10, 10})) == "nothing");
    CHECK(size_tiered(level0_of({10, 13, 7})) == "1 2 3 into 0");
    CHECK(size_tiered(level0_of({10, 14, 6})) == "nothing");
    CHECK(size_tiered(level0_of({10, 10, 10, 10, 10, 10, 10})) == "1 2 3 4 5 6 7 into 0");
    CHECK(size_tiered(level0_of({10, 10, 10, 90, 90})) == "1 2 3 into 0");
    CHECK(size_tiered(level0_of({90, 10, 10, 10})) == "2 3 4 into 0");
}

TEST_CASE("size tiered compaction: smaller tables between them are included") {
    CHECK(size_tiered(level0_of({10, 10, 1, 10})) == "1 2 3 4 into 0");
    CHECK(size_tiered(level0_of({10, 10, 30, 30, 30})) == "1 2 3 4 5 into 0");
    CHECK(size_tiered(level0_of({10, 10, 40, 10, 10})) == "nothing");
}

TEST_CASE("size tiered compaction: if there are too many tables those of the most similar size are merged") {
    CHECK(size_tiered(level0_of({1, 2, 4, 8, 16, 32})) == "nothing");
    CHECK(size_tiered(level0_of({1, 2, 4, 8, 14, 32, 64})) == "1 2 3 4 5 into 0");
    auto layout = level0_of({10, 1, 100, 30, 60, 10, 1000});
    CHECK(size_tiered(layout) == "1 2 3 4 5 6 into 0");
    layout.levels[0][2].busy = true;
    CHECK(size_tiered(layout) == "4 5 6 into 0");
    for (auto& t : layout.levels[0]) t.busy = t.id % 3 == 0;
    CHECK(size_tiered(layout) == "nothing");
}

TEST_CASE("size tiered compaction: busy tables and other levels are left alone") {
    auto layout = level0_of({50, 50, 50, 50, 10, 10, 10, 10});
    layout.levels[1] = table_summaries{{10, 10, "a", "b"}, {11, 10, "c", "d"}, {12, 10, "e", "f"}};
    layout.levels[0][3].busy = true;
    CHECK(size_tiered(layout) == "1 2 3 into 0");
    layout.levels[0][1].busy = true;
    CHECK(size_tiered(layout) == "5 6 7 8 into 0");
    layout.levels[0][6].busy = true;
    CHECK(size_tiered(layout) == "nothing");
}

TEST_CASE("size tiered compaction: one table alone is never merged") {
    const lsm::size_tiered_compaction policy({.level0_trigger = 0, .level0_slowdown = 0});
    CHECK(text_of(policy.choose({})) == "nothing");
    CHECK(text_of(policy.choose(level0_of({1}))) == "nothing");
    CHECK(text_of(policy.choose(level0_of({1, 10}))) == "1 2 into 0");
}

TEST_CASE("no compaction: nothing is chosen") {
    CHECK(text_of(lsm::no_compaction().choose(level0_of({1, 1, 1, 1, 1, 1, 1, 1, 1, 1}))) == "nothing");
}

TEST_CASE("leveled compaction: level 0 grows beside a large level 1 until readers wait") {
    table_layout layout = level0_of({10, 10, 10});
    layout.levels[1].push_back({9, 1000, "a", "z"});
    const lsm::leveled_compaction policy({.level0_trigger = 2, .level1_bytes = 100'000});
    CHECK(text_of(policy.choose(layout)) == "nothing");
    layout.readers_wait = true;
    CHECK(text_of(policy.choose(layout)) == "1 2 3 9 into 1");
}
