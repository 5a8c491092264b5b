#include <lsm/sstable/reader.hpp>
#include <lsm/sstable/writer.hpp>

#include "support/catch.hpp"
#include "support/entries.hpp"
#include "support/random_moves.hpp"
#include "support/seed.hpp"

using namespace lsm::test;

TEST_CASE("model: a table behaves like a std::map") {
    const auto seed = seed_or(2);
    std::mt19937_64 random(seed);
    const auto operations = number_or("LSM_OPERATIONS", 2000);
    for (auto round = number_or("LSM_ROUNDS", 40); round > 0; --round) {
        INFO("LSM_SEED=" << seed << ", rounds left " << round);
        lsm::io::memory_file_system fs;
        entry_map model = random_entries(random, 200);
        for (auto& [key, value] : model)
            if (value && random() % 4 == 0) value = random_value(random);
        const auto block_size = static_cast<std::uint32_t>(random() % 3 == 0 ? 4096 : 1 + random() % 300);
        const auto table = open_table(fs, "t", model, block_size);
        REQUIRE(must(table.len()) == model.size());

        for (std::uint64_t i = 0; i < operations / 10; ++i) {
            const auto key = random_key(random);
            const auto got = must(table.get(key));
            const auto expected = model.find(key);
            REQUIRE(got.absent() == (expected == model.end()));
            if (got.absent()) continue;
            REQUIRE(got.tombstone() == !expected->second);
            if (got.found()) REQUIRE(got.value() == *expected->second);
        }
        auto at = table.iter();
        check_random_moves(at, model, random, operations / 10);

        const auto from = random_key(random), to = random_key(random);
        entry_map in_range = model;
        std::erase_if(in_range, [&](const auto& entry) { return entry.first < from || entry.first >= to; });
        auto forwards = table.iter({.from = from, .to = to});
        REQUIRE(walk(forwards) == list_of(in_range));
        auto backwards = table.iter({.from = from, .to = to, .reverse = true});
        REQUIRE(walk(backwards) == entry_list(in_range.rbegin(), in_range.rend()));
        forwards = table.iter({.from = from, .to = to});
        check_random_moves(forwards, in_range, random, operations / 20);
    }
}
