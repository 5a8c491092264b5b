#include <lsm/db/admin/repairer.hpp>

#include <cerrno>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/recording_file_system.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;

std::string intact_part(std::string_view manifest) {
    return lsm::detail::format_manifest(lsm::detail::intact_lines(manifest));
}

}  // namespace

TEST_CASE("repairer: the lines before the first one that breaks a rule are intact") {
    CHECK(intact_part("") == "");
    CHECK(intact_part("L0 2\nL1 1\n") == "L0 2\nL1 1\n");
    CHECK(intact_part("L0 2\nL1 1") == "L0 2\n");
    CHECK(intact_part("?\nL0 2\n") == "");
    CHECK(intact_part("L0 2\nL0 3\n\nL1 1\n") == "L0 2\nL0 3\n");
    // These lines break a rule only together with earlier lines.
    CHECK(intact_part("L1 2\nL2 3\nL1 4\nL3 5\n") == "L1 2\nL2 3\n");
    CHECK(intact_part("L0 2\nL0 3\nL0 4\nL0 3\n") == "L0 2\nL0 3\nL0 4\n");
}

TEST_CASE("repairer: all tables are read before anything is changed") {
    memory_directory directory;
    // Table 3 is damaged. The conflict between 1 and 2 is found only after that.
    directory.with("MANIFEST", "L0 3\n?\n")
        .with("sst-000003.sst", "damaged")
        .with("sst-000002.sst", table_of({{"a", "2"}}))
        .with("sst-000001.sst", table_of({{"a", "1"}}));
    recording_file_system fs(directory.fs);
    const lsm::detail::db_directory files(fs, "db");
    CHECK(must_fail(lsm::detail::repairer(files, {}).run()).code == errc::corruption);
    CHECK(fs.changes().empty());
    const auto report = must(lsm::detail::repairer(files, {.dry_run = true, .newer_by_id = true}).run());
    CHECK(report.needed);
    CHECK(report.lost.at(0).kept_as == "damaged-000003.sst");
    CHECK(report.manifest_kept_as == "MANIFEST.bak");
    CHECK(fs.changes().empty());
    CHECK(fs.open_files() == 0);
}

TEST_CASE("repairer: a table that cannot be read counts as damaged only if the disk fails") {
    memory_directory directory;
    directory.with("sst-000001.sst", table_of({{"a", "1"}}));
    recording_file_system fs(directory.fs);
    const lsm::detail::db_directory files(fs, "db");
    int sys = 0;
    fs.fault = [&](std::string_view call) { return call == "read db/sst-000001.sst" ? sys : 0; };
    for (const int refused : {EMFILE, EACCES, ENOMEM}) {
        sys = refused;
        CHECK(must_fail(lsm::detail::repairer(files, {.dry_run = true}).run()).sys == refused);
    }
    sys = EIO;
    const auto report = must(lsm::detail::repairer(files, {.dry_run = true}).run());
    REQUIRE(report.lost.size() == 1);
    CHECK(report.lost[0].why.sys == EIO);
}

TEST_CASE("repairer: a table that is not listed is an orphan only if MANIFEST is intact") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 1\n")
        .with("sst-000001.sst", table_of({{"a", "1"}}))
        .with("sst-000002.sst", table_of({{"b", "2"}}));
    const lsm::detail::db_directory files(directory.fs, "db");
    const auto intact = must(lsm::detail::repairer(files, {}).run());
    CHECK_FALSE(intact.needed);
    CHECK(intact.orphans == std::vector<std::uint64_t>{2});
    // If it lists a missing table it is damaged, and may have meant the table that it does not list.
    directory.with("MANIFEST", "L0 1\nL0 3\n");
    const auto damaged = must(lsm::detail::repairer(files, {}).run());
    CHECK(damaged.needed);
    CHECK(damaged.orphans.empty());
    CHECK(directory.files().at("MANIFEST") == "L0 2\nL0 1\n");
}
