#include <lsm/db/recovery/recovery.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;
using lsm::wal::recovery;

using name_list = std::vector<std::string>;

}  // namespace

TEST_CASE("recovery: leftovers are removed and files with foreign names are left alone") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 3\n").with("sst-000003.sst", table_of({{"a", "1"}}));
    const name_list foreign{"MANIFEST.bak",
                            "MANIFEST.tmp.tmp",
                            "cut-000001.log",
                            "cut-1.log",
                            "notes.txt",
                            "sst-0000001.sst",
                            "sst-000000.sst",
                            "sst-000002.sst.bak",
                            "sst-1.sst",
                            "sst-1.sst.tmp",
                            "sst-00000a.sst",
                            "sst--00001.sst",
                            "sst-9223372036854775808.sst",
                            "sst-.sst",
                            "wal-1.log",
                            "wal-0000001.log",
                            "wal.log.tmp2",
                            "x.tmp",
                            "lock"};
    for (const auto& name : foreign) directory.with(name, "theirs");
    const name_list leftovers{"MANIFEST.tmp", "sst-000001.sst", "sst-000009.sst.tmp", "sst-1000000.sst", "wal.log.tmp"};
    for (const auto& name : leftovers) directory.with(name, "rubbish");

    SECTION("after an open that succeeds") {
        const auto db = directory.open();
        CHECK(contents_of(db) == entry_map{{"a", "1"}});
        auto files = directory.files();
        for (const auto& name : foreign) {
            INFO(name);
            CHECK(files[name] == "theirs");
        }
        for (const auto& name : leftovers) {
            INFO(name);
            CHECK_FALSE(files.contains(name));
        }
        CHECK(files.size() == foreign.size() + 2);
    }
    SECTION("but not after an open that fails") {
        directory.with("wal.log", raw_log_record("not a batch"));
        const auto before = directory.files();
        CHECK(must_fail(directory.try_open()).code == errc::corruption);
        CHECK(directory.files() == before);
    }
}

TEST_CASE("recovery: frozen logs are replayed in the order of their numbers and become a table") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 1\n")
        .with("sst-000001.sst", table_of({{"k", "table"}, {"t", "table"}}))
        .with("wal-1000000.log", log_of({{{"k", "newest frozen"}, {"n", "1"}}}))
        .with("wal-999998.log", log_of({{{"k", "oldest"}, {"m", "oldest"}}}))
        .with("wal-999999.log", log_of({{{"k", "older"}, {"m", "older"}}}))
        .with("wal.log", log_of({{{"n", "active"}}}));
    entry_map expected{{"k", "newest frozen"}, {"m", "older"}, {"n", "active"}, {"t", "table"}};
    {
        auto db = directory.open();
        CHECK(contents_of(db) == expected);
        CHECK(db.recovered().records == 4);
        must(db.put("p", "put"));
        must(db.flush());
    }
    for (const auto& name : directory.names()) CHECK_FALSE(name.starts_with("wal"));
    expected["p"] = "put";
    CHECK(contents_of(directory.open()) == expected);
}

TEST_CASE("recovery: frozen logs without operations are removed without a table") {
    memory_directory directory;
    directory.with("MANIFEST", "").with("wal-000001.log", "").with("wal-000002.log", log_of({{}}));
    auto db = directory.open();
    CHECK(contents_of(db).empty());
    must(db.put("a", "1"));
    must(db.flush());
    CHECK(directory.names() == name_list{"MANIFEST", "sst-000001.sst"});
}

TEST_CASE("recovery: a torn end of the active log is dropped and the next write follows the intact records") {
    const auto intact = log_of({{{"a", "1"}}, {{"b", "2"}}});
    const auto third = log_of({{{"c", "3"}}});
    for (std::size_t kept = 0; kept <= third.size(); ++kept) {
        memory_directory directory;
        directory.with("MANIFEST", "").with("wal.log", intact + third.substr(0, kept));
        const bool whole = kept == third.size();
        {
            auto db = directory.open();
            CHECK(db.recovered().records == (whole ? 3 : 2));
            CHECK(db.recovered().cut_bytes == (whole ? 0 : kept));
            must(db.put("d", "4"));
        }
        CHECK(directory.files().at("wal.log") == intact + (whole ? third : "") + log_of({{{"d", "4"}}}));
        CHECK(contents_of(directory.open()).size() == (whole ? 4 : 3));
    }
}

TEST_CASE("recovery: an open without a later write leaves log and tables unchanged") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 1\n")
        .with("sst-000001.sst", table_of({{"a", "1"}}))
        .with("wal.log", log_of({{{"b", "2"}}}) + "torn");
    const auto before = directory.files();
    for (int round = 0; round < 3; ++round) {
        auto db = directory.open();
        CHECK(db.recovered().cut_bytes == 4);
        must(db.close());
    }
    CHECK(directory.files() == before);
}

TEST_CASE("recovery: a log that ends in zeros ends cleanly") {
    memory_directory directory;
    directory.with("MANIFEST", "").with("wal.log", log_of({{{"a", "1"}}}) + lsm::bytes(1000, '\0'));
    auto db = directory.open();
    CHECK(db.recovered().records == 1);
    CHECK(db.recovered().cut_bytes == 0);
    must(db.put("b", "2"));
    CHECK(directory.files().at("wal.log") == log_of({{{"a", "1"}}, {{"b", "2"}}}));
}

TEST_CASE("recovery: damage before intact records is refused with file and offset") {
    auto log = log_of({{{"a", "1"}}, {{"b", "2"}}, {{"c", "3"}}});
    const auto second = log_of({{{"a", "1"}}}).size();
    log[second + 12] = '\x55';
    memory_directory directory;
    directory.with("MANIFEST", "").with("wal.log", log);
    const auto before = directory.files();
    const auto why = must_fail(directory.try_open());
    CHECK(why.code == errc::corruption);
    CHECK(why.what.find("db/wal.log: offset " + std::to_string(second) + ": ") == 0);
    CHECK(directory.files() == before);
}

TEST_CASE("recovery: a torn end of a frozen log is damage") {
    memory_directory directory;
    directory.with("MANIFEST", "").with("wal-000001.log", log_of({{{"a", "1"}}}) + "torn");
    const auto before = directory.files();
    const auto why = must_fail(directory.try_open());
    CHECK(why.code == errc::corruption);
    CHECK(why.what.find("db/wal-000001.log") == 0);
    CHECK(directory.files() == before);
}

TEST_CASE("recovery: a record whose checksum matches but whose payload is not a batch is damage") {
    memory_directory directory;
    directory.with("MANIFEST", "").with("wal.log", log_of({{{"a", "1"}}}) + raw_log_record("rubbish"));
    CHECK(must_fail(directory.try_open()).code == errc::corruption);
}

TEST_CASE("recovery: with absolute a torn end is an error and zeros are not") {
    memory_directory directory;
    directory.with("MANIFEST", "").with("wal.log", log_of({{{"a", "1"}}}) + "torn");
    CHECK(must_fail(directory.try_open({.wal_recovery = recovery::absolute})).code == errc::corruption);
    directory.with("wal.log", log_of({{{"a", "1"}}}) + lsm::bytes(9, '\0'));
    CHECK(directory.try_open({.wal_recovery = recovery::absolute}));
}

TEST_CASE("recovery: point_in_time keeps what it cuts and the next open is clean") {
    const auto first = log_of({{{"a", "1"}}}), second = log_of({{{"b", "2"}}}), third = log_of({{{"c", "3"}}});
    auto damaged = second;
    damaged.back() = 'X';
    memory_directory directory;
    directory.with("MANIFEST", "").with("wal.log", first + damaged + third);
    {
        auto db = directory.open({.wal_recovery = recovery::point_in_time});
        CHECK(contents_of(db) == entry_map{{"a", "1"}});
        CHECK(db.recovered().records == 1);
        CHECK(db.recovered().cut_bytes == damaged.size() + third.size());
    }
    CHECK(directory.names() == name_list{"MANIFEST", "cut-000001.log", "sst-000001.sst"});
    CHECK(directory.files().at("cut-000001.log") == damaged + third);
    CHECK(entries_in(directory.table("sst-000001.sst")) == entry_map{{"a", "1"}});
    CHECK(contents_of(directory.open()) == entry_map{{"a", "1"}});
}

TEST_CASE("recovery: point_in_time leaves out the whole logs after the defect") {
    const auto frozen = log_of({{{"a", "1"}}}), active = log_of({{{"b", "2"}}, {{"c", "3"}}});
    memory_directory directory;
    directory.with("MANIFEST", "")
        .with("wal-000001.log", frozen + "torn")
        .with("wal-000002.log", log_of({{{"d", "4"}}}))
        .with("wal.log", active)
        .with("cut-000007.log", "from an earlier open");
    {
        auto db = directory.open({.wal_recovery = recovery::point_in_time});
        CHECK(contents_of(db) == entry_map{{"a", "1"}});
        must(db.put("e", "5"));
    }
    const auto files = directory.files();
    CHECK(files.at("cut-000008.log") == "torn" + log_of({{{"d", "4"}}}) + active);
    CHECK(files.at("cut-000007.log") == "from an earlier open");
    CHECK(files.at("wal.log") == log_of({{{"e", "5"}}}));
    CHECK(contents_of(directory.open()) == entry_map{{"a", "1"}, {"e", "5"}});
}

TEST_CASE("recovery: salvage replays every intact record and keeps the rest") {
    const auto first = log_of({{{"a", "1"}}}), second = log_of({{{"b", "2"}}}), third = log_of({{{"c", "3"}}});
    auto damaged = second;
    damaged.back() = 'X';
    memory_directory directory;
    directory.with("MANIFEST", "")
        .with("wal-000003.log", "junk" + first)
        .with("wal.log", first + damaged + third + "torn");
    {
        auto db = directory.open({.wal_recovery = recovery::salvage});
        CHECK(contents_of(db) == entry_map{{"a", "1"}, {"c", "3"}});
        CHECK(db.recovered().records == 3);
        CHECK(db.recovered().cut_bytes == 4 + damaged.size() + 4);
    }
    CHECK(directory.names() == name_list{"MANIFEST", "cut-000001.log", "sst-000001.sst", "sst-000002.sst"});
    CHECK(directory.files().at("cut-000001.log") == "junk" + damaged + "torn");
    CHECK(contents_of(directory.open()) == entry_map{{"a", "1"}, {"c", "3"}});
}

TEST_CASE("recovery: a log that is cut whole is kept whole") {
    const auto mode = GENERATE(recovery::point_in_time, recovery::salvage);
    memory_directory directory;
    directory.with("MANIFEST", "").with("wal.log", "nothing but rubbish");
    CHECK(contents_of(directory.open({.wal_recovery = mode})).empty());
    CHECK(directory.files() == image{{"MANIFEST", ""}, {"cut-000001.log", "nothing but rubbish"}});
    CHECK(contents_of(directory.open()).empty());
}

TEST_CASE("recovery: no mode changes an intact log") {
    const auto mode = GENERATE(recovery::strict_tail, recovery::absolute, recovery::point_in_time, recovery::salvage);
    memory_directory directory;
    directory.with("MANIFEST", "").with("wal.log", log_of({{{"a", "1"}}, {{"b", "2"}}}));
    const auto before = directory.files();
    CHECK(contents_of(directory.open({.wal_recovery = mode})) == entry_map{{"a", "1"}, {"b", "2"}});
    CHECK(directory.files() == before);
}

TEST_CASE("recovery: without sync the default mode is point_in_time") {
    auto log = log_of({{{"a", "1"}}, {{"b", "2"}}, {{"c", "3"}}});
    log[log_of({{{"a", "1"}}}).size() + 12] = '\x55';
    memory_directory directory;
    directory.with("MANIFEST", "").with("wal.log", log);
    CHECK_FALSE(directory.try_open());
    CHECK_FALSE(directory.try_open({.sync = false, .wal_recovery = recovery::strict_tail}));
    CHECK(contents_of(directory.open({.sync = false})) == entry_map{{"a", "1"}});
}

TEST_CASE("recovery: a batch is replayed whole or not at all") {
    const auto log = log_of({{{"a", "1"}}}) + log_of({{{"b", "2"}, {"c", "3"}, {"a", std::nullopt}}});
    for (std::size_t size = 0; size <= log.size(); ++size) {
        memory_directory directory;
        directory.with("MANIFEST", "").with("wal.log", log.substr(0, size));
        const auto contents = contents_of(directory.open());
        const auto first = log_of({{{"a", "1"}}}).size();
        CHECK(contents == (size == log.size() ? entry_map{{"b", "2"}, {"c", "3"}}
                           : size >= first    ? entry_map{{"a", "1"}}
                                              : entry_map{}));
    }
}

TEST_CASE("recovery: a piece cut from a frozen log is kept and its records are flushed at open") {
    const auto mode = GENERATE(recovery::point_in_time, recovery::salvage);
    memory_directory directory;
    directory.with("MANIFEST", "").with("wal-000001.log", log_of({{{"a", "1"}}}) + "torn");
    {
        auto db = directory.open({.wal_recovery = mode});
        CHECK(contents_of(db) == entry_map{{"a", "1"}});
        must(db.flush());
        CHECK(db.stats().flushes == 1);
    }
    CHECK(directory.names() == name_list{"MANIFEST", "cut-000001.log", "sst-000001.sst"});
    CHECK(directory.files().at("cut-000001.log") == "torn");
}

TEST_CASE("recovery: an open for which no file number is left changes nothing") {
    const auto mode = GENERATE(recovery::point_in_time, recovery::salvage);
    const auto frozen = log_of({{{"a", "1"}}}), last = log_of({{{"b", "2"}}});
    memory_directory directory;
    directory.with("MANIFEST", "");
    std::string named = "db: ";
    SECTION("for a table of the frozen logs") {
        directory.with("sst-9223372036854775807.sst", "rubbish").with("wal-000001.log", frozen);
    }
    SECTION("for a table of a damaged log") {
        directory.with("sst-9223372036854775807.sst.tmp", "rubbish").with("wal.log", last + "torn");
    }
    SECTION("for the second of two tables") {
        directory.with("MANIFEST", "L0 9223372036854775806\n")
            .with("sst-9223372036854775806.sst", table_of({{"t", "0"}}))
            .with("wal-000001.log", frozen)
            .with("wal.log", last + "torn");
    }
    SECTION("for what is cut") {
        directory.with("cut-9223372036854775807.log", "theirs").with("wal.log", last + "torn");
        named = "db/cut-9223372036854775807.log: ";
    }
    SECTION("for what is cut without a MANIFEST") {
        must(directory.fs.remove("db/MANIFEST"));
        directory.with("cut-9223372036854775807.log", "theirs").with("wal.log", last + "torn");
        named = "db/cut-9223372036854775807.log: ";
    }
    const auto before = directory.files();
    const auto why = must_fail(directory.try_open({.wal_recovery = mode}));
    CHECK(why.code == errc::too_large);
    CHECK(why.what.starts_with(named));
    CHECK(directory.files() == before);
}

TEST_CASE("recovery: the largest numbers are usable if no further one is needed") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 9223372036854775806\n")
        .with("sst-9223372036854775806.sst", table_of({{"t", "0"}}))
        .with("wal-9223372036854775807.log", log_of({{{"a", "1"}}}))
        .with("wal.log", log_of({{{"b", "2"}}}))
        .with("cut-9223372036854775807.log", "theirs");
    auto db = directory.open({.wal_recovery = recovery::salvage});
    CHECK(contents_of(db) == entry_map{{"a", "1"}, {"b", "2"}, {"t", "0"}});
    CHECK(directory.files().contains("sst-9223372036854775807.sst"));
    must(db.put("c", "3"));
    CHECK(must_fail(db.flush()).code == errc::too_large);
    must(db.close());
    CHECK(directory.files().at("cut-9223372036854775807.log") == "theirs");
    // The memtable that could not be flushed is a frozen log now, for which the next open has no id.
    const auto before = directory.files();
    CHECK(must_fail(directory.try_open()).what == "db: too_large: no table id is left up to 2^63-1");
    CHECK(directory.files() == before);
    CHECK(contents_of(directory.open({.read_only = true})).size() == 4);
}

TEST_CASE("recovery: a compaction for which no table id is left changes nothing") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 9223372036854775807\nL0 9223372036854775806\n")
        .with("sst-9223372036854775807.sst", table_of({{"a", "2"}}))
        .with("sst-9223372036854775806.sst", table_of({{"a", "1"}, {"b", "1"}}));
    const auto before = directory.files();
    auto db = directory.open();
    CHECK(must_fail(db.compact()).what == "db: too_large: no table id is left up to 2^63-1");
    CHECK(contents_of(db) == entry_map{{"a", "2"}, {"b", "1"}});
    must(db.close());
    CHECK(directory.files() == before);
}
