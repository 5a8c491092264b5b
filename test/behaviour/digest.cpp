#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <lsm/db/db.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/seed.hpp"
#include "support/sha256.hpp"

namespace {

using namespace lsm::test;
using lsm::compaction_style;

std::string digest_of(const lsm::db& db) { return hex_of(must(db.digest())); }

}  // namespace

TEST_CASE("digest: is the SHA-256 of the merge stream of the live keys") {
    memory_directory directory;
    auto db = directory.open();
    CHECK(digest_of(db) == sha256(""));
    must(db.put("a", "1"));
    must(db.put("b", ""));
    must(db.del("c"));
    const std::string expected = sha256(stream_of({{"a", "1"}, {"b", ""}}));
    CHECK(digest_of(db) == expected);
    must(db.flush());
    CHECK(digest_of(db) == expected);
    CHECK(sha256(view_bytes(db)) == expected);
}

TEST_CASE("digest: is equal for equal contents whatever the history and the options are") {
    const auto seed = seed_or(61);
    INFO("LSM_SEED=" << seed);
    std::optional<std::string> first;
    entry_map contents;
    const auto check = [&](const lsm::db& db) {
        CHECK(sha256(view_bytes(db)) == digest_of(db));
        CHECK(digest_of(db) == *first);
    };
    for (const auto style : {compaction_style::leveled, compaction_style::size_tiered, compaction_style::none})
        for (const bool extended : {true, false}) {
            memory_directory directory;
            const auto opts = tiny(style, {.extended_tables = extended, .file_system = &directory.fs});
            auto db = must(lsm::db::open("db", opts));
            random_writes writes(seed);
            writes.write_to(db, 500);
            if (!first) {
                contents = writes.model;
                first = sha256(stream_of(contents));
            }
            check(db);
            must(db.compact());
            check(db);
            must(db.close());
            db = must(lsm::db::open("db", plain({.block_cache_bytes = 0, .file_system = &directory.fs})));
            check(db);
        }
    // The same contents, written in key order.
    memory_directory directory;
    auto db = directory.open();
    for (const auto& [key, value] : contents) must(db.put(key, *value));
    check(db);
}

TEST_CASE("digest: changes with every change of the contents") {
    memory_directory directory;
    auto db = directory.open();
    must(db.put("a", "1"));
    std::vector<std::string> seen{digest_of(db)};
    const auto check_new = [&] {
        const auto now = digest_of(db);
        CHECK(std::find(seen.begin(), seen.end(), now) == seen.end());
        seen.push_back(now);
    };
    must(db.put("a", "2"));
    check_new();
    must(db.put("a2", ""));
    check_new();
    must(db.put("", "a2"));
    check_new();
    must(db.del("a"));
    check_new();
    must(db.put("a", "1"));
    must(db.del(""));
    must(db.del("a2"));
    CHECK(digest_of(db) == seen.front());
}

TEST_CASE("digest: leaves the block cache empty") {
    memory_directory directory;
    auto db = directory.open();
    must(db.put("a", "1"));
    must(db.flush());
    static_cast<void>(digest_of(db));
    CHECK(db.stats().memory.cache == 0);
}
