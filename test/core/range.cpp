#include <lsm/core/range.hpp>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/cursors.hpp"
#include "support/random_keys.hpp"
#include "support/seed.hpp"

using lsm::bytes;
using lsm::bytes_view;
using lsm::errc;
using lsm::test::entry_list;
using lsm::test::listed_cursor;
using namespace lsm::detail;

namespace {

using alloc = std::allocator<std::byte>;
using range = key_range<alloc>;
using confined = range_cursor<listed_cursor, alloc>;
static_assert(lsm::cursor<confined>);

entry_list entries_of(const std::vector<bytes>& keys) {
    entry_list out;
    for (const auto& key : keys) out.emplace_back(key, "value of " + key);
    return out;
}

range between(const std::optional<bytes>& from, const std::optional<bytes>& to, bool reverse = false) {
    range out;
    if (from) out.from.set(*from);
    if (to) out.to.set(*to);
    out.reverse = reverse;
    return out;
}

std::vector<bytes> rest_forward(confined& at) {
    std::vector<bytes> out;
    for (; at.valid(); at.next()) {
        CHECK(at.entry().value == "value of " + bytes(at.key()));
        out.emplace_back(at.key());
    }
    return out;
}

std::vector<bytes> rest_backward(confined& at) {
    std::vector<bytes> out;
    for (; at.valid(); at.prev()) out.emplace_back(at.key());
    return out;
}

using keys = std::vector<bytes>;

std::optional<bytes> end_of_prefix(bytes_view prefix) {
    key_bound<alloc> b;
    b.set_after_prefix(prefix);
    if (!b) return std::nullopt;
    return bytes(*b);
}

}  // namespace

TEST_CASE("key_bound: is open until it is set") {
    key_bound<alloc> b;
    CHECK_FALSE(b);
    b.set("");
    REQUIRE(b);
    CHECK(*b == "");
    b.set("k");
    CHECK(*b == "k");
}

TEST_CASE("key_bound: the end of a prefix is the smallest key above all keys that begin with it") {
    CHECK(end_of_prefix("a") == "b");
    CHECK(end_of_prefix("ab") == "ac");
    CHECK(end_of_prefix("a\xff") == "b");
    CHECK(end_of_prefix("a\xff\xff") == "b");
    CHECK(end_of_prefix("a\xff\x01") == "a\xff\x02");
    CHECK(end_of_prefix("\x7f") == "\x80");
    CHECK(end_of_prefix("\xfe") == "\xff");
    CHECK(end_of_prefix(bytes(1, '\0')) == "\x01");
    CHECK(end_of_prefix("\xfe\xff") == "\xff");
}

TEST_CASE("key_bound: no key is above a prefix that is empty or all 0xff") {
    CHECK_FALSE(end_of_prefix(""));
    for (const std::size_t length : {1u, 2u, 3u, 100u}) CHECK_FALSE(end_of_prefix(bytes(length, '\xff')));
}

TEST_CASE("key_bound: a set bound becomes open if no key is above the prefix") {
    key_bound<alloc> b;
    b.set("before");
    b.set_after_prefix("\xff");
    CHECK_FALSE(b);
}

TEST_CASE("key_bound: exactly the keys that begin with a prefix lie between it and its end") {
    const auto seed = lsm::test::seed_or(40);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    for (int i = 0; i < 20000; ++i) {
        const bytes prefix = lsm::test::random_key(random).substr(0, random() % 4);
        const bytes key = random() % 2 == 0 ? lsm::test::random_key(random) : prefix + lsm::test::random_key(random);
        const auto end = end_of_prefix(prefix);
        REQUIRE(key.starts_with(prefix) == (key >= prefix && (!end || key < *end)));
    }
}

TEST_CASE("key_bound: takes its memory from the allocator") {
    lsm::test::allocation_log log;
    {
        key_bound<lsm::test::logged_allocator<std::byte>> b{lsm::test::logged_allocator<std::byte>(log)};
        b.set(bytes(100, 'k'));
        CHECK(log.allocations == 1);
    }
    CHECK(log.live_bytes == 0);
}

TEST_CASE("range_cursor: a range that is open at both ends has all entries") {
    confined at(listed_cursor(entries_of({"", "a", "b"})), between({}, {}));
    CHECK(rest_forward(at) == keys{"", "a", "b"});
    CHECK(at.status());
    at.seek_to_last();
    CHECK(rest_backward(at) == keys{"b", "a", ""});
}

TEST_CASE("range_cursor: the lower bound is inclusive and the upper bound exclusive") {
    const auto all = entries_of({"a", "b", "c", "d"});
    confined forward(listed_cursor(all), between("b", "d"));
    CHECK(rest_forward(forward) == keys{"b", "c"});
    confined backward(listed_cursor(all), between("b", "d", true));
    CHECK(rest_forward(backward) == keys{"c", "b"});
}

TEST_CASE("range_cursor: an empty range or an empty cursor has no entry") {
    for (const bool reverse : {false, true}) {
        const auto all = entries_of({"a", "c", "e"});
        for (const auto& none : {between("b", "c", reverse), between("d", "b", reverse), between("c", "c", reverse),
                                 between("f", {}, reverse), between({}, "a", reverse), between({}, "", reverse)}) {
            confined at(listed_cursor(all), none);
            CHECK_FALSE(at.valid());
            CHECK(at.status());
            at.seek_to_last();
            CHECK_FALSE(at.valid());
            at.seek("c");
            CHECK_FALSE(at.valid());
        }
        confined at(listed_cursor({}), between({}, {}, reverse));
        CHECK_FALSE(at.valid());
        CHECK(at.status());
    }
}

TEST_CASE("range_cursor: walks and seeks equal those of a model in both directions") {
    const auto seed = lsm::test::seed_or(41);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    const auto maybe_key = [&]() -> std::optional<bytes> {
        if (random() % 4 == 0) return std::nullopt;
        return lsm::test::random_key(random);
    };
    for (int round = 0; round < 2000; ++round) {
        std::set<bytes> stored;
        for (auto count = random() % 20; count > 0; --count) stored.insert(lsm::test::random_key(random));
        const auto from = maybe_key();
        const auto to = maybe_key();
        const bool reverse = random() % 2 == 0;
        confined at(listed_cursor(entries_of({stored.begin(), stored.end()})), between(from, to, reverse));

        keys expected;
        for (const auto& key : stored)
            if ((!from || key >= *from) && (!to || key < *to)) expected.push_back(key);
        if (reverse) std::reverse(expected.begin(), expected.end());

        REQUIRE(rest_forward(at) == expected);
        at.seek_to_last();
        REQUIRE(rest_backward(at) == keys(expected.rbegin(), expected.rend()));
        at.seek_to_first();
        REQUIRE(at.valid() == !expected.empty());

        const bytes target = lsm::test::random_key(random);
        at.seek(target);
        const auto first = std::find_if(expected.begin(), expected.end(),
                                        [&](const bytes& key) { return reverse ? key <= target : key >= target; });
        REQUIRE(rest_forward(at) == keys(first, expected.end()));
        REQUIRE(at.status());
        if (first != expected.begin() && first != expected.end()) {
            at.seek(target);
            at.prev();
            REQUIRE(at.valid());
            REQUIRE(at.key() == *(first - 1));
        }
    }
}

TEST_CASE("range_cursor: damage ends a walk with an error") {
    const auto all = entries_of({"a", "b", "c", "d"});
    const std::size_t damaged = 2;  // the entry of "c"
    confined forward(listed_cursor(all, damaged), between({}, {}));
    CHECK(rest_forward(forward) == keys{"a", "b"});
    CHECK_FALSE(forward.status());
    confined backward(listed_cursor(all, damaged), between({}, {}, true));
    CHECK(rest_forward(backward) == keys{"d"});
    CHECK_FALSE(backward.status());
    // To move to the high end, the cursor seeks "c", which is damaged. It must not fall back to the last entry.
    confined at_end(listed_cursor(all, damaged), between({}, "c", true));
    CHECK_FALSE(at_end.valid());
    CHECK(at_end.status().error().code == errc::bad_block);
    at_end.seek("a");
    CHECK(at_end.valid());
    CHECK(at_end.status());
}
