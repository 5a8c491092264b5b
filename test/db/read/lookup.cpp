#include <lsm/db/db.hpp>

#include <cerrno>
#include <utility>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/recording_file_system.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;

}  // namespace

TEST_CASE("levels: the newest place that has a key decides") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 4\nL0 9\nL1 1\nL1 7\nL2 8\nL6 2\n")
        .with("sst-000004.sst", table_of({{"b", "L0 newest"}, {"d", deleted}}))
        .with("sst-000009.sst", table_of({{"a", "L0 older"}, {"b", "L0 older"}, {"d", "L0 older"}}))
        .with("sst-000001.sst", table_of({{"a", "L1"}, {"c", "L1"}}))
        .with("sst-000007.sst", table_of({{"d", "L1"}, {"e", deleted}, {"f", "L1"}}))
        .with("sst-000008.sst", table_of({{"c", "L2"}, {"e", "L2"}, {"g", "L2"}}))
        .with("sst-000002.sst", table_of({{"a", "L6"}, {"g", "L6"}, {"h", "L6"}, {"w", "L6"}}))
        .with("wal.log", log_of({{{"w", "log"}, {"f", deleted}}}));
    auto db = directory.open();
    const entry_map expected{{"a", "L0 older"}, {"b", "L0 newest"}, {"c", "L1"},
                             {"g", "L2"},       {"h", "L6"},        {"w", "log"}};
    CHECK(contents_of(db) == expected);
    for (const char* key : {"a", "b", "c", "d", "e", "f", "g", "h", "w", "x"}) {
        const auto found = expected.find(key);
        CHECK(value_in(db, key) == (found == expected.end() ? deleted : found->second));
    }
    auto backwards = db.scan({.reverse = true});
    CHECK(walk(backwards) == entry_list(expected.rbegin(), expected.rend()));

    std::vector<std::pair<int, std::uint64_t>> tables;
    for (const auto& table : db.live_tables()) tables.emplace_back(table.level, table.id);
    CHECK(tables == std::vector<std::pair<int, std::uint64_t>>{{0, 4}, {0, 9}, {1, 1}, {1, 7}, {2, 8}, {6, 2}});

    // The next table is the newest of level 0, and its id is above all others.
    must(db.flush());
    CHECK(directory.files().at("MANIFEST") == "L0 10\nL0 4\nL0 9\nL1 1\nL1 7\nL2 8\nL6 2\n");
    CHECK(contents_of(db) == expected);
    CHECK(contents_of(db) == expected);  // from cached blocks
}

TEST_CASE("levels: a table without entries is harmless on any level") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 1\nL1 2\nL1 3\nL1 4\n")
        .with("sst-000001.sst", table_of({}))
        .with("sst-000002.sst", table_of({}))
        .with("sst-000003.sst", table_of({{"a", "1"}}))
        .with("sst-000004.sst", table_of({}));
    const auto db = directory.open();
    CHECK(contents_of(db) == entry_map{{"a", "1"}});
    CHECK(value_in(db, "a") == "1");
    CHECK(value_in(db, "b") == deleted);
}

TEST_CASE("levels: a new id is above every id in MANIFEST and on the disk") {
    const std::string left_over = GENERATE(as<std::string>(), "sst-000041.sst", "sst-000041.sst.tmp");
    memory_directory directory;
    directory.with("MANIFEST", "L0 5\n").with("sst-000005.sst", table_of({{"a", "1"}})).with(left_over, "rubbish");
    auto db = directory.open();
    must(db.put("b", "2"));
    must(db.flush());
    CHECK(directory.files().at("MANIFEST") == "L0 42\nL0 5\n");
    must(db.put("c", "3"));
    must(db.flush());
    CHECK(directory.files().at("MANIFEST") == "L0 43\nL0 42\nL0 5\n");
}

TEST_CASE("levels: names that only resemble table names do not count as ids") {
    memory_directory directory;
    directory.with("MANIFEST", "").with("sst-0000050.sst", "").with("sst-60.sst", "").with("sst-000070.sst.bak", "");
    auto db = directory.open();
    must(db.put("a", "1"));
    must(db.flush());
    CHECK(directory.files().at("MANIFEST") == "L0 1\n");
}

TEST_CASE("levels: the largest id is 2^63-1 and a flush beyond it fails") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 9223372036854775806\n").with("sst-9223372036854775806.sst", table_of({{"a", "1"}}));
    auto db = directory.open();
    must(db.put("b", "2"));
    must(db.flush());
    CHECK(directory.files().at("MANIFEST") == "L0 9223372036854775807\nL0 9223372036854775806\n");
    must(db.put("c", "3"));
    CHECK(must_fail(db.checkpoint("copy")).code == errc::too_large);
    auto expected = directory.files();
    CHECK(must_fail(db.flush()).code == errc::too_large);
    expected["wal-000002.log"] = std::exchange(expected["wal.log"], log_of({{{"d", "4"}}}));
    must(db.put("d", "4"));
    CHECK(directory.files() == expected);
    const entry_map all{{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}};
    CHECK(contents_of(db) == all);
    must(db.close());
    // An open for writing would have to write the frozen log to a table; an open for reading needs no id.
    CHECK(must_fail(directory.try_open()).code == errc::too_large);
    CHECK(directory.files() == expected);
    CHECK(contents_of(directory.open({.read_only = true})) == all);
}

TEST_CASE("levels: ids of seven digits and more have no padding") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 999999\n").with("sst-999999.sst", table_of({{"a", "1"}}));
    {
        auto db = directory.open();
        must(db.put("a", "2"));
        must(db.flush());
    }
    CHECK(directory.files().contains("sst-1000000.sst"));
    CHECK(contents_of(directory.open()) == entry_map{{"a", "2"}});
}

TEST_CASE("levels: a log is never frozen with a number beyond the largest one") {
    memory_directory directory;
    directory.with("MANIFEST", "").with("wal-9223372036854775807.log", log_of({{{"a", "1"}}}));
    recording_file_system fs(directory.fs);
    auto db = must(lsm::db::open("db", plain({.file_system = &fs})));
    fs.fault = [](std::string_view call) { return call.ends_with(".sst.tmp") ? ENOSPC : 0; };
    must(db.put("b", "2"));
    CHECK_FALSE(db.flush());
    fs.fault = nullptr;
    must(db.close());
    CHECK(contents_of(directory.open()) == entry_map{{"a", "1"}, {"b", "2"}});
}
