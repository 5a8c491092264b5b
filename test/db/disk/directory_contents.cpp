#include <lsm/db/disk/directory_contents.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <lsm/io/memory_file_system.hpp>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/results.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;
using lsm::detail::directory_contents;

using id_list = std::vector<std::uint64_t>;

directory_contents contents_with(const std::vector<std::string>& names) {
    lsm::io::memory_file_system fs;
    must(fs.make_directory("db"));
    for (const auto& name : names) write_file(fs, "db/" + name, "");
    return must(directory_contents::read({fs, "db"}));
}

}  // namespace

TEST_CASE("directory contents: names are sorted by their kind") {
    auto found = contents_with({"MANIFEST", "MANIFEST.tmp", "sst-1000000.sst", "sst-999999.sst", "sst-2000000.sst.tmp",
                                "wal.log", "wal.log.tmp", "wal-1000000.log", "wal-999999.log", "cut-000002.log",
                                "cut-000011.log", "LOCK", "notes.txt", "sst-7.sst", "wal-3.log"});
    CHECK(found.manifest);
    CHECK(found.log);
    CHECK(found.tables == id_list{999'999, 1'000'000});
    CHECK(found.frozen_logs == id_list{999'999, 1'000'000});
    CHECK(found.highest_cut_log == 11);
    std::ranges::sort(found.temporaries);
    CHECK(found.temporaries == std::vector<std::string>{"MANIFEST.tmp", "sst-2000000.sst.tmp", "wal.log.tmp"});
}

TEST_CASE("directory contents: the highest table id includes tables that were being written") {
    CHECK(contents_with({}).highest_table_id == 0);
    CHECK(contents_with({"sst-000004.sst", "sst-000009.sst", "sst-000006.sst.tmp"}).highest_table_id == 9);
    CHECK(contents_with({"sst-000004.sst", "sst-000009.sst", "sst-000010.sst.tmp"}).highest_table_id == 10);
}

TEST_CASE("directory contents: each file that holds data makes the directory a database") {
    for (const char* name : {"MANIFEST", "wal.log", "wal-000001.log", "sst-000001.sst"}) {
        INFO(name);
        CHECK(contents_with({name}).has_database());
    }
    CHECK_FALSE(contents_with({"LOCK", "MANIFEST.tmp", "wal.log.tmp", "sst-000001.sst.tmp", "cut-000001.log",
                               "MANIFEST.bak", "damaged-000001.sst"})
                    .has_database());
}

TEST_CASE("directory contents: only the names of files that hold data are compared") {
    const std::vector<std::string> names{"MANIFEST", "wal.log", "wal-000001.log", "sst-000001.sst"};
    const auto before = contents_with(names);
    CHECK(before.same_names(contents_with(
        {"MANIFEST", "wal.log", "wal-000001.log", "sst-000001.sst", "MANIFEST.tmp", "sst-000002.sst.tmp"})));
    for (const auto& missing : names) {
        auto fewer = names;
        std::erase(fewer, missing);
        INFO("without " << missing);
        CHECK_FALSE(before.same_names(contents_with(fewer)));
    }
}

TEST_CASE("directory contents: a directory that is missing is an error with its name") {
    lsm::io::memory_file_system fs;
    const auto why = must_fail(directory_contents::read({fs, "db"}));
    CHECK(why.code == errc::not_found);
    CHECK(why.what.starts_with("db: "));
}
