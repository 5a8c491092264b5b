#include <atomic>
#include <cerrno>
#include <optional>
#include <string>

#include <lsm/db/db.hpp>
#include <lsm/io/executor.hpp>
#include <lsm/io/memory_file_system.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/hooked_file_system.hpp"
#include "support/threads.hpp"

/// Jobs that fail repeatedly, on threads that other jobs need.

using namespace lsm::test;

namespace {

lsm::options eager(lsm::io::file_system& fs) {
    return {.write_buffer_bytes = 16 << 10,
            .compaction = {.level0_trigger = 2, .level0_slowdown = 1000, .level0_stop = 2000},
            .sync = false,
            .file_system = &fs};
}

// Puts enough for several flushes.
void put_many(lsm::db& db, findings& wrong) {
    for (int i = 0; i < 1000; ++i)
        if (!wrong.succeeded(db.put("key" + std::to_string(i), lsm::bytes(100, 'v')))) return;
}

// Runs `work` on a thread until it is done. Returns whether it was done within the limit of eventually().
template <class Work>
bool done_soon(thread_group& threads, Work work) {
    std::atomic<bool> done = false;
    threads.start([&] {
        work();
        done = true;
    });
    const bool soon = eventually([&] { return done.load(); });
    threads.join();
    return soon;
}

}  // namespace

TEST_CASE("sharing: on a single thread flushes go on beside a compaction that never succeeds") {
    lsm::io::memory_file_system memory;
    std::atomic<bool> unreadable = false;
    hooked_file_system fs(memory, [&](std::string_view operation, std::string_view path) {
        return unreadable && operation == "read" && path == "db/sst-000001.sst" ? EIO : 0;
    });
    auto opts = eager(fs);
    opts.background_threads = 1;
    auto db = must(lsm::db::open("db", opts));
    for (const char* key : {"key0", "key999"}) must(db.put(key, "older than all"));
    must(db.flush());
    unreadable = true;  // only merges read it from now on
    findings wrong;
    thread_group threads;
    CHECK(done_soon(threads, [&] { put_many(db, wrong); }));
    CHECK(done_soon(threads, [&] { wrong.succeeded(db.flush()); }));
    CHECK(db.stats().trouble);
    CHECK(db.stats().compactions == 0);
    CHECK(done_soon(threads, [&] { wrong.succeeded(db.close()); }));
    CHECK(wrong.text() == "");
}

TEST_CASE("sharing: a database whose disk is full leaves the executor to other databases") {
    lsm::io::memory_file_system memory, other;
    std::atomic<bool> full = false;
    hooked_file_system fs(memory, [&](std::string_view operation, std::string_view path) {
        return full && operation == "create" && is_table(path) ? ENOSPC : 0;
    });
    lsm::io::thread_executor two(2);
    auto opts = eager(fs), other_opts = eager(other);
    opts.executor = other_opts.executor = &two;
    auto held_up = must(lsm::db::open("db", opts));
    must(other.make_directory("db"));
    for (int i = 0; i < 2; ++i) {
        must(held_up.put("a", std::to_string(i)));
        must(held_up.flush());
    }
    full = true;
    must(held_up.put("a", "last"));
    CHECK(must_fail(held_up.flush()).code == lsm::errc::no_space);  // maintenance tries again from now on

    findings wrong;
    thread_group threads;
    {
        auto db = must(lsm::db::open("db", other_opts));
        CHECK(done_soon(threads, [&] { put_many(db, wrong); }));
        CHECK(done_soon(threads, [&] { wrong.succeeded(db.flush()); }));
        CHECK(done_soon(threads, [&] { wrong.succeeded(db.close()); }));
    }
    CHECK(wrong.text() == "");

    full = false;
    CHECK(eventually([&] { return held_up.live_tables().size() == 3 || held_up.stats().compactions > 0; }));
    must(held_up.close());
}
