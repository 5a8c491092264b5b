#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <string>
#include <thread>

#include <lsm/db/db.hpp>
#include <lsm/io/simulated_file_system.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/forwarding_file_system.hpp"
#include "support/hooked_file_system.hpp"
#include "support/recording_file_system.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;

/// A database with one entry on a file system that fails the first call equal to `call`.
struct failing_once {
    failing_once(std::string call, int sys) : fs(memory), db(must(lsm::db::open("db", plain({.file_system = &fs})))) {
        must(db.put("a", "1"));
        fs.fault = [call = std::move(call), sys, failed = false](std::string_view made) mutable {
            if (failed || made != call) return 0;
            failed = true;
            return sys;
        };
    }

    /// The database opened again, on the file system without faults.
    [[nodiscard]] lsm::db reopened() { return must(lsm::db::open("db", plain({.file_system = &memory}))); }

    lsm::io::memory_file_system memory;
    recording_file_system fs;
    lsm::db db;
};

}  // namespace

TEST_CASE("faults: a failed write or sync of the log or MANIFEST is the reason for every later refusal") {
    const std::string call =
        GENERATE(as<std::string>(), "write db/wal.log", "fdatasync db/wal.log", "write db/MANIFEST.tmp",
                 "fsync db/MANIFEST.tmp", "rename db/MANIFEST.tmp db/MANIFEST");
    INFO(call);
    failing_once setup(call, EIO);
    const auto put = setup.db.put("b", "2");
    const auto first = put ? must_fail(setup.db.flush()) : put.error();
    CHECK(first.code == errc::io);
    CHECK(first.sys == EIO);
    const auto before = image_of(setup.memory, "db");
    for (int again = 0; again < 2; ++again) {
        CHECK(must_fail(setup.db.put("c", "3")).what == first.what);
        CHECK(must_fail(setup.db.write(batch_of({{"c", "3"}}))).what == first.what);
        CHECK(must_fail(setup.db.flush()).what == first.what);
    }
    CHECK(image_of(setup.memory, "db") == before);
    CHECK(value_in(setup.db, "a") == "1");
    const auto shown = contents_of(setup.db);
    CHECK(shown == (put ? entry_map{{"a", "1"}, {"b", "2"}} : entry_map{{"a", "1"}}));
    const auto closed = setup.db.close();
    CHECK(closed.has_value() == put.has_value());  // close() fails only if the log did
    if (!closed) CHECK(closed.error().what == first.what);
    auto again = must(lsm::db::open("db", plain({.file_system = &setup.fs})));
    must(again.put("c", "3"));
    CHECK(value_in(again, "a") == "1");
}

TEST_CASE("faults: close syncs the log even when writes are refused for a reason other than the log") {
    lsm::io::simulated_file_system disk;
    must(disk.make_directory("db"));
    std::optional<lsm::db> db;
    hooked_file_system fs(disk, [&](std::string_view operation, std::string_view path) {
        if (operation != "rename" || !path.ends_with("/MANIFEST") || !db) return 0;
        must(db->put("b", "2"));  // goes to the memtable after the one that is being flushed
        return EIO;
    });
    const auto opts = plain({.sync = false, .file_system = &fs});
    db.emplace(must(lsm::db::open("db", opts)));
    must(db->put("a", "1"));
    CHECK_FALSE(db->flush());
    CHECK_FALSE(db->put("c", "3"));
    must(db->close());
    db.reset();
    disk.reboot({.survivors = lsm::io::power_loss::kind::nothing});
    CHECK(contents_of(must(lsm::db::open("db", opts))) == entry_map{{"a", "1"}, {"b", "2"}});
}

TEST_CASE("faults: close returns the error that stopped the log before all of it was durable") {
    lsm::io::memory_file_system memory;
    recording_file_system fs(memory);
    auto db = must(lsm::db::open("db", plain({.file_system = &fs})));
    must(db.put("a", "1", {.sync = false}));
    fs.fault = [](std::string_view call) { return call == "fdatasync db/wal.log" ? EIO : 0; };
    const auto error = must_fail(db.put("b", "2"));
    fs.fault = nullptr;
    CHECK(must_fail(db.close()).what == error.what);
    CHECK(fs.open_files() == 0);
    must(db.close());
}

TEST_CASE("faults: a full disk refuses a write and the next write succeeds once there is space") {
    const bool in_the_middle = GENERATE(false, true);
    failing_once setup("write db/wal.log", ENOSPC);
    if (in_the_middle) {
        // Writes the first piece of the record, but not the second.
        setup.fs.longest_write = 10;
        setup.fs.fault = [writes = 0](std::string_view call) mutable {
            return call == "write db/wal.log" && ++writes == 2 ? ENOSPC : 0;
        };
    }
    CHECK(must_fail(setup.db.put("b", "2")).code == errc::no_space);
    CHECK(contents_of(setup.db) == entry_map{{"a", "1"}});
    CHECK(read_file(setup.memory, "db/wal.log") == log_of({{{"a", "1"}}}));
    must(setup.db.put("c", "3"));
    CHECK(read_file(setup.memory, "db/wal.log") == log_of({{{"a", "1"}}, {{"c", "3"}}}));
    must(setup.db.close());
    CHECK(contents_of(setup.reopened()) == entry_map{{"a", "1"}, {"c", "3"}});
}

TEST_CASE("faults: a partial record on a full disk that cannot be truncated away refuses all writes") {
    failing_once setup("truncate db/wal.log", EIO);
    setup.fs.longest_write = 10;
    setup.fs.fault = [writes = 0](std::string_view call) mutable {
        if (call == "truncate db/wal.log") return EIO;
        return call == "write db/wal.log" && ++writes == 2 ? ENOSPC : 0;
    };
    const auto first = must_fail(setup.db.put("b", "2"));
    CHECK(first.code == errc::io);  // not no_space, after which a write may be tried again
    CHECK(first.sys == ENOSPC);
    CHECK(must_fail(setup.db.put("c", "3")).what == first.what);
    CHECK(must_fail(setup.db.close()).what == first.what);
    CHECK(contents_of(setup.reopened()) == entry_map{{"a", "1"}});
}

TEST_CASE("faults: a table that cannot be written leaves the memtable and the log and is written later") {
    const int sys = GENERATE(ENOSPC, EIO);
    const std::string call = GENERATE(as<std::string>(), "create db/sst-000001.sst.tmp", "write db/sst-000001.sst.tmp",
                                      "fsync db/sst-000001.sst.tmp", "close db/sst-000001.sst.tmp",
                                      "rename db/sst-000001.sst.tmp db/sst-000001.sst", "open db/sst-000001.sst",
                                      "size db/sst-000001.sst", "read db/sst-000001.sst");
    INFO(call);
    failing_once setup(call, sys);
    const auto error = must_fail(setup.db.flush());
    CHECK(error.sys == sys);
    auto files = image_of(setup.memory, "db");
    CHECK(files["MANIFEST"].empty());
    CHECK(files["wal-000001.log"] == log_of({{{"a", "1"}}}));
    CHECK_FALSE(files.contains("sst-000001.sst.tmp"));
    CHECK(contents_of(setup.db) == entry_map{{"a", "1"}});
    REQUIRE(setup.db.stats().trouble);
    CHECK(setup.db.stats().trouble->sys == sys);
    must(setup.db.put("b", "2"));
    CHECK(read_file(setup.memory, "db/wal.log") == log_of({{{"b", "2"}}}));
    must(setup.db.flush());
    CHECK_FALSE(setup.db.stats().trouble);
    CHECK(setup.db.live_tables().size() == 2);
    must(setup.db.close());
    CHECK(contents_of(setup.reopened()) == entry_map{{"a", "1"}, {"b", "2"}});
    CHECK(database_files(setup.memory, "db").size() == 3);  // MANIFEST and the tables
}

TEST_CASE("faults: a flush whose MANIFEST finds the disk full can be tried again") {
    const std::string call = GENERATE(as<std::string>(), "create db/MANIFEST.tmp", "write db/MANIFEST.tmp",
                                      "fsync db/MANIFEST.tmp", "rename db/MANIFEST.tmp db/MANIFEST");
    INFO(call);
    failing_once setup(call, ENOSPC);
    CHECK(must_fail(setup.db.flush()).code == errc::no_space);
    CHECK(read_file(setup.memory, "db/MANIFEST").empty());
    must(setup.db.put("b", "2"));
    must(setup.db.flush());
    must(setup.db.close());
    CHECK(contents_of(setup.reopened()) == entry_map{{"a", "1"}, {"b", "2"}});
}

TEST_CASE("faults: a flush whose MANIFEST cannot be created can be tried again") {
    failing_once setup("create db/MANIFEST.tmp", EMFILE);
    CHECK(must_fail(setup.db.flush()).sys == EMFILE);
    must(setup.db.put("b", "2"));
    must(setup.db.flush());
    CHECK(contents_of(setup.db) == entry_map{{"a", "1"}, {"b", "2"}});
}

TEST_CASE("faults: flushes whose MANIFEST finds the disk full do not pile up unlisted tables") {
    failing_once setup("", 0);
    setup.fs.fault = [](std::string_view call) { return call == "write db/MANIFEST.tmp" ? ENOSPC : 0; };
    for (int again = 0; again < 3; ++again) CHECK(must_fail(setup.db.flush()).code == errc::no_space);
    const auto names = database_files(setup.memory, "db");
    CHECK(std::count_if(names.begin(), names.end(), [](const auto& name) { return name.starts_with("sst-"); }) <= 1);
}

TEST_CASE("faults: an open that fails loses no data") {
    const auto mode = GENERATE(lsm::wal::recovery::strict_tail, lsm::wal::recovery::salvage);
    std::size_t fail_at = 0;
    for (bool reached = true; reached; ++fail_at) {
        memory_directory directory;
        directory.with("MANIFEST", "L0 1\n")
            .with("sst-000001.sst", table_of({{"a", "1"}}))
            .with("wal.log", log_of({{{"b", "2"}}}) + "torn")
            .with("MANIFEST.tmp", "rubbish");
        recording_file_system fs(directory.fs);
        fs.fail_call(fail_at, EIO);
        const auto before = directory.files();
        const auto opened = lsm::db::open("db", plain({.wal_recovery = mode, .file_system = &fs}));
        reached = fs.calls.size() > fail_at;
        const std::string failed = reached ? fs.calls[fail_at] : "";
        INFO("call " << fail_at << ": " << failed);
        if (!opened) {
            CHECK(opened.error().sys == EIO);
            // The open may already have kept the cut pieces in files and the rest of the log in a table.
            auto after = directory.files();
            CHECK(after.contains("MANIFEST"));
            CHECK(value_in(directory.open({.wal_recovery = mode}), "b") == "2");
            if (mode == lsm::wal::recovery::strict_tail && failed.find("remove") != 0) CHECK(after == before);
        }
    }
    CHECK(fail_at > 10);
}

TEST_CASE("faults: an open that cannot keep the cut piece of a log leaves the directory unchanged") {
    memory_directory directory;
    directory.with("MANIFEST", "").with("wal.log", log_of({{{"b", "2"}}}) + "torn");
    const auto before = directory.files();
    recording_file_system fs(directory.fs);
    fs.fault = [](std::string_view call) { return call == "write db/cut-000001.log" ? ENOSPC : 0; };
    const auto error =
        must_fail(lsm::db::open("db", plain({.wal_recovery = lsm::wal::recovery::salvage, .file_system = &fs})));
    CHECK(error.code == errc::no_space);
    CHECK(directory.files() == before);
}

TEST_CASE("faults: a read error is returned and never taken for a missing key or the end of a scan") {
    memory_directory directory;
    {
        auto db = directory.open();
        must(db.put("a", "1"));
        must(db.flush());
    }
    recording_file_system fs(directory.fs);
    auto db = must(lsm::db::open("db", plain({.block_cache_bytes = 0, .file_system = &fs})));
    fs.fault = [](std::string_view call) { return call.starts_with("read ") ? EIO : 0; };
    CHECK(must_fail(db.get("a")).sys == EIO);
    CHECK(must_fail(db.contains("a")).sys == EIO);
    auto at = db.scan();
    CHECK_FALSE(at.valid());
    CHECK(must_fail(at.status()).sys == EIO);
    fs.fault = nullptr;
    at.seek_to_first();
    CHECK(walk(at) == entry_list{{"a", "1"}});
    CHECK(value_in(db, "a") == "1");
}

TEST_CASE("faults: a write call that writes nothing is an error and is not repeated forever") {
    class full_pipe final : public forwarding_file_system {
    public:
        using forwarding_file_system::forwarding_file_system;
        bool takes = true;
        lsm::result<std::size_t> write_at(handle file, std::uint64_t offset, lsm::bytes_view data) override {
            return takes ? forwarding_file_system::write_at(file, offset, data)
                         : lsm::result<std::size_t>(std::size_t{0});
        }
    };
    memory_directory directory;
    full_pipe fs(directory.fs);
    auto db = must(lsm::db::open("db", plain({.file_system = &fs})));
    must(db.put("a", "1"));
    fs.takes = false;
    const auto error = must_fail(db.put("b", "2"));
    CHECK(error.sys == EIO);
    CHECK(error.what.starts_with("db/wal.log: write: "));
    fs.takes = true;
    CHECK(must_fail(db.put("b", "2")).what == error.what);
    CHECK(value_in(db, "a") == "1");
}

TEST_CASE("faults: a table that cannot be mapped is read with read calls") {
    class unmapping final : public forwarding_file_system {
    public:
        using forwarding_file_system::forwarding_file_system;
        lsm::result<const char*> map(handle, std::uint64_t) override {
            ++refused;
            return lsm::detail::system_failure("mmap", ENOMEM);
        }
        int refused = 0;
    };
    memory_directory directory;
    directory.with("MANIFEST", "L0 1\n").with("sst-000001.sst", table_of({{"a", "1"}}));
    unmapping fs(directory.fs);
    const auto db = must(lsm::db::open("db", plain({.map_tables = true, .file_system = &fs})));
    CHECK(contents_of(db) == entry_map{{"a", "1"}});
    CHECK(fs.refused == 1);
}

TEST_CASE("faults: a table that is finished after the log has failed is not listed") {
    const bool compacts = GENERATE(false, true);
    memory_directory directory;
    std::optional<lsm::db> db;
    std::optional<lsm::error> cause;
    bool armed = false;
    hooked_file_system fs(directory.fs, [&](std::string_view operation, std::string_view path) {
        if (armed && operation == "fsync" && is_table(path)) cause = must_fail(db->put("c", "3"));
        return armed && operation == "write" && is_log(path) ? EIO : 0;
    });
    db.emplace(must(lsm::db::open("db", plain({.file_system = &fs}))));
    must(db->put("a", "1"));
    if (compacts) {
        must(db->flush());
        must(db->put("b", "2"));
        must(db->flush());
    }
    const auto before = directory.files();
    armed = true;
    const auto error = must_fail(compacts ? db->compact() : db->flush());
    REQUIRE(cause);
    CHECK(cause->sys == EIO);
    CHECK(error.what == cause->what);
    db.reset();
    CHECK(directory.files().at("MANIFEST") == before.at("MANIFEST"));
    CHECK(contents_of(directory.open()) == (compacts ? entry_map{{"a", "1"}, {"b", "2"}} : entry_map{{"a", "1"}}));
}

TEST_CASE("faults: a write that waits for a flush is refused if the flush fails for good") {
    memory_directory directory;
    bool full = true, renamed = false;
    hooked_file_system fs(directory.fs, [&](std::string_view operation, std::string_view path) {
        if (full) return operation == "create" && is_table(path) ? ENOSPC : 0;
        renamed = renamed || (operation == "rename" && path.ends_with("/MANIFEST"));
        return renamed && operation == "fsync-directory" ? EIO : 0;
    });
    // Every write freezes the memtable with the write before it.
    const auto opts = plain({.write_buffer_bytes = 1, .max_write_buffers = 2, .file_system = &fs});
    auto db = must(lsm::db::open("db", opts));
    must(db.put("a", "1"));
    must(db.put("b", "2"));
    CHECK(must_fail(db.put("c", "3")).code == errc::no_space);
    full = false;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));  // until the next attempt is due
    const auto error = must_fail(db.put("d", "4"));
    CHECK(error.sys == EIO);
    CHECK(must_fail(db.flush()).what == error.what);
    static_cast<void>(db.close());
    CHECK(contents_of(directory.open()) == entry_map{{"a", "1"}, {"b", "2"}});
}

TEST_CASE("faults: the first fatal error stays the reason for refusals") {
    lsm::detail::health health(nullptr);
    const auto first = health.poison(lsm::detail::system_failure("fsync", EIO));
    CHECK(health.poison(lsm::detail::system_failure("write", ENOSPC)).what == first.what);
    CHECK(must_fail(health.check()).what == first.what);
}
