#include <lsm/db/state/table_set.hpp>

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/parts.hpp"
#include "support/random_keys.hpp"
#include "support/seed.hpp"

namespace {

using namespace lsm::test;

std::uint64_t id_of(const lsm::detail::db_table<db_parts::alloc>* table) { return table == nullptr ? 0 : table->id(); }

}  // namespace

TEST_CASE("table set: tables are listed by level and in their order within it") {
    db_parts parts;
    db_parts::table_set set{db_parts::alloc()};
    CHECK(set.lines().empty());
    CHECK(set.memory_bytes() == 0);
    set.levels[2].push_back(parts.write_table(1, {{"a", "1"}}));
    set.levels[0].push_back(parts.write_table(3, {{"a", "3"}}));
    set.levels[0].push_back(parts.write_table(2, {{"a", "2"}}));
    set.levels[2].push_back(parts.write_table(4, {{"b", "4"}}));
    CHECK(set.lines() == std::vector<lsm::detail::manifest_line>{{0, 3}, {0, 2}, {2, 1}, {2, 4}});
    std::uint64_t memory = 0;
    std::vector<std::pair<int, std::uint64_t>> visited;
    set.for_each([&](int level, const auto& t) {
        visited.emplace_back(level, t->id());
        memory += t->memory_bytes();
    });
    CHECK(visited == std::vector<std::pair<int, std::uint64_t>>{{0, 3}, {0, 2}, {2, 1}, {2, 4}});
    CHECK(set.memory_bytes() == memory);
}

TEST_CASE("table set: in_level returns the table that covers the key") {
    db_parts parts;
    db_parts::table_set set{db_parts::alloc()};
    set.levels[3].push_back(parts.write_table(1, {{"", "1"}, {"b", "1"}}));
    set.levels[3].push_back(parts.write_table(2, {{"d", "2"}}));
    set.levels[3].push_back(parts.write_table(3, {{"e", "3"}, {"g", "3"}}));
    set.index_levels();
    const std::pair<const char*, std::uint64_t> expected[] = {{"", 1},  {"a", 1}, {"b", 1},  {"b0", 0},
                                                              {"c", 0}, {"d", 2}, {"d0", 0}, {"e", 3},
                                                              {"f", 3}, {"g", 3}, {"g0", 0}, {"z", 0}};
    for (const auto& [key, id] : expected) {
        INFO(key);
        CHECK(id_of(set.in_level(3, key)) == id);
        CHECK(id_of(set.in_level(4, key)) == 0);
    }
}

TEST_CASE("table set: in_level is right for keys with a long common prefix") {
    const auto seed = seed_or(21);
    INFO("LSM_SEED=" << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 20; ++round) {
        db_parts parts;
        db_parts::table_set set{db_parts::alloc()};
        const lsm::bytes shared(random() % 20, 'p');
        entry_map keys;
        for (int i = 0; i < 60; ++i) keys.emplace(shared + random_key(random), "");
        // One table for every two or three keys.
        auto next = keys.begin();
        for (std::uint64_t id = 1; next != keys.end(); ++id) {
            entry_map entries;
            for (auto left = 2 + random() % 2; left > 0 && next != keys.end(); --left) entries.insert(*next++);
            set.levels[1].push_back(parts.write_table(id, entries));
        }
        set.index_levels();
        for (int i = 0; i < 200; ++i) {
            const auto key = random() % 8 == 0 ? random_key(random) : shared + random_key(random);
            const auto covers = [&](const auto& t) { return t->covers(key); };
            const auto found = std::ranges::find_if(set.levels[1], covers);
            REQUIRE(set.in_level(1, key) == (found == set.levels[1].end() ? nullptr : found->get()));
        }
    }
}
