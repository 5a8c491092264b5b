#include <lsm/db/db.hpp>

#include <optional>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/files.hpp"
#include "support/recording_file_system.hpp"

namespace {

using namespace lsm::test;

std::string key(int i) { return "key" + std::to_string(10'000 + i); }

// Writes `tables` tables of ten keys each, none of which overlaps another.
void fill(lsm::db& db, int tables) {
    for (int i = 0; i < 10 * tables; ++i) {
        must(db.put(key(i), "value " + std::to_string(i)));
        if (i % 10 == 9) must(db.flush());
    }
}

// Checks what fill() has written, by gets and by a scan.
void check_filled(const lsm::db& db, int tables) {
    auto at = db.scan();
    for (int i = 0; i < 10 * tables; ++i, at.next()) {
        REQUIRE(must(db.get(key(i))) == "value " + std::to_string(i));
        REQUIRE(at.valid());
        REQUIRE(at.key() == key(i));
    }
    CHECK_FALSE(at.valid());
    must(at.status());
}

}  // namespace

TEST_CASE("db get_view: returns values in memtables and tables and nothing for missing keys") {
    memory_directory directory;
    auto db = directory.open({.block_cache_bytes = GENERATE(std::size_t{0}, std::size_t{1} << 20)});
    must(db.put("gone", "1"));
    must(db.put("table", "in a table"));
    must(db.flush());
    must(db.put("memory", "in memory"));
    must(db.del("gone"));
    CHECK(**must(db.get_view("table")) == "in a table");
    CHECK(must(db.get_view("memory")).value()->size() == 9);
    CHECK_FALSE(must(db.get_view("gone")));
    CHECK_FALSE(must(db.get_view("never")));

    const auto snapshot = must(db.snapshot());
    must(db.put("table", "overwritten"));
    CHECK(**must(db.get_view("table", {.at = &snapshot})) == "in a table");
    CHECK(**must(db.get_view("table")) == "overwritten");
}

TEST_CASE("db get_view: the view outlives flushes and compactions and the database") {
    memory_directory directory;
    std::optional<lsm::db> db = directory.open({.block_cache_bytes = 0});
    must(db->put("a", "one"));
    must(db->flush());
    must(db->put("b", "two"));
    auto in_table = must(db->get_view("a"));
    const auto in_memory = must(db->get_view("b"));
    must(db->put("a", "three"));
    must(db->put("b", "four"));
    must(db->compact());
    must(db->del("a"));
    must(db->compact());
    db.reset();
    CHECK(**in_table == "one");
    CHECK(**in_memory == "two");
    const auto copy = in_table;
    in_table.reset();
    CHECK(**copy == "one");
}

TEST_CASE("db reads: tables beyond max_open_files are opened for each read") {
    lsm::io::memory_file_system inner;
    recording_file_system fs(inner);
    auto db = must(lsm::db::open("db", plain({.block_cache_bytes = 0, .max_open_files = 3, .file_system = &fs})));
    const auto without_tables = fs.open_files();
    fill(db, 20);
    CHECK(fs.open_files() <= without_tables + 3);
    check_filled(db, 20);
    CHECK(fs.open_files() <= without_tables + 3);

    auto before = db.scan();
    must(db.compact());
    CHECK(db.live_tables().size() == 1);
    int seen = 0;
    for (; before.valid(); before.next()) ++seen;
    must(before.status());
    CHECK(seen == 200);
}

TEST_CASE("db reads: a cursor over more tables than may be open outlives its database") {
    memory_directory directory;
    const lsm::options opts{.block_cache_bytes = 0, .max_open_files = 0};
    std::optional<lsm::db> db = directory.open(opts);
    fill(*db, 20);
    auto at = db->scan();
    db.reset();
    auto again = directory.open(opts);
    must(again.compact());
    int seen = 0;
    for (; at.valid(); at.next()) ++seen;
    must(at.status());
    CHECK(seen == 200);
}

TEST_CASE("db reads: reads through memory maps return the same and outlive the database") {
    const scratch_directory scratch;
    const lsm::options opts =
        plain({.block_cache_bytes = GENERATE(std::size_t{0}, std::size_t{1} << 20), .map_tables = true});
    std::optional<lsm::db> db = must(lsm::db::open(scratch / "db", opts));
    fill(*db, 20);
    check_filled(*db, 20);
    const auto value = must(db->get_view(key(42)));
    auto backward = db->scan({.reverse = true});
    must(db->compact());
    check_filled(*db, 20);
    db.reset();
    CHECK(**value == "value 42");
    int seen = 0;
    for (; backward.valid(); backward.next()) ++seen;
    CHECK(seen == 200);
}

TEST_CASE("db reads: a flipped bit in a block is an error with and without a block cache") {
    memory_directory directory;
    {
        auto db = directory.open();
        for (int i = 0; i < 100; ++i) must(db.put(key(i), "value"));
        must(db.flush());
        must(db.close());
    }
    lsm::bytes table = read_file(directory.fs, "db/sst-000001.sst");
    auto& damaged = table[table.find(key(50)) + 10];
    damaged = static_cast<char>(damaged ^ 1);
    directory.with("sst-000001.sst", table);
    auto db = directory.open({.block_cache_bytes = GENERATE(std::size_t{0}, std::size_t{1} << 20)});
    CHECK(must_fail(db.get(key(50))).code == lsm::errc::bad_checksum);
    CHECK(must_fail(db.get_view(key(50))).what.find("db/sst-000001.sst: offset ") == 0);
    CHECK(must_fail(db.scan().status()).code == lsm::errc::bad_checksum);
    CHECK(must(db.get(key(50), {.verify_checksums = false}))->size() == 5);
}

TEST_CASE("db reads: tombstones that cursors skip are counted") {
    memory_directory directory;
    auto db = directory.open();
    for (int i = 0; i < 100; ++i) must(db.put(key(i), "value"));
    for (int i = 10; i < 60; ++i) must(db.del(key(i)));
    auto at = db.scan();
    CHECK(db.stats().tombstones_skipped == 0);
    while (at.valid()) at.next();
    CHECK(db.stats().tombstones_skipped == 50);
}

TEST_CASE("db reads: a block read without its checksum is not cached for reads that verify") {
    memory_directory directory;
    const lsm::options opts{.block_cache_bytes = 1 << 20};
    {
        auto db = directory.open(opts);
        must(db.put("a", "one value"));
        must(db.flush());
    }
    auto table = directory.files().at("sst-000001.sst");
    table[table.find("one value")] = 'O';
    auto db = directory.with("sst-000001.sst", table).open(opts);
    for (int i = 0; i < 3; ++i) {
        CHECK(must_fail(db.get("a")).code == lsm::errc::bad_checksum);
        CHECK(must(db.get("a", {.verify_checksums = false})) == "One value");
        const auto at = db.scan({.verify_checksums = false});
        CHECK(at.value() == "One value");
    }
    must(db.put("b", "2"));
    must(db.put("a", "3"));
    must(db.flush());
    CHECK(must_fail(db.compact()).code == lsm::errc::bad_checksum);
}
