#include <algorithm>
#include <cerrno>
#include <functional>
#include <optional>
#include <string>

#include <lsm/db/db.hpp>
#include <lsm/io/posix_file_system.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/forwarding_file_system.hpp"
#include "support/hooked_file_system.hpp"
#include "support/recording_file_system.hpp"
#include "support/seed.hpp"
#include "support/sha256.hpp"

namespace {

using namespace lsm::test;
using lsm::compaction_style;
using lsm::errc;

/// Calls `at_list` after every list of a directory.
class listing final : public forwarding_file_system {
public:
    using forwarding_file_system::forwarding_file_system;
    /// Gets the callback of the list, to report more names.
    std::function<void(lsm::detail::function_ref<void(std::string_view)>)> at_list;

    lsm::result<void> list(std::string_view path, lsm::detail::function_ref<void(std::string_view)> each) override {
        auto done = forwarding_file_system::list(path, each);
        if (at_list) at_list(each);
        return done;
    }
};

lsm::result<lsm::db> try_read(lsm::io::file_system& fs) {
    return lsm::db::open("db", at_once({.read_only = true, .file_system = &fs}));
}
lsm::db to_read(lsm::io::file_system& fs) { return must(try_read(fs)); }

}  // namespace

TEST_CASE("read only: a reader sees the state at its open including the log and changes no byte") {
    lsm::io::memory_file_system memory;
    auto writer = must(lsm::db::open("db", tiny(compaction_style::leveled, {.file_system = &memory})));
    random_writes writes(seed_or(41));
    writes.write_to(writer, 500);
    CHECK(image_of(memory, "db").contains("wal.log"));
    const auto before = image_of(memory, "db");
    recording_file_system fs(memory);
    {
        const auto reader = to_read(fs);
        CHECK(contents_of(reader) == writes.model);
        for (const auto& [key, value] : writes.model) CHECK(value_in(reader, key) == value);
        CHECK(must(reader.digest()) == must(writer.digest()));
        CHECK(reader.live_tables() == writer.live_tables());
        CHECK(reader.recovered().records > 0);
        CHECK(must(reader.verify()).damage.empty());
        CHECK_FALSE(reader.stats().gets == 0);
    }
    CHECK(fs.changes().empty());
    CHECK(fs.open_files() == 0);
    CHECK(image_of(memory, "db") == before);
    writes.write_to(writer, 10);
    CHECK(contents_of(writer) == writes.model);
}

TEST_CASE("read only: orphans and torn ends and frozen logs are left alone") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 1\n")
        .with("sst-000001.sst", table_of({{"a", "1"}}))
        .with("sst-000007.sst", table_of({{"x", "orphan"}}))
        .with("sst-000008.sst.tmp", "rubbish")
        .with("MANIFEST.tmp", "rubbish")
        .with("wal-000003.log", log_of({{{"b", "2"}}}))
        .with("wal.log", log_of({{{"c", "3"}}}) + "torn");
    const auto before = directory.files();
    {
        auto reader = to_read(directory.fs);
        CHECK(contents_of(reader) == entry_map{{"a", "1"}, {"b", "2"}, {"c", "3"}});
        must(reader.refresh());
        must(reader.close());
    }
    CHECK(directory.files() == before);
    std::vector<std::string> names;
    must(directory.fs.list("db", [&](std::string_view name) { names.emplace_back(name); }));
    CHECK(std::ranges::find(names, "LOCK") == names.end());
}

TEST_CASE("read only: refresh shows the new state and earlier cursors and snapshots keep theirs") {
    lsm::io::memory_file_system memory;
    auto writer = must(lsm::db::open("db", tiny(compaction_style::leveled, {.file_system = &memory})));
    auto reader = to_read(memory);
    random_writes writes(seed_or(42));
    entry_map seen;
    std::vector<std::pair<lsm::db::cursor, entry_map>> cursors;
    std::vector<std::pair<lsm::db::snapshot_type, entry_map>> snapshots;
    for (int round = 0; round < 12; ++round) {
        writes.write_to(writer, round % 2 == 0 ? 3 : 120);
        if (round % 4 == 1) must(writer.flush());
        if (round % 4 == 3) must(writer.compact());
        CHECK(contents_of(reader) == seen);
        must(reader.refresh());
        seen = writes.model;
        CHECK(contents_of(reader) == seen);
        CHECK(must(reader.digest()) == must(writer.digest()));
        cursors.emplace_back(reader.scan(), seen);
        snapshots.emplace_back(must(reader.snapshot()), seen);
    }
    must(writer.close());
    for (auto& [at, expected] : cursors) CHECK(walk(at) == list_of(expected));
    for (const auto& [at, expected] : snapshots) CHECK(hex_of(must(reader.digest(&at))) == sha256(stream_of(expected)));
    must(reader.refresh());
    CHECK(contents_of(reader) == seen);
}

TEST_CASE("read only: a cursor and a snapshot outlive their reader and then release every file") {
    lsm::io::memory_file_system memory;
    recording_file_system fs(memory);
    auto writer = must(lsm::db::open("db", plain({.file_system = &memory})));
    must(writer.put("a", "1"));
    must(writer.flush());
    std::optional<lsm::db::cursor> at;
    std::optional<lsm::db::snapshot_type> snapshot;
    {
        auto reader = to_read(fs);
        at.emplace(reader.scan());
        snapshot.emplace(must(reader.snapshot()));
        must(writer.put("a", "2"));
        must(reader.refresh());
        if (GENERATE(false, true)) must(reader.close());
    }
    at->seek_to_first();
    CHECK(walk(*at) == entry_list{{"a", "1"}});
    at.reset();
    snapshot.reset();
    CHECK(fs.open_files() == 0);
}

TEST_CASE("read only: files that are no longer needed are closed") {
    lsm::io::memory_file_system memory;
    recording_file_system fs(memory);
    auto writer = must(lsm::db::open("db", plain({.file_system = &memory})));
    must(writer.put("a", "1"));
    must(writer.flush());
    auto reader = to_read(fs);
    auto at = std::optional(reader.scan());
    CHECK(fs.open_files() == 1);
    for (int i = 0; i < 5; ++i) {
        must(writer.put("a", std::to_string(i)));
        must(writer.compact());
        must(reader.refresh());
        CHECK(fs.open_files() == 2);
    }
    at.reset();
    CHECK(fs.open_files() == 1);
}

TEST_CASE("read only: a new table with a reused id is not taken for the old one") {
    lsm::io::memory_file_system memory;
    rewrite(memory, "db", true, {{"a", "old"}});
    auto reader = to_read(memory);
    CHECK(value_in(reader, "a") == "old");
    auto at = reader.scan();
    rewrite(memory, "db", true, {{"a", "new"}});
    must(reader.refresh());
    CHECK(value_in(reader, "a") == "new");
    CHECK(contents_of(reader) == entry_map{{"a", "new"}});
    CHECK(walk(at) == entry_list{{"a", "old"}});
}

TEST_CASE("read only: every call that would write is refused") {
    memory_directory directory;
    {
        auto writer = directory.open();
        must(writer.put("a", "1"));
        must(writer.flush());
        must(writer.put("b", "2"));
    }
    const auto before = directory.files();
    auto reader = to_read(directory.fs);
    CHECK(must_fail(reader.put("c", "3")).code == errc::read_only);
    CHECK(must_fail(reader.del("a")).code == errc::read_only);
    CHECK(must_fail(reader.write(batch_of({{"c", "3"}}))).code == errc::read_only);
    CHECK(must_fail(reader.write(lsm::write_batch())).code == errc::read_only);
    CHECK(must_fail(reader.flush()).code == errc::read_only);
    CHECK(must_fail(reader.compact()).code == errc::read_only);
    CHECK(contents_of(reader) == entry_map{{"a", "1"}, {"b", "2"}});
    must(reader.checkpoint("copy"));
    CHECK(contents_of(must(lsm::db::open("copy", plain({.file_system = &directory.fs})))) == contents_of(reader));
    must(reader.close());
    CHECK(must_fail(reader.put("c", "3")).code == errc::closed);
    CHECK(directory.files() == before);
}

TEST_CASE("read only: a missing database is not found") {
    lsm::io::memory_file_system fs;
    CHECK(must_fail(try_read(fs)).code == errc::not_found);
    CHECK(must_fail(fs.list("db", [](std::string_view) {})).code == errc::not_found);
    must(fs.make_directory("db"));
    CHECK(must_fail(try_read(fs)).code == errc::not_found);
    CHECK(image_of(fs, "db").empty());
    write_file(fs, "db/sst-000001.sst", table_of({{"a", "1"}}));
    CHECK(must_fail(try_read(fs)).code == errc::bad_manifest);
}

TEST_CASE("read only: refresh is refused by a database that is open for writing") {
    memory_directory directory;
    auto db = directory.open();
    CHECK(must_fail(db.refresh()).code == errc::invalid_argument);
    must(db.put("a", "1"));
}

TEST_CASE("read only: several readers and one writer have the database open at once") {
    memory_directory directory;
    must(directory.open().close());
    const auto first = to_read(directory.fs);
    const auto second = to_read(directory.fs);
    auto writer = directory.open();
    const auto third = to_read(directory.fs);
    must(writer.put("a", "1"));
    CHECK(contents_of(third).empty());
    CHECK(contents_of(to_read(directory.fs)) == entry_map{{"a", "1"}});
}

TEST_CASE("read only: an open and a refresh beside a busy writer show one moment") {
    lsm::io::memory_file_system memory;
    auto writer = must(lsm::db::open("db", tiny(compaction_style::leveled, {.file_system = &memory})));
    random_writes writes(seed_or(43));
    writes.write_to(writer, 100);
    listing fs(memory);
    int left = 0;
    fs.at_list = [&](auto) {
        if (left == 0) return;
        --left;
        writes.write_to(writer, 60);
        if (left % 3 == 0) must(writer.compact());
        if (left % 3 == 1) must(writer.flush());
    };
    left = 5;
    auto reader = to_read(fs);
    CHECK(left == 0);
    CHECK(contents_of(reader) == writes.model);
    left = 8;
    must(reader.refresh());
    CHECK(left == 0);
    CHECK(contents_of(reader) == writes.model);
}

TEST_CASE("read only: a directory that changes all the time is stale and the old state stays") {
    memory_directory directory;
    {
        auto writer = directory.open();
        must(writer.put("a", "1"));
    }
    listing fs(directory.fs);
    auto reader = to_read(fs);
    {
        auto writer = directory.open();
        must(writer.put("a", "2"));
    }
    int number = 10;
    fs.at_list = [&](auto each) { each("sst-0000" + std::to_string(number = 10 + (number + 1) % 80) + ".sst"); };
    CHECK(must_fail(reader.refresh()).code == errc::stale);
    CHECK(contents_of(reader) == entry_map{{"a", "1"}});
    CHECK(must_fail(try_read(fs)).code == errc::stale);
    fs.at_list = nullptr;
    must(reader.refresh());
    CHECK(contents_of(reader) == entry_map{{"a", "2"}});
}

TEST_CASE("read only: a refresh reports damage and leaves the old state") {
    memory_directory directory;
    directory.with("MANIFEST", "").with("wal.log", log_of({{{"a", "1"}}}));
    auto reader = to_read(directory.fs);
    auto damaged = log_of({{{"a", "1"}}, {{"b", "2"}}});
    damaged[8] ^= 1;
    directory.with("wal.log", damaged);
    CHECK(must_fail(reader.refresh()).code == errc::corruption);
    CHECK(contents_of(reader) == entry_map{{"a", "1"}});
    directory.with("MANIFEST", "L0 5\n").with("wal.log", "");
    CHECK(must_fail(reader.refresh()).code == errc::bad_manifest);
    CHECK(contents_of(reader) == entry_map{{"a", "1"}});
}

TEST_CASE("read only: a refresh whose calls fail leaves the old state") {
    memory_directory directory;
    {
        auto writer = directory.open();
        must(writer.put("a", "1"));
        must(writer.flush());
        must(writer.put("b", "2"));
    }
    recording_file_system fs(directory.fs);
    auto reader = to_read(fs);
    const auto expected = contents_of(reader);
    std::size_t fail_at = 0;
    for (bool reached = true; reached; ++fail_at) {
        fs.forget();
        fs.fail_call(fail_at, EIO, true);
        const auto done = reader.refresh();
        fs.fault = nullptr;
        reached = fs.calls.size() > fail_at;
        CHECK((done || done.error().sys == EIO));
        CHECK(contents_of(reader) == expected);
        CHECK(fs.open_files() == 1);
    }
    CHECK(fail_at > 8);
}

TEST_CASE("read only: a table that the writer has removed is stale and neither damage nor a missing key") {
    lsm::io::memory_file_system memory;
    auto writer = must(lsm::db::open("db", at_once({.file_system = &memory})));
    for (const auto* const key : {"a", "b"}) {
        must(writer.put(key, "1"));
        must(writer.flush());
    }
    // Only one of the two tables stays open; the other one is opened for each read.
    const auto reader = must(lsm::db::open(
        "db", at_once({.read_only = true, .block_cache_bytes = 0, .max_open_files = 1, .file_system = &memory})));
    must(memory.remove("db/sst-000001.sst"));
    must(memory.remove("db/sst-000002.sst"));
    const auto error = must_fail(reader.verify());
    CHECK(error.code == errc::stale);
    CHECK(error.what.starts_with("db/sst-00000"));
    int stale = 0;
    for (const auto* const key : {"a", "b"}) {
        const auto got = reader.get(key);
        if (got) CHECK(*got == "1");
        if (!got) CHECK(got.error().code == errc::stale);
        stale += !got;
    }
    CHECK(stale == 1);
}

TEST_CASE("read only: another table under the name of a removed one is stale") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 1\n").with("sst-000001.sst", table_of({{"a", "1"}}));
    const auto reader = directory.open({.read_only = true, .block_cache_bytes = 0, .max_open_files = 0});
    CHECK(value_in(reader, "a") == "1");
    directory.with("sst-000001.sst", table_of({{"a", "another"}}));
    CHECK(must_fail(reader.get("a")).code == lsm::errc::stale);
}

TEST_CASE("read only: another table of the same id and size is stale for every call that reopens the file") {
    const bool extended = GENERATE(true, false);
    const bool links = GENERATE(true, false);
    // The second of them even has the same index.
    const auto second = GENERATE(entry_list{{"b", "old"}}, entry_list{{"a", "new"}});
    lsm::io::memory_file_system memory;
    hooked_file_system fs(memory, [&](auto operation, auto) { return !links && operation == "link" ? EXDEV : 0; });
    rewrite(memory, "db", extended, {{"a", "old"}});
    const auto before = read_file(memory, "db/sst-000001.sst");
    auto reader = must(lsm::db::open("db", plain({.read_only = true, .file_system = &fs})));
    auto uncached = must(lsm::db::open(
        "db", plain({.read_only = true, .block_cache_bytes = 0, .max_open_files = 0, .file_system = &fs})));
    CHECK(value_in(uncached, "a") == "old");
    rewrite(memory, "db", extended, second);
    const auto after = read_file(memory, "db/sst-000001.sst");
    REQUIRE((after != before && after.size() == before.size()));

    const auto stale = [](const auto& outcome) {
        const auto error = must_fail(outcome);
        return error.code == errc::stale && error.what.starts_with("db/sst-000001.sst: ");
    };
    CHECK(value_in(reader, "a") == "old");
    CHECK(stale(uncached.get("a")));
    auto at = uncached.scan();
    at.seek_to_first();
    CHECK(stale(at.status()));
    for (auto* const each : {&reader, &uncached}) {
        const std::string copy = each == &reader ? "copy" : "another";
        CHECK(stale(each->verify()));
        CHECK(stale(each->checkpoint(copy)));
        CHECK(must_fail(lsm::db::open(copy, plain({.create_if_missing = false, .file_system = &memory}))).code ==
              (links ? errc::bad_manifest : errc::not_found));
        must(each->refresh());
        const entry_map expected(second.begin(), second.end());
        CHECK(contents_of(*each) == expected);
        CHECK(must(each->verify()).damage.empty());
        must(each->checkpoint(copy + "2"));
        CHECK(contents_of(must(lsm::db::open(copy + "2", plain({.file_system = &memory})))) == expected);
    }
}

TEST_CASE("read only: another table of the same id and size is stale on a real disk") {
    const bool extended = GENERATE(true, false);
    const scratch_directory scratch;
    lsm::io::posix_file_system fs;
    const std::string directory = scratch / "db";
    rewrite(fs, directory, extended, {{"a", "old"}});
    auto reader = must(lsm::db::open(directory, plain({.read_only = true})));
    must(reader.checkpoint(scratch / "before"));
    CHECK(must(reader.verify()).damage.empty());
    rewrite(fs, directory, extended, {{"a", "new"}});
    CHECK(must_fail(reader.verify()).code == errc::stale);
    CHECK(must_fail(reader.checkpoint(scratch / "copy")).code == errc::stale);
    CHECK(value_in(reader, "a") == "old");
    must(reader.refresh());
    must(reader.checkpoint(scratch / "after"));
    for (const auto& [name, value] : {std::pair("before", "old"), std::pair("after", "new")})
        CHECK(contents_of(must(lsm::db::open(scratch / name, plain()))) == entry_map{{"a", value}});
}

TEST_CASE("read only: a checkpoint of a removed table is stale") {
    memory_directory directory;
    {
        auto writer = directory.open();
        must(writer.put("a", "1"));
        must(writer.flush());
    }
    const auto reader = to_read(directory.fs);
    must(directory.fs.remove("db/sst-000001.sst"));
    CHECK(must_fail(reader.checkpoint("copy")).code == errc::stale);
}

TEST_CASE("read only: a damaged block is damage and not another table") {
    memory_directory directory;
    rewrite(directory.fs, "db", true, {{"a", "1"}});
    const auto reader = to_read(directory.fs);
    auto table = read_file(directory.fs, "db/sst-000001.sst");
    table[0] ^= 1;
    directory.with("sst-000001.sst", table);
    const auto report = must(reader.verify());
    REQUIRE(report.damage.size() == 1);
    CHECK(report.damage[0].code == errc::bad_checksum);
}
