#include <lsm/memtable/memtable.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/cursors.hpp"
#include "support/random_keys.hpp"
#include "support/random_moves.hpp"
#include "support/raw_bytes.hpp"
#include "support/seed.hpp"

using lsm::bytes;
using lsm::memtable;
using namespace lsm::test;

TEST_CASE("memtable cursor: a new cursor stands on the first entry") {
    memtable table;
    table.put("b", "2");
    table.del("a");
    const auto at = table.iter();
    REQUIRE(at.valid());
    CHECK(at.key() == "a");
    CHECK(at.tombstone());
    CHECK(at.status().has_value());
}

TEST_CASE("memtable cursor: seek finds the first entry not below the key") {
    memtable table;
    for (const auto* const key : {"b", "d", "f"}) table.put(key, key);
    table.del("d");
    auto at = table.iter();
    const std::vector<std::pair<bytes, bytes>> cases = {{"", "b"},  {"a", "b"},     {"b", "b"}, {"bb", "d"},
                                                        {"d", "d"}, {"d\x01", "f"}, {"f", "f"}};
    for (const auto& [target, found] : cases) {
        at.seek(target);
        REQUIRE(at.valid());
        CHECK(at.key() == found);
    }
    at.seek("g");
    CHECK_FALSE(at.valid());
    CHECK(at.status().has_value());
}

TEST_CASE("memtable cursor: walks backwards over every entry in descending order") {
    memtable table;
    entry_list expected;
    for (int i = 0; i < 500; ++i) {
        const bytes key = std::to_string(100'000 + i * 37 % 500);
        table.put(key, "v" + key);
        expected.emplace_back(key, "v" + key);
    }
    std::sort(expected.rbegin(), expected.rend());
    entry_list seen;
    auto at = table.iter();
    for (at.seek_to_last(); at.valid(); at.prev()) seen.emplace_back(at.key(), bytes(at.value()));
    CHECK(seen == expected);
}

TEST_CASE("memtable cursor: shows the entries as they were when it was made and outlives the memtable") {
    std::optional<memtable> table(std::in_place);
    table->put("b", "old");
    table->put("c", "old");
    table->del("e");
    const entry_list before = {{"b", "old"}, {"c", "old"}, {"e", std::nullopt}};
    auto at = table->iter();

    table->put("a", "added before");
    table->put("b", "overwritten");
    table->del("c");
    table->put("d", "added between");
    table->put("e", "put again");
    table->put("f", "added after");
    CHECK(rest_of(table->iter()).size() == 6);
    table.reset();

    CHECK(rest_of(at) == before);
    at.seek_to_last();
    REQUIRE(at.valid());
    CHECK(at.key() == "e");
    CHECK(at.tombstone());
    at.prev();
    CHECK(at.value() == "old");
    at.seek("d");
    CHECK(at.key() == "e");
    at.seek("f");
    CHECK_FALSE(at.valid());
    at.seek("a");
    CHECK(at.key() == "b");
    at.prev();
    CHECK_FALSE(at.valid());
}

TEST_CASE("memtable cursor: cursors made at different moments each keep their own view") {
    const auto seed = seed_or(77);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    memtable table;
    std::map<bytes, std::optional<bytes>> model;
    std::vector<std::pair<memtable::cursor, entry_list>> views;
    for (int step = 0; step < 3000; ++step) {
        if (step % 100 == 0) views.emplace_back(table.iter(), entry_list(model.begin(), model.end()));
        const bytes key = random_key(random);
        if (random() % 3 == 0) {
            table.del(key);
            model[key] = std::nullopt;
        } else {
            model[key] = random_value(random);
            table.put(key, *model[key]);
        }
    }
    for (auto& [at, expected] : views) check_random_moves(at, expected, random, 200);
}

TEST_CASE("memtable cursor: a copy moves independently") {
    memtable table;
    for (const auto* const key : {"a", "b", "c"}) table.put(key, key);
    auto at = table.iter();
    at.next();
    auto copy = at;
    copy.next();
    CHECK(at.key() == "b");
    CHECK(copy.key() == "c");
}

TEST_CASE("memtable cursor: is a range of keys and optional values") {
    memtable table;
    table.put("a", "1");
    table.del("b");
    entry_list seen;
    for (const auto& [key, value] : table.iter()) seen.emplace_back(key, value);
    CHECK(seen == entry_list{{"a", "1"}, {"b", std::nullopt}});
}
