#include <lsm/core/error.hpp>

#include <cerrno>
#include <new>
#include <set>
#include <string_view>

#include "support/catch.hpp"

using lsm::errc;
using namespace lsm::detail;

TEST_CASE("error: every code has a name of its own") {
    std::set<std::string_view> names;
    const auto last = static_cast<int>(errc::invalid_argument);
    for (int code = 1; code <= last; ++code) names.insert(to_string(static_cast<errc>(code)));
    CHECK(names.size() == static_cast<std::size_t>(last));
    CHECK_FALSE(names.contains("unknown"));
    CHECK(to_string(static_cast<errc>(last + 1)) == "unknown");
    CHECK(to_string(errc::short_input) == "short_input");
    CHECK(to_string(errc::index_out_of_range) == "index_out_of_range");
}

TEST_CASE("error: the text of a failure names the place and the code") {
    const auto plain = failure(errc::bad_type, "type 7");
    CHECK(plain.code == errc::bad_type);
    CHECK(plain.sys == 0);
    CHECK(plain.what == "bad_type: type 7");
    CHECK(failure_at(17, errc::unsorted, "keys").what == "offset 17: unsorted: keys");
    CHECK(failure_at(~0ull, errc::unsorted, "keys").what == "offset 18446744073709551615: unsorted: keys");
    const auto placed = failure_at(17, errc::unsorted, "keys").in("some.sst");
    CHECK(placed.what == "some.sst: offset 17: unsorted: keys");
    CHECK(placed.code == errc::unsorted);
}

TEST_CASE("error: a text that memory runs out for is replaced by a short one") {
    const auto failed = with_fallback_text(errc::no_space, ENOSPC, []() -> lsm::error { throw std::bad_alloc(); });
    CHECK(failed.code == errc::no_space);
    CHECK(failed.sys == ENOSPC);
    CHECK(failed.what == "no memory");
    const auto good = with_fallback_text(errc::io, 0, [] { return failure(errc::bad_type, "type 7"); });
    CHECK(good.code == errc::bad_type);
    CHECK(good.what == "bad_type: type 7");
}

TEST_CASE("error: a copy has the same code and errno and text") {
    const auto original = system_failure("read", EIO).in("some.sst");
    const auto copy = copy_of(original);
    CHECK(copy.code == original.code);
    CHECK(copy.sys == EIO);
    CHECK(copy.what == original.what);
}

TEST_CASE("error: a system failure keeps the errno and has one of four codes") {
    CHECK(system_failure("write", ENOSPC).code == errc::no_space);
    CHECK(system_failure("write", EDQUOT).code == errc::no_space);
    CHECK(system_failure("open", ENOENT).code == errc::not_found);
    CHECK(system_failure("open", EEXIST).code == errc::exists);
    const auto other = system_failure("read", EIO);
    CHECK(other.code == errc::io);
    CHECK(other.sys == EIO);
    CHECK(other.what.starts_with("read: "));
    CHECK(other.what.size() > std::string_view("read: ").size());
}
