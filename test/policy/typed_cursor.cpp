#include <lsm/policy/typed_cursor.hpp>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

#include <lsm/core/range.hpp>

#include "support/catch.hpp"
#include "support/codecs.hpp"
#include "support/cursors.hpp"

using lsm::bytes;
using lsm::bytes_view;
using lsm::errc;
using lsm::policies;
using lsm::typed_cursor;
using lsm::test::entry_list;
using lsm::test::key_bytes;
using lsm::test::listed_cursor;
using lsm::test::value_bytes;

namespace {

using untyped = typed_cursor<policies<>, listed_cursor>;
using plain_with_tombstones = typed_cursor<policies<>, listed_cursor, true>;
using numbers = policies<std::int32_t, std::uint16_t>;
using typed = typed_cursor<numbers, listed_cursor>;
using typed_with_tombstones = typed_cursor<numbers, listed_cursor, true>;

using entry = entry_list::value_type;

entry number(std::int32_t key, std::uint16_t value) { return {key_bytes(key), value_bytes(value)}; }
entry deleted(std::int32_t key) { return {key_bytes(key), lsm::test::deleted}; }
entry text(bytes key, bytes value) { return {std::move(key), std::move(value)}; }

using number_pairs = std::vector<std::pair<std::int32_t, std::uint16_t>>;

number_pairs rest(typed& at) {
    number_pairs out;
    for (; at.valid(); at.next()) out.emplace_back(at.key(), at.value());
    return out;
}

const entry_list three = {number(-5, 50), number(0, 60), number(7, 70)};

// The key of the entry in the middle is a byte too short.
entry_list with_bad_key() {
    return {number(1, 10), text(key_bytes(std::int32_t{2}).substr(0, 3), value_bytes(std::uint16_t{20})),
            number(3, 30)};
}
// The value of the entry in the middle is a byte too long.
entry_list with_bad_value() {
    return {number(1, 10), text(key_bytes(std::int32_t{2}), value_bytes(std::uint16_t{20}) + "?"), number(3, 30)};
}

}  // namespace

TEST_CASE("typed_cursor: initially stands where the byte cursor stands") {
    listed_cursor inner(three);
    CHECK_FALSE(typed(inner).valid());
    inner.seek_to_first();
    const typed at(inner);
    REQUIRE(at.valid());
    CHECK(at.key() == -5);
    CHECK(at.value() == 50);
}

TEST_CASE("typed_cursor: walks and seeks in both directions") {
    typed at{listed_cursor(three)};
    at.seek_to_first();
    CHECK(rest(at) == number_pairs{{-5, 50}, {0, 60}, {7, 70}});
    CHECK(at.status());
    at.seek_to_last();
    CHECK(at.key() == 7);
    at.prev();
    CHECK(at.key() == 0);
    CHECK(at.value() == 60);
    at.prev();
    at.prev();
    CHECK_FALSE(at.valid());
    CHECK(at.status());
    at.seek(1);
    CHECK(at.key() == 7);
    at.seek(-1000);
    CHECK(at.key() == -5);
    at.seek(8);
    CHECK_FALSE(at.valid());
}

TEST_CASE("typed_cursor: shows the stored bytes too") {
    typed at{listed_cursor(three)};
    at.seek(0);
    CHECK(at.key_bytes() == three[1].first);
    CHECK(at.entry() == lsm::test::view_of(three[1].second));
}

TEST_CASE("typed_cursor: returns bytes as views of what is stored") {
    untyped at{listed_cursor({text("a", "1"), text("b", "2")})};
    at.seek("b");
    REQUIRE(at.valid());
    CHECK(at.key() == "b");
    CHECK(at.value() == "2");
    CHECK(at.key().data() == at.key_bytes().data());
    CHECK(at.value().data() == at.entry().value.data());
    STATIC_REQUIRE(std::is_same_v<decltype(at.key()), bytes_view>);
}

TEST_CASE("typed_cursor: shows tombstones where the stage does") {
    typed_with_tombstones at{listed_cursor({number(1, 10), deleted(2), number(3, 30)})};
    at.seek_to_first();
    CHECK_FALSE(at.tombstone());
    at.next();
    REQUIRE(at.valid());
    CHECK(at.tombstone());
    CHECK(at.key() == 2);
    at.next();
    CHECK_FALSE(at.tombstone());
    CHECK(at.value() == 30);

    plain_with_tombstones texts{listed_cursor({{"a", lsm::test::deleted}})};
    texts.seek_to_first();
    CHECK(texts.tombstone());
}

TEST_CASE("typed_cursor: bytes that are not a key end a walk with an error") {
    for (const bool forward : {true, false}) {
        typed at{listed_cursor(with_bad_key())};
        forward ? at.seek_to_first() : at.seek_to_last();
        REQUIRE(at.valid());
        forward ? at.next() : at.prev();
        CHECK_FALSE(at.valid());
        REQUIRE_FALSE(at.status());
        CHECK(at.status().error().code == errc::bad_key);
        CHECK(at.status().error().what == "bad_key: at key " + lsm::hex(at.key_bytes()));
    }
}

TEST_CASE("typed_cursor: bytes that are not a value end a walk with an error") {
    for (const bool forward : {true, false}) {
        typed at{listed_cursor(with_bad_value())};
        forward ? at.seek_to_first() : at.seek_to_last();
        REQUIRE(at.valid());
        forward ? at.next() : at.prev();
        CHECK_FALSE(at.valid());
        REQUIRE_FALSE(at.status());
        CHECK(at.status().error().code == errc::bad_value);
        CHECK(at.status().error().what.ends_with(lsm::hex(key_bytes(std::int32_t{2}))));
    }
}

TEST_CASE("typed_cursor: seeking a bad entry or starting on it is an error") {
    typed at{listed_cursor(with_bad_value())};
    at.seek(2);
    CHECK_FALSE(at.valid());
    CHECK_FALSE(at.status());
    at.seek(3);
    CHECK(at.valid());
    CHECK(at.status());
    CHECK(at.value() == 30);

    listed_cursor inner({text("short", "")});
    inner.seek_to_first();
    const typed made_on_it(inner);
    CHECK_FALSE(made_on_it.valid());
    CHECK(made_on_it.status().error().code == errc::bad_key);
}

TEST_CASE("typed_cursor: a tombstone is not a bad value") {
    typed_with_tombstones at{listed_cursor({deleted(1), text("x", "")})};
    at.seek_to_first();
    CHECK(at.valid());
    at.next();
    CHECK_FALSE(at.valid());
    CHECK(at.status().error().code == errc::bad_key);
}

TEST_CASE("typed_cursor: the status of the byte cursor is passed on") {
    typed at{listed_cursor(three, 1)};
    at.seek_to_first();
    CHECK(rest(at) == number_pairs{{-5, 50}});
    REQUIRE_FALSE(at.status());
    CHECK(at.status().error().code == errc::bad_block);
    at.seek(7);
    CHECK(at.valid());
    CHECK(at.status());
}

TEST_CASE("typed_cursor: is an input range of pairs") {
    STATIC_REQUIRE(std::ranges::input_range<untyped>);
    STATIC_REQUIRE(std::ranges::input_range<typed>);
    STATIC_REQUIRE(std::ranges::input_range<typed_with_tombstones>);
    STATIC_REQUIRE_FALSE(std::ranges::forward_range<typed>);
    STATIC_REQUIRE(std::sentinel_for<std::default_sentinel_t, typed::iterator>);
    STATIC_REQUIRE(std::is_same_v<std::ranges::range_value_t<untyped>, std::pair<bytes_view, bytes_view>>);
    STATIC_REQUIRE(std::is_same_v<std::ranges::range_value_t<typed_with_tombstones>,
                                  std::pair<std::int32_t, std::optional<std::uint16_t>>>);

    typed at{listed_cursor(three)};
    at.seek_to_first();
    number_pairs seen;
    for (const auto& [key, value] : at) seen.emplace_back(key, value);
    CHECK(seen == number_pairs{{-5, 50}, {0, 60}, {7, 70}});
    CHECK(at.status());
}

TEST_CASE("typed_cursor: as a range begins where the cursor stands") {
    typed at{listed_cursor(three)};
    at.seek(0);
    CHECK(std::ranges::count_if(at, [](const auto&) { return true; }) == 2);
    CHECK(at.begin() == at.end());
}

TEST_CASE("typed_cursor: a ranges algorithm stops at the entry that it finds") {
    typed at{listed_cursor(three)};
    at.seek_to_first();
    const auto found = std::ranges::find_if(at, [](const auto& entry) { return entry.second == 60; });
    REQUIRE(found != at.end());
    CHECK((*found).first == 0);
    CHECK(at.key() == 0);
}

TEST_CASE("typed_cursor: a tombstone in a range has no value") {
    typed_with_tombstones at{listed_cursor({number(1, 10), deleted(2)})};
    at.seek_to_first();
    std::vector<std::pair<std::int32_t, std::optional<std::uint16_t>>> seen;
    for (const auto& entry : at) seen.push_back(entry);
    REQUIRE(seen.size() == 2);
    CHECK(seen[0].second == std::uint16_t{10});
    CHECK(seen[1] == std::pair(std::int32_t{2}, std::optional<std::uint16_t>()));
}

TEST_CASE("typed_cursor: a bad entry ends a range and status is its error") {
    typed at{listed_cursor(with_bad_key())};
    at.seek_to_first();
    int seen = 0;
    for (const auto& entry : at) seen += entry.first;
    CHECK(seen == 1);
    CHECK(at.status().error().code == errc::bad_key);
}

TEST_CASE("typed_cursor: works over a byte cursor with a reversed range") {
    using alloc = std::allocator<std::byte>;
    lsm::detail::key_range<alloc> range;
    range.from.set(key_bytes(std::int32_t{-5}));
    range.to.set(key_bytes(std::int32_t{7}));
    range.reverse = true;
    typed_cursor<numbers, lsm::detail::range_cursor<listed_cursor, alloc>> at({listed_cursor(three), range});
    REQUIRE(at.valid());
    CHECK(at.key() == 0);
    at.next();
    CHECK(at.key() == -5);
    at.next();
    CHECK_FALSE(at.valid());
    at.seek(100);
    CHECK(at.key() == 0);
}

TEST_CASE("typed_cursor: keys of variable size are decoded in order") {
    using pairs = policies<std::pair<bytes, std::int32_t>, bytes>;
    entry_list entries;
    for (const auto& key : {std::pair<bytes, std::int32_t>("a", -1), {"a", 2}, {"b", 0}})
        entries.emplace_back(key_bytes(key), "v");
    typed_cursor<pairs, listed_cursor> at{listed_cursor(entries)};
    at.seek({"a", 0});
    REQUIRE(at.valid());
    CHECK(at.key() == std::pair<bytes, std::int32_t>("a", 2));
    at.next();
    CHECK(at.key().first == "b");
}
