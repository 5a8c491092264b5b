#include <lsm/memtable/memtable.hpp>

#include "support/catch.hpp"
#include "support/entries.hpp"
#include "support/random_moves.hpp"
#include "support/seed.hpp"

using namespace lsm::test;

TEST_CASE("model: a memtable behaves like a std::map") {
    const auto seed = seed_or(1);
    std::mt19937_64 random(seed);
    for (auto round = number_or("LSM_ROUNDS", 20); round > 0; --round) {
        INFO("LSM_SEED=" << seed << ", rounds left " << round);
        lsm::memtable table;
        entry_map model;
        for (auto left = number_or("LSM_OPERATIONS", 2000); left > 0; --left) {
            const auto key = random_key(random);
            switch (random() % 8) {
                case 0:
                case 1:
                case 2: {
                    const auto value = random_value(random);
                    table.put(key, value);
                    model[key] = value;
                    break;
                }
                case 3:
                    table.del(key);
                    model[key] = std::nullopt;
                    break;
                case 4:
                    if (random() % 50 == 0) table = must(lsm::memtable::decode(table.encode()));
                    break;
                case 5:
                    if (random() % 50 == 0) {
                        auto at = table.iter();
                        check_random_moves(at, model, random, 100);
                    }
                    break;
                default: {
                    const auto got = table.get(key);
                    const auto expected = model.find(key);
                    REQUIRE(got.absent() == (expected == model.end()));
                    if (got.absent()) break;
                    REQUIRE(got.tombstone() == !expected->second);
                    if (got.found()) REQUIRE(got.value() == *expected->second);
                }
            }
        }
        REQUIRE(table.len() == model.size());
        REQUIRE(table.size_bytes() == table.encode().size());
        auto at = table.iter();
        REQUIRE(walk(at) == list_of(model));
    }
}
