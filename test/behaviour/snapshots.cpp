#include <algorithm>
#include <optional>
#include <utility>

#include <lsm/db/db.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/recording_file_system.hpp"
#include "support/seed.hpp"
#include "support/sha256.hpp"

namespace {

using namespace lsm::test;
using lsm::compaction_style;

entry_map scanned(const lsm::db& db, const lsm::db::snapshot_type& at, bool reverse = false) {
    auto cursor = db.scan({.reverse = reverse, .at = &at});
    const auto all = walk(cursor);
    return {all.begin(), all.end()};
}

// Requires that every way of reading a snapshot shows `expected`.
void check_shows(const lsm::db& db, const lsm::db::snapshot_type& at, const entry_map& expected) {
    REQUIRE(scanned(db, at) == expected);
    REQUIRE(scanned(db, at, true) == expected);
    std::vector<lsm::bytes> keys;
    for (int i = 0; i < 400; i += 3) keys.push_back("key" + std::to_string(i));
    const auto values = must(db.multi_get(keys, {.at = &at}));
    REQUIRE(values.size() == keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
        const auto found = expected.find(keys[i]);
        const auto value = found == expected.end() ? deleted : found->second;
        REQUIRE(values[i] == value);
        REQUIRE(must(db.get(keys[i], {.at = &at})) == value);
        REQUIRE(must(db.contains(keys[i], {.at = &at})) == value.has_value());
    }
    REQUIRE(hex_of(must(db.digest(&at))) == sha256(stream_of(expected)));
}

}  // namespace

TEST_CASE("snapshots: a snapshot shows its moment after later writes and flushes and compactions") {
    const auto style = GENERATE(compaction_style::leveled, compaction_style::size_tiered, compaction_style::none);
    const auto seed = seed_or(21);
    INFO("LSM_SEED=" << seed);
    memory_directory directory;
    auto db = must(lsm::db::open("db", tiny(style, {.file_system = &directory.fs})));
    random_writes writes(seed);
    std::vector<std::pair<lsm::db::snapshot_type, entry_map>> taken;
    for (int round = 0; round < 8; ++round) {
        taken.emplace_back(must(db.snapshot()), writes.model);
        writes.write_to(db, 120);
        if (round % 3 == 1) must(db.flush());
        if (round % 4 == 3) must(db.compact({.from = "key2", .to = "key3"}));
        for (const auto& [at, expected] : taken) check_shows(db, at, expected);
    }
    // Deletes a range of keys in one batch.
    entry_list gone;
    for (const auto& [key, value] : writes.model)
        if (key < "key3") gone.emplace_back(key, deleted);
    must(db.write(batch_of(gone)));
    must(db.compact());
    for (const auto& [at, expected] : taken) check_shows(db, at, expected);
    must(db.close());
    for (const auto& [at, expected] : taken) check_shows(db, at, expected);
}

TEST_CASE("snapshots: a snapshot of an empty database stays empty") {
    memory_directory directory;
    auto db = must(lsm::db::open("db", tiny(compaction_style::leveled, {.file_system = &directory.fs})));
    const auto empty = must(db.snapshot());
    random_writes(seed_or(22)).write_to(db, 300);
    must(db.compact());
    check_shows(db, empty, {});
}

TEST_CASE("snapshots: copies and moved snapshots share one pin and the last one releases it") {
    memory_directory directory;
    auto db = directory.open();
    must(db.put("a", "1"));
    auto first = std::optional(must(db.snapshot()));
    auto copy = std::optional(*first);
    must(db.put("a", "2"));
    must(db.flush());
    CHECK(db.stats().pins.size() == 1);
    CHECK(db.stats().pins.front().holders == 2);
    auto moved = std::optional(*std::move(first));
    CHECK(db.stats().pins.front().holders == 2);
    first.reset();
    CHECK(must(db.get("a", {.at = &*copy})) == "1");
    *copy = *moved;
    CHECK(must(db.get("a", {.at = &*copy})) == "1");
    auto second = std::optional(must(db.snapshot()));
    *copy = *second;
    CHECK(must(db.get("a", {.at = &*copy})) == "2");
    CHECK(must(db.get("a", {.at = &*moved})) == "1");
    CHECK(db.stats().pins.front().holders == 1);
    *moved = std::move(*second);
    CHECK(db.stats().pins.empty());
    CHECK(must(db.get("a", {.at = &*moved})) == "2");
}

TEST_CASE("snapshots: a cursor keeps its contents and outlives its snapshot and its database") {
    memory_directory directory;
    std::optional<lsm::db::cursor> at, by_snapshot;
    entry_map expected;
    {
        auto db = must(lsm::db::open("db", tiny(compaction_style::leveled, {.file_system = &directory.fs})));
        random_writes writes(seed_or(23));
        writes.write_to(db, 200);
        expected = writes.model;
        at.emplace(db.scan());
        {
            const auto snapshot = must(db.snapshot());
            writes.write_to(db, 10);
            by_snapshot.emplace(db.scan({.at = &snapshot}));
        }
        for (int i = 0; i < 10; ++i) at->next();
        writes.write_to(db, 300);
        must(db.compact());
        at->seek_to_first();
        CHECK(walk(*at) == list_of(expected));
    }
    at->seek_to_first();
    CHECK(walk(*at) == list_of(expected));
    CHECK(walk(*by_snapshot) == list_of(expected));
}

TEST_CASE("snapshots: a snapshot shows a whole batch or none of it") {
    memory_directory directory;
    auto db = directory.open();
    must(db.put("a", "0"));
    must(db.put("b", "0"));
    const auto before = must(db.snapshot());
    must(db.write(batch_of({{"a", "1"}, {"b", deleted}, {"c", "1"}, {"c", "2"}})));
    const auto after = must(db.snapshot());
    CHECK(scanned(db, before) == entry_map{{"a", "0"}, {"b", "0"}});
    CHECK(scanned(db, after) == entry_map{{"a", "1"}, {"c", "2"}});
}

TEST_CASE("snapshots: the last holder of old tables and memory frees them") {
    memory_directory directory;
    recording_file_system fs(directory.fs);
    auto db = must(lsm::db::open("db", tiny(compaction_style::none, {.file_system = &fs})));
    random_writes writes(seed_or(24));
    writes.write_to(db, 300);
    auto held = std::optional(must(db.snapshot()));
    auto cursor = std::optional(db.scan());
    const auto expected = writes.model;
    const auto tables = db.live_tables();
    for (const auto& [key, value] : expected) must(db.del(key));
    must(db.compact());
    CHECK(db.live_tables().empty());
    // The names are removed at once, the files when their last reader is gone.
    CHECK(strays(directory.files(), {}).empty());
    CHECK(fs.open_files() >= tables.size());
    auto stats = db.stats();
    CHECK(stats.memory.pinned > 0);
    REQUIRE(stats.pins.size() == 1);
    CHECK(stats.pins.front().holders == 2);
    CHECK(stats.pins.front().memory_bytes == stats.memory.pinned);
    std::uint64_t on_disk = 0;
    for (const auto& t : tables) on_disk += t.file_bytes;
    CHECK(stats.pins.front().disk_bytes == on_disk);
    check_shows(db, *held, expected);

    held.reset();
    CHECK(db.stats().pins.size() == 1);
    CHECK(walk(*cursor) == list_of(expected));
    cursor.reset();
    stats = db.stats();
    CHECK(stats.pins.empty());
    CHECK(stats.memory.pinned == 0);
    CHECK(fs.open_files() == 1);  // LOCK
}

TEST_CASE("snapshots: a table or memtable that several snapshots hold is counted once") {
    memory_directory directory;
    auto db = directory.open();
    must(db.put("a", lsm::bytes(5000, 'a')));
    const auto first = must(db.snapshot());
    must(db.flush());
    must(db.put("b", lsm::bytes(5000, 'b')));
    const auto second = must(db.snapshot());
    must(db.compact());
    must(db.compact());
    const auto stats = db.stats();
    REQUIRE(stats.pins.size() == 2);
    std::uint64_t on_disk = 0, in_memory = 0;
    for (const auto& pin : stats.pins) {
        CHECK(pin.holders == 1);
        on_disk += pin.disk_bytes;
        in_memory += pin.memory_bytes;
    }
    CHECK(on_disk > 5000);
    CHECK(on_disk < 10'000);  // the table of a, once; b was in memory
    CHECK(in_memory == stats.memory.pinned);
    CHECK(in_memory > 10'000);
    CHECK(stats.pins.front().age_nanoseconds <= stats.pins.back().age_nanoseconds);
}

TEST_CASE("snapshots: reading an old snapshot with an inline executor does not wait for itself") {
    // Releasing the old state is work for maintenance, which waits for lookups in progress.
    memory_directory directory;
    auto db = directory.open();
    must(db.put("a", "1"));
    const auto old = must(db.snapshot());
    must(db.put("a", "2"));
    must(db.flush());
    CHECK(**must(db.get_view("a", {.at = &old})) == "1");
    CHECK_FALSE(must(db.get_view("b", {.at = &old})));
    CHECK(must(db.multi_get({"a", "b"}, {.at = &old})).front() == "1");
}

TEST_CASE("snapshots: every way of reading refuses a snapshot of another database") {
    memory_directory directory, other;
    auto db = directory.open();
    const auto stranger = other.open();
    const auto foreign = must(stranger.snapshot());
    must(db.put("a", "1"));
    const auto refused = [](const auto& outcome) { return must_fail(outcome).code == lsm::errc::invalid_argument; };
    CHECK(refused(db.get("a", {.at = &foreign})));
    CHECK(refused(db.get_view("a", {.at = &foreign})));
    CHECK(refused(db.contains("a", {.at = &foreign})));
    CHECK(refused(db.multi_get({"a"}, {.at = &foreign})));
    CHECK(refused(db.digest(&foreign)));
    const auto scan = db.scan({.at = &foreign});
    CHECK_FALSE(scan.valid());
    CHECK(refused(scan.status()));
    const auto own = must(db.snapshot());
    const auto moved = std::move(db);
    CHECK(must(moved.get("a", {.at = &own})) == "1");
}
