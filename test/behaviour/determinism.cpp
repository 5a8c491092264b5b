#include <vector>

#include <lsm/db/db.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/seed.hpp"

namespace {

using namespace lsm::test;
using lsm::compaction_style;

// Runs a history. Returns all files on the disk at several moments of it.
std::vector<image> history(compaction_style style, std::uint64_t seed, bool extended) {
    std::vector<image> out;
    lsm::io::memory_file_system fs;
    const auto opts = tiny(style, {.memory_budget_bytes = 100'000, .extended_tables = extended, .file_system = &fs});
    random_writes writes(seed);
    for (int round = 0; round < 3; ++round) {
        auto db = must(lsm::db::open("db", opts));
        for (int part = 0; part < 4; ++part) {
            writes.write_to(db, 100);
            if (part == 1) must(db.flush());
            if (part == 2) must(db.compact({.from = "key1", .to = "key2"}));
            const auto held = must(db.snapshot());
            writes.write_to(db, 50);
            out.push_back(image_of(fs, "db"));
        }
        must(db.checkpoint("copy" + std::to_string(round)));
        must(db.close());
        out.push_back(image_of(fs, "db"));
        out.push_back(image_of(fs, "copy" + std::to_string(round)));
    }
    return out;
}

}  // namespace

TEST_CASE("determinism: with an inline executor the same calls write the same bytes to every file") {
    const auto style = GENERATE(compaction_style::leveled, compaction_style::size_tiered, compaction_style::none);
    const bool extended = GENERATE(true, false);
    const auto seed = seed_or(81);
    INFO("LSM_SEED=" << seed);
    const auto once = history(style, seed, extended);
    CHECK(once.back().size() > 2);
    CHECK(history(style, seed, extended) == once);
    CHECK(history(style, seed + 1, extended) != once);
}
