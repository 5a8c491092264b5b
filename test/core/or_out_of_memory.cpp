#include <lsm/core/or_out_of_memory.hpp>

#include <cerrno>
#include <memory>
#include <new>
#include <stdexcept>

#include "support/catch.hpp"
#include "support/results.hpp"

using lsm::errc;
using lsm::result;
using lsm::detail::or_out_of_memory;
using lsm::detail::unless_out_of_memory;
using lsm::test::must;
using lsm::test::must_fail;

TEST_CASE("out of memory: a result is returned unchanged") {
    CHECK(must(or_out_of_memory("db", []() -> result<int> { return 7; })) == 7);
    must(or_out_of_memory("db", []() -> result<void> { return {}; }));
    const auto failed = must_fail(or_out_of_memory("db", []() -> result<int> {
        return lsm::error{errc::bad_type, 0, "some text"};
    }));
    CHECK(failed.code == errc::bad_type);
    CHECK(failed.what == "some text");
    const auto pointer =
        must(or_out_of_memory("db", []() -> result<std::unique_ptr<int>> { return std::make_unique<int>(3); }));
    CHECK(*pointer == 3);
}

TEST_CASE("out of memory: bad_alloc becomes an error with ENOMEM that names the place") {
    for (const bool too_long : {false, true}) {
        const auto failed = must_fail(or_out_of_memory("some/db", [&]() -> result<void> {
            if (too_long) throw std::bad_array_new_length();
            throw std::bad_alloc();
        }));
        CHECK(failed.code == errc::io);
        CHECK(failed.sys == ENOMEM);
        CHECK(failed.what.starts_with("some/db: allocate: "));
        CHECK(failed.what == lsm::detail::out_of_memory("some/db").what);
    }
}

TEST_CASE("out of memory: other exceptions pass through") {
    CHECK_THROWS_AS(or_out_of_memory("db", []() -> result<void> { throw std::runtime_error("other"); }),
                    std::runtime_error);
}

TEST_CASE("out of memory: unless_out_of_memory ignores bad_alloc and keeps what was done before it") {
    int steps = 0;
    unless_out_of_memory([&] {
        ++steps;
        if (steps == 1) throw std::bad_alloc();
        ++steps;
    });
    CHECK(steps == 1);
    unless_out_of_memory([&] { steps += 10; });
    CHECK(steps == 11);
}
