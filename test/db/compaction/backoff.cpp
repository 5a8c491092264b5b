#include <lsm/db/compaction/backoff.hpp>

#include <algorithm>
#include <thread>

#include "support/catch.hpp"

namespace {

using lsm::detail::backoff;
using lsm::detail::failure;

/// Records a failure, and requires that the pause after it is `expected` long.
void fail_for(backoff& work, backoff::clock::duration expected) {
    const auto before = backoff::clock::now();
    work.failed(failure(lsm::errc::no_space, "the disk is full"));
    const auto after = backoff::clock::now();
    CHECK(work.retry() - before >= expected);
    CHECK(work.retry() - after <= expected);
    CHECK((work.pausing() || backoff::clock::now() >= work.retry()));
}

}  // namespace

TEST_CASE("backoff: without a failure there is no pause") {
    backoff work;
    CHECK_FALSE(work.pausing());
    CHECK_FALSE(work.trouble());
    work.succeeded();
    CHECK_FALSE(work.pausing());
}

TEST_CASE("backoff: each failure in a row doubles the pause up to a limit") {
    backoff work;
    auto expected = backoff::shortest_pause;
    for (int i = 0; i < 10; ++i) {
        fail_for(work, expected);
        expected = std::min(2 * expected, backoff::longest_pause);
    }
    CHECK(expected == backoff::longest_pause);
    CHECK(work.trouble().value().what == "no_space: the disk is full");
}

TEST_CASE("backoff: a pause ends by itself and the trouble stays until work succeeds") {
    backoff work;
    work.failed(failure(lsm::errc::no_space, "the disk is full"));
    std::this_thread::sleep_until(work.retry());
    CHECK_FALSE(work.pausing());
    CHECK(work.trouble());
    work.failed(failure(lsm::errc::io, "the disk is gone"));
    CHECK(work.trouble().value().code == lsm::errc::io);
    work.succeeded();
    CHECK_FALSE(work.pausing());
    CHECK_FALSE(work.trouble());
}

TEST_CASE("backoff: after a success the next pause is the shortest again even if the trouble stays") {
    for (const bool still_in_trouble : {false, true}) {
        backoff work;
        fail_for(work, backoff::shortest_pause);
        fail_for(work, 2 * backoff::shortest_pause);
        work.succeeded(still_in_trouble);
        CHECK(work.trouble().has_value() == still_in_trouble);
        fail_for(work, backoff::shortest_pause);
    }
}
