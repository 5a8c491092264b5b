#include <lsm/db/write/throttle.hpp>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <string_view>

#include "support/catch.hpp"
#include "support/parts.hpp"
#include "support/threads.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;

constexpr std::size_t buffer_bytes = 1000;

/// A throttle, and frozen memtables that wait for flushes. Jobs are held unless the options have an executor.
struct throttled : writing_parts {
    explicit throttled(lsm::options opts = {}) : writing_parts(limited(opts)) {}

    static lsm::options limited(lsm::options opts) {
        opts.write_buffer_bytes = buffer_bytes;
        return opts;
    }
    void freeze(int count) {
        std::vector<memtable_pointer> newest_first{memtable_of(100, {})};
        for (int i = count; i > 0; --i)
            newest_first.push_back(memtable_of(static_cast<std::uint64_t>(i), {{"a", "1"}}));
        publish(versions.tables(), newest_first);
    }
    void set_level0(std::uint64_t count) {
        std::vector<placed_table> all;
        for (std::uint64_t id = count; id > 0; --id) all.push_back({0, id, {{"a", ""}}});
        set_tables(all);
    }
    [[nodiscard]] std::uint64_t stalls() const { return context.counters.stalls; }

    lsm::detail::throttle<alloc> writers{context, upkeep, memory};
};

}  // namespace

TEST_CASE("throttle: all write buffers but one may be frozen") {
    CHECK(throttled({.max_write_buffers = 4}).writers.max_frozen() == 3);
    CHECK(throttled({.max_write_buffers = 2}).writers.max_frozen() == 1);
    CHECK(throttled({.max_write_buffers = 0}).writers.max_frozen() == 1);
}

TEST_CASE("throttle: a writer does not wait while there is room") {
    throttled f({.max_write_buffers = 3});
    f.freeze(1);
    CHECK(must(f.writers.wait_for_room(10 * buffer_bytes)));
    CHECK(f.stalls() == 0);
    CHECK(f.events.stalls.empty());
}

TEST_CASE("throttle: a waiting writer schedules the flush and continues after it") {
    // The flush runs in the call that schedules it.
    throttled f(plain({.max_write_buffers = 3}));
    f.freeze(2);
    CHECK(must(f.writers.wait_for_room(buffer_bytes)));
    CHECK(f.listed().starts_with("L0 "));
    CHECK(f.stalls() == 1);
    CHECK(f.context.counters.stall_nanoseconds == f.context.counters.longest_stall_nanoseconds);
    REQUIRE(f.events.stalls.size() == 1);
    CHECK(f.events.stalls[0].nanoseconds == f.context.counters.stall_nanoseconds);
}

TEST_CASE("throttle: a writer waits for a slow flush only if the memtable has reached twice its limit") {
    throttled f({.max_write_buffers = 2});
    f.freeze(1);
    const auto begun = lsm::test::clock::now();
    CHECK_FALSE(must(f.writers.wait_for_room(2 * buffer_bytes - 1)));
    CHECK(since(begun) >= std::chrono::milliseconds(50));
    CHECK(f.executor.held() > 0);
    CHECK(f.stalls() == 1);

    std::atomic<bool> flushed = false;
    thread_group threads;
    threads.start([&] {
        sleep_ms(120);
        flushed = true;
        f.executor.run_all();
    });
    CHECK(must(f.writers.wait_for_room(2 * buffer_bytes)));
    CHECK(flushed);
    threads.join();
    CHECK(f.stalls() == 2);
}

TEST_CASE("throttle: a waiting writer returns the error of a failed flush at once if nothing retries it") {
    throttled f(plain({.max_write_buffers = 2}));
    f.freeze(1);
    f.fs.fault = [](std::string_view call) { return call.starts_with("write db/sst-") ? ENOSPC : 0; };
    const auto begun = lsm::test::clock::now();
    CHECK(must_fail(f.writers.wait_for_room(buffer_bytes)).code == errc::no_space);
    CHECK(since(begun) < within(1000));
    CHECK(f.stalls() == 1);
}

TEST_CASE("throttle: a waiting writer returns the error of failing flushes after two seconds") {
    lsm::io::thread_executor threads(1);
    throttled f({.max_write_buffers = 2, .executor = &threads});
    f.freeze(1);
    f.fs.fault = [](std::string_view call) { return call.starts_with("write db/sst-") ? ENOSPC : 0; };
    const auto begun = lsm::test::clock::now();
    CHECK(must_fail(f.writers.wait_for_room(buffer_bytes)).code == errc::no_space);
    CHECK(since(begun) >= std::chrono::seconds(2));
    f.fs.fault = nullptr;
    CHECK(must(f.writers.wait_for_room(2 * buffer_bytes)));
}

TEST_CASE("throttle: a waiting writer returns the reason why writes are refused") {
    throttled f({.max_write_buffers = 2});
    f.freeze(1);
    SECTION("refused") {
        static_cast<void>(f.context.health.poison(lsm::detail::failure(errc::io, "the disk is gone")));
        CHECK(must_fail(f.writers.wait_for_room(2 * buffer_bytes)).code == errc::io);
    }
    SECTION("closed") {
        f.stop();
        const auto why = must_fail(f.writers.wait_for_room(2 * buffer_bytes));
        CHECK(why.what == "db: closed: the database was closed");
    }
}

TEST_CASE("throttle: writes are not delayed while maintenance keeps up") {
    throttled f({.max_write_buffers = 4, .compaction = {.level0_slowdown = 2, .level0_stop = 4}});
    f.set_level0(2);
    f.freeze(1);
    f.writers.measure(buffer_bytes, true);
    f.writers.delay(100'000'000, buffer_bytes);
    CHECK(f.stalls() == 0);
}

TEST_CASE("throttle: writes are delayed by their size near the limit of level 0 or of frozen memtables") {
    throttled f({.max_write_buffers = 4, .compaction = {.level0_slowdown = 2, .level0_stop = 4}});
    SECTION("level 0") { f.set_level0(4); }
    SECTION("frozen memtables") { f.freeze(3); }
    f.writers.measure(buffer_bytes, true);
    // At the limit a megabyte takes a second. A single delay takes from 1 to 50 ms.
    f.writers.delay(100, buffer_bytes);
    CHECK(f.stalls() == 0);
    f.writers.delay(10'000'000, buffer_bytes);
    CHECK(f.stalls() == 1);
    CHECK(f.context.counters.stall_nanoseconds >= 50'000'000);
    for (int i = 0; i < 20; ++i) f.writers.delay(100, buffer_bytes);  // the delays of short writes add up
    CHECK(f.stalls() > 1);
}

TEST_CASE("throttle: delays grow with the number of tables in level 0") {
    // How many writes of one size pass before the first delay; 100 if all do.
    const auto writes_before_delay = [](std::uint64_t tables) {
        throttled f({.compaction = {.level0_slowdown = 2, .level0_stop = 8}});
        f.set_level0(tables);
        f.writers.measure(0, true);
        int passed = 0;
        for (; passed < 100; ++passed) {
            f.writers.delay(2000, 0);
            if (f.stalls() != 0) break;
        }
        return passed;
    };
    CHECK(writes_before_delay(2) == 100);
    CHECK(writes_before_delay(4) < 20);
    CHECK(writes_before_delay(6) < writes_before_delay(4));
    CHECK(writes_before_delay(8) < writes_before_delay(6));
}

TEST_CASE("throttle: level 0 delays no writer if no compaction will reduce it") {
    const bool compacts = GENERATE(true, false);
    throttled f({.compaction = {.style = compacts ? lsm::compaction_style::leveled : lsm::compaction_style::none,
                                .level0_slowdown = 2,
                                .level0_stop = 4}});
    f.set_level0(4);
    f.writers.measure(0, true);
    f.writers.delay(100'000, 0);
    CHECK(f.stalls() == (compacts ? 1 : 0));
}

TEST_CASE("throttle: the pressure is measured every 256 writes or on request") {
    throttled f({.compaction = {.level0_slowdown = 2, .level0_stop = 4}});
    const auto is_delayed = [&] {
        const auto before = f.stalls();
        f.writers.delay(10'000, 0);
        return f.stalls() != before;
    };
    f.writers.measure(0, true);
    f.set_level0(4);
    for (int i = 0; i < 255; ++i) f.writers.measure(0, false);
    CHECK_FALSE(is_delayed());
    f.writers.measure(0, false);
    CHECK(is_delayed());
    f.set_level0(0);
    f.writers.measure(0, false);
    CHECK(is_delayed());
    f.set_level0(4);
    f.writers.measure(0, true);
    CHECK(is_delayed());
}
