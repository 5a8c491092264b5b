#include <lsm/db/state/counters.hpp>

#include <algorithm>
#include <cstdint>

#include "support/catch.hpp"
#include "support/threads.hpp"

namespace {

using namespace lsm::test;
using lsm::detail::latency_histogram;

}  // namespace

TEST_CASE("latency histogram: percentiles are at most an eighth too high") {
    latency_histogram histogram;
    for (std::uint64_t n = 1; n <= 100; ++n) histogram.add(1000 * n);
    const auto all = histogram.summary();
    CHECK(all.count == 100);
    CHECK(all.longest == 100'000);
    const auto is_about = [](std::uint64_t shown, std::uint64_t exact) {
        return shown >= exact && shown <= exact + exact / 8;
    };
    CHECK(is_about(all.p50, 50'000));
    CHECK(is_about(all.p95, 95'000));
    CHECK(is_about(all.p99, 99'000));
    CHECK(all.p99 <= all.longest);
}

TEST_CASE("latency histogram: short durations are exact") {
    for (std::uint64_t n = 0; n < 16; ++n) {
        latency_histogram histogram;
        histogram.add(n);
        histogram.add(1000);
        CHECK(histogram.summary().p50 == n);
    }
}

TEST_CASE("latency histogram: the shortest and the longest duration are counted") {
    latency_histogram histogram;
    CHECK(histogram.summary().count == 0);
    CHECK(histogram.summary().longest == 0);
    histogram.add(0);
    CHECK(histogram.summary().p99 == 0);
    histogram.add(UINT64_MAX);
    CHECK(histogram.summary().p50 == 0);
    CHECK(histogram.summary().p99 == UINT64_MAX);
    CHECK(histogram.summary().longest == UINT64_MAX);
}

TEST_CASE("latency histogram: no duration is lost when threads add at the same time") {
    latency_histogram histogram;
    in_threads(4, [&](int self) {
        for (std::uint64_t n = 1; n <= 200'000; ++n) histogram.add(n * (static_cast<std::uint64_t>(self) + 1));
    });
    CHECK(histogram.summary().count == 800'000);
    CHECK(histogram.summary().longest == 800'000);
}

TEST_CASE("counters: count adds to a counter") {
    lsm::detail::db_counters counters;
    CHECK(counters.writes == 0);
    lsm::detail::count(counters.writes, 3);
    lsm::detail::count(counters.writes, 4);
    CHECK(counters.writes == 7);
    CHECK(counters.operations == 0);
}

TEST_CASE("stopwatch: it measures the time since it was made") {
    const lsm::detail::stopwatch watch;
    const auto first = watch.nanoseconds();
    sleep_ms(2);
    CHECK(watch.nanoseconds() >= first + 2'000'000);
    CHECK(first < 1'000'000'000);
}
