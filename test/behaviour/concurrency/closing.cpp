#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <lsm/db/db.hpp>
#include <lsm/io/memory_file_system.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/file_systems.hpp"
#include "support/hooked_file_system.hpp"
#include "support/threads.hpp"

using namespace lsm::test;
using lsm::errc;

namespace {

constexpr int busy_writers = 6;

std::string ordered_key(int self, int i) { return std::to_string(self) + "/" + std::to_string(100000 + i); }

lsm::options heavy(lsm::io::file_system& fs, unsigned background) {
    return {.write_buffer_bytes = 32 << 10,
            .compaction = {.level0_trigger = 2,
                           .level_factor = 2,
                           .level1_bytes = 64 << 10,
                           .target_table_bytes = 16 << 10},
            .sync = false,
            .background_threads = background,
            .file_system = &fs};
}

// Puts until a put is refused because the db is closed. Returns the number of puts that succeeded.
int put_until_closed(lsm::db& db, int self, findings& wrong) {
    for (int i = 0;; ++i) {
        const auto done = db.put(ordered_key(self, i), std::string(200, 'v'));
        if (done) continue;
        wrong.expect(done.error().code == errc::closed, done.error().what);
        return i;
    }
}

// Closes a database on `closers` threads while others write. The close must be quick, and every acknowledged write must
// be there afterwards.
template <class FileSystem>
void close_while_busy(unsigned background, int closers) {
    FileSystem where;
    const std::string path = where.path("db");
    auto db = must(lsm::db::open(path, heavy(where.system, background)));
    findings wrong;
    std::vector<int> acknowledged(busy_writers);
    thread_group threads;
    threads.start(busy_writers,
                  [&](int self) { acknowledged[static_cast<std::size_t>(self)] = put_until_closed(db, self, wrong); });
    sleep_ms(60);
    const auto begun = lsm::test::clock::now();
    in_threads(closers, [&](int) { wrong.succeeded(db.close()); });
    CHECK(since(begun) < within(1000));
    threads.join();
    CHECK(wrong.text() == "");
    CHECK(std::ranges::min(acknowledged) > 0);
    CHECK(must(db.get(ordered_key(0, 0))));  // reads go on

    db = must(lsm::db::open(path, heavy(where.system, background)));
    const auto found = contents_of(db);
    std::size_t lost = 0, all = 0;
    for (int self = 0; self < busy_writers; ++self)
        for (int i = 0; i < acknowledged[static_cast<std::size_t>(self)]; ++i, ++all)
            lost += !found.contains(ordered_key(self, i));
    CHECK(lost == 0);
    CHECK(found.size() == all);
}

}  // namespace

TEST_CASE("closing: close ends heavy work soon and loses nothing") {
    const unsigned background = GENERATE(1u, 2u, 4u);
    CAPTURE(background);
    SECTION("in memory") { close_while_busy<in_memory>(background, 1); }
    SECTION("on the disk") { close_while_busy<on_disk>(background, 1); }
    SECTION("by several threads at once") { close_while_busy<in_memory>(background, 4); }
}

TEST_CASE("closing: afterwards every call that would write is refused and reads go on") {
    lsm::io::memory_file_system memory;
    auto db = must(lsm::db::open("db", heavy(memory, 2)));
    must(db.put("a", "1"));
    must(db.flush());
    must(db.put("b", "2"));
    const auto snapshot = must(db.snapshot());
    must(db.close());
    CHECK(must_fail(db.put("a", "2")).code == errc::closed);
    CHECK(must_fail(db.del("a")).code == errc::closed);
    CHECK(must_fail(db.write({})).code == errc::closed);
    CHECK(must_fail(db.write(batch_of({{"a", "2"}}))).code == errc::closed);
    CHECK(must_fail(db.flush()).code == errc::closed);
    CHECK(must_fail(db.compact({})).code == errc::closed);
    CHECK(must_fail(db.settle()).code == errc::closed);
    must(db.close());
    CHECK(value_in(db, "a") == "1");
    CHECK(must(db.get("b", {.at = &snapshot})) == "2");
    CHECK(contents_of(db) == entry_map{{"a", "1"}, {"b", "2"}});
    CHECK(db.live_tables().size() == 1);
    CHECK(db.stats().writes == 2);
}

TEST_CASE("closing: calls that wait for flushes and compactions return") {
    lsm::io::memory_file_system memory;
    std::atomic<bool> held = true, waiting = false;
    hooked_file_system fs(memory, [&](std::string_view operation, std::string_view path) {
        if (operation == "fsync" && is_table(path)) {
            waiting = true;
            while (held) sleep_ms(1);
        }
        return 0;
    });
    auto db = must(lsm::db::open("db", heavy(fs, 2)));
    must(db.put("a", "1"));
    findings wrong;
    std::atomic<int> returned = 0;
    const auto expect_closed = [&](const lsm::result<void>& done) {
        if (!done) wrong.expect(done.error().code == errc::closed, done.error().what);
        ++returned;
    };
    thread_group threads;
    threads.start([&] { expect_closed(db.flush()); });
    CHECK(eventually([&] { return waiting.load(); }));
    threads.start([&] { expect_closed(db.flush()); });
    threads.start([&] { expect_closed(db.settle()); });
    threads.start([&] { expect_closed(db.compact({})); });
    threads.start([&] { expect_closed(db.checkpoint("copy")); });
    sleep_ms(30);
    threads.start([&] { wrong.succeeded(db.close()); });
    // Only the close waits until the table is finished.
    CHECK(eventually([&] { return returned >= 3; }));
    held = false;
    threads.join();
    CHECK(wrong.text() == "");
    CHECK(returned == 5);
    CHECK(contents_of(must(lsm::db::open("db", {.file_system = &memory}))) == entry_map{{"a", "1"}});
}

TEST_CASE("closing: a writer that waits for a flush returns") {
    lsm::io::memory_file_system memory;
    std::atomic<bool> held = true;
    hooked_file_system fs(memory, [&](std::string_view operation, std::string_view path) {
        while (held && operation == "fsync" && is_table(path)) sleep_ms(1);
        return 0;
    });
    auto opts = heavy(fs, 2);
    opts.max_write_buffers = 2;
    auto db = must(lsm::db::open("db", opts));
    findings wrong;
    std::vector<int> acknowledged(3);
    thread_group threads;
    threads.start(3,
                  [&](int self) { acknowledged[static_cast<std::size_t>(self)] = put_until_closed(db, self, wrong); });
    CHECK(eventually([&] {  // until every writer waits
        const auto before = db.stats().writes;
        sleep_ms(120);
        return db.stats().writes == before;
    }));
    threads.start([&] {
        sleep_ms(50);
        held = false;
    });
    const auto begun = lsm::test::clock::now();
    must(db.close());
    CHECK(since(begun) < within(1000));
    threads.join();
    CHECK(wrong.text() == "");
    const int all = acknowledged[0] + acknowledged[1] + acknowledged[2];
    CHECK(contents_of(must(lsm::db::open("db", {.file_system = &memory}))).size() == static_cast<std::size_t>(all));
}

TEST_CASE("closing: close may run beside every other call") {
    for (int round = 0; round < 10; ++round) {
        lsm::io::memory_file_system memory;
        auto db = must(lsm::db::open("db", heavy(memory, 2)));
        findings wrong;
        std::atomic<bool> done = false;
        std::atomic<int> copies = 0;
        const auto fine = [&](const auto& outcome) {
            if (!outcome) wrong.expect(outcome.error().code == errc::closed, outcome.error().what);
        };
        must(db.put("a", "1"));
        thread_group threads;
        threads.start([&] { put_until_closed(db, 0, wrong); });
        threads.start([&] {
            while (!done) {
                const auto seen = db.get("a");
                if (wrong.succeeded(seen)) wrong.expect(*seen == "1", "a key is gone");
            }
        });
        threads.start([&] {
            while (!done) {
                auto at = db.scan();
                for (int i = 0; i < 100 && at.valid(); ++i) at.next();
                wrong.succeeded(at.status());
                fine(db.snapshot());
            }
        });
        threads.start([&] {
            while (!done) {
                fine(db.flush());
                fine(db.compact({}));
                fine(db.settle());
                fine(db.checkpoint("copy" + std::to_string(++copies)));
            }
        });
        sleep_ms(10 + round);
        must(db.close());
        sleep_ms(2);
        done = true;
        threads.join();
        CHECK(wrong.text() == "");
    }
}
