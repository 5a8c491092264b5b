#include <lsm/memtable/memtable.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "support/catch.hpp"
#include "support/raw_bytes.hpp"
#include "support/results.hpp"

using lsm::bytes;
using lsm::errc;
using namespace lsm::test;

namespace {

struct point {
    std::int32_t x;
    std::int32_t y;
    friend bool operator==(const point&, const point&) = default;
};

}  // namespace

TEST_CASE("typed memtable: signed keys are in numeric order and are returned as numbers") {
    lsm::basic_memtable<lsm::policies<std::int32_t, point>> table;
    const std::vector<std::int32_t> ordered = {std::numeric_limits<std::int32_t>::min(), -70'000, -1, 0, 1, 256, 70'000,
                                               std::numeric_limits<std::int32_t>::max()};
    for (std::size_t i = 0; i < ordered.size(); ++i) {
        const std::int32_t key = ordered[(i * 3 + 1) % ordered.size()];
        table.put(key, {key, 7});
    }
    table.del(0);
    std::vector<std::int32_t> walked;
    for (auto at = table.iter(); at.valid(); at.next()) {
        walked.push_back(at.key());
        if (at.key() == 0)
            CHECK(at.tombstone());
        else
            CHECK(at.value() == point{at.key(), 7});
    }
    CHECK(walked == ordered);
    CHECK(table.get(-1).value() == point{-1, 7});
    CHECK(table.get(0).tombstone());
    CHECK(table.get(2).absent());
    auto at = table.iter();
    at.seek(-2);
    CHECK(at.key() == -1);
    at.prev();
    CHECK(at.key() == -70'000);
}

TEST_CASE("typed memtable: tuples are ordered element by element") {
    using key = std::tuple<bytes, std::uint16_t>;
    lsm::basic_memtable<lsm::policies<key, bytes>> table;
    const std::vector<key> ordered = {{"", 9},   {"a", 0}, {"a", 1}, {"a", 256}, {bytes("a\0", 2), 0},
                                      {"ab", 0}, {"b", 0}};
    for (auto k = ordered.rbegin(); k != ordered.rend(); ++k) table.put(*k, std::get<0>(*k));
    std::vector<key> seen;
    for (const auto& [k, value] : table.iter()) {
        seen.push_back(k);
        CHECK(value == std::get<0>(k));
    }
    CHECK(seen == ordered);
}

TEST_CASE("typed memtable: a dump holds the encoded entries and decodes to the same ones") {
    using table_type = lsm::basic_memtable<lsm::policies<std::uint32_t, std::uint16_t>>;
    table_type table;
    table.put(7, 513);
    table.del(258);
    CHECK(table.encode() == raw_dump({{bytes("\0\0\0\x07", 4), "\x01\x02"}, {bytes("\0\0\x01\x02", 4), std::nullopt}}));
    const auto back = must(table_type::decode(table.encode()));
    CHECK(back.get(7).value() == 513);
    CHECK(back.get(258).tombstone());
}

TEST_CASE("typed memtable: decode refuses bytes that are not a key or value of its types") {
    using table_type = lsm::basic_memtable<lsm::policies<std::uint32_t, std::uint16_t>>;
    CHECK(must_fail(table_type::decode(raw_dump({{"1234", "12"}, {"1235x", "12"}}))).code == errc::bad_key);
    CHECK(must_fail(table_type::decode(raw_dump({{"1234", "12"}, {"1235", "123"}}))).code == errc::bad_value);
    CHECK(must_fail(table_type::decode(raw_dump({{"", std::nullopt}}))).code == errc::bad_key);
    CHECK(must(table_type::decode(raw_dump({{"1234", std::nullopt}}))).len() == 1);
}
