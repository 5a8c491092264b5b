#include <lsm/db/db.hpp>

#include <cerrno>
#include <functional>
#include <new>
#include <set>

#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/databases.hpp"

/// Every allocation of the allocator fails in turn. No memory may leak, no batch may be torn, and no acknowledged write
/// may be lost.

namespace {

using namespace lsm::test;
using failing_db = lsm::basic_db<lsm::policies<lsm::bytes, lsm::bytes, logged_allocator<std::byte>>>;

// A call throws std::bad_alloc if its own allocation fails; it returns an error if an allocation of the maintenance
// that runs inside it fails.
using action = std::function<lsm::result<void>(failing_db&, allocation_log&)>;

entry_map everything_in(const failing_db& db) {
    entry_map out;
    auto at = db.scan();
    for (; at.valid(); at.next()) out.emplace(at.key(), lsm::bytes(at.value()));
    must(at.status());
    return out;
}

/// An action on a database with the contents `some`, and the contents that may follow.
struct attempt {
    action act;
    entry_map after;                  // if it returned
    std::set<entry_map> after_throw;  // if it threw: one of these
    std::size_t write_buffer_bytes = std::size_t{16} << 20;
};

const entry_map some{{"a", "1"}, {"m", "2"}, {"n", lsm::bytes(200, 'n')}, {"z", "3"}};

// Runs the action of `tested` while its allocation number `fail_at` fails. The contents that the database shows then
// must be the same after a crash, and after later writes, a flush and another open. Returns whether the allocation was
// reached.
bool fails_cleanly(std::size_t fail_at, const attempt& tested) {
    INFO("allocation " << fail_at);
    memory_directory directory;
    allocation_log log;
    bool failed = false;
    {
        const auto opts = directory.opts({.write_buffer_bytes = tested.write_buffer_bytes, .block_bytes = 64});
        auto db = must(failing_db::open("db", opts, log));
        for (const auto& [key, value] : some) {
            must(db.put(key, *value));
            if (key == "m") must(db.flush());
        }
        log.fail_at = log.allocations + fail_at;
        bool thrown = false;
        lsm::result<void> done;
        try {
            done = tested.act(db, log);
        } catch (const std::bad_alloc&) {
            thrown = true;
        }
        failed = log.allocations > log.fail_at;
        log.fail_at = SIZE_MAX;
        if (!done) CHECK(done.error().sys == ENOMEM);
        if (!done || thrown) CHECK(failed);
        auto shown = everything_in(db);
        if (thrown)
            CHECK(tested.after_throw.contains(shown));
        else
            CHECK(shown == tested.after);

        memory_directory crashed;
        for (const auto& [name, contents] : directory.files()) crashed.with(name, contents);
        CHECK(contents_of(crashed.open()) == shown);

        must(db.put("later", "write"));
        CHECK(must(db.get("later")) == "write");
        must(db.del("later"));
        CHECK(everything_in(db) == shown);
        must(db.flush());
        CHECK_FALSE(db.stats().trouble);
        CHECK(everything_in(db) == shown);
        must(db.put("last", "write"));
        must(db.close());
        shown["last"] = "write";
        CHECK(contents_of(directory.open()) == shown);
    }
    CHECK(log.live_bytes == 0);
    return failed;
}

void check_every_failure(const attempt& tested) {
    std::size_t fail_at = 0;
    while (fails_cleanly(fail_at, tested)) ++fail_at;
    CHECK(fail_at > 0);
}

}  // namespace

TEST_CASE("failing allocator: a put that gets no memory has no effect") {
    entry_map after = some;
    after["k"] = lsm::bytes(3000, 'k');
    check_every_failure(
        {[](failing_db& db, allocation_log&) { return db.put("k", lsm::bytes(3000, 'k')); }, after, {some}});
}

TEST_CASE("failing allocator: a batch that gets no memory has no effect") {
    entry_list operations{{"a", deleted}};
    entry_map after = some;
    after.erase("a");
    for (int i = 0; i < 40; ++i) {
        operations.emplace_back("key" + std::to_string(i), lsm::bytes(100, 'v'));
        after[operations.back().first] = operations.back().second;
    }
    check_every_failure({[&](failing_db& db, allocation_log& log) {
                             failing_db::batch batch(log);
                             for (const auto& [key, value] : operations)
                                 value ? batch.put(key, *value) : batch.del(key);
                             return db.write(batch);
                         },
                         after,
                         {some}});
}

TEST_CASE("failing allocator: a put that freezes a full memtable is applied or has no effect") {
    entry_map after = some;
    after["k"] = "value";
    check_every_failure({.act = [](failing_db& db, allocation_log&) { return db.put("k", "value"); },
                         .after = after,
                         .after_throw = {some},
                         .write_buffer_bytes = 1});
}

TEST_CASE("failing allocator: a flush loses nothing") {
    check_every_failure({[](failing_db& db, allocation_log&) { return db.flush(); }, some, {some}});
}

TEST_CASE("failing allocator: writes after a failed flush are visible and durable") {
    entry_map after = some, half_way = some;
    half_way["new"] = after["new"] = "value";
    after.erase("a");
    check_every_failure({[](failing_db& db, allocation_log&) {
                             auto flushed = db.flush();
                             must(db.put("new", "value"));
                             must(db.del("a"));
                             return flushed;
                         },
                         after,
                         {some, half_way}});
}

TEST_CASE("failing allocator: reading changes nothing") {
    check_every_failure({[](failing_db& db, allocation_log&) {
                             // Not inside CHECK, which would catch the exception.
                             const auto value = must(db.get("a"));
                             const bool there = must(db.contains("z"));
                             const auto all = everything_in(db);
                             CHECK(value == "1");
                             CHECK(there);
                             CHECK(all == some);
                             for (auto at = db.scan({.from = "b", .reverse = true}); at.valid(); at.next()) {
                             }
                             const auto view = view_bytes(db);
                             CHECK(view == stream_of(some));
                             return lsm::result<void>();
                         },
                         some,
                         {some}});
}

TEST_CASE("failing allocator: snapshots and compactions lose nothing") {
    check_every_failure({[](failing_db& db, allocation_log&) -> lsm::result<void> {
                             const auto snapshot = must(db.snapshot());
                             auto done = db.compact();
                             const auto value = must(db.get("a", {.at = &snapshot}));
                             CHECK(value == "1");
                             return done;
                         },
                         some,
                         {some}});
}

TEST_CASE("failing allocator: verify and digest and multi_get change nothing") {
    check_every_failure({[](failing_db& db, allocation_log&) {
                             const auto report = must(db.verify());
                             const auto digest = must(db.digest()), again = must(db.digest());
                             const auto values = must(db.multi_get({"a", "none", "z"}));
                             CHECK(report.damage.empty());
                             CHECK(digest == again);
                             CHECK(values == std::vector<optional_value>{"1", deleted, "3"});
                             return lsm::result<void>();
                         },
                         some,
                         {some}});
}

TEST_CASE("failing allocator: a checkpoint that fails does not harm the database") {
    check_every_failure({[](failing_db& db, allocation_log&) { return db.checkpoint("copy"); }, some, {some}});
}

TEST_CASE("failing allocator: a refresh that fails leaves the contents as they were") {
    memory_directory directory;
    auto writer = directory.open();
    must(writer.put("a", "1"));
    must(writer.flush());
    must(writer.put("b", "2"));
    allocation_log log;
    {
        auto reader = must(failing_db::open("db", directory.opts({.read_only = true}), log));
        entry_map seen{{"a", "1"}, {"b", "2"}};
        for (std::size_t fail_at = 0, left = 3; left > 0; ++fail_at) {
            const std::string key = "key" + std::to_string(fail_at);
            must(writer.put(key, "new"));
            if (fail_at % 16 == 15) must(writer.flush());
            log.fail_at = log.allocations + fail_at;
            bool thrown = false;
            try {
                must(reader.refresh());
            } catch (const std::bad_alloc&) {
                thrown = true;
            }
            log.fail_at = SIZE_MAX;
            if (!thrown) seen = contents_of(writer);
            CHECK(everything_in(reader) == seen);
            left -= !thrown;
        }
    }
    CHECK(log.live_bytes == 0);
}

TEST_CASE("failing allocator: an open that fails leaks nothing and leaves the directory unchanged") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 2\nL1 1\n")
        .with("sst-000001.sst", table_of({{"a", "1"}, {"b", "1"}}))
        .with("sst-000002.sst", table_of({{"b", "2"}}))
        .with("wal.log", log_of({{{"c", lsm::bytes(5000, 'c')}}, {{"a", deleted}}}))
        .with("wal.log.tmp", "rubbish");
    const auto before = directory.files();
    const entry_map expected{{"b", "2"}, {"c", lsm::bytes(5000, 'c')}};
    allocation_log log;
    for (std::size_t fail_at = 0;; ++fail_at) {
        log.reset();
        log.fail_at = fail_at;
        bool failed = false;
        try {
            const auto db = must(failing_db::open("db", directory.opts(), log));
            log.fail_at = SIZE_MAX;
            CHECK(everything_in(db) == expected);
        } catch (const std::bad_alloc&) {
            failed = true;
            CHECK(directory.files() == before);
        }
        CHECK(log.live_bytes == 0);
        if (!failed) break;
    }
    CHECK(contents_of(directory.open()) == expected);
}
