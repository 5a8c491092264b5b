#include <lsm/db/db.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/recording_file_system.hpp"

/// The order of the calls that change the disk. A power cut may come between any two of them (see section 7 of the
/// format page).

namespace {

using namespace lsm::test;
using list = std::vector<std::string>;

/// A database directory that records the calls on it.
struct recorded_directory {
    lsm::db open() { return must(lsm::db::open("db", plain({.file_system = &fs}))); }
    /// The changes since the last call of this function.
    list changes() {
        auto out = fs.changes();
        fs.forget();
        return out;
    }

    lsm::io::memory_file_system memory;
    recording_file_system fs{memory};
};

const list manifest_replaced{"remove db/MANIFEST.tmp", "create db/MANIFEST.tmp", "fsync db/MANIFEST.tmp",
                             "rename db/MANIFEST.tmp db/MANIFEST", "fsync-directory db"};

list manifest_replaced_with_lines() {
    list out = manifest_replaced;
    out.insert(out.begin() + 2, "write db/MANIFEST.tmp");
    return out;
}

const list first_table_written{"create db/sst-000001.sst.tmp", "write db/sst-000001.sst.tmp",
                               "fsync db/sst-000001.sst.tmp", "rename db/sst-000001.sst.tmp db/sst-000001.sst",
                               "fsync-directory db"};

list operator+(list left, const list& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

}  // namespace

TEST_CASE("call order: creating a database makes its directory and an empty MANIFEST durable") {
    recorded_directory directory;
    auto db = directory.open();
    CHECK(directory.changes() ==
          list{"mkdir db", "fsync-directory .", "lock db/LOCK", "fsync-directory ."} + manifest_replaced);
}

TEST_CASE("call order: opening and closing an intact database changes nothing") {
    recorded_directory directory;
    must(directory.open().put("a", "1"));
    directory.changes();
    must(directory.open().close());
    CHECK(directory.changes() == list{"mkdir db", "lock db/LOCK"});
    CHECK(directory.fs.open_files() == 0);
}

TEST_CASE("call order: the first write makes the log durable under its name") {
    recorded_directory directory;
    auto db = directory.open();
    directory.changes();
    must(db.put("a", "1"));
    CHECK(directory.changes() ==
          list{"create db/wal.log", "write db/wal.log", "fsync-directory db", "fdatasync db/wal.log"});
    must(db.put("b", "2"));
    must(db.write(batch_of({{"c", "3"}, {"d", "4"}})));
    CHECK(directory.changes() ==
          list{"write db/wal.log", "fdatasync db/wal.log", "write db/wal.log", "fdatasync db/wal.log"});
}

TEST_CASE("call order: a replayed log is rewritten before anything is appended to it") {
    recorded_directory directory;
    must(directory.open().put("a", "1"));
    auto db = directory.open();
    directory.changes();
    must(db.put("b", "2"));
    CHECK(directory.changes() == list{"remove db/wal.log.tmp", "create db/wal.log.tmp", "write db/wal.log.tmp",
                                      "fsync db/wal.log.tmp", "rename db/wal.log.tmp db/wal.log", "fsync-directory db",
                                      "write db/wal.log", "fdatasync db/wal.log"});
}

TEST_CASE("call order: a flush freezes the log and writes the table and MANIFEST and then removes the log") {
    recorded_directory directory;
    auto db = directory.open();
    must(db.put("a", "1"));
    directory.changes();
    must(db.flush());
    CHECK(directory.changes() == list{"rename db/wal.log db/wal-000001.log", "fsync-directory db"} +
                                     first_table_written + manifest_replaced_with_lines() +
                                     list{"remove db/wal-000001.log", "fsync-directory db"});
    must(db.flush());
    CHECK(directory.changes().empty());
    must(db.put("b", "2"));
    CHECK(directory.changes() ==
          list{"create db/wal.log", "write db/wal.log", "fsync-directory db", "fdatasync db/wal.log"});
}

TEST_CASE("call order: an unsynced log is synced before it is frozen") {
    recorded_directory directory;
    auto db = directory.open();
    must(db.put("a", "1", {.sync = false}));
    directory.changes();
    must(db.flush());
    const list expected{"fdatasync db/wal.log", "rename db/wal.log db/wal-000001.log", "fsync-directory db"};
    const auto changes = directory.changes();
    REQUIRE(changes.size() > expected.size());
    CHECK(list(changes.begin(), changes.begin() + static_cast<std::ptrdiff_t>(expected.size())) == expected);
}

TEST_CASE("call order: a replayed log is rewritten before it is frozen") {
    recorded_directory directory;
    must(directory.open().put("a", "1"));
    auto db = directory.open();
    directory.changes();
    must(db.flush());
    CHECK(directory.changes() == list{"remove db/wal.log.tmp", "create db/wal.log.tmp", "write db/wal.log.tmp",
                                      "fsync db/wal.log.tmp", "rename db/wal.log.tmp db/wal.log", "fsync-directory db",
                                      "rename db/wal.log db/wal-000001.log", "fsync-directory db"} +
                                     first_table_written + manifest_replaced_with_lines() +
                                     list{"remove db/wal-000001.log", "fsync-directory db"});
}

TEST_CASE("call order: a write to a full memtable freezes the log before it writes its own record") {
    recorded_directory directory;
    auto db = must(lsm::db::open("db", plain({.write_buffer_bytes = 2000, .file_system = &directory.fs})));
    must(db.put("a", lsm::bytes(3000, 'v')));
    REQUIRE(db.live_tables().empty());
    directory.changes();
    must(db.put("b", "2"));
    CHECK(directory.changes() == list{"rename db/wal.log db/wal-000001.log", "fsync-directory db", "create db/wal.log",
                                      "write db/wal.log", "fsync-directory db", "fdatasync db/wal.log"} +
                                     first_table_written + manifest_replaced_with_lines() +
                                     list{"remove db/wal-000001.log", "fsync-directory db"});
}

TEST_CASE("call order: opening removes frozen logs oldest first and syncs the directory after each") {
    recorded_directory directory;
    must(directory.memory.make_directory("db"));
    write_file(directory.memory, "db/MANIFEST", "");
    write_file(directory.memory, "db/wal-000010.log", log_of({{{"b", "2"}}}));
    write_file(directory.memory, "db/wal-000011.log", log_of({{{"c", "3"}}}));
    write_file(directory.memory, "db/wal-000009.log", log_of({{{"a", "1"}}}));
    write_file(directory.memory, "db/wal.log", log_of({{{"d", "4"}}}));
    const auto db = directory.open();
    const auto changes = directory.changes();
    const list expected = manifest_replaced_with_lines() + list{"remove db/wal-000009.log", "fsync-directory db",
                                                                "remove db/wal-000010.log", "fsync-directory db",
                                                                "remove db/wal-000011.log", "fsync-directory db"};
    REQUIRE(changes.size() > expected.size());
    CHECK(list(changes.end() - static_cast<std::ptrdiff_t>(expected.size()), changes.end()) == expected);
}

TEST_CASE("call order: the piece that recovery cuts is durable in a file before the log is removed") {
    recorded_directory directory;
    must(directory.memory.make_directory("db"));
    write_file(directory.memory, "db/MANIFEST", "");
    write_file(directory.memory, "db/wal.log", log_of({{{"a", "1"}}}) + "torn");
    const auto db =
        must(lsm::db::open("db", plain({.wal_recovery = lsm::wal::recovery::salvage, .file_system = &directory.fs})));
    CHECK(directory.changes() == list{"mkdir db", "lock db/LOCK", "create db/cut-000001.log", "write db/cut-000001.log",
                                      "fsync db/cut-000001.log", "fsync-directory db"} +
                                     first_table_written + manifest_replaced_with_lines() +
                                     list{"remove db/wal.log", "fsync-directory db"});
}
