// Power cuts after a killed program: the names and bytes that it left are visible, but not durable yet.

#include <set>
#include <string>

#include <lsm/db/db.hpp>
#include <lsm/io/simulated_file_system.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"

namespace {

using namespace lsm::test;
using lsm::io::power_loss;
using lsm::io::simulated_file_system;

void write_synced(simulated_file_system& disk, const std::string& path, lsm::bytes_view contents) {
    auto file = must(lsm::io::file::open(disk, path, lsm::io::open_mode::create_exclusive));
    must(file.append(contents));
    must(file.sync());
}

lsm::result<lsm::db> open_on(simulated_file_system& disk, lsm::options opts = {}, const std::string& directory = "db") {
    opts.file_system = &disk;
    return lsm::db::open(directory, plain(opts));
}

/// Cuts the power before each operation of an open and a close, and after the last one. Returns the contents of the
/// databases that the cuts leave; requires that each of them opens.
std::set<entry_map> left_by_power_cuts(simulated_file_system& disk, const lsm::options& opts = {}) {
    std::set<entry_map> out;
    std::string problem;
    const auto cut = [&] {
        for (const auto kind : {power_loss::kind::nothing, power_loss::kind::everything, power_loss::kind::some})
            for (std::uint64_t seed = 0; seed < (kind == power_loss::kind::some ? 100u : 1u); ++seed) {
                auto left = disk.after_power_loss({kind, seed});
                const auto opened = open_on(left, opts);
                if (opened)
                    out.insert(contents_of(*opened));
                else
                    problem = opened.error().what;
            }
    };
    disk.before_each([&](const auto&) { cut(); });
    must(must(open_on(disk, opts)).close());
    cut();
    CHECK(problem == "");
    return out;
}

}  // namespace

TEST_CASE("power loss: replaying a log that was never synced brings no older value back") {
    simulated_file_system disk;
    must(disk.make_directory("db"));
    must(disk.sync_directory("."));
    write_synced(disk, "db/MANIFEST", "");
    write_synced(disk, "db/wal-000001.log", log_of({{{"a", "1"}, {"b", "1"}}}));
    must(disk.sync_directory("db"));
    write_file(disk, "db/wal.log", log_of({{{"a", "2"}, {"c", "2"}}}));
    const entry_map synced{{"a", "1"}, {"b", "1"}}, all{{"a", "2"}, {"b", "1"}, {"c", "2"}};
    CHECK(left_by_power_cuts(disk) == std::set<entry_map>{synced, all});
}

TEST_CASE("power loss: tables listed only in the old MANIFEST are removed after the new one is durable") {
    simulated_file_system disk;
    must(disk.make_directory("db"));
    must(disk.sync_directory("."));
    write_synced(disk, "db/MANIFEST", "L0 1\n");
    write_synced(disk, "db/sst-000001.sst", table_of({{"a", "1"}}));
    write_synced(disk, "db/sst-000002.sst", table_of({{"a", "1"}}));
    write_synced(disk, "db/MANIFEST.tmp", "L0 2\n");
    must(disk.sync_directory("db"));
    must(disk.rename("db/MANIFEST.tmp", "db/MANIFEST"));
    CHECK(left_by_power_cuts(disk) == std::set<entry_map>{{{"a", "1"}}});
}

TEST_CASE("power loss: records after a defect stay left out") {
    simulated_file_system disk;
    must(disk.make_directory("db"));
    must(disk.sync_directory("."));
    write_synced(disk, "db/MANIFEST", "");
    write_synced(disk, "db/wal-000001.log", log_of({{{"a", "1"}}}) + "damage");
    write_synced(disk, "db/wal-000002.log", log_of({{{"a", "2"}}}));
    write_synced(disk, "db/wal.log", log_of({{{"b", "3"}}}));
    must(disk.sync_directory("db"));
    CHECK(left_by_power_cuts(disk, {.wal_recovery = lsm::wal::recovery::point_in_time}) ==
          std::set<entry_map>{{{"a", "1"}}});
}

TEST_CASE("power loss: the database survives in a directory whose creator did not sync its name") {
    simulated_file_system disk;
    must(disk.make_directory("some"));
    SECTION("its parent") {
        auto db = must(open_on(disk, {}, "some/db"));
        must(db.put("a", "1"));
        auto left = disk.after_power_loss({power_loss::kind::nothing});
        CHECK(contents_of(must(open_on(left, {}, "some/db"))) == entry_map{{"a", "1"}});
    }
    SECTION("its own") {
        auto db = must(open_on(disk, {}, "some"));
        must(db.put("a", "1"));
        auto left = disk.after_power_loss({power_loss::kind::nothing});
        CHECK(contents_of(must(open_on(left, {}, "some"))) == entry_map{{"a", "1"}});
    }
    SECTION("a checkpoint's own") {
        auto db = must(open_on(disk));
        must(db.put("a", "1"));
        must(db.checkpoint("some"));
        auto left = disk.after_power_loss({power_loss::kind::nothing});
        CHECK(contents_of(must(open_on(left, {}, "some"))) == entry_map{{"a", "1"}});
    }
}
