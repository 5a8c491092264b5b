#include <lsm/db/compaction/maintenance.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <set>
#include <thread>

#include <lsm/db/db.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/recording_file_system.hpp"
#include "support/threads.hpp"

namespace {

using namespace lsm::test;
using lsm::compaction_style;
using lsm::errc;

/// Makes writes, some of which may fail. Each is a batch that writes two keys of its own and one that several batches
/// share, so that the contents of a database show which batches it has.
class attempts {
public:
    void write(lsm::db& to) {
        const auto number = std::to_string(batches_.size());
        entry_list batch{{"first" + number, lsm::bytes(40, 'f')}};
        const auto shared = "shared" + std::to_string(batches_.size() % 5);
        if (batches_.size() % 3 == 2)
            batch.emplace_back(shared, std::nullopt);
        else
            batch.emplace_back(shared, number);
        batch.emplace_back("last" + number, lsm::bytes(40, 'l'));
        batches_.push_back(batch);
        if (to.write(batch_of(batch))) acknowledged_.insert(batches_.size() - 1);
    }

    /// Requires that `contents` has every acknowledged write, any of the others, and each of them whole.
    void check(const entry_map& contents) const {
        entry_map expected;
        for (std::size_t i = 0; i < batches_.size(); ++i) {
            const bool there = contents.contains(batches_[i].front().first);
            if (acknowledged_.contains(i)) REQUIRE(there);
            if (there) apply_operations(batches_[i], expected);
        }
        REQUIRE(contents == expected);
    }
    [[nodiscard]] std::size_t acknowledged() const { return acknowledged_.size(); }
    [[nodiscard]] std::size_t made() const { return batches_.size(); }

private:
    std::vector<entry_list> batches_;
    std::set<std::size_t> acknowledged_;
};

lsm::options small_levels(lsm::io::file_system& fs) {
    auto opts = tiny(compaction_style::leveled, {.file_system = &fs});
    opts.write_buffer_bytes = 1500;
    opts.compaction.level0_trigger = 2;
    opts.compaction.level1_bytes = 1000;
    opts.compaction.target_table_bytes = 700;
    return opts;
}

// Causes log rotations, flushes, merges and moves of tables, in a database that is closed and opened again in between.
void use(attempts& writes, lsm::io::file_system& fs) {
    for (int round = 0; round < 2; ++round) {
        auto db = lsm::db::open("db", small_levels(fs));
        if (!db) continue;
        for (int i = 0; i < 16; ++i) {
            writes.write(*db);
            if (i == 5) static_cast<void>(db->flush());
            if (i == 11) static_cast<void>(db->compact({.to = "last"}));
        }
        // Whatever failed, a scan that succeeds shows every acknowledged write.
        auto seen = db->scan();
        entry_map contents;
        for (const auto& [key, value] : seen) contents.emplace_hint(contents.end(), key, lsm::bytes(value));
        if (seen.status()) writes.check(contents);
        static_cast<void>(db->close());
    }
}

// The call before the one that `fault` is asked about.
std::string_view previous_call(const recording_file_system& fs) {
    return fs.calls.size() < 2 ? std::string_view() : fs.calls[fs.calls.size() - 2];
}

// Fails the first call for which `matches` returns true.
template <class Matches>
void fail_first(recording_file_system& fs, int sys, Matches matches) {
    fs.fault = [sys, matches, failed = false](std::string_view call) mutable {
        if (failed || !matches(call)) return 0;
        failed = true;
        return sys;
    };
}
// Fails the first call that begins with `pattern`; for a pattern "A > B" the first that begins with B and follows a
// call that begins with A.
void fail_once(recording_file_system& fs, int sys, const std::string& pattern) {
    const auto arrow = pattern.find(" > ");
    const bool follows = arrow != std::string::npos;
    fail_first(fs, sys,
               [&fs, before = follows ? pattern.substr(0, arrow) : "",
                beginning = follows ? pattern.substr(arrow + 3) : pattern](std::string_view call) {
                   return call.starts_with(beginning) && previous_call(fs).starts_with(before);
               });
}

std::size_t count_names(lsm::io::file_system& fs, std::string_view beginning) {
    const auto names = database_files(fs, "db");
    return static_cast<std::size_t>(
        std::ranges::count_if(names, [&](const auto& name) { return name.starts_with(beginning); }));
}

/// A database with one entry in memory that flushes but does not compact.
struct flushing {
    flushing() { must(db.put("a", "1")); }

    /// Closes the database, and checks its contents and its directory after opening it again without faults.
    void check_reopened(const entry_map& expected) {
        static_cast<void>(db.close());
        fs.fault = nullptr;
        auto again = must(lsm::db::open("db", plain({.file_system = &memory})));
        CHECK(contents_of(again) == expected);
        CHECK(strays(image_of(memory, "db"), again.live_tables()).empty());
    }

    lsm::io::memory_file_system memory;
    recording_file_system fs{memory};
    event_log events;
    lsm::db db = must(lsm::db::open("db", plain({.listener = &events, .file_system = &fs})));
};

/// A database with two tables in level 0 and entries in memory: the next flush writes the third table, and the
/// compaction of the three follows.
struct compacting {
    compacting() {
        const auto opts = tiny(compaction_style::leveled, {.listener = &events, .file_system = &fs});
        db.emplace(must(lsm::db::open("db", opts)));
        for (const char* value : {"1", "2"}) {
            must(db->put("a", value));
            must(db->put("z", value));
            must(db->flush());
        }
        must(db->put("a", "3"));
        must(db->put("m", "3"));
    }
    const entry_map contents{{"a", "3"}, {"m", "3"}, {"z", "2"}};  // the compaction writes them to table 4

    lsm::io::memory_file_system memory;
    recording_file_system fs{memory};
    event_log events;
    std::optional<lsm::db> db;
};

}  // namespace

TEST_CASE("maintenance: no acknowledged write is lost or torn whichever call fails") {
    const int sys = GENERATE(EIO, ENOSPC);
    const bool lasting = GENERATE(false, true);
    INFO("errno " << sys << (lasting ? ", all later calls too" : ", one call"));
    std::size_t fail_at = 0;
    for (bool reached = true; reached; fail_at += sanitized ? 3 : 1) {
        lsm::io::memory_file_system memory;
        recording_file_system fs(memory);
        attempts writes;
        fs.fail_call(fail_at, sys, lasting);
        use(writes, fs);
        reached = fs.calls.size() > fail_at;
        INFO("call " << fail_at << (reached ? ": " + fs.calls[fail_at] : ""));
        REQUIRE(fs.open_files() == 0);
        if (!reached) REQUIRE(writes.acknowledged() == writes.made());
        entry_map before;
        for (int round = 0; round < 2; ++round) {
            auto db = must(lsm::db::open("db", small_levels(memory)));
            REQUIRE(strays(image_of(memory, "db"), db.live_tables()).empty());
            const auto contents = contents_of(db);
            writes.check(contents);
            if (round == 1) REQUIRE(contents == before);
            before = contents;
            must(db.put("zzz", "new"));
            must(db.compact());
            must(db.del("zzz"));
            must(db.settle());
            REQUIRE(contents_of(db) == contents);
            REQUIRE(must(db.verify()).damage.empty());
            must(db.close());
        }
    }
    CHECK(fail_at > 200);
}

TEST_CASE("maintenance: a flush that cannot write its table is tried again and loses nothing") {
    const int sys = GENERATE(ENOSPC, EIO);
    const std::string call = GENERATE(as<std::string>(), "create db/sst-", "write db/sst-", "fsync db/sst-",
                                      "close db/sst-", "rename db/sst-", "rename db/sst- > fsync-directory db",
                                      "open db/sst-", "read db/sst-", "create db/MANIFEST.tmp");
    INFO("errno " << sys << ", " << call);
    flushing setup;
    fail_once(setup.fs, sys, call);
    CHECK(must_fail(setup.db.flush()).sys == sys);
    auto stats = setup.db.stats();
    REQUIRE(stats.trouble);
    CHECK(stats.trouble->sys == sys);
    CHECK(stats.flushes == 0);
    REQUIRE(setup.events.failures.size() == 1);
    CHECK(setup.events.failures[0].what == stats.trouble->what);
    CHECK(read_file(setup.memory, "db/MANIFEST").empty());
    CHECK(read_file(setup.memory, "db/wal-000001.log") == log_of({{{"a", "1"}}}));
    CHECK(count_names(setup.memory, "sst-") == 0);

    must(setup.db.put("b", "2"));
    CHECK(contents_of(setup.db) == entry_map{{"a", "1"}, {"b", "2"}});
    must(setup.db.flush());
    stats = setup.db.stats();
    CHECK_FALSE(stats.trouble);
    CHECK(stats.flushes == 2);
    CHECK(setup.events.failures.size() == 1);
    CHECK(strays(image_of(setup.memory, "db"), setup.db.live_tables()).empty());
    setup.check_reopened({{"a", "1"}, {"b", "2"}});
}

TEST_CASE("maintenance: a flush that fails repeatedly leaves at most one table") {
    const std::string call =
        GENERATE(as<std::string>(), "write db/sst-", "fsync-directory db", "open db/sst-", "write db/MANIFEST.tmp");
    INFO(call);
    flushing setup;
    bool broken = true;
    setup.fs.fault = [&](std::string_view made) {
        // Of the syncs of the directory only those that follow the rename of a table.
        const bool counts = call != "fsync-directory db" || previous_call(setup.fs).starts_with("rename db/sst-");
        return broken && counts && made.starts_with(call) ? ENOSPC : 0;
    };
    for (int again = 0; again < 5; ++again) CHECK(must_fail(setup.db.flush()).code == errc::no_space);
    CHECK(count_names(setup.memory, "sst-") <= 1);
    broken = false;
    must(setup.db.flush());
    setup.check_reopened({{"a", "1"}});
}

TEST_CASE("maintenance: failing flushes do not lead to more memtables than max_write_buffers") {
    flushing setup;
    setup.fs.fault = [](std::string_view call) { return call.starts_with("write db/sst-") ? ENOSPC : 0; };
    entry_map expected{{"a", "1"}};
    for (int i = 0; i < 10; ++i) {
        CHECK(must_fail(setup.db.flush()).code == errc::no_space);
        const auto key = "key" + std::to_string(i);
        if (setup.db.put(key, "1")) expected[key] = "1";
    }
    CHECK(count_names(setup.memory, "wal") <= lsm::options().max_write_buffers);
    CHECK(contents_of(setup.db) == expected);
    setup.check_reopened(expected);
}

TEST_CASE("maintenance: writes that wait for a failing flush return its error and succeed once it does") {
    lsm::io::memory_file_system memory;
    recording_file_system fs(memory);
    auto db = must(lsm::db::open("db", tiny(compaction_style::none, {.file_system = &fs})));
    bool full = true;
    fs.fault = [&](std::string_view call) { return full && call.starts_with("write db/sst-") ? ENOSPC : 0; };
    entry_map written;
    lsm::result<void> done;
    for (int i = 0; i < 1000 && done; ++i) {
        const auto key = "key" + std::to_string(i);
        done = db.put(key, lsm::bytes(100, 'v'));
        if (done) written[key] = lsm::bytes(100, 'v');
    }
    CHECK(must_fail(done).code == errc::no_space);
    CHECK(count_names(memory, "wal-") == lsm::options().max_write_buffers - 1);
    CHECK(contents_of(db) == written);
    full = false;
    std::this_thread::sleep_for(std::chrono::milliseconds(120));  // longer than the pause after a failure
    must(db.put("b", "2"));
    written["b"] = "2";
    CHECK(count_names(memory, "wal-") == 0);
    CHECK_FALSE(db.stats().trouble);
    CHECK(contents_of(db) == written);
}

TEST_CASE("maintenance: a failure that leaves MANIFEST or the log in doubt refuses all writes with one message") {
    struct doubt {
        const char* call;
        int sys;
    };
    const auto [call, sys] = GENERATE(values<doubt>({
        {"write db/MANIFEST.tmp", EIO},
        {"fsync db/MANIFEST.tmp", EIO},
        {"rename db/MANIFEST.tmp", EIO},
        {"rename db/MANIFEST.tmp > fsync-directory db", EIO},
        {"rename db/MANIFEST.tmp > fsync-directory db", ENOSPC},
        {"rename db/wal.log > fsync-directory db", EIO},
        {"rename db/wal.log > fsync-directory db", ENOSPC},
        {"remove db/wal-000001.log", EIO},
        {"remove db/wal-000001.log > fsync-directory db", EIO},
    }));
    INFO("errno " << sys << ", " << call);
    flushing setup;
    fail_once(setup.fs, sys, call);
    static_cast<void>(setup.db.flush());
    const auto refusal = must_fail(setup.db.put("b", "2"));
    CHECK(refusal.sys == sys);
    CHECK(refusal.what.find("takes no more writes") != std::string::npos);
    CHECK(must_fail(setup.db.flush()).what == refusal.what);
    CHECK(must_fail(setup.db.compact()).what == refusal.what);
    CHECK(must_fail(setup.db.settle()).what == refusal.what);
    REQUIRE(setup.db.stats().trouble);
    CHECK(setup.db.stats().trouble->what == refusal.what);
    REQUIRE_FALSE(setup.events.failures.empty());
    CHECK(setup.events.failures[0].what == refusal.what);
    CHECK(setup.events.failures.size() == 1);
    CHECK(contents_of(setup.db) == entry_map{{"a", "1"}});
    setup.check_reopened({{"a", "1"}});
}

TEST_CASE("maintenance: a log that cannot be synced before it is frozen refuses all writes") {
    const int sys = GENERATE(EIO, ENOSPC);
    lsm::io::memory_file_system memory;
    recording_file_system fs(memory);
    auto db = must(lsm::db::open("db", plain({.sync = false, .file_system = &fs})));
    must(db.put("a", "1"));
    fail_once(fs, sys, "fdatasync db/wal.log");
    CHECK(must_fail(db.flush()).sys == sys);
    CHECK(must_fail(db.put("b", "2")).sys == sys);
    CHECK(value_in(db, "a") == "1");
    CHECK(must_fail(db.close()).sys == sys);
    CHECK(contents_of(must(lsm::db::open("db", plain({.file_system = &memory})))) == entry_map{{"a", "1"}});
}

TEST_CASE("maintenance: a log that cannot be renamed stays active and the rename is tried again") {
    const int sys = GENERATE(EIO, ENOSPC);
    flushing setup;
    fail_once(setup.fs, sys, "rename db/wal.log db/wal-000001.log");
    CHECK(must_fail(setup.db.flush()).sys == sys);
    must(setup.db.put("b", "2"));
    CHECK(read_file(setup.memory, "db/wal.log") == log_of({{{"a", "1"}}, {{"b", "2"}}}));
    must(setup.db.flush());
    CHECK_FALSE(setup.db.stats().trouble);
    setup.check_reopened({{"a", "1"}, {"b", "2"}});
}

TEST_CASE("maintenance: a new log that does not fit on the disk refuses one write") {
    flushing setup;
    must(setup.db.flush());
    fail_once(setup.fs, ENOSPC, "create db/wal.log");
    CHECK(must_fail(setup.db.put("b", "2")).code == errc::no_space);
    CHECK_FALSE(setup.db.stats().trouble);
    must(setup.db.put("c", "3"));
    CHECK(contents_of(setup.db) == entry_map{{"a", "1"}, {"c", "3"}});
    setup.check_reopened({{"a", "1"}, {"c", "3"}});
}

TEST_CASE("maintenance: a new log that cannot be created for another reason refuses one write") {
    flushing setup;
    must(setup.db.flush());
    fail_once(setup.fs, EMFILE, "create db/wal.log");
    CHECK(must_fail(setup.db.put("b", "2")).sys == EMFILE);
    must(setup.db.put("c", "3"));
    must(setup.db.close());
    CHECK(contents_of(must(lsm::db::open("db", plain({.file_system = &setup.memory})))) ==
          entry_map{{"a", "1"}, {"c", "3"}});
}

TEST_CASE("maintenance: a new log whose name cannot be made durable refuses all writes") {
    flushing setup;
    must(setup.db.flush());
    fail_once(setup.fs, EIO, "write db/wal.log > fsync-directory db");
    const auto refusal = must_fail(setup.db.put("b", "2"));
    CHECK(refusal.sys == EIO);
    CHECK(must_fail(setup.db.put("c", "3")).what == refusal.what);
    CHECK(contents_of(setup.db) == entry_map{{"a", "1"}});
    CHECK(must_fail(setup.db.close()).what == refusal.what);
    // The record that could not be made durable may be there or not.
    auto found = contents_of(must(lsm::db::open("db", plain({.file_system = &setup.memory}))));
    found.erase("b");
    CHECK(found == entry_map{{"a", "1"}});
}

TEST_CASE("maintenance: a compaction that cannot write its output is done later") {
    const int sys = GENERATE(ENOSPC, EIO);
    const std::string call =
        GENERATE(as<std::string>(), "create db/sst-000004", "write db/sst-000004", "fsync db/sst-000004",
                 "close db/sst-000004", "rename db/sst-000004", "rename db/sst-000004 > fsync-directory db",
                 "open db/sst-000004", "read db/sst-000004", "the second MANIFEST");
    INFO("errno " << sys << ", " << call);
    compacting setup;
    if (call == "the second MANIFEST")
        fail_first(setup.fs, sys, [seen = 0](std::string_view made) mutable {
            return made == "create db/MANIFEST.tmp" && ++seen == 2;
        });
    else
        fail_once(setup.fs, sys, call);
    must(setup.db->flush());
    auto stats = setup.db->stats();
    REQUIRE(stats.trouble);
    CHECK(stats.trouble->sys == sys);
    CHECK(stats.compactions == 0);
    CHECK(setup.events.failures.size() == 1);
    CHECK(setup.db->live_tables().size() == 3);
    CHECK(count_names(setup.memory, "sst-") == 3);
    CHECK(contents_of(*setup.db) == setup.contents);
    CHECK(must_fail(setup.db->settle()).sys == sys);
    must(setup.db->put("a", "3"));

    std::this_thread::sleep_for(std::chrono::milliseconds(60));  // longer than the first pause
    must(setup.db->settle());
    stats = setup.db->stats();
    CHECK_FALSE(stats.trouble);
    CHECK(stats.compactions == 1);
    CHECK(stats.levels[0].tables == 0);
    CHECK(contents_of(*setup.db) == setup.contents);
    CHECK(strays(image_of(setup.memory, "db"), setup.db->live_tables()).empty());
    must(setup.db->close());
    CHECK(contents_of(must(lsm::db::open("db", plain({.file_system = &setup.memory})))) == setup.contents);
}

TEST_CASE("maintenance: a compaction that never succeeds delays neither writes nor flushes") {
    compacting setup;
    // Only the compaction reads the blocks of this table.
    setup.fs.fault = [](std::string_view call) { return call == "read db/sst-000001.sst" ? EIO : 0; };
    must(setup.db->flush());
    auto expected = setup.contents;
    for (int i = 0; i < 8; ++i) {
        must(setup.db->put("b", std::to_string(i)));
        must(setup.db->flush());
        expected["b"] = std::to_string(i);
    }
    CHECK(setup.db->stats().compactions == 0);
    CHECK(must_fail(setup.db->settle()).sys == EIO);
    setup.fs.fault = nullptr;
    CHECK(contents_of(*setup.db) == expected);
    must(setup.db->compact());
    CHECK(contents_of(*setup.db) == expected);
}

TEST_CASE("maintenance: a compaction that leaves MANIFEST in doubt keeps its inputs and its output") {
    const std::string call = GENERATE(as<std::string>(), "write db/MANIFEST.tmp", "fsync db/MANIFEST.tmp",
                                      "rename db/MANIFEST.tmp", "fsync-directory");
    INFO(call);
    compacting setup;
    // The first MANIFEST is that of the flush.
    fail_first(setup.fs, EIO, [&fs = setup.fs, call, seen = 0](std::string_view made) mutable {
        if (made == "create db/MANIFEST.tmp") ++seen;
        if (seen != 2) return false;
        return call == "fsync-directory" ? previous_call(fs).starts_with("rename db/MANIFEST.tmp")
                                         : made.starts_with(call);
    });
    must(setup.db->flush());
    const auto refusal = must_fail(setup.db->put("b", "2"));
    CHECK(refusal.sys == EIO);
    CHECK(count_names(setup.memory, "sst-") == 4);
    CHECK(contents_of(*setup.db) == setup.contents);
    CHECK(setup.events.failures.size() == 1);
    must(setup.db->close());
    auto again = must(lsm::db::open("db", plain({.file_system = &setup.memory})));
    CHECK(contents_of(again) == setup.contents);
    CHECK(again.live_tables().size() == (call == "fsync-directory" ? 1 : 3));
    CHECK(strays(image_of(setup.memory, "db"), again.live_tables()).empty());
}

TEST_CASE("maintenance: tables that a compaction could not remove are removed by the next open") {
    compacting setup;
    setup.fs.fault = [](std::string_view call) { return call.starts_with("remove db/sst-") ? EIO : 0; };
    must(setup.db->flush());
    must(setup.db->settle());
    CHECK_FALSE(setup.db->stats().trouble);
    CHECK(setup.db->live_tables().size() == 1);
    CHECK(count_names(setup.memory, "sst-") == 4);
    must(setup.db->close());
    const auto again = must(lsm::db::open("db", plain({.file_system = &setup.memory})));
    CHECK(count_names(setup.memory, "sst-") == 1);
    CHECK(contents_of(again) == setup.contents);
}
