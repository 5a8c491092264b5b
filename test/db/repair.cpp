#include <lsm/db/repair.hpp>

#include <algorithm>
#include <cerrno>
#include <random>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/recording_file_system.hpp"
#include "support/seed.hpp"

namespace {

using namespace lsm::test;
using lsm::bytes;
using lsm::errc;
using lsm::repair_report;

lsm::result<repair_report> try_repair(lsm::io::file_system& fs, lsm::repair_options options = {}) {
    options.file_system = &fs;
    return lsm::repair("db", options);
}
repair_report repaired(memory_directory& directory, lsm::repair_options options = {}) {
    return must(try_repair(directory.fs, options));
}

bytes extended_table_of(const entry_map& entries) {
    bytes out;
    lsm::io::string_sink to(out);
    lsm::sst_writer writer(to, {.block_size = 32, .extended = true});
    for (const auto& [key, value] : entries) must(writer.add(key, value));
    must(writer.finish());
    return out;
}

// Requires that repair fails with an error that names both tables and the key, and changes no file.
void check_conflict(memory_directory& directory, const std::string& first, const std::string& second,
                    const std::string& key) {
    const auto before = directory.files();
    const auto why = must_fail(try_repair(directory.fs));
    INFO(why.what);
    CHECK(why.code == errc::corruption);
    CHECK(why.what.find("db: ") == 0);
    CHECK(why.what.find(first) != std::string::npos);
    CHECK(why.what.find(second) != std::string::npos);
    CHECK(why.what.find("key " + lsm::hex(key)) != std::string::npos);
    CHECK(must_fail(try_repair(directory.fs, {.dry_run = true})).what == why.what);
    CHECK(directory.files() == before);
}

// "<key>: <id> <id>" for each decided key, the newest table first.
std::vector<std::string> decided_in(const repair_report& report) {
    std::vector<std::string> out;
    for (const auto& [key, tables] : report.decided) {
        out.push_back(key + ":");
        for (const auto id : tables) out.back() += " " + std::to_string(id);
    }
    return out;
}

std::string manifest_in(const repair_report& report) {
    std::string out;
    for (const auto& table : report.tables)
        out += "L" + std::to_string(table.level) + " " + std::to_string(table.id) + "\n";
    return out;
}

// Three tables that agree on the keys they share: 2 shares one with 1 and one with 3.
memory_directory& with_agreeing_tables(memory_directory& directory) {
    return directory.with("sst-000001.sst", table_of({{"a", "1"}, {"b", "1"}}))
        .with("sst-000002.sst", table_of({{"b", "1"}, {"c", deleted}}))
        .with("sst-000003.sst", table_of({{"c", deleted}, {"d", "3"}}));
}
const entry_map agreed_contents{{"a", "1"}, {"b", "1"}, {"d", "3"}};

}  // namespace

TEST_CASE("repair: a lost MANIFEST is rebuilt from tables without common keys") {
    const bool extended = GENERATE(false, true);
    const auto write = [&](const entry_map& entries) {
        return extended ? extended_table_of(entries) : table_of(entries);
    };
    memory_directory directory;
    directory.with("sst-000001.sst", write({{"b", "1"}, {"d", "1"}}))
        .with("sst-000002.sst", write({{"a", "2"}, {"c", deleted}, {"e", ""}}))
        .with("sst-000010.sst", write({}));
    const auto before = directory.files();
    const auto report = repaired(directory);
    CHECK(report.needed);
    REQUIRE(report.manifest_defect);
    CHECK(report.manifest_defect->code == errc::not_found);
    CHECK(report.manifest_kept_as.empty());
    CHECK(report.tables == std::vector<repair_report::table>{{0, 10, false}, {0, 2, false}, {0, 1, false}});
    CHECK(report.lost.empty());
    CHECK(report.orphans.empty());
    CHECK(report.decided.empty());
    CHECK(report.decided_keys == 0);
    auto expected = before;
    expected["MANIFEST"] = "L0 10\nL0 2\nL0 1\n";
    CHECK(directory.files() == expected);
    CHECK(contents_of(directory.open()) == entry_map{{"a", "2"}, {"b", "1"}, {"d", "1"}, {"e", ""}});
}

TEST_CASE("repair: tables that agree on the keys they share need no order") {
    memory_directory directory;
    const auto report = repaired(with_agreeing_tables(directory));
    CHECK(report.decided_keys == 0);
    CHECK(directory.files().at("MANIFEST") == "L0 3\nL0 2\nL0 1\n");
    CHECK(contents_of(directory.open()) == agreed_contents);
}

TEST_CASE("repair: tables of unknown order that differ on a key are refused") {
    const optional_value other = GENERATE(as<optional_value>(), "2", "", deleted);
    memory_directory directory;
    with_agreeing_tables(directory).with("sst-000004.sst", table_of({{"a", "1"}, {"b", other}, {"d", "3"}}));
    check_conflict(directory, "sst-000004.sst", "sst-000002.sst", "b");
}

TEST_CASE("repair: the empty value and the tombstone differ") {
    memory_directory directory;
    directory.with("sst-000001.sst", table_of({{"", ""}})).with("sst-000002.sst", table_of({{"", deleted}}));
    check_conflict(directory, "sst-000002.sst", "sst-000001.sst", "");
}

TEST_CASE("repair: with newer_by_id the table with the higher id is newer and the decided keys are reported") {
    memory_directory directory;
    directory.with("sst-000009.sst", table_of({{"a", "9"}, {"b", "9"}, {"c", deleted}}))
        .with("sst-000010.sst", table_of({{"b", "10"}, {"c", deleted}, {"d", deleted}}))
        .with("sst-000008.sst", table_of({{"b", "10"}, {"d", "8"}, {"e", "8"}}));
    const auto report = repaired(directory, {.newer_by_id = true});
    CHECK(report.decided_keys == 2);
    CHECK(decided_in(report) == std::vector<std::string>{"b: 10 9 8", "d: 10 8"});
    CHECK(directory.files().at("MANIFEST") == "L0 10\nL0 9\nL0 8\n");
    const auto db = directory.open();
    CHECK(contents_of(db) == entry_map{{"a", "9"}, {"b", "10"}, {"e", "8"}});
    CHECK(value_in(db, "d") == deleted);
}

TEST_CASE("repair: the first thousand decided keys are listed and all are counted") {
    memory_directory directory;
    entry_map older, newer;
    for (int i = 0; i < 1500; ++i) {
        older[std::to_string(10'000 + i)] = "older";
        newer[std::to_string(10'000 + i)] = "newer";
    }
    directory.with("sst-000001.sst", table_of(older)).with("sst-000002.sst", table_of(newer));
    const auto report = repaired(directory, {.newer_by_id = true});
    CHECK(report.decided_keys == 1500);
    REQUIRE(report.decided.size() == 1000);
    CHECK(report.decided.front().key == "10000");
    CHECK(report.decided.back().key == "10999");
    CHECK(contents_of(directory.open()) == newer);
}

TEST_CASE("repair: tables that a damaged MANIFEST lists keep their order and level") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 4\nL0 9\nL1 1\nL1 7\nL2 8\nL0 2\n")
        .with("sst-000004.sst", table_of({{"a", "4"}}))
        .with("sst-000009.sst", table_of({{"a", "9"}, {"b", "9"}}))
        .with("sst-000001.sst", table_of({{"a", "1"}, {"c", "1"}}))
        .with("sst-000007.sst", table_of({{"d", "7"}}))
        .with("sst-000008.sst", table_of({{"d", "8"}, {"e", "8"}}))
        .with("sst-000002.sst", table_of({{"f", "2"}}))
        .with("sst-000012.sst", table_of({{"g", "12"}}));
    const auto report = repaired(directory);
    REQUIRE(report.manifest_defect);
    CHECK(report.manifest_defect->code == errc::bad_manifest);
    CHECK(report.manifest_defect->what.find("db/MANIFEST: line 6: ") == 0);
    CHECK(report.manifest_kept_as == "MANIFEST.bak");
    CHECK(directory.files().at("MANIFEST.bak") == "L0 4\nL0 9\nL1 1\nL1 7\nL2 8\nL0 2\n");
    CHECK(directory.files().at("MANIFEST") == "L0 12\nL0 4\nL0 9\nL0 2\nL1 1\nL1 7\nL2 8\n");
    CHECK(report.tables.at(0) == repair_report::table{0, 12, false});
    CHECK(report.tables.at(1) == repair_report::table{0, 4, true});
    CHECK(contents_of(directory.open()) ==
          entry_map{{"a", "4"}, {"b", "9"}, {"c", "1"}, {"d", "7"}, {"e", "8"}, {"f", "2"}, {"g", "12"}});
}

TEST_CASE("repair: a table of unknown order must agree only with the newest listed table that has the key") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 2\nL1 3\n?").with("sst-000002.sst", table_of({{"a", "now"}}));
    directory.with("sst-000003.sst", table_of({{"a", "before"}})).with("sst-000001.sst", table_of({{"a", "now"}}));
    SECTION("it does") {
        CHECK(repaired(directory).decided_keys == 0);
        CHECK(directory.files().at("MANIFEST") == "L0 2\nL0 1\nL1 3\n");
        CHECK(contents_of(directory.open()) == entry_map{{"a", "now"}});
    }
    SECTION("it does not") {
        directory.with("sst-000001.sst", table_of({{"a", "before"}}));
        check_conflict(directory, "sst-000001.sst", "sst-000002.sst", "a");
    }
}

TEST_CASE("repair: with newer_by_id a table is placed before or after listed tables by its id") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 20\nL0 10\nL1 15\nL1 30\nL2 5\n?")
        .with("sst-000020.sst", table_of({{"a", "20"}}))
        .with("sst-000010.sst", table_of({{"b", "10"}}))
        .with("sst-000015.sst", table_of({{"c", "15"}}))
        .with("sst-000030.sst", table_of({{"d", "30"}}))
        .with("sst-000005.sst", table_of({{"e", "5"}}));
    entry_map expected{{"a", "20"}, {"b", "10"}, {"c", "15"}, {"d", "30"}, {"e", "5"}};
    std::string manifest;
    SECTION("before all of them") {
        directory.with("sst-000025.sst", table_of({{"a", "25"}, {"e", deleted}}));
        expected["a"] = "25";
        expected.erase("e");
        manifest = "L0 25\nL0 20\nL0 10\nL1 15\nL1 30\nL2 5\n";
    }
    SECTION("in the middle of level 0") {
        directory.with("sst-000011.sst", table_of({{"a", "11"}, {"b", "11"}}));
        expected["b"] = "11";
        manifest = "L0 20\nL0 11\nL0 10\nL1 15\nL1 30\nL2 5\n";
    }
    SECTION("after level 0") {
        directory.with("sst-000009.sst", table_of({{"a", "9"}, {"b", "9"}}));
        manifest = "L0 20\nL0 10\nL0 9\nL1 15\nL1 30\nL2 5\n";
    }
    SECTION("after a table of level 1 which moves to level 0 with all before it") {
        directory.with("sst-000014.sst", table_of({{"c", "14"}, {"e", "14"}}));
        expected["e"] = "14";
        manifest = "L0 20\nL0 10\nL0 15\nL0 14\nL1 30\nL2 5\n";
    }
    SECTION("after a table of the deepest level") {
        directory.with("sst-000004.sst", table_of({{"e", "4"}}));
        manifest = "L0 20\nL0 10\nL0 15\nL0 30\nL0 5\nL0 4\n";
    }
    SECTION("two of them in the order of their ids") {
        directory.with("sst-000014.sst", table_of({{"c", "14"}})).with("sst-000012.sst", table_of({{"b", "12"}}));
        expected["b"] = "10";  // 12 comes after 14, 14 after 15, and MANIFEST lists 15 after 10
        manifest = "L0 20\nL0 10\nL0 15\nL0 14\nL0 12\nL1 30\nL2 5\n";
    }
    CHECK(must_fail(try_repair(directory.fs)).code == errc::corruption);
    const auto report = repaired(directory, {.newer_by_id = true});
    CHECK(directory.files().at("MANIFEST") == manifest);
    const auto db = directory.open();
    CHECK(contents_of(db) == expected);
    for (const auto& [key, tables] : report.decided)
        CHECK(value_in(db, key).value_or("25") == std::to_string(tables.front()));
}

TEST_CASE("repair: every table is kept wherever the MANIFEST is cut within a line") {
    const std::string manifest = "L0 3\nL1 1\nL2 2\n";
    for (std::size_t length = 0; length <= manifest.size(); ++length) {
        INFO("cut to " << length);
        const bool cut_in_line = length != 0 && manifest[length - 1] != '\n';
        memory_directory directory;
        with_agreeing_tables(directory).with("MANIFEST", manifest.substr(0, length));
        const auto report = repaired(directory);
        CHECK(report.needed == cut_in_line);
        const auto listed = static_cast<std::size_t>(
            std::count(manifest.begin(), manifest.begin() + static_cast<std::ptrdiff_t>(length), '\n'));
        if (cut_in_line) {
            CHECK(directory.files().at("MANIFEST.bak") == manifest.substr(0, length));
            CHECK(report.tables.size() == 3);
            CHECK(std::ranges::count(report.tables, true, &repair_report::table::listed) == static_cast<int>(listed));
            CHECK(contents_of(directory.open()) == agreed_contents);
        } else {
            // A MANIFEST that was cut at the end of a line is intact.
            CHECK(report.orphans.size() == 3 - listed);
            CHECK(directory.files().at("MANIFEST") == manifest.substr(0, length));
        }
    }
}

TEST_CASE("repair: the lines after the first bad line of a MANIFEST are ignored") {
    const std::string bad = GENERATE(as<std::string>(), "L1 1 ", "", "L7 1", "L0 1", "L1 0", "L2 4", "L1 2\r");
    memory_directory directory;
    with_agreeing_tables(directory)
        .with("sst-000004.sst", table_of({}))
        .with("MANIFEST", "L1 3\nL2 4\n" + bad + "\nL3 1\n");
    const auto report = repaired(directory);
    CHECK(manifest_in(report) == "L0 2\nL0 1\nL1 3\nL2 4\n");
    CHECK(directory.files().at("MANIFEST") == manifest_in(report));
}

TEST_CASE("repair: a table with any damage is renamed and the others are kept") {
    const bool flipped = GENERATE(false, true);
    const bool listed = GENERATE(false, true);
    const bytes sound = extended_table_of({{"b", "2"}, {"bb", deleted}, {"bbb", bytes(40, 'v')}});
    for (std::size_t at = 0; at < sound.size(); ++at) {
        INFO("byte " << at << (flipped ? " flipped" : " cut off"));
        bytes damaged = sound.substr(0, at);
        if (flipped) damaged = bytes(sound).replace(at, 1, 1, static_cast<char>(sound[at] ^ 0x10));
        memory_directory directory;
        directory.with("sst-000001.sst", table_of({{"a", "1"}}))
            .with("sst-000002.sst", damaged)
            .with("sst-000003.sst", table_of({{"c", "3"}}));
        if (listed) directory.with("MANIFEST", "L0 3\nL0 2\nL1 1\n");
        const auto report = repaired(directory);
        const auto after = directory.files();
        const auto contents = contents_of(directory.open());
        REQUIRE(report.lost.size() == 1);
        CHECK(report.lost[0].id == 2);
        CHECK(report.lost[0].why.what.find("db/sst-000002.sst: ") == 0);
        CHECK(report.lost[0].kept_as == "damaged-000002.sst");
        CHECK(after.at("damaged-000002.sst") == damaged);
        CHECK_FALSE(after.contains("sst-000002.sst"));
        CHECK(after.at("MANIFEST") == (listed ? "L0 3\nL1 1\n" : "L0 3\nL0 1\n"));
        CHECK(contents == entry_map{{"a", "1"}, {"c", "3"}});
        CHECK(directory.files().at("damaged-000002.sst") == damaged);
    }
}

TEST_CASE("repair: a listed table that is missing is reported and all other tables are kept") {
    memory_directory directory;
    with_agreeing_tables(directory).with("MANIFEST", "L0 3\nL0 7\nL1 1\nL1 8\n").with("sst-000007.sst.tmp", "");
    const auto report = repaired(directory);
    CHECK_FALSE(report.manifest_defect);
    REQUIRE(report.lost.size() == 2);
    CHECK(report.lost[0].id == 7);
    CHECK(report.lost[0].why.code == errc::not_found);
    CHECK(report.lost[0].kept_as.empty());
    CHECK(report.lost[1].id == 8);
    CHECK(report.orphans.empty());
    CHECK(report.manifest_kept_as == "MANIFEST.bak");
    CHECK(directory.files().at("MANIFEST.bak") == "L0 3\nL0 7\nL1 1\nL1 8\n");
    // Table 2, which is not listed, may be what a damaged line meant.
    CHECK(directory.files().at("MANIFEST") == "L0 3\nL0 2\nL1 1\n");
    CHECK(directory.files().contains("sst-000007.sst.tmp"));
    CHECK(contents_of(directory.open()) == agreed_contents);
}

TEST_CASE("repair: a table that an intact MANIFEST does not list is an orphan") {
    memory_directory directory;
    with_agreeing_tables(directory)
        .with("MANIFEST", "L0 1\nL1 3\n")
        .with("sst-000002.sst", table_of({{"a", "an orphan"}}))
        .with("sst-000004.sst", "a damaged orphan");
    const auto before = directory.files();
    const auto report = repaired(directory);
    CHECK_FALSE(report.needed);
    CHECK_FALSE(report.manifest_defect);
    CHECK(report.manifest_kept_as.empty());
    CHECK(report.orphans == std::vector<std::uint64_t>{4, 2});
    CHECK(report.lost.empty());
    CHECK(manifest_in(report) == "L0 1\nL1 3\n");
    CHECK(directory.files() == before);
    CHECK(contents_of(directory.open()) == agreed_contents);
    CHECK(directory.names() == std::vector<std::string>{"MANIFEST", "sst-000001.sst", "sst-000003.sst"});
}

TEST_CASE("repair: listed tables above level 0 that overlap are refused") {
    memory_directory directory;
    with_agreeing_tables(directory).with("MANIFEST", "L0 3\nL1 1\nL1 2\n");
    const auto before = directory.files();
    const auto why = must_fail(try_repair(directory.fs));
    CHECK(why.code == errc::bad_manifest);
    CHECK(why.what.find("db/MANIFEST: ") == 0);
    CHECK(why.what.find("sst-000001.sst and sst-000002.sst") != std::string::npos);
    directory.with("sst-000004.sst", table_of({})).with("MANIFEST", "L1 3\nL1 4\nL1 1\n");
    CHECK(must_fail(try_repair(directory.fs)).code == errc::bad_manifest);
    directory.with("MANIFEST", "L1 1\nL2 2\nL2 4\nL3 3\n");
    CHECK_FALSE(repaired(directory).needed);
}

TEST_CASE("repair: a dry run has the same report and changes nothing") {
    memory_directory directory;
    with_agreeing_tables(directory)
        .with("MANIFEST", "L0 9\nL0 3\nL1 2")
        .with("sst-000004.sst", "damaged")
        .with("sst-000005.sst", table_of({{"a", "5"}}))
        .with("sst-000006.sst.tmp", "")
        .with("MANIFEST.tmp", "L0 ")
        .with("wal.log", log_of({{{"w", "1"}}}));
    const auto before = directory.files();
    const auto predicted = repaired(directory, {.dry_run = true, .newer_by_id = true});
    CHECK(directory.files() == before);
    const auto done = repaired(directory, {.newer_by_id = true});
    CHECK(directory.files() != before);
    CHECK(predicted.needed == done.needed);
    CHECK(predicted.manifest_defect->what == done.manifest_defect->what);
    CHECK(predicted.manifest_kept_as == done.manifest_kept_as);
    CHECK(predicted.tables == done.tables);
    CHECK(predicted.decided_keys == 1);
    CHECK(decided_in(predicted) == decided_in(done));
    REQUIRE(predicted.lost.size() == 2);
    for (std::size_t i = 0; i < 2; ++i) {
        CHECK(predicted.lost[i].id == done.lost[i].id);
        CHECK(predicted.lost[i].why.what == done.lost[i].why.what);
        CHECK(predicted.lost[i].kept_as == done.lost[i].kept_as);
    }
    CHECK(directory.files().at("MANIFEST") == manifest_in(predicted));
}

TEST_CASE("repair: an intact database is left unchanged") {
    memory_directory directory;
    {
        auto db = directory.open();
        must(db.put("a", "1"));
        must(db.flush());
        must(db.put("b", "2"));
    }
    const auto before = directory.files();
    recording_file_system fs(directory.fs);
    CHECK_FALSE(must(try_repair(fs)).needed);
    CHECK(fs.changes() == std::vector<std::string>{"lock db/LOCK"});
    CHECK(fs.open_files() == 0);
    CHECK(directory.files() == before);
}

TEST_CASE("repair: logs and foreign files are left alone and the next open replays the logs") {
    memory_directory directory;
    with_agreeing_tables(directory)
        .with("wal-000001.log", log_of({{{"b", "frozen"}, {"c", "frozen"}}}))
        .with("wal.log", log_of({{{"c", "active"}}}) + "torn")
        .with("cut-000001.log", "x")
        .with("sst-0000001.sst", "theirs")
        .with("sst-000009.sst.tmp", "x")
        .with("notes", "x");
    auto expected = directory.files();
    CHECK(repaired(directory).lost.empty());
    expected["MANIFEST"] = "L0 3\nL0 2\nL0 1\n";
    CHECK(directory.files() == expected);
    CHECK(contents_of(directory.open()) == entry_map{{"a", "1"}, {"b", "frozen"}, {"c", "active"}, {"d", "3"}});
}

TEST_CASE("repair: a database with only logs gets an empty MANIFEST") {
    memory_directory directory;
    directory.with("wal-000001.log", log_of({{{"a", "1"}}}));
    CHECK(must_fail(directory.try_open()).code == errc::bad_manifest);
    CHECK(repaired(directory).needed);
    CHECK(directory.files().at("MANIFEST").empty());
    CHECK(contents_of(directory.open()) == entry_map{{"a", "1"}});
}

TEST_CASE("repair: a name that is taken gets a number appended") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 1\nL0 2\n?")
        .with("MANIFEST.bak", "kept before")
        .with("damaged-000001.sst", "kept before")
        .with("damaged-000001.sst.1", "kept before")
        .with("sst-000001.sst", "damaged")
        .with("sst-000002.sst", "damaged too");
    const auto report = repaired(directory);
    CHECK(directory.files() == image{{"MANIFEST", ""},
                                     {"MANIFEST.bak", "kept before"},
                                     {"MANIFEST.bak.1", "L0 1\nL0 2\n?"},
                                     {"damaged-000001.sst", "kept before"},
                                     {"damaged-000001.sst.1", "kept before"},
                                     {"damaged-000001.sst.2", "damaged"},
                                     {"damaged-000002.sst", "damaged too"}});
    CHECK(report.manifest_kept_as == "MANIFEST.bak.1");
    CHECK(report.lost.at(0).kept_as == "damaged-000001.sst.2");
    CHECK(report.lost.at(1).kept_as == "damaged-000002.sst");
}

TEST_CASE("repair: an open database is refused") {
    memory_directory directory;
    auto db = directory.open();
    must(db.put("a", "1"));
    directory.with("MANIFEST", "?");
    const auto before = directory.files();
    CHECK(must_fail(try_repair(directory.fs)).code == errc::locked);
    CHECK(must_fail(try_repair(directory.fs, {.dry_run = true})).code == errc::locked);
    CHECK(directory.files() == before);
    must(db.close());
    CHECK(repaired(directory).needed);
    CHECK(contents_of(directory.open()) == entry_map{{"a", "1"}});
}

TEST_CASE("repair: a directory without a database is not found and nothing is created") {
    memory_directory directory;
    const auto check_not_found = [&] {
        CHECK(must_fail(try_repair(directory.fs)).code == errc::not_found);
        bool lock = false;
        must(directory.fs.list("db", [&](std::string_view name) { lock = lock || name == "LOCK"; }));
        CHECK_FALSE(lock);
    };
    check_not_found();
    directory.with("notes", "").with("MANIFEST.tmp", "").with("sst-000001.sst.tmp", "").with("damaged-000001.sst", "");
    directory.with("sst-0000001.sst", "").with("sst-000000.sst", "");
    check_not_found();
    lsm::io::memory_file_system empty;
    CHECK(must_fail(try_repair(empty)).code == errc::not_found);
}

TEST_CASE("repair: only tables that overlap are open at the same time") {
    memory_directory directory;
    for (int i = 100; i < 200; ++i)
        directory.with("sst-000" + std::to_string(i) + ".sst",
                       table_of({{std::to_string(i) + "a", "1"}, {std::to_string(i) + "b", "1"}}));
    recording_file_system fs(directory.fs);
    std::size_t most = 0;
    fs.fault = [&](std::string_view) {
        most = std::max(most, fs.open_files());
        return 0;
    };
    CHECK(must(try_repair(fs)).tables.size() == 100);
    CHECK(most <= 3);  // LOCK, and two tables where one ends and the next begins
}

TEST_CASE("repair: a table that the disk cannot read is renamed") {
    memory_directory directory;
    recording_file_system fs(with_agreeing_tables(directory).fs);
    fs.fault = [](std::string_view call) { return call == "read db/sst-000002.sst" ? EIO : 0; };
    const auto report = must(try_repair(fs));
    REQUIRE(report.lost.size() == 1);
    CHECK(report.lost[0].id == 2);
    CHECK(report.lost[0].why.sys == EIO);
    CHECK(directory.files().contains("damaged-000002.sst"));
    CHECK(directory.files().at("MANIFEST") == "L0 3\nL0 1\n");
}

TEST_CASE("repair: a call that the system refuses is not damage and after any failure repair can be called again") {
    const int sys = GENERATE(EMFILE, EACCES, ENOSPC);
    const auto prepare = [](memory_directory& directory) {
        with_agreeing_tables(directory).with("MANIFEST", "L0 3\nL1 2\nL2 4\n?").with("sst-000004.sst", "damaged");
    };
    bool reached = true;
    for (std::size_t failing = 0; reached; ++failing) {
        INFO("call " << failing);
        memory_directory directory;
        prepare(directory);
        const auto before = directory.files();
        recording_file_system fs(directory.fs);
        fs.fault = [&](std::string_view call) {
            return fs.calls.size() - 1 == failing && !call.starts_with("close") ? sys : 0;
        };
        const auto done = try_repair(fs);
        reached = fs.calls.size() > failing;
        if (!done) {
            INFO(fs.calls.at(failing) << ": " << done.error().what);
            CHECK(done.error().sys == sys);
            fs.fault = nullptr;
            static_cast<void>(must(try_repair(fs)));
        }
        const auto after = directory.files();
        CHECK(contents_of(directory.open()) == agreed_contents);
        CHECK(after.at("MANIFEST") == "L0 3\nL0 1\nL1 2\n");
        CHECK(after.at("MANIFEST.bak") == before.at("MANIFEST"));
        CHECK(after.at("damaged-000004.sst") == "damaged");
    }
}

TEST_CASE("repair: damaged tables are renamed before MANIFEST is replaced") {
    memory_directory directory;
    with_agreeing_tables(directory).with("MANIFEST", "L0 3\nL1 2\nL2 4\n?").with("sst-000004.sst", "damaged");
    recording_file_system fs(directory.fs);
    static_cast<void>(must(try_repair(fs)));
    CHECK(fs.changes() ==
          std::vector<std::string>{"lock db/LOCK", "create db/MANIFEST.bak", "write db/MANIFEST.bak",
                                   "fsync db/MANIFEST.bak", "rename db/sst-000004.sst db/damaged-000004.sst",
                                   "fsync-directory db", "remove db/MANIFEST.tmp", "create db/MANIFEST.tmp",
                                   "write db/MANIFEST.tmp", "fsync db/MANIFEST.tmp",
                                   "rename db/MANIFEST.tmp db/MANIFEST", "fsync-directory db"});
    CHECK(fs.open_files() == 0);
}

TEST_CASE("repair: random tables whose ids ascend with age are restored in their order") {
    const auto seed = seed_or(1);
    std::mt19937_64 random(seed);
    std::size_t decided = 0, refused = 0;
    for (int round = 0; round < 300; ++round) {
        INFO("seed " << seed << " round " << round);
        memory_directory directory;
        std::vector<entry_map> newest_first;
        std::string manifest;
        const auto count = static_cast<int>(random() % 6 + 1);
        const auto on_level_0 = random() % 6;
        for (int id = count; id > 0; --id) {
            newest_first.push_back(random_entries(random, 6));
            const auto older = newest_first.size() - 1;
            const auto level = older > on_level_0 ? older - on_level_0 : 0;  // one table on each other level
            manifest += "L" + std::to_string(level) + " " + std::to_string(id) + "\n";
            directory.with(lsm::detail::table_name(static_cast<std::uint64_t>(id)),
                           extended_table_of(newest_first.back()));
        }
        if (const auto cut = random() % (manifest.size() + 1); cut != 0)
            directory.with("MANIFEST", manifest.substr(0, cut - 1) + "?");
        const auto cautious = try_repair(directory.fs, {.dry_run = true});
        const auto report = repaired(directory, {.newer_by_id = true});
        CHECK(cautious.has_value() == (report.decided_keys == 0));
        CHECK(contents_of(directory.open()) == merged(newest_first, true));
        decided += report.decided_keys != 0;
        refused += !cautious;
    }
    CHECK(decided > 20);
    CHECK(decided < 280);
    CHECK(refused == decided);
}
