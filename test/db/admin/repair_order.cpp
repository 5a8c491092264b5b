#include <lsm/db/admin/repair_order.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/databases.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;
using lsm::repair_report;
using lsm::detail::sound_table;

/// Tables in a directory, the listed ones first, then the others from the highest id to the lowest.
struct ordered_tables {
    void add(int level, std::uint64_t id, const entry_map& entries, bool listed) {
        directory.with(lsm::detail::table_name(id), table_of(entries));
        tables.push_back(must(sound_table::read(files, {level, id}, listed)));
    }
    void listed(int level, std::uint64_t id, const entry_map& entries) { add(level, id, entries, true); }
    void unlisted(std::uint64_t id, const entry_map& entries) { add(0, id, entries, false); }

    [[nodiscard]] lsm::result<void> find(bool newer_by_id) {
        report = {};
        return lsm::detail::repair_order(files, tables, newer_by_id).find(report);
    }
    /// The new MANIFEST, with a star after each table that the old one did not list.
    [[nodiscard]] std::string order(bool newer_by_id = false) {
        must(find(newer_by_id));
        std::string out;
        for (const auto& [level, id, listed] : report.tables)
            out += "L" + std::to_string(level) + " " + std::to_string(id) + (listed ? "" : "*") + "\n";
        return out;
    }

    memory_directory directory;
    lsm::detail::db_directory files{directory.fs, "db"};
    std::vector<sound_table> tables;
    repair_report report;
};

}  // namespace

TEST_CASE("repair order: a table is read to its end to find its bounds and any damage") {
    memory_directory directory;
    directory.with("sst-000001.sst", table_of({{"a", "1"}, {"b", deleted}, {"c", "3"}}, 16));
    const lsm::detail::db_directory files(directory.fs, "db");
    const auto table = must(sound_table::read(files, {3, 1}, true));
    CHECK(table.line == lsm::detail::manifest_line{3, 1});
    CHECK(table.listed);
    CHECK_FALSE(table.empty);
    CHECK(table.smallest == "a");
    CHECK(table.largest == "c");
    directory.with("sst-000001.sst", table_of({}));
    CHECK(must(sound_table::read(files, {0, 1}, false)).empty);
    auto damaged = table_of({{"a", "1"}, {"b", deleted}, {"c", "3"}}, 16);
    damaged[16] = '\x09';  // in the second of three blocks
    directory.with("sst-000001.sst", damaged);
    CHECK(must_fail(sound_table::read(files, {0, 1}, false)).what.starts_with("db/sst-000001.sst: "));
    CHECK(must_fail(sound_table::read(files, {0, 2}, false)).code == errc::not_found);
}

TEST_CASE("repair order: a table that is not listed goes before the first listed one of level 0 with a lower id") {
    ordered_tables f;
    f.listed(0, 7, {{"a", ""}});
    f.listed(0, 9, {{"b", ""}});
    f.listed(0, 3, {{"c", ""}});
    f.listed(1, 1, {{"d", ""}});
    f.unlisted(8, {{"e", ""}});
    f.unlisted(5, {{"f", ""}});
    f.unlisted(2, {{"g", ""}});
    CHECK(f.order() == "L0 8*\nL0 7\nL0 9\nL0 5*\nL0 3\nL0 2*\nL1 1\n");
}

TEST_CASE("repair order: tables that differ on a key are an error unless ids decide") {
    ordered_tables f;
    f.listed(1, 4, {{"k", "old"}});
    f.unlisted(5, {{"j", ""}, {"k", "new"}});
    const auto why = must_fail(f.find(false));
    CHECK(why.code == errc::corruption);
    CHECK(why.what ==
          "db: corruption: sst-000004.sst and sst-000005.sst differ on the key 6b, and which is newer is "
          "not known");
    CHECK(f.order(true) == "L0 5*\nL1 4\n");
    REQUIRE(f.report.decided.size() == 1);
    CHECK(f.report.decided[0].key == "k");
    CHECK(f.report.decided[0].tables == std::vector<std::uint64_t>{5, 4});
}

TEST_CASE("repair order: a listed table that is newer by its id moves to level 0 with all before it") {
    ordered_tables f;
    f.listed(1, 8, {{"a", ""}});
    f.listed(1, 9, {{"k", "nine"}});
    f.listed(2, 1, {{"z", ""}});
    f.unlisted(5, {{"k", "five"}});
    CHECK(f.order(true) == "L0 8\nL0 9\nL0 5*\nL2 1\n");
    CHECK(f.report.decided.at(0).tables == std::vector<std::uint64_t>{9, 5});
}

TEST_CASE("repair order: no key is decided if the tables of unknown order agree with the newest listed one") {
    ordered_tables f;
    f.listed(0, 4, {{"a", "1"}, {"b", deleted}});
    f.listed(1, 9, {{"a", "hidden"}, {"b", "hidden"}});
    f.unlisted(2, {{"a", "1"}, {"b", deleted}});
    CHECK(f.order() == "L0 4\nL0 2*\nL1 9\n");
    CHECK(f.report.decided_keys == 0);
}

TEST_CASE("repair order: listed tables that overlap are refused even with a table without entries between them") {
    ordered_tables f;
    f.listed(1, 1, {{"a", ""}, {"c", ""}});
    f.listed(1, 2, {});
    f.listed(1, 3, {{"b", ""}});
    const auto why = must_fail(f.find(true));
    CHECK(why.code == errc::bad_manifest);
    CHECK(why.what == "db/MANIFEST: bad_manifest: sst-000001.sst and sst-000003.sst overlap or are out of order");
}
