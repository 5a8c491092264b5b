#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string>

#include <lsm/db/db.hpp>
#include <lsm/io/memory_file_system.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/hooked_file_system.hpp"
#include "support/threads.hpp"

using namespace lsm::test;
using lsm::errc;

namespace {

constexpr int committers = 8;

std::string key(int self, int i) { return std::to_string(self) + "/" + std::to_string(i); }

/// A disk whose log takes two milliseconds to sync.
struct slow_sync {
    lsm::io::memory_file_system memory;
    std::atomic<bool> broken = false;
    hooked_file_system fs{memory, [this](std::string_view operation, std::string_view path) {
                              if (operation != "fdatasync" || !is_log(path)) return 0;
                              sleep_ms(2);
                              return broken ? EIO : 0;
                          }};
    lsm::db db = must(lsm::db::open("db", {.wal_recovery = lsm::wal::recovery::point_in_time, .file_system = &fs}));

    // Returns the puts per second of `threads` threads.
    double rate(int threads, int puts, findings& wrong) {
        const auto begun = lsm::test::clock::now();
        in_threads(threads, [&](int self) {
            for (int i = 0; i < puts; ++i) wrong.succeeded(db.put(key(self, i), "v"));
        });
        return threads * puts / std::chrono::duration<double>(lsm::test::clock::now() - begun).count();
    }
};

}  // namespace

TEST_CASE("group commit: threads share syncs and are many times faster than one thread") {
    slow_sync disk;
    findings wrong;
    constexpr int puts = 60;
    double most = 0;  // of several rounds, because a busy machine can make any of them slow
    for (int round = 0; round < 5 && most <= 4; ++round) {
        const auto before = disk.db.stats();
        const double alone = disk.rate(1, 50, wrong);
        const auto between = disk.db.stats();
        CHECK(between.groups - before.groups == 50);
        CHECK(between.syncs - before.syncs == 50);
        const double together = disk.rate(committers, puts, wrong);
        const auto after = disk.db.stats();
        CHECK(after.writes - between.writes == committers * puts);
        CHECK(after.groups - between.groups < committers * puts / 3);
        CHECK(after.syncs - between.syncs == after.groups - between.groups);
        most = std::max(most, together / alone);
    }
    CHECK(wrong.text() == "");
    CHECK(most > 4);
    must(disk.db.close());
    CHECK(contents_of(must(lsm::db::open("db", {.file_system = &disk.memory}))).size() == committers * puts);
}

TEST_CASE("group commit: a failed sync is the error of every waiting write and none of them is visible") {
    slow_sync disk;
    std::atomic<int> failed = 0, written = 0, lost = 0, shown = 0;
    findings wrong;
    thread_group threads;
    threads.start(committers, [&](int self) {
        for (int i = 0;; ++i) {
            const auto done = disk.db.put(key(self, i), "v");
            const auto there = disk.db.contains(key(self, i));
            if (!wrong.succeeded(there)) return;
            if (done) {
                ++written;
                lost += !*there;
                continue;
            }
            ++failed;
            shown += *there;
            wrong.expect(done.error().code == errc::io && done.error().sys == EIO, done.error().what);
            return;
        }
    });
    sleep_ms(20);
    disk.broken = true;
    threads.join();
    CHECK(wrong.text() == "");
    CHECK(failed == committers);
    CHECK(written > 0);
    CHECK(lost == 0);
    CHECK(shown == 0);
    CHECK(must_fail(disk.db.put("a", "1")).code == errc::io);
    CHECK(must_fail(disk.db.put("a", "1", {.sync = false})).code == errc::io);
    CHECK(must_fail(disk.db.flush()).code == errc::io);
    CHECK(disk.db.stats().trouble);
    CHECK(contents_of(disk.db).size() == static_cast<std::size_t>(written));
}

TEST_CASE("group commit: writers with and without sync each keep the order of their writes") {
    slow_sync disk;
    findings wrong;
    constexpr int puts = 40;
    in_threads(committers, [&](int self) {
        for (int i = 0; i < puts; ++i) {
            wrong.succeeded(disk.db.put(key(self, 0), std::to_string(i), {.sync = (self + i) % 2 == 0}));
            const auto seen = disk.db.get(key(self, 0));
            wrong.expect(seen && *seen == std::to_string(i), "a thread does not see its own write");
        }
    });
    CHECK(wrong.text() == "");
    const auto stats = disk.db.stats();
    CHECK(stats.writes == committers * puts);
    CHECK(stats.syncs <= stats.groups);
    CHECK(stats.syncs > 0);
    must(disk.db.close());
    CHECK(contents_of(must(lsm::db::open("db", {.file_system = &disk.memory}))).size() == committers);
}

TEST_CASE("group commit: writes without sync do not wait for a disk whose syncs are slow") {
    slow_sync disk;
    for (int i = 0; i < 500; ++i) must(disk.db.put(key(0, i), "v", {.sync = false}));
    CHECK(disk.db.stats().syncs == 0);
    CHECK(disk.db.stats().groups == 500);
}

TEST_CASE("group commit: batches of many sizes are applied whole and in one order") {
    slow_sync disk;
    findings wrong;
    in_threads(committers, [&](int self) {
        for (int i = 0; i < 30; ++i) {
            lsm::write_batch batch;
            const std::string mine = key(self, i);
            for (int n = 0; n < (self == 0 ? 2000 : 10); ++n) batch.put("shared/" + std::to_string(n % 10), mine);
            batch.put(mine, std::string(self == 1 ? 300'000 : 10, 'v'));
            wrong.succeeded(disk.db.write(batch, {.sync = i % 2 == 0}));
            const auto seen = disk.db.multi_get({"shared/0", "shared/4", "shared/9", mine});
            if (!wrong.succeeded(seen)) return;
            wrong.expect((*seen)[0] && (*seen)[0] == (*seen)[1] && (*seen)[0] == (*seen)[2], "half a batch");
            wrong.expect((*seen)[3].has_value(), "a thread does not see its own write");
        }
    });
    CHECK(wrong.text() == "");
    const auto before = contents_of(disk.db);
    CHECK(before.size() == 10 + committers * 30);
    must(disk.db.close());
    CHECK(contents_of(must(lsm::db::open("db", {.file_system = &disk.memory}))) == before);
}
