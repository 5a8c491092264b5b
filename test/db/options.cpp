#include <lsm/db/options.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/recording_file_system.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;

std::size_t syncs_of(const recording_file_system& fs, std::string_view path) {
    const std::string call = "fdatasync " + std::string(path);
    return static_cast<std::size_t>(std::count(fs.calls.begin(), fs.calls.end(), call));
}

}  // namespace

TEST_CASE("options: without create_if_missing a missing database is not found and nothing is created") {
    lsm::io::memory_file_system fs;
    const lsm::options opts{.create_if_missing = false, .file_system = &fs};
    CHECK(must_fail(lsm::db::open("db", opts)).code == errc::not_found);
    CHECK(must_fail(fs.list("db", [](std::string_view) {})).code == errc::not_found);

    must(fs.make_directory("db"));
    write_file(fs, "db/notes.txt", "theirs");
    CHECK(must_fail(lsm::db::open("db", opts)).code == errc::not_found);
    std::vector<std::string> names;
    must(fs.list("db", [&](std::string_view name) { names.emplace_back(name); }));
    CHECK(names == std::vector<std::string>{"notes.txt"});
}

TEST_CASE("options: without create_if_missing an existing database opens") {
    memory_directory directory;
    must(directory.open().put("a", "1"));
    CHECK(contents_of(directory.open({.create_if_missing = false})) == entry_map{{"a", "1"}});
}

TEST_CASE("options: with error_if_exists an existing database is refused and left unchanged") {
    memory_directory directory;
    must(directory.open({.error_if_exists = true}).put("a", "1"));
    const auto before = directory.files();
    CHECK(must_fail(directory.try_open({.error_if_exists = true})).code == errc::exists);
    CHECK(directory.files() == before);
}

TEST_CASE("options: create_if_missing and error_if_exists agree on what a database is") {
    // A log without a MANIFEST.
    memory_directory directory;
    directory.with("wal.log", log_of({{{"a", "1"}}}));
    const bool found = directory.try_open({.create_if_missing = false}).has_value();
    memory_directory again;
    again.with("wal.log", log_of({{{"a", "1"}}}));
    CHECK(again.try_open({.error_if_exists = true}).has_value() == !found);
}

TEST_CASE("options: missing parents are created and made durable in their own parents") {
    lsm::io::memory_file_system memory;
    recording_file_system fs(memory);
    CHECK(lsm::db::open("a/b/c", plain({.file_system = &fs})));
    const auto changes = fs.changes();
    const std::vector<std::string> expected{"mkdir a/b/c", "mkdir a/b",         "mkdir a",     "fsync-directory .",
                                            "mkdir a/b",   "fsync-directory a", "mkdir a/b/c", "fsync-directory a/b"};
    REQUIRE(changes.size() > expected.size());
    CHECK(std::equal(expected.begin(), expected.end(), changes.begin()));
}

TEST_CASE("options: a missing path that contains dots is created") {
    const scratch_directory directory;
    for (const char* name : {"one/.", "two/../three", "four/./five", "six/.."}) {
        INFO(name);
        must(must(lsm::db::open(directory / name, plain())).put("a", name));
        CHECK(must(must(lsm::db::open(directory / name, plain())).get("a")) == name);
    }
}

TEST_CASE("options: refusing an existing database creates no lock file") {
    memory_directory directory;
    must(directory.open().put("a", "1"));
    must(directory.fs.remove("db/LOCK"));  // a checkpoint has none
    CHECK(must_fail(directory.try_open({.error_if_exists = true})).code == errc::exists);
    CHECK(must_fail(directory.fs.remove("db/LOCK")).code == errc::not_found);
}

TEST_CASE("options: the names of existing parents are made durable before anything is written") {
    lsm::io::memory_file_system memory;
    // A program that was killed may have created them without a sync.
    for (const char* made : {"a", "a/b", "a/b/c"}) must(memory.make_directory(made));
    recording_file_system fs(memory);
    CHECK(lsm::db::open("a/b/c", plain({.file_system = &fs})));
    const auto changes = fs.changes();
    for (const char* name : {"fsync-directory a/b", "fsync-directory a", "fsync-directory ."})
        CHECK(std::ranges::find(changes, name) < std::ranges::find(changes, "create a/b/c/MANIFEST.tmp"));
}

TEST_CASE("options: a full write buffer becomes a table before the next write") {
    memory_directory directory;
    auto db = directory.open({.write_buffer_bytes = 64 << 10});
    const lsm::bytes value(1000, 'v');
    entry_map expected;
    for (int i = 0; i < 500; ++i) {
        must(db.put("key" + std::to_string(i), value));
        expected["key" + std::to_string(i)] = value;
    }
    // 500 kB in buffers of 64 KiB. Memory is taken in chunks that double, so a table may hold half a buffer or two.
    CHECK(db.live_tables().size() >= 3);
    CHECK(db.live_tables().size() <= 20);
    CHECK(contents_of(db) == expected);
    must(db.close());
    CHECK(contents_of(directory.open()) == expected);
}

TEST_CASE("options: with a write buffer of 0 every write finds an empty memtable") {
    memory_directory directory;
    auto db = directory.open({.write_buffer_bytes = 0});
    for (const char* key : {"a", "b", "c"}) must(db.put(key, key));
    CHECK(db.live_tables().size() == 2);
    CHECK(contents_of(db) == entry_map{{"a", "a"}, {"b", "b"}, {"c", "c"}});
}

TEST_CASE("options: block size and cache do not change the contents") {
    memory_directory directory;
    entry_map expected;
    for (int i = 0; i < 200; ++i) expected["key" + std::to_string(i)] = lsm::bytes(static_cast<std::size_t>(i), 'v');
    const lsm::options opts{.block_cache_bytes = GENERATE(as<std::size_t>(), 0, 1, 3000, 1 << 20),
                            .block_bytes = GENERATE(as<std::uint32_t>(), 0, 1, 100, 1 << 20)};
    auto db = directory.open(opts);
    for (const auto& [key, value] : expected) must(db.put(key, *value));
    must(db.flush());
    lsm::io::memory_file_system other;
    const auto table = directory.table("sst-000001.sst");
    CHECK(table.num_blocks() == open_table(other, "t", expected, opts.block_bytes).num_blocks());
    CHECK(entries_in(table) == expected);
    for (int round = 0; round < 2; ++round) {
        CHECK(contents_of(db) == expected);
        for (const auto& [key, value] : expected) CHECK(value_in(db, key) == value);
    }
}

TEST_CASE("options: cached blocks are not read again") {
    lsm::io::memory_file_system memory;
    recording_file_system fs(memory);
    auto db = must(lsm::db::open("db", plain({.file_system = &fs})));
    must(db.put("a", "1"));
    must(db.flush());
    CHECK(value_in(db, "a") == "1");
    const auto before = fs.calls.size();
    CHECK(value_in(db, "a") == "1");
    CHECK(fs.calls.size() == before);
}

TEST_CASE("options: with sync every write is synced and without it only those that ask for it") {
    lsm::io::memory_file_system memory;
    recording_file_system fs(memory);
    const bool sync = GENERATE(true, false);
    auto db = must(lsm::db::open("db", plain({.sync = sync, .file_system = &fs})));
    must(db.put("a", "1"));
    const auto before = syncs_of(fs, "db/wal.log");
    must(db.put("b", "2"));
    must(db.put("c", "3"));
    CHECK(syncs_of(fs, "db/wal.log") == before + (sync ? 2 : 0));
    must(db.put("d", "4", {.sync = !sync}));
    CHECK(syncs_of(fs, "db/wal.log") == before + (sync ? 2 : 1));
    must(db.put("e", "5", {.sync = false}));
    must(db.close());
    // Closing makes the last write durable, too.
    const auto last = std::find(fs.calls.rbegin(), fs.calls.rend(), "fdatasync db/wal.log");
    CHECK(last < std::find(fs.calls.rbegin(), fs.calls.rend(), "write db/wal.log"));
    CHECK(contents_of(must(lsm::db::open("db", plain({.file_system = &fs})))).size() == 5);
}

TEST_CASE("options: a database is created in a directory whose parent may not be read") {
    lsm::io::memory_file_system memory;
    must(memory.make_directory("private"));
    must(memory.make_directory("private/db"));
    recording_file_system fs(memory);
    fs.fault = [](std::string_view call) { return call == "fsync-directory private" ? EACCES : 0; };
    auto db = must(lsm::db::open("private/db", plain({.file_system = &fs})));
    must(db.put("a", "1"));
    must(db.checkpoint("private/db/copy"));
}
