#include <lsm/db/compaction/maintenance.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <set>
#include <thread>

#include <lsm/db/db.hpp>

#include "support/engines.hpp"
#include "support/threads.hpp"
#include "support/watched_file_system.hpp"

namespace {

using namespace lsm::test;
using lsm::compaction_style;
using lsm::errc;

/// Makes writes of which some fail. Each has keys of its own beside one that many share, so that a directory tells
/// which of them it has.
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

    /// All that was acknowledged, and any of the rest, each write whole.
    void check(const entry_map& contents) const {
        entry_map expected;
        for (std::size_t i = 0; i < batches_.size(); ++i) {
            const bool there = contents.contains(batches_[i].front().first);
            if (acknowledged_.contains(i)) REQUIRE(there);
            if (there) random_writes::apply(batches_[i], expected);
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
    auto how = tiny(compaction_style::leveled, {.file_system = &fs});
    how.write_buffer_bytes = 1500;
    how.compaction.level0_trigger = 2;
    how.compaction.level1_bytes = 1000;
    how.compaction.target_table_bytes = 700;
    return how;
}

// Rotations, flushes, merges, moves, and one more open in between.
void use(attempts& writes, lsm::io::file_system& fs) {
    for (int round = 0; round < 2; ++round) {
        auto db = lsm::db::open("db", small_levels(fs));
        if (!db) continue;
        for (int i = 0; i < 16; ++i) {
            writes.write(*db);
            if (i == 5) static_cast<void>(db->flush());
            if (i == 11) static_cast<void>(db->compact({.to = "last"}));
        }
        // What is acknowledged is seen, whatever failed, as far as the disk can be read.
        auto seen = db->scan();
        entry_map contents;
        for (const auto& [key, value] : seen) contents.emplace_hint(contents.end(), key, lsm::bytes(value));
        if (seen.status()) writes.check(contents);
        static_cast<void>(db->close());
    }
}

// The first call that `is_it`, given what was called right before, fails; undone.
template <class Is>
void fail_first(watched_file_system& fs, int sys, Is is_it) {
    fs.fault = [&fs, sys, is_it, failed = false](std::size_t number, const std::string& call) mutable {
        if (failed || !is_it(call, number == 0 ? std::string() : fs.calls[number - 1])) return 0;
        failed = true;
        return sys;
    };
}
// Named by its beginning. "A > B" is B right after A.
void fail_once(watched_file_system& fs, int sys, const std::string& which) {
    const auto arrow = which.find(" > ");
    if (arrow == std::string::npos)
        fail_first(fs, sys, [which](const std::string& call, const std::string&) { return call.starts_with(which); });
    else
        fail_first(fs, sys,
                   [first = which.substr(0, arrow), second = which.substr(arrow + 3)](const std::string& call,
                                                                                      const std::string& before) {
                       return before.starts_with(first) && call.starts_with(second);
                   });
}

std::size_t count_names(lsm::io::file_system& fs, std::string_view beginning) {
    const auto names = lsm::test::database_files(fs, "db");
    return static_cast<std::size_t>(
        std::ranges::count_if(names, [&](const auto& name) { return name.starts_with(beginning); }));
}

/// A database without compactions and with one entry in memory.
struct flushing {
    flushing() { must(db.put("a", "1")); }

    void check_reopened(const entry_map& expected) {
        static_cast<void>(db.close());
        fs.fault = nullptr;
        auto again = must(lsm::db::open("db", plain({.file_system = &memory})));
        CHECK(contents_of(again) == expected);
        CHECK(strays(image_of(memory, "db"), again.live_tables()).empty());
    }

    lsm::io::memory_file_system memory;
    watched_file_system fs{memory};
    event_log events;
    lsm::db db = must(lsm::db::open("db", plain({.listener = &events, .file_system = &fs})));
};

/// A database with two tables in level 0, and which merges three.
struct compacting {
    compacting() {
        auto how = tiny(compaction_style::leveled, {.listener = &events, .file_system = &fs});
        db.emplace(must(lsm::db::open("db", how)));
        for (const char* value : {"1", "2"}) {
            must(db->put("a", value));
            must(db->put("z", value));
            must(db->flush());
        }
        must(db->put("a", "3"));
        must(db->put("m", "3"));
    }
    // The output is table 4.
    const entry_map contents{{"a", "3"}, {"m", "3"}, {"z", "2"}};

    lsm::io::memory_file_system memory;
    watched_file_system fs{memory};
    event_log events;
    std::optional<lsm::db> db;
};

}  // namespace

TEST_CASE("maintenance: whichever call fails no acknowledged write is lost and none is torn") {
    const int sys = GENERATE(EIO, ENOSPC);
    const bool for_good = GENERATE(false, true);
    INFO("errno " << sys << (for_good ? ", all later calls" : ", one call"));
    std::size_t fail_at = 0;
    for (bool reached = true; reached; fail_at += sanitized ? 3 : 1) {
        lsm::io::memory_file_system memory;
        watched_file_system fs(memory);
        attempts writes;
        std::string failed;
        fs.fault = [&](std::size_t number, const std::string& call) {
            if (number == fail_at) failed = call;
            return number == fail_at || (for_good && number > fail_at) ? sys : 0;
        };
        use(writes, fs);
        INFO("call " << fail_at << ", which is " << failed);
        reached = !failed.empty();
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

TEST_CASE("maintenance: a flush that cannot write its table pauses and loses nothing") {
    const int sys = GENERATE(ENOSPC, EIO);
    const std::string call = GENERATE(as<std::string>(), "create db/sst-", "write db/sst-", "fsync db/sst-",
                                      "close db/sst-", "rename db/sst-", "rename db/sst- > fsync-directory db",
                                      "open db/sst-", "read db/sst-", "create db/MANIFEST.tmp");
    INFO("errno " << sys << ", " << call);
    flushing with;
    fail_once(with.fs, sys, call);
    CHECK(must_fail(with.db.flush()).sys == sys);
    auto stats = with.db.stats();
    REQUIRE(stats.trouble);
    CHECK(stats.trouble->sys == sys);
    CHECK(stats.flushes == 0);
    REQUIRE(with.events.failures.size() == 1);
    CHECK(with.events.failures[0].what == stats.trouble->what);
    CHECK(read_file(with.memory, "db/MANIFEST").empty());
    CHECK(read_file(with.memory, "db/wal-000001.log") == log_of({{{"a", "1"}}}));
    CHECK(count_names(with.memory, "sst-") == 0);

    must(with.db.put("b", "2"));
    CHECK(contents_of(with.db) == entry_map{{"a", "1"}, {"b", "2"}});
    must(with.db.flush());
    stats = with.db.stats();
    CHECK_FALSE(stats.trouble);
    CHECK(stats.flushes == 2);
    CHECK(with.events.failures.size() == 1);
    CHECK(strays(image_of(with.memory, "db"), with.db.live_tables()).empty());
    with.check_reopened({{"a", "1"}, {"b", "2"}});
}

TEST_CASE("maintenance: a flush that fails again and again leaves no pile of files") {
    const std::string call =
        GENERATE(as<std::string>(), "write db/sst-", "fsync-directory db", "open db/sst-", "write db/MANIFEST.tmp");
    INFO(call);
    flushing with;
    bool broken = true;
    with.fs.fault = [&](std::size_t number, const std::string& made) {
        // Of the syncs of the directory only those after a table.
        const bool counts = call != "fsync-directory db" || with.fs.calls[number - 1].starts_with("rename db/sst-");
        return broken && counts && made.starts_with(call) ? ENOSPC : 0;
    };
    for (int again = 0; again < 5; ++again) CHECK(must_fail(with.db.flush()).code == errc::no_space);
    CHECK(count_names(with.memory, "sst-") <= 1);
    broken = false;
    must(with.db.flush());
    with.check_reopened({{"a", "1"}});
}

TEST_CASE("maintenance: flushes that fail do not make more memtables than there may be") {
    flushing with;
    with.fs.fault = [](std::size_t, const std::string& call) { return call.starts_with("write db/sst-") ? ENOSPC : 0; };
    entry_map expected{{"a", "1"}};
    for (int i = 0; i < 10; ++i) {
        CHECK(must_fail(with.db.flush()).code == errc::no_space);
        const auto key = "key" + std::to_string(i);
        if (with.db.put(key, "1")) expected[key] = "1";
    }
    CHECK(count_names(with.memory, "wal") <= lsm::options().max_write_buffers);
    CHECK(contents_of(with.db) == expected);
    with.check_reopened(expected);
}

TEST_CASE("maintenance: writes that a flush holds up fail with its error and are taken when it succeeds") {
    lsm::io::memory_file_system memory;
    watched_file_system fs(memory);
    auto db = must(lsm::db::open("db", tiny(compaction_style::none, {.file_system = &fs})));
    bool full = true;
    fs.fault = [&](std::size_t, const std::string& call) {
        return full && call.starts_with("write db/sst-") ? ENOSPC : 0;
    };
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
    std::this_thread::sleep_for(std::chrono::milliseconds(120));  // longer than a pause
    must(db.put("b", "2"));
    written["b"] = "2";
    CHECK(count_names(memory, "wal-") == 0);
    CHECK_FALSE(db.stats().trouble);
    CHECK(contents_of(db) == written);
}

TEST_CASE("maintenance: what leaves MANIFEST or the log in doubt ends all writing with one message") {
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
    flushing with;
    fail_once(with.fs, sys, call);
    static_cast<void>(with.db.flush());
    const auto why = must_fail(with.db.put("b", "2"));
    CHECK(why.sys == sys);
    CHECK(why.what.find("takes no more writes") != std::string::npos);
    CHECK(must_fail(with.db.flush()).what == why.what);
    CHECK(must_fail(with.db.compact()).what == why.what);
    CHECK(must_fail(with.db.settle()).what == why.what);
    REQUIRE(with.db.stats().trouble);
    CHECK(with.db.stats().trouble->what == why.what);
    REQUIRE_FALSE(with.events.failures.empty());
    CHECK(with.events.failures[0].what == why.what);
    CHECK(with.events.failures.size() == 1);
    CHECK(contents_of(with.db) == entry_map{{"a", "1"}});
    with.check_reopened({{"a", "1"}});
}

TEST_CASE("maintenance: a log that cannot be synced when it freezes ends all writing") {
    const int sys = GENERATE(EIO, ENOSPC);
    lsm::io::memory_file_system memory;
    watched_file_system fs(memory);
    auto db = must(lsm::db::open("db", plain({.sync = false, .file_system = &fs})));
    must(db.put("a", "1"));
    fail_once(fs, sys, "fdatasync db/wal.log");
    CHECK(must_fail(db.flush()).sys == sys);
    CHECK(must_fail(db.put("b", "2")).sys == sys);
    CHECK(value_in(db, "a") == "1");
    CHECK(must_fail(db.close()).sys == sys);
    CHECK(contents_of(must(lsm::db::open("db", plain({.file_system = &memory})))) == entry_map{{"a", "1"}});
}

TEST_CASE("maintenance: a log that cannot be renamed stays the log and is tried again") {
    const int sys = GENERATE(EIO, ENOSPC);
    flushing with;
    fail_once(with.fs, sys, "rename db/wal.log db/wal-000001.log");
    CHECK(must_fail(with.db.flush()).sys == sys);
    must(with.db.put("b", "2"));
    CHECK(read_file(with.memory, "db/wal.log") == log_of({{{"a", "1"}}, {{"b", "2"}}}));
    must(with.db.flush());
    CHECK_FALSE(with.db.stats().trouble);
    with.check_reopened({{"a", "1"}, {"b", "2"}});
}

TEST_CASE("maintenance: a new log for which the disk has no room refuses one write") {
    flushing with;
    must(with.db.flush());
    fail_once(with.fs, ENOSPC, "create db/wal.log");
    CHECK(must_fail(with.db.put("b", "2")).code == errc::no_space);
    CHECK_FALSE(with.db.stats().trouble);
    must(with.db.put("c", "3"));
    CHECK(contents_of(with.db) == entry_map{{"a", "1"}, {"c", "3"}});
    with.check_reopened({{"a", "1"}, {"c", "3"}});
}

TEST_CASE("maintenance: a new log that cannot be made for another reason refuses one write, too") {
    flushing with;
    must(with.db.flush());
    fail_once(with.fs, EMFILE, "create db/wal.log");
    CHECK(must_fail(with.db.put("b", "2")).sys == EMFILE);
    must(with.db.put("c", "3"));
    must(with.db.close());
    CHECK(contents_of(must(lsm::db::open("db", plain({.file_system = &with.memory})))) ==
          entry_map{{"a", "1"}, {"c", "3"}});
}

TEST_CASE("maintenance: a new log whose name cannot be made durable ends all writing") {
    flushing with;
    must(with.db.flush());
    fail_once(with.fs, EIO, "write db/wal.log > fsync-directory db");
    const auto why = must_fail(with.db.put("b", "2"));
    CHECK(why.sys == EIO);
    CHECK(must_fail(with.db.put("c", "3")).what == why.what);
    CHECK(contents_of(with.db) == entry_map{{"a", "1"}});
    CHECK(must_fail(with.db.close()).what == why.what);
    // A record that could not be made durable may be there or not.
    auto found = contents_of(must(lsm::db::open("db", plain({.file_system = &with.memory}))));
    found.erase("b");
    CHECK(found == entry_map{{"a", "1"}});
}

TEST_CASE("maintenance: a compaction that cannot write pauses and is done later") {
    const int sys = GENERATE(ENOSPC, EIO);
    const std::string call =
        GENERATE(as<std::string>(), "create db/sst-000004", "write db/sst-000004", "fsync db/sst-000004",
                 "close db/sst-000004", "rename db/sst-000004", "rename db/sst-000004 > fsync-directory db",
                 "open db/sst-000004", "read db/sst-000004", "the second MANIFEST");
    INFO("errno " << sys << ", " << call);
    compacting with;
    if (call == "the second MANIFEST")
        fail_first(with.fs, sys, [seen = 0](const std::string& made, const std::string&) mutable {
            return made == "create db/MANIFEST.tmp" && ++seen == 2;
        });
    else
        fail_once(with.fs, sys, call);
    must(with.db->flush());
    auto stats = with.db->stats();
    REQUIRE(stats.trouble);
    CHECK(stats.trouble->sys == sys);
    CHECK(stats.compactions == 0);
    CHECK(with.events.failures.size() == 1);
    CHECK(with.db->live_tables().size() == 3);
    CHECK(count_names(with.memory, "sst-") == 3);
    CHECK(contents_of(*with.db) == with.contents);
    CHECK(must_fail(with.db->settle()).sys == sys);
    must(with.db->put("a", "3"));

    std::this_thread::sleep_for(std::chrono::milliseconds(60));  // longer than the first pause
    must(with.db->settle());
    stats = with.db->stats();
    CHECK_FALSE(stats.trouble);
    CHECK(stats.compactions == 1);
    CHECK(stats.levels[0].tables == 0);
    CHECK(contents_of(*with.db) == with.contents);
    CHECK(strays(image_of(with.memory, "db"), with.db->live_tables()).empty());
    must(with.db->close());
    CHECK(contents_of(must(lsm::db::open("db", plain({.file_system = &with.memory})))) == with.contents);
}

TEST_CASE("maintenance: a compaction that never succeeds holds up neither writes nor flushes") {
    compacting with;
    // Only merges read blocks here.
    with.fs.fault = [](std::size_t, const std::string& call) { return call == "read db/sst-000001.sst" ? EIO : 0; };
    must(with.db->flush());
    auto expected = with.contents;
    for (int i = 0; i < 8; ++i) {
        must(with.db->put("b", std::to_string(i)));
        must(with.db->flush());
        expected["b"] = std::to_string(i);
    }
    CHECK(with.db->stats().compactions == 0);
    CHECK(must_fail(with.db->settle()).sys == EIO);
    with.fs.fault = nullptr;
    CHECK(contents_of(*with.db) == expected);
    must(with.db->compact());
    CHECK(contents_of(*with.db) == expected);
}

TEST_CASE("maintenance: a compaction that leaves MANIFEST in doubt keeps both its inputs and outputs") {
    const std::string call = GENERATE(as<std::string>(), "write db/MANIFEST.tmp", "fsync db/MANIFEST.tmp",
                                      "rename db/MANIFEST.tmp", "fsync-directory");
    INFO(call);
    compacting with;
    fail_first(with.fs, EIO, [call, seen = 0](const std::string& made, const std::string& before) mutable {
        if (made == "create db/MANIFEST.tmp") ++seen;
        if (seen != 2) return false;
        return call == "fsync-directory" ? before.starts_with("rename db/MANIFEST.tmp") : made.starts_with(call);
    });
    must(with.db->flush());
    const auto why = must_fail(with.db->put("b", "2"));
    CHECK(why.sys == EIO);
    CHECK(count_names(with.memory, "sst-") == 4);
    CHECK(contents_of(*with.db) == with.contents);
    CHECK(with.events.failures.size() == 1);
    must(with.db->close());
    auto again = must(lsm::db::open("db", plain({.file_system = &with.memory})));
    CHECK(contents_of(again) == with.contents);
    CHECK(again.live_tables().size() == (call == "fsync-directory" ? 1 : 3));
    CHECK(strays(image_of(with.memory, "db"), again.live_tables()).empty());
}

TEST_CASE("maintenance: tables that a compaction could not remove go with the next open") {
    compacting with;
    with.fs.fault = [](std::size_t, const std::string& call) { return call.starts_with("remove db/sst-") ? EIO : 0; };
    must(with.db->flush());
    must(with.db->settle());
    CHECK_FALSE(with.db->stats().trouble);
    CHECK(with.db->live_tables().size() == 1);
    CHECK(count_names(with.memory, "sst-") == 4);
    must(with.db->close());
    const auto again = must(lsm::db::open("db", plain({.file_system = &with.memory})));
    CHECK(count_names(with.memory, "sst-") == 1);
    CHECK(contents_of(again) == with.contents);
}
