#include <lsm/merge/merging_iterator.hpp>

#include <lsm/memtable/memtable.hpp>

#include "support/catch.hpp"
#include "support/entries.hpp"
#include "support/random_moves.hpp"
#include "support/seed.hpp"

using namespace lsm::test;

TEST_CASE("model: a merge behaves like the union of its sources") {
    const auto seed = seed_or(3);
    std::mt19937_64 random(seed);
    for (auto round = number_or("LSM_ROUNDS", 60); round > 0; --round) {
        INFO("LSM_SEED=" << seed << ", rounds left " << round);
        lsm::io::memory_file_system fs;
        std::vector<entry_map> sources(1 + random() % 12);
        std::vector<any_cursor> with_tombstones, without_tombstones;
        for (entry_map& source : sources) {
            source = random_entries(random, 100);
            if (random() % 2 == 0) {
                lsm::memtable table;
                for (const auto& [key, value] : source) value ? table.put(key, *value) : table.del(key);
                with_tombstones.emplace_back(table.iter());
                without_tombstones.emplace_back(table.iter());
            } else {
                const auto table = open_table(fs, "t", source, static_cast<std::uint32_t>(1 + random() % 400));
                with_tombstones.emplace_back(table.byte_cursor());
                without_tombstones.emplace_back(table.byte_cursor());
            }
        }
        const auto moves = number_or("LSM_OPERATIONS", 1000);
        lsm::merging_iterator<any_cursor> all(std::move(with_tombstones));
        REQUIRE(walk(all) == list_of(merged(sources, false)));
        check_random_moves(all, merged(sources, false), random, moves);
        lsm::merging_iterator<any_cursor> live(std::move(without_tombstones), {.drop_tombstones = true});
        REQUIRE(walk(live) == list_of(merged(sources, true)));
        check_random_moves(live, merged(sources, true), random, moves);
    }
}
