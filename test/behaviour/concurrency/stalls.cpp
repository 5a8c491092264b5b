#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

#include <lsm/db/db.hpp>
#include <lsm/io/memory_file_system.hpp>

#include "support/catch.hpp"
#include "support/hooked_file_system.hpp"
#include "support/results.hpp"
#include "support/threads.hpp"

using namespace lsm::test;

namespace {

constexpr std::size_t buffer = 256 << 10;
constexpr unsigned buffers = 4;

/// A disk that writes tables at a few megabytes per second.
struct slow_tables {
    explicit slow_tables(int microseconds_a_kilobyte) : pause(microseconds_a_kilobyte) {}

    const int pause;
    std::atomic<std::uint64_t> bytes = 0;
    lsm::io::memory_file_system memory;
    hooked_file_system fs{memory, [this](std::string_view operation, std::string_view path) {
                              if (operation == "write" && is_table(path))
                                  std::this_thread::sleep_for(std::chrono::microseconds(pause * 64));
                              return 0;
                          }};
};

struct outcome {
    std::chrono::milliseconds longest{0};
    std::uint64_t most_memory = 0;
};

// Puts values of 1000 bytes on `threads` threads for a while. Returns the longest put, and the most memory that
// memtables took.
outcome press(lsm::db& db, int threads, int milliseconds, findings& wrong) {
    outcome out;
    std::mutex mutex;
    std::atomic<bool> done = false;
    thread_group writing;
    writing.start(threads, [&](int self) {
        std::chrono::milliseconds longest{0};
        for (int i = 0; !done; ++i) {
            const auto begun = lsm::test::clock::now();
            wrong.succeeded(db.put(std::to_string(self) + "/" + std::to_string(i), std::string(1000, 'v')));
            longest = std::max(longest, since(begun));
        }
        const std::lock_guard guard(mutex);
        out.longest = std::max(out.longest, longest);
    });
    const auto begun = lsm::test::clock::now();
    while (since(begun) < std::chrono::milliseconds(milliseconds)) {
        out.most_memory = std::max(out.most_memory, db.stats().memory.memtables);
        sleep_ms(5);
    }
    done = true;
    writing.join();
    return out;
}

}  // namespace

TEST_CASE("stalls: writers slow down to the speed of the disk and none waits long") {
    const int threads = GENERATE(1, 8);
    CAPTURE(threads);
    slow_tables disk(100);
    auto db = must(lsm::db::open("db", {.write_buffer_bytes = buffer,
                                        .max_write_buffers = buffers,
                                        .compaction = {.style = lsm::compaction_style::none},
                                        .sync = false,
                                        .file_system = &disk.fs}));
    findings wrong;
    const auto seen = press(db, threads, 1000, wrong);
    CHECK(wrong.text() == "");
    CHECK(seen.longest < within(200));
    CHECK(seen.most_memory < 2 * buffers * buffer);
    const auto stats = db.stats();
    CHECK(stats.flushes > 2);
    CHECK(stats.stalls > 0);
    CHECK(stats.longest_stall_nanoseconds > 0);
    CHECK(stats.longest_stall_nanoseconds <= stats.stall_nanoseconds);
    CHECK(stats.longest_stall_nanoseconds <= stats.write_latency.longest);
}

TEST_CASE("stalls: tables piling up in level 0 slow writers down before there are too many") {
    slow_tables disk(20);
    constexpr unsigned stop = 12;
    auto db = must(lsm::db::open("db", {.write_buffer_bytes = 32 << 10,
                                        .compaction = {.level0_trigger = 2, .level0_slowdown = 4, .level0_stop = stop},
                                        .sync = false,
                                        .file_system = &disk.fs}));
    findings wrong;
    const auto seen = press(db, 4, 1000, wrong);
    CHECK(wrong.text() == "");
    CHECK(seen.longest < within(200));
    const auto stats = db.stats();
    CHECK(stats.stalls > 0);
    CHECK(stats.levels[0].tables <= 2 * stop);
    must(db.settle());
    CHECK(db.stats().levels[0].tables < stop);
}

TEST_CASE("stalls: a disk that keeps up delays no writer") {
    lsm::io::memory_file_system memory;
    auto db = must(lsm::db::open("db", {.sync = false, .file_system = &memory}));
    for (int i = 0; i < 10000; ++i) must(db.put(std::to_string(i), "v"));
    CHECK(db.stats().stalls == 0);
    CHECK(db.stats().stall_nanoseconds == 0);
}

namespace {

/// An executor that claims to have threads until its first job, which it runs inside submit().
class threadless final : public lsm::io::executor {
public:
    void submit(job& work) override {
        threads_ = 0;
        work.run();
    }
    [[nodiscard]] unsigned threads() const noexcept override { return threads_; }

private:
    std::atomic<unsigned> threads_ = 2;
};

}  // namespace

TEST_CASE("stalls: a reader that runs a compaction inside its call does not wait for itself") {
    lsm::io::memory_file_system memory;
    lsm::io::inline_executor at_once;
    {
        auto db = must(lsm::db::open("db", {.executor = &at_once, .file_system = &memory}));
        for (int i = 0; i < 20'000; ++i) must(db.put(std::to_string(i), std::string(100, 'v'), {.sync = false}));
        must(db.compact());
        for (int i = 0; i < 5; ++i) {
            must(db.put(std::to_string(i), "new"));
            must(db.flush());
        }
    }
    threadless late;
    auto db = must(lsm::db::open("db", {.executor = &late, .file_system = &memory}));
    const bool by_scans = GENERATE(false, true);
    for (int i = 0; i < 1'000'000 && late.threads() != 0; ++i) {
        if (by_scans)
            static_cast<void>(db.scan());
        else
            must(db.get("0"));
    }
    CHECK(late.threads() == 0);
    CHECK(db.stats().compactions > 0);
}
