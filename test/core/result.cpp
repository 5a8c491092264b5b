#include <lsm/core/result.hpp>

#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"

using lsm::errc;
using lsm::error;
using lsm::result;

namespace {

const error broken{errc::bad_block, 0, "broken"};

}  // namespace

TEST_CASE("result: holds a value") {
    result<int> r = 7;
    REQUIRE(r);
    CHECK(r.has_value());
    CHECK(*r == 7);
    CHECK(r.value() == 7);
    *r = 8;
    CHECK(std::as_const(r).value() == 8);
}

TEST_CASE("result: holds an error") {
    const result<int> r = broken;
    REQUIRE_FALSE(r);
    CHECK_FALSE(r.has_value());
    CHECK(r.error().code == errc::bad_block);
    CHECK(r.error().sys == 0);
    CHECK(r.error().what == "broken");
}

TEST_CASE("result: holds move-only values") {
    result<std::unique_ptr<int>> r = std::make_unique<int>(3);
    REQUIRE(r);
    CHECK(**r == 3);
    result<std::unique_ptr<int>> moved = std::move(r);
    const std::unique_ptr<int> out = *std::move(moved);
    REQUIRE(out);
    CHECK(*out == 3);
    CHECK(*moved == nullptr);
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<result<std::unique_ptr<int>>>);
}

TEST_CASE("result: moves its value out only if it is an rvalue") {
    result<std::string> r = std::string(100, 'x');
    const std::string copy = *r;
    CHECK(r->size() == 100);
    const std::string taken = std::move(r).value();
    CHECK(taken == copy);
    CHECK(r->empty());
}

TEST_CASE("result: converts a value and does not mistake an error for one") {
    const result<std::string> text = "literal";
    CHECK(*text == "literal");
    const result<bool> flag = broken;
    CHECK_FALSE(flag.has_value());
    const result<bool> no = false;
    CHECK(no.has_value());
    CHECK_FALSE(*no);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<result<bool>, bool>);
    STATIC_REQUIRE_FALSE(std::is_constructible_v<result<int>, std::string>);
    STATIC_REQUIRE_FALSE(std::is_default_constructible_v<result<int>>);
}

TEST_CASE("result: value_or returns the value or the fallback") {
    CHECK(result<int>(1).value_or(2) == 1);
    CHECK(result<int>(broken).value_or(2) == 2);
    CHECK(result<std::string>(broken).value_or("other") == "other");
    auto pointer = result<std::unique_ptr<int>>(broken).value_or(std::make_unique<int>(9));
    REQUIRE(pointer);
    CHECK(*pointer == 9);
}

TEST_CASE("result: assignment changes a value to an error and back") {
    result<std::string> r = "value";
    r = broken;
    REQUIRE_FALSE(r);
    r = result<std::string>("again");
    REQUIRE(r);
    CHECK(*r == "again");
    result<std::string> copy = r;
    copy->append("!");
    CHECK(*r == "again");
}

TEST_CASE("result: the arrow operator accesses the value") {
    result<std::vector<int>> r = std::vector<int>{1, 2};
    r->push_back(3);
    CHECK(std::as_const(r)->size() == 3);
}

TEST_CASE("result: result<void> is success or an error") {
    result<void> done;
    CHECK(done);
    result<void> failed = broken;
    REQUIRE_FALSE(failed);
    CHECK(failed.error().what == "broken");
    const error moved = std::move(failed).error();
    CHECK(moved.what == "broken");
    done = result<void>(broken);
    CHECK_FALSE(done.has_value());
}
