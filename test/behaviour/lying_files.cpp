#include <lsm/db/db.hpp>

#include <cerrno>
#include <string>
#include <vector>

#include <lsm/db/repair.hpp>
#include <lsm/io/simulated_file_system.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"

namespace {

using namespace lsm::test;
using lsm::bytes;
using lsm::errc;
using lsm::wal::recovery;

/// 512 bytes as other programs write them.
struct foreign_sector {
    std::string name;
    bytes raw;
};
std::vector<foreign_sector> foreign_sectors() {
    bytes floats, big_endian;
    for (int n = 0; n < 128; ++n) {
        const float value = 1.5f * static_cast<float>(n + 1);
        floats.append(reinterpret_cast<const char*>(&value), sizeof value);
        big_endian += bytes("\0\0\1", 3) + static_cast<char>(n);
    }
    bytes other_log;
    while (other_log.size() < 512) other_log += log_record(batch_of({{"other", "log"}}));
    return {{"floats", floats},          {"big-endian numbers", big_endian}, {"ones", bytes(512, '\xff')},
            {"zeros", bytes(512, '\0')}, {"text", bytes(512, 'A')},          {"another log", other_log.substr(0, 512)}};
}

}  // namespace

TEST_CASE("lying files: a foreign sector over the log is damage and loses nothing") {
    memory_directory directory;
    {
        auto db = directory.open();
        for (int n = 0; n < 200; ++n) must(db.put("key" + std::to_string(n), bytes(30, 'v')));
    }
    const auto sound = directory.files();
    const bytes& log = sound.at("wal.log");
    for (const auto& sector : foreign_sectors())
        for (std::size_t at = 0; at + 1024 < log.size(); at += 512) {
            INFO(sector.name << " at " << at);
            bytes damaged = log;
            damaged.replace(at, 512, sector.raw);
            directory.with("wal.log", damaged);
            const auto before = directory.files();
            REQUIRE(must_fail(directory.try_open()).code == errc::corruption);
            REQUIRE(directory.files() == before);
            // Salvage reads all records that the sector does not touch: at most 11 of about 60 bytes are lost.
            memory_directory copy;
            for (const auto& [name, content] : before) copy.with(name, content);
            const auto db = copy.open({.wal_recovery = recovery::salvage});
            REQUIRE(contents_of(db).size() >= 200 - 12);
        }
}

TEST_CASE("lying files: a torn end that holds intact records is kept beside the log") {
    memory_directory directory;
    {
        auto db = directory.open();
        for (int n = 0; n < 20; ++n) must(db.put("key" + std::to_string(n), bytes(30, 'v')));
    }
    // The log is damaged in the middle, and torn at its end: the records between them do not reach the end.
    bytes log = directory.files().at("wal.log");
    log.resize(log.find_last_not_of('\0') - 5);
    log[log.size() / 2] = static_cast<char>(log[log.size() / 2] ^ 1);
    directory.with("wal.log", log);
    {
        auto db = directory.open();
        CHECK(contents_of(db).size() < 12);
        must(db.put("new", "write"));
    }
    const bytes kept = directory.files().at("cut-000001.log");
    CHECK(log.ends_with(kept));
    memory_directory rescued;
    rescued.with("wal.log", kept);
    CHECK(contents_of(rescued.open({.wal_recovery = recovery::salvage})).size() >= 8);
}

TEST_CASE("lying files: a torn write without intact records leaves no file beside the log") {
    memory_directory directory;
    {
        auto db = directory.open();
        must(db.put("a", "1"));
        must(db.put("b", "2"));
    }
    bytes log = directory.files().at("wal.log");
    log.resize(log.find_last_not_of('\0'));
    directory.with("wal.log", log);
    CHECK(contents_of(directory.open()) == entry_map{{"a", "1"}});
    CHECK_FALSE(directory.files().contains("cut-000001.log"));
}

TEST_CASE("lying files: a frozen log that is missing between two others is damage") {
    const auto log = [](const bytes& key) { return log_record(batch_of({{key, "value"}})); };
    memory_directory directory;
    directory.with("MANIFEST", "").with("wal-000001.log", log("a")).with("wal-000003.log", log("c"));
    const auto before = directory.files();
    for (const auto mode : {recovery::strict_tail, recovery::absolute}) {
        const auto error = must_fail(directory.try_open({.wal_recovery = mode}));
        CHECK(error.code == errc::corruption);
        CHECK(error.what.find("wal-000002.log") != std::string::npos);
        CHECK(directory.files() == before);
    }
    SECTION("to a point in time") {
        CHECK(contents_of(directory.open({.wal_recovery = recovery::point_in_time})) == entry_map{{"a", "value"}});
        CHECK(directory.files().at("cut-000001.log") == log("c"));
    }
    SECTION("salvaged") {
        CHECK(contents_of(directory.open({.wal_recovery = recovery::salvage})) ==
              entry_map{{"a", "value"}, {"c", "value"}});
    }
}

TEST_CASE("lying files: opens that fail after they have kept what they cut keep it once") {
    const bytes junk(100, 'x');
    lsm::io::simulated_file_system fs;
    must(fs.make_directory("db"));
    write_file(fs, "db/MANIFEST", "");
    write_file(fs, "db/wal.log", log_record(batch_of({{"a", "1"}})) + junk + log_record(batch_of({{"b", "2"}})));
    const auto salvage = plain({.wal_recovery = recovery::salvage, .file_system = &fs});
    // The first rename of an open is that of the table which the salvaged records become.
    fs.inject({.sys = EIO, .lasting = true, .of = lsm::io::operation::rename});
    for (int n = 0; n < 3; ++n) CHECK_FALSE(lsm::db::open("db", salvage));
    fs.clear_faults();
    CHECK(contents_of(must(lsm::db::open("db", salvage))) == entry_map{{"a", "1"}, {"b", "2"}});
    int copies = 0;
    must(fs.list("db", [&](lsm::bytes_view name) { copies += name.starts_with("cut-"); }));
    CHECK(copies == 1);
    CHECK(read_file(fs, "db/cut-000004.log") == junk);
}

TEST_CASE("lying files: after a flipped bit in MANIFEST repair keeps every table") {
    memory_directory directory;
    {
        auto db = directory.open({.compaction = {.style = lsm::compaction_style::none}});
        for (int table = 0; table < 3; ++table) {
            for (int n = 0; n < 100; ++n) must(db.put(std::to_string(table) + "/" + std::to_string(n), "value"));
            must(db.flush());
        }
    }
    const auto sound = directory.files();
    const bytes& manifest = sound.at("MANIFEST");
    for (std::size_t at = 0; at < manifest.size(); ++at)
        for (int bit = 0; bit < 8; ++bit) {
            INFO("byte " << at << " bit " << bit);
            memory_directory damaged;
            for (const auto& [name, content] : sound) damaged.with(name, content);
            bytes flipped = manifest;
            flipped[at] = static_cast<char>(flipped[at] ^ 1 << bit);
            damaged.with("MANIFEST", flipped);
            static_cast<void>(must(lsm::repair("db", {.newer_by_id = true, .file_system = &damaged.fs})));
            REQUIRE(contents_of(damaged.open()).size() == 300);
        }
}
