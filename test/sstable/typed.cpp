#include <lsm/sstable/reader.hpp>

#include <cstdint>
#include <optional>
#include <tuple>
#include <vector>

#include "sstable/tables.hpp"
#include "support/catch.hpp"

using lsm::bytes;
using lsm::errc;
using namespace lsm::test;

namespace {

using numbers = lsm::policies<std::int64_t, std::uint32_t>;
using number_reader = lsm::basic_sst_reader<numbers>;

bytes key_of(std::int64_t key) {
    bytes out;
    lsm::key_codec<std::int64_t>::encode(key, out);
    return out;
}

}  // namespace

TEST_CASE("typed sst: numbers are stored and iterated in numeric order") {
    bytes raw;
    lsm::io::string_sink to(raw);
    lsm::basic_sst_writer<numbers> writer(to, {64});
    for (std::int64_t i = -50; i < 50; ++i) {
        if (i % 10 == 0)
            must(writer.add(i, std::nullopt));
        else
            must(writer.add(i, static_cast<std::uint32_t>(i * i)));
    }
    must(writer.finish());

    const opened_table<number_reader> t(raw);
    CHECK(t->num_blocks() > 1);
    std::int64_t expected = -50;
    for (auto at = t->iter(); at.valid(); at.next(), ++expected) {
        REQUIRE(at.key() == expected);
        REQUIRE(at.tombstone() == (expected % 10 == 0));
        if (!at.tombstone()) REQUIRE(at.value() == static_cast<std::uint32_t>(expected * expected));
    }
    CHECK(expected == 50);
    CHECK(must(t->get(-7)).value() == 49);
    CHECK(must(t->get(10)).tombstone());
    CHECK(must(t->get(50)).absent());

    std::vector<std::int64_t> keys;
    for (auto at = t->iter({.from = -3, .to = 3, .reverse = true}); at.valid(); at.next()) keys.push_back(at.key());
    CHECK(keys == std::vector<std::int64_t>{2, 1, 0, -1, -2, -3});
}

TEST_CASE("typed sst: keys out of numeric order are unsorted") {
    bytes raw;
    lsm::io::string_sink to(raw);
    lsm::basic_sst_writer<numbers> writer(to);
    must(writer.add(1, 1));
    CHECK(must_fail(writer.add(-1, 1)).code == errc::unsorted);
}

TEST_CASE("typed sst: bytes that do not decode to a value are a bad value where they are read") {
    const opened_table<number_reader> t(
        raw_table({{{key_of(1), "1234"}, {key_of(2), "12345"}, {key_of(3), std::nullopt}, {key_of(4), "4321"}}}));
    CHECK(must(t->get(1)).found());
    CHECK(must(t->get(3)).tombstone());
    const auto error = must_fail(t->get(2));
    CHECK(error.code == errc::bad_value);
    CHECK(error.what.starts_with(table_path + ": "));

    auto at = t->iter();
    REQUIRE(at.valid());
    at.next();
    CHECK_FALSE(at.valid());
    CHECK(must_fail(at.status()).code == errc::bad_value);
    at.seek(3);
    CHECK(at.valid());
    CHECK(at.status().has_value());
    at.next();
    CHECK(at.valid());
    at.prev();
    at.prev();
    CHECK(must_fail(at.status()).code == errc::bad_value);
}

TEST_CASE("typed sst: bytes that do not decode to a key are a bad key") {
    const opened_table<number_reader> t(raw_table({{{key_of(1), "1234"}, {key_of(2) + "x", "1234"}}}));
    auto at = t->iter();
    REQUIRE(at.valid());
    at.next();
    CHECK_FALSE(at.valid());
    CHECK(must_fail(at.status()).code == errc::bad_key);
    const opened_table<number_reader> first(raw_table({{{"", "1234"}}}));
    CHECK(must_fail(first->iter().status()).code == errc::bad_key);
}

TEST_CASE("typed sst: a cursor that has left its range does not report bad bytes beyond it") {
    const opened_table<number_reader> t(raw_table({{{key_of(1), "1234"}, {key_of(2), "not four bytes"}}}));
    auto at = t->iter({.from = 1, .to = 2, .reverse = false});
    REQUIRE(at.valid());
    CHECK(at.value() == 0x34333231);
    at.next();
    CHECK_FALSE(at.valid());
    CHECK(at.status().has_value());
}
