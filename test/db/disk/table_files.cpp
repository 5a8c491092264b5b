#include <lsm/db/disk/table_files.hpp>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include <lsm/io/memory_file_system.hpp>

#include "support/catch.hpp"
#include "support/entries.hpp"
#include "support/file_systems.hpp"
#include "support/recording_file_system.hpp"

namespace {

using namespace lsm::test;
using lsm::detail::db_directory;

const std::allocator<std::byte> with_default;

}  // namespace

TEST_CASE("table files: the format follows the options") {
    const auto format = lsm::detail::table_format({.block_bytes = 77, .filter_bits_per_key = 3});
    CHECK(format.block_size == 77);
    CHECK(format.filter_bits_per_key == 3);
    CHECK(format.extended);
    CHECK_FALSE(lsm::detail::table_format({.extended_tables = false}).extended);
}

TEST_CASE("table files: a table gets the entries from the position of the cursor on") {
    forward_only_cursor at(entry_list{{"a", "1"}, {"b", "2"}, {"c", deleted}, {"d", "4"}});
    at.next();
    lsm::bytes out;
    lsm::io::string_sink to(out);
    must(lsm::detail::write_table(at, to, {.block_size = 20}, with_default));
    CHECK(out == table_of({{"b", "2"}, {"c", deleted}, {"d", "4"}}, 20));
}

TEST_CASE("table files: a table is durable before it gets its name") {
    lsm::io::memory_file_system memory;
    must(memory.make_directory("db"));
    recording_file_system fs(memory);
    forward_only_cursor at(entry_list{{"a", "1"}});
    must(lsm::detail::write_table_file(at, db_directory(fs, "db"), 7, {.block_size = 4096}, with_default));
    CHECK(fs.changes() == std::vector<std::string>{"create db/sst-000007.sst.tmp", "write db/sst-000007.sst.tmp",
                                                   "fsync db/sst-000007.sst.tmp",
                                                   "rename db/sst-000007.sst.tmp db/sst-000007.sst",
                                                   "fsync-directory db"});
    CHECK(read_file(memory, "db/sst-000007.sst") == table_of({{"a", "1"}}));
    CHECK(fs.open_files() == 0);
}

TEST_CASE("table files: after an error there is no table and no temporary file") {
    lsm::io::memory_file_system memory;
    must(memory.make_directory("db"));
    recording_file_system fs(memory);
    const entry_list entries{{"a", "1"}, {"b", "2"}};
    const auto check_refused = [&](forward_only_cursor at, const std::string& expected) {
        const auto done =
            lsm::detail::write_table_file(at, db_directory(fs, "db"), 7, {.block_size = 4096}, with_default);
        CHECK(must_fail(done).what.find(expected) != std::string::npos);
        CHECK(names_in(memory, "db").empty());
        CHECK(fs.open_files() == 0);
    };
    SECTION("of the cursor") { check_refused(forward_only_cursor(entries, 1, "the damage"), "the damage"); }
    SECTION("of the order of keys") {
        check_refused(forward_only_cursor(entry_list{{"b", "2"}, {"a", "1"}}), "unsorted");
    }
    SECTION("of a call") {
        const std::string failing = GENERATE(as<std::string>(), "create", "write", "fsync", "rename");
        fs.fault = [&](std::string_view call) { return call.starts_with(failing + " ") ? EIO : 0; };
        check_refused(forward_only_cursor(entries), "db/sst-000007.sst");
    }
}
