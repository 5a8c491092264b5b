#include <lsm/db/state/health.hpp>

#include <cerrno>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/results.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;
using lsm::detail::failure;
using lsm::detail::health;

const std::string no_more_writes = " (the database takes no more writes until it is opened again)";

}  // namespace

TEST_CASE("health: initially writes are accepted") {
    const health state(nullptr);
    CHECK(state.good());
    CHECK_FALSE(state.closed());
    CHECK(state.check());
}

TEST_CASE("health: the first reason of poisoning stays and is reported once") {
    event_log events;
    health state(&events);
    const auto first = state.poison(failure(errc::io, "the disk is gone"));
    CHECK(first.what == "io: the disk is gone" + no_more_writes);
    CHECK_FALSE(state.good());
    CHECK(state.poison(failure(errc::corruption, "something else")).what == first.what);
    CHECK(must_fail(state.check()).what == first.what);
    CHECK(must_fail(state.check()).code == errc::io);
    REQUIRE(events.failures.size() == 1);
    CHECK(events.failures[0].what == first.what);
}

TEST_CASE("health: poisoning turns a full disk into an io error") {
    health state(nullptr);
    const auto why = state.poison(lsm::detail::system_failure("fsync", ENOSPC));
    CHECK(why.code == errc::io);
    CHECK(why.sys == ENOSPC);
    CHECK(must_fail(state.check()).code == errc::io);
}

TEST_CASE("health: refusing writes is not reported as a failure") {
    event_log events;
    health state(&events);
    state.refuse(failure(errc::read_only, "opened with read_only"));
    CHECK_FALSE(state.good());
    CHECK_FALSE(state.closed());
    CHECK(must_fail(state.check()).what == "read_only: opened with read_only");
    CHECK(events.failures.empty());
}

TEST_CASE("health: closing replaces every other reason and stays") {
    health state(nullptr);
    static_cast<void>(state.poison(failure(errc::io, "the disk is gone")));
    state.close(failure(errc::closed, "the database was closed"));
    CHECK(state.closed());
    CHECK(must_fail(state.check()).code == errc::closed);
    state.refuse(failure(errc::read_only, "opened with read_only"));
    CHECK(state.poison(failure(errc::io, "too late")).code == errc::closed);
    CHECK(must_fail(state.check()).code == errc::closed);
}
