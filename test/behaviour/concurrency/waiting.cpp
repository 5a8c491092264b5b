#include <sys/resource.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string>

#include <lsm/db/db.hpp>
#include <lsm/io/memory_file_system.hpp>

#include "support/catch.hpp"
#include "support/hooked_file_system.hpp"
#include "support/results.hpp"
#include "support/threads.hpp"

using namespace lsm::test;
using lsm::errc;

namespace {

std::chrono::milliseconds processor_time() {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    const auto ms = [](const timeval& t) { return t.tv_sec * 1000 + t.tv_usec / 1000; };
    return std::chrono::milliseconds(ms(used.ru_utime) + ms(used.ru_stime));
}

}  // namespace

TEST_CASE("waiting: concurrent flushes are all done when they return") {
    lsm::io::memory_file_system memory;
    auto db = must(lsm::db::open("db", {.sync = false, .file_system = &memory}));
    findings wrong;
    in_threads(6, [&](int self) {
        for (int i = 0; i < 30; ++i) {
            const auto key = std::to_string(self) + "/" + std::to_string(i);
            wrong.succeeded(db.put(key, "v"));
            wrong.succeeded(db.flush());
            if (i % 10 == 0) wrong.succeeded(db.settle());
            if (i % 7 == 0) wrong.succeeded(db.compact({}));
        }
    });
    CHECK(wrong.text() == "");
    CHECK(must(db.get("5/29")) == "v");
    must(db.put("last", "v"));
    must(db.flush());
    must(db.settle());
    CHECK(db.live_tables().size() >= 1);
    CHECK(db.stats().flushes <= 181);
}

TEST_CASE("waiting: a thread that waits for a flush sleeps") {
    lsm::io::memory_file_system memory;
    std::atomic<bool> slow = true;
    hooked_file_system fs(memory, [&](std::string_view operation, std::string_view path) {
        if (slow && operation == "fsync" && is_table(path)) sleep_ms(within(500).count());
        return 0;
    });
    auto db = must(lsm::db::open("db", {.sync = false, .file_system = &fs}));
    must(db.put("a", "1"));
    const auto before = processor_time();
    findings wrong;
    in_threads(8, [&](int) { wrong.succeeded(db.flush()); });
    CHECK(processor_time() - before < within(150));
    slow = false;
    CHECK(wrong.text() == "");
}

TEST_CASE("waiting: every flush on a disk that fails sometimes is done or returns the error") {
    lsm::io::memory_file_system memory;
    std::atomic<std::uint32_t> tables = 0;
    hooked_file_system fs(memory, [&](std::string_view operation, std::string_view path) {
        return operation == "create" && is_table(path) && tables++ % 2 == 0 ? EIO : 0;
    });
    auto db = must(lsm::db::open("db", {.sync = false, .file_system = &fs}));
    findings wrong;
    std::atomic<int> failed = 0;
    in_threads(4, [&](int self) {
        for (int i = 0; i < 100; ++i) {
            wrong.succeeded(db.put(std::to_string(self) + "/" + std::to_string(i), "v"));
            const auto done = db.flush();
            if (done) continue;
            ++failed;
            wrong.expect(done.error().code == errc::io && done.error().sys == EIO, done.error().what);
        }
    });
    CHECK(wrong.text() == "");
    CHECK(failed > 0);
    while (!db.flush()) sleep_ms(1);
    must(db.put("last", "v"));
    must(db.close());
    db = must(lsm::db::open("db", {.file_system = &memory}));
    for (int self = 0; self < 4; ++self)
        for (int i = 0; i < 100; ++i) CHECK(must(db.contains(std::to_string(self) + "/" + std::to_string(i))));
}

TEST_CASE("waiting: a flush returns the error of a log that fails meanwhile") {
    for (int round = 0; round < 20; ++round) {
        lsm::io::memory_file_system memory;
        std::atomic<bool> broken = false;
        hooked_file_system fs(memory, [&](std::string_view operation, std::string_view path) {
            return broken && operation == "fdatasync" && is_log(path) ? EIO : 0;
        });
        auto db = must(lsm::db::open("db", {.file_system = &fs}));
        findings wrong;
        thread_group threads;
        threads.start(3, [&](int self) {
            for (int i = 0;; ++i) {
                if (!db.put(std::to_string(self), std::to_string(i))) return;
                const auto done = db.flush();
                if (!done) wrong.expect(done.error().code == errc::io, done.error().what);
            }
        });
        sleep_ms(round);
        broken = true;
        threads.join();
        CHECK(wrong.text() == "");
        CHECK(must_fail(db.put("a", "1")).code == errc::io);
        CHECK(must_fail(db.flush()).code == errc::io);
        CHECK(must_fail(db.settle()).code == errc::io);
        CHECK(db.contains("0"));  // reads go on
    }
}
