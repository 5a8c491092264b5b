#include <lsm/db/state/run_cursor.hpp>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/cursors.hpp"
#include "support/parts.hpp"
#include "support/random_moves.hpp"
#include "support/seed.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;
using table_run = std::vector<db_parts::table_pointer>;
using run_cursor = lsm::detail::run_cursor<db_parts::alloc>;

run_cursor cursor_over(const table_run& tables, lsm::detail::block_options options = {}) {
    return {tables.data(), tables.size(), options};
}

}  // namespace

TEST_CASE("run cursor: tables are walked as one and empty tables are skipped") {
    db_parts parts;
    const table_run tables{parts.write_table(1, {}),           parts.write_table(2, {{"a", "1"}, {"b", deleted}}),
                           parts.write_table(3, {}),           parts.write_table(4, {}),
                           parts.write_table(5, {{"c", "3"}}), parts.write_table(6, {})};
    auto at = cursor_over(tables);
    CHECK_FALSE(at.valid());
    at.seek_to_first();
    CHECK(walk(at) == entry_list{{"a", "1"}, {"b", deleted}, {"c", "3"}});
    at.seek_to_last();
    CHECK(at.key() == "c");
    at.prev();
    CHECK(at.key() == "b");
    at.seek("bb");
    CHECK(at.key() == "c");
    at.seek("d");
    CHECK_FALSE(at.valid());
    must(at.status());
}

TEST_CASE("run cursor: it moves as a cursor over all entries would") {
    const auto seed = seed_or(41);
    INFO("LSM_SEED=" << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 20; ++round) {
        db_parts parts({.block_cache_bytes = random() % 2 * 3000, .block_bytes = 64});
        entry_map all = random_entries(random, 60);
        table_run tables;
        auto next = all.begin();
        for (std::uint64_t id = 1; next != all.end() || tables.empty(); ++id) {
            entry_map entries;
            for (auto left = random() % 15; left > 0 && next != all.end(); --left) entries.insert(*next++);
            tables.push_back(parts.write_table(id, entries));
        }
        auto at = cursor_over(tables);
        check_random_moves(at, all, random, 200);
    }
}

TEST_CASE("run cursor: damage is an error and not the end of a table") {
    db_parts parts;
    auto damaged = table_of({{"c", "1"}, {"d", "1"}}, 16);
    damaged[0] = '\x09';  // the first block
    parts.directory.with("sst-000002.sst", damaged);
    const table_run tables{parts.write_table(1, {{"a", "1"}}), must(parts.tables.open(2)),
                           parts.write_table(3, {{"e", "1"}})};
    auto at = cursor_over(tables);
    at.seek_to_first();
    CHECK(at.key() == "a");
    at.next();
    CHECK_FALSE(at.valid());
    CHECK(must_fail(at.status()).code == errc::bad_block);
    at.seek("e");
    CHECK(at.key() == "e");
    must(at.status());
    at.prev();
    CHECK(at.key() == "d");
    at.prev();
    CHECK_FALSE(at.valid());
    CHECK(must_fail(at.status()).code == errc::bad_block);
}

TEST_CASE("run cursor: blocks are read with the given options") {
    db_parts parts;
    const table_run tables{parts.write_table(1, {{"a", "1"}}), parts.write_table(2, {{"b", "1"}})};
    auto at = cursor_over(tables, {.fill_cache = false});
    at.seek_to_first();
    CHECK(walk(at).size() == 2);
    CHECK(parts.resources->cache.used() == 0);
    at = cursor_over(tables);
    at.seek_to_first();
    CHECK(walk(at).size() == 2);
    CHECK(parts.resources->cache.used() > 0);
}
