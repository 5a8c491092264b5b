#include <lsm/db/db.hpp>

#include <cerrno>
#include <functional>
#include <new>
#include <set>

#include "support/allocators.hpp"
#include "support/databases.hpp"

/// The allocator fails at every place where it can. Nothing may leak, no batch may be torn, nothing acknowledged be
/// lost.

namespace {

using namespace lsm::test;
using failing_db = lsm::basic_db<lsm::policies<lsm::bytes, lsm::bytes, logged_allocator<std::byte>>>;

using action = std::function<void(failing_db&, allocation_log&)>;

constexpr std::nullopt_t deleted = std::nullopt;

entry_map everything_in(const failing_db& db) {
    entry_map out;
    auto at = db.scan();
    for (; at.valid(); at.next()) out.emplace(at.key(), lsm::bytes(at.value()));
    must(at.status());
    return out;
}

// Opens a database with `before` in it and lets allocation number `fail_at` of `act` fail; then the contents, in memory
// and when opened again, must be one of `allowed`, with and without writes and flushes in between. Whether it did fail.
bool fails_cleanly(std::size_t fail_at, const entry_map& before, const action& act,
                   const std::set<entry_map>& allowed) {
    INFO("allocation " << fail_at);
    memory_directory directory;
    allocation_log log;
    bool failed = false;
    {
        auto db = must(failing_db::open("db", directory.how({.block_bytes = 64}), log));
        for (const auto& [key, value] : before) {
            must(db.put(key, *value));
            if (key == "m") must(db.flush());
        }
        log.fail_at = log.allocations + fail_at;
        try {
            act(db, log);
        } catch (const std::bad_alloc&) {
            failed = true;
        }
        log.fail_at = SIZE_MAX;
        auto shown = everything_in(db);
        CHECK(allowed.contains(shown));
        if (const auto written = db.put("later", "write"); written) {
            CHECK(must(db.get("later")) == "write");
            must(db.del("later"));
            CHECK(everything_in(db) == shown);
            must(db.flush());
            CHECK(everything_in(db) == shown);
            must(db.put("last", "write"));
            must(db.close());
            shown["last"] = "write";
            CHECK(contents_of(directory.open()) == shown);
        } else {
            // The log has what the memtable has not: only opening again can bring them together.
            CHECK(failed);
            CHECK(written.error().sys == ENOMEM);
            CHECK(must_fail(db.flush()).what == written.error().what);
            CHECK(everything_in(db) == shown);
            must(db.close());
            CHECK(allowed.contains(contents_of(directory.open())));
        }
    }
    CHECK(log.live_bytes == 0);
    return failed;
}

void check_every_failure(const entry_map& before, const action& act, const std::set<entry_map>& allowed) {
    std::size_t fail_at = 0;
    while (fails_cleanly(fail_at, before, act, allowed)) ++fail_at;
    CHECK(fail_at > 0);
}

const entry_map some{{"a", "1"}, {"m", "2"}, {"n", lsm::bytes(200, 'n')}, {"z", "3"}};

}  // namespace

TEST_CASE("failing allocator: a put is there or not") {
    entry_map after = some;
    after["k"] = lsm::bytes(3000, 'k');
    check_every_failure(some, [](failing_db& db, allocation_log&) { must(db.put("k", lsm::bytes(3000, 'k'))); },
                        {some, after});
}

TEST_CASE("failing allocator: a batch is there as a whole or not at all") {
    entry_list operations{{"a", deleted}};
    entry_map after = some;
    after.erase("a");
    for (int i = 0; i < 40; ++i) {
        operations.emplace_back("key" + std::to_string(i), lsm::bytes(100, 'v'));
        after[operations.back().first] = operations.back().second;
    }
    check_every_failure(some,
                        [&](failing_db& db, allocation_log& log) {
                            failing_db::batch batch(log);
                            for (const auto& [key, value] : operations) value ? batch.put(key, *value) : batch.del(key);
                            must(db.write(batch));
                        },
                        {some, after});
}

TEST_CASE("failing allocator: a flush loses nothing") {
    check_every_failure(some, [](failing_db& db, allocation_log&) { must(db.flush()); }, {some});
}

TEST_CASE("failing allocator: writes after a flush that failed are seen and kept") {
    entry_map after = some;
    after["new"] = "value";
    after.erase("a");
    check_every_failure(some,
                        [](failing_db& db, allocation_log&) {
                            try {
                                must(db.flush());
                            } catch (const std::bad_alloc&) {
                                must(db.put("new", "value"));
                                must(db.del("a"));
                                throw;
                            }
                            must(db.put("new", "value"));
                            must(db.del("a"));
                        },
                        {after});
}

TEST_CASE("failing allocator: reading changes nothing") {
    check_every_failure(some,
                        [](failing_db& db, allocation_log&) {
                            // Not inside CHECK, which would keep the exception.
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
                        },
                        {some});
}

TEST_CASE("failing allocator: an open that fails leaks nothing and leaves the directory as it is") {
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
            const auto db = must(failing_db::open("db", directory.how(), log));
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
