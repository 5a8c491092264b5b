#include <lsm/db/state/table_store.hpp>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/parts.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;
using lsm::detail::largest_id;
using file_hold = lsm::detail::table_store<db_parts::alloc>::file_hold;

// Tables 5, 4 and 3 of level 0, and 2 and 1 of level 1. Table 2 overlaps 4 and 3.
void set_five_tables(db_parts& parts) {
    parts.set_tables({{0, 5, {{"x", "5"}}},
                      {0, 4, {{"a", "4"}}},
                      {0, 3, {{"b", "3"}}},
                      {1, 2, {{"a", "2"}, {"c", "2"}}},
                      {1, 1, {{"p", "1"}}}});
}
const std::string five_tables = "L0 5\nL0 4\nL0 3\nL1 2\nL1 1\n";

// Replaces tables 4, 3 and 2 by a new table 6 in level 1.
db_parts::table_edit merge_into_level1(db_parts& parts) {
    db_parts::table_edit edit{.removed = {4, 3, 2}};
    edit.added.emplace_back(1, parts.write_table(6, {{"a", "4"}, {"b", "3"}, {"c", "2"}}));
    return edit;
}

}  // namespace

TEST_CASE("table store: new ids are above all listed ones and the highest one on the disk") {
    db_parts parts;
    parts.write_table(7, {{"a", "1"}});
    must(parts.tables.open_listed({{0, 7}}, 0));
    CHECK(must(parts.tables.new_id()) == 8);
    must(parts.tables.open_listed({{0, 7}}, 40));
    CHECK(must(parts.tables.new_id()) == 41);
    CHECK(must(parts.tables.new_id()) == 42);
}

TEST_CASE("table store: ids end at the largest one") {
    db_parts parts;
    must(parts.tables.open_listed({}, largest_id - 2));
    must(parts.tables.check_ids(2));
    CHECK(must_fail(parts.tables.check_ids(3)).code == errc::too_large);
    CHECK(must(parts.tables.new_id()) == largest_id - 1);
    CHECK(must(parts.tables.new_id()) == largest_id);
    must(parts.tables.check_ids(0));
    CHECK(must_fail(parts.tables.check_ids(1)).what == "db: too_large: no table id is left up to 2^63-1");
    for (int i = 0; i < 2; ++i) CHECK(must_fail(parts.tables.new_id()).code == errc::too_large);
}

TEST_CASE("table store: listed tables are opened and those without entries are left out above level 0") {
    db_parts parts;
    parts.write_table(1, {{"a", "1"}});
    parts.write_table(2, {});
    parts.write_table(3, {{"b", "3"}});
    const auto set = must(parts.tables.open_listed({{0, 2}, {1, 1}, {1, 2}, {1, 3}}, 0));
    CHECK(lsm::detail::format_manifest(set->lines()) == "L0 2\nL1 1\nL1 3\n");
    CHECK(set->in_level(1, "b")->id() == 3);
    CHECK(must_fail(parts.tables.open_listed({{0, 2}, {1, 3}, {1, 1}}, 0)).what ==
          "db/MANIFEST: line 3: bad_manifest: sst-000003.sst and sst-000001.sst overlap or are out of order");
    CHECK(must_fail(parts.tables.open_listed({{0, 9}}, 0)).what ==
          "db/MANIFEST: line 1: bad_manifest: lists sst-000009.sst, which is missing");
}

TEST_CASE("table store: a flushed table becomes the newest and replaces its memtable") {
    db_parts parts;
    set_five_tables(parts);
    const auto active = parts.memtable_of(2, {}), frozen = parts.memtable_of(1, {{"a", "6"}});
    parts.publish(parts.versions.tables(), {active, frozen});
    db_parts::table_edit edit{.flushed = frozen.get()};
    edit.added.emplace_back(0, parts.write_table(6, {{"a", "6"}}));
    must(parts.tables.install(edit));
    CHECK(parts.listed() == "L0 6\n" + five_tables);
    CHECK(parts.directory.files().at("MANIFEST") == parts.listed());
    const auto now = parts.versions.pin();
    REQUIRE(now->memtables.size() == 1);
    CHECK(now->memtables[0] == active);
}

TEST_CASE("table store: the result of a merge within level 0 takes the place of the newest input") {
    db_parts parts;
    set_five_tables(parts);
    db_parts::table_edit edit{.removed = {3, 4}};
    edit.added.emplace_back(0, parts.write_table(6, {{"a", "4"}, {"b", "3"}}));
    must(parts.tables.install(edit));
    CHECK(parts.listed() == "L0 5\nL0 6\nL1 2\nL1 1\n");
}

TEST_CASE("table store: above level 0 tables are installed in key order") {
    db_parts parts;
    set_five_tables(parts);
    db_parts::table_edit edit{.removed = {2}};
    for (const auto& [id, key] : {std::pair(6, "q"), std::pair(7, "b"), std::pair(8, "a")})
        edit.added.emplace_back(1, parts.write_table(static_cast<std::uint64_t>(id), {{key, ""}}));
    must(parts.tables.install(edit));
    CHECK(parts.listed() == "L0 5\nL0 4\nL0 3\nL1 8\nL1 7\nL1 1\nL1 6\n");
    CHECK(parts.versions.tables()->in_level(1, "q")->id() == 6);
}

TEST_CASE("table store: MANIFEST is replaced before removed tables are deleted and closed") {
    db_parts parts;
    set_five_tables(parts);
    const auto edit = merge_into_level1(parts);
    parts.fs.forget();
    must(parts.tables.install(edit));
    CHECK(parts.fs.changes() ==
          std::vector<std::string>{"remove db/MANIFEST.tmp", "create db/MANIFEST.tmp", "write db/MANIFEST.tmp",
                                   "fsync db/MANIFEST.tmp", "rename db/MANIFEST.tmp db/MANIFEST", "fsync-directory db",
                                   "remove db/sst-000004.sst", "remove db/sst-000003.sst", "remove db/sst-000002.sst"});
    CHECK(parts.fs.open_files() == 3);
}

TEST_CASE("table store: a table that only changes its level keeps its file") {
    db_parts parts;
    set_five_tables(parts);
    db_parts::table_edit edit{.removed = {5}};
    edit.added.emplace_back(2, parts.versions.tables()->levels[0][0]);
    must(parts.tables.install(edit));
    CHECK(parts.listed() == "L0 4\nL0 3\nL1 2\nL1 1\nL2 5\n");
    CHECK(parts.entries_of(5) == entry_map{{"x", "5"}});
}

TEST_CASE(
    "table store: a failed install changes nothing and poisons the database if the disk may hold the new MANIFEST") {
    struct failing_call {
        const char* call;
        int sys;
        bool healthy;
    };
    const auto failing = GENERATE(values<failing_call>({{"create db/MANIFEST.tmp", EIO, true},
                                                        {"create db/MANIFEST.tmp", ENOSPC, true},
                                                        {"write db/MANIFEST.tmp", ENOSPC, true},
                                                        {"fsync db/MANIFEST.tmp", ENOSPC, true},
                                                        {"write db/MANIFEST.tmp", EIO, false},
                                                        {"rename db/MANIFEST.tmp db/MANIFEST", EIO, false},
                                                        {"fsync-directory db", ENOSPC, false}}));
    INFO(failing.call << ", errno " << failing.sys);
    db_parts parts;
    set_five_tables(parts);
    const auto edit = merge_into_level1(parts);
    parts.fs.fault = [&](std::string_view call) { return call == failing.call ? failing.sys : 0; };
    CHECK(must_fail(parts.tables.install(edit)).sys == failing.sys);
    parts.fs.fault = nullptr;
    CHECK(parts.listed() == five_tables);
    CHECK(parts.directory.names().size() == 7);  // MANIFEST and all tables
    CHECK(parts.context.health.good() == failing.healthy);
    CHECK(parts.tables.install(edit).has_value() == failing.healthy);
}

TEST_CASE("table store: removals wait for the last file_hold") {
    db_parts parts;
    set_five_tables(parts);
    std::optional<file_hold> first(std::in_place, parts.tables), second(std::in_place, parts.tables);
    must(parts.tables.install(merge_into_level1(parts)));
    CHECK(parts.directory.names().size() == 7);
    first.reset();
    CHECK(parts.directory.names().size() == 7);
    second.reset();
    CHECK(parts.directory.names() ==
          std::vector<std::string>{"MANIFEST", "sst-000001.sst", "sst-000005.sst", "sst-000006.sst"});
    parts.tables.remove(5);
    CHECK_FALSE(parts.directory.files().contains("sst-000005.sst"));
}

TEST_CASE("table store: no file is removed after release") {
    db_parts parts;
    parts.write_table(1, {{"a", "1"}});
    parts.write_table(2, {{"a", "2"}});
    {
        const file_hold hold(parts.tables);
        parts.tables.remove(1);
        parts.tables.release();
    }
    parts.tables.remove(2);
    CHECK(parts.directory.names() == std::vector<std::string>{"sst-000001.sst", "sst-000002.sst"});
}

TEST_CASE("table store: a removed table stays readable for pins even if its file was closed") {
    db_parts parts({.block_cache_bytes = 0, .max_open_files = 0});
    set_five_tables(parts);
    const auto pinned = parts.versions.pin();
    must(parts.tables.install(merge_into_level1(parts)));
    CHECK_FALSE(parts.directory.files().contains("sst-000004.sst"));
    CHECK(must(pinned->tables->levels[0][1]->load(0, {})).key(0) == "a");
    // let_outlive() does the same for every table of a version.
    const auto now = parts.versions.pin();
    parts.tables.let_outlive(*now);
    must(parts.directory.fs.remove("db/sst-000005.sst"));
    CHECK(must(now->tables->levels[0][0]->load(0, {})).key(0) == "x");
}

TEST_CASE("table store: nothing is installed while writes are refused") {
    db_parts parts;
    set_five_tables(parts);
    const auto edit = merge_into_level1(parts);
    parts.context.health.refuse(lsm::detail::failure(errc::read_only, "opened with read_only"));
    CHECK(must_fail(parts.tables.install(edit)).code == errc::read_only);
    CHECK(parts.listed() == five_tables);
    CHECK(parts.directory.files().at("MANIFEST") == five_tables);
}

TEST_CASE("table store: write_manifest lists the tables of the current version") {
    db_parts parts;
    set_five_tables(parts);
    must(parts.directory.fs.remove("db/MANIFEST"));
    must(parts.tables.write_manifest());
    CHECK(parts.directory.files().at("MANIFEST") == five_tables);
}
