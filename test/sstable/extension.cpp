#include <lsm/sstable/extension.hpp>

#include <string>

#include <lsm/core/crc32.hpp>
#include <lsm/sstable/reader.hpp>
#include <lsm/sstable/writer.hpp>

#include "sstable/tables.hpp"
#include "support/catch.hpp"
#include "support/results.hpp"
#include "support/sha256.hpp"

using lsm::bytes;
using lsm::errc;
using namespace lsm::test;

namespace {

entry_list all_of(const lsm::sst_reader& table) {
    entry_list out;
    auto at = table.iter();
    for (auto [key, value] : at) out.emplace_back(bytes(key), value ? std::optional<bytes>(*value) : std::nullopt);
    must(at.status());
    return out;
}

}  // namespace

TEST_CASE("sst extension: the area only moves the index of the plain table") {
    const auto entries = numbered_entries(50);
    const bytes plain = written_table(entries, 64);
    const bytes extended = extended_table(entries);
    const auto [begin, end] = area_of(extended, plain);
    CHECK(extended.substr(0, begin) == plain.substr(0, begin));
    CHECK(extended.substr(end, extended.size() - end - 32) == plain.substr(begin, plain.size() - begin - 32));
    CHECK(extended.substr(end - 8, 8) == bytes("LSMEXT1\0", 8));
}

TEST_CASE("sst extension: tables match the golden vectors") {
    const entry_list two = {{"alpha", "first"}, {"beta", std::nullopt}};
    CHECK(lsm::hex(extended_table(two, 4096, 0)) ==
          "02000000"
          "0500000005000000"
          "00"
          "616c7068616669727374"
          "0400000000000000"
          "01"
          "62657461"
          "01000000"
          "0800000000000000"
          "c9015d07"
          "8f93cb15"
          "02000000"
          "3100000000000000"
          "0200000000000000"
          "0100000000000000"
          "0900000000000000"
          "0500000000000000"
          "05000000"
          "616c706861"
          "04000000"
          "62657461"
          "6900000000000000"
          "cfecc84d"
          "01000000"
          "4c534d4558543100"
          "01000000"
          "05000000"
          "0000000000000000"
          "2400000000000000"
          "616c706861"
          "8d00000000000000"
          "1d00000000000000"
          "0100000000000000"
          "5353543100000000");
    CHECK(sha256(extended_table(numbered_entries(100), 64)) ==
          "42dd8026c582828a62dc71d532efa25213feb08891bccefdea8f84376f2f258f");
    CHECK(extended_table({}) == written_table({}));
}

TEST_CASE("sst extension: properties describe the entries of the table") {
    const entry_list entries = {{"", "empty"}, {"b", std::nullopt}, {"ccc", "1234"}};
    const opened_table table(extended_table(entries));
    const auto said = table->properties();
    REQUIRE(said.has_value());
    CHECK(said->entries == 3);
    CHECK(said->tombstones == 1);
    CHECK(said->key_bytes == 4);
    CHECK(said->value_bytes == 9);
    CHECK(said->smallest.empty());
    CHECK(said->largest == "ccc");
    CHECK_FALSE(opened_table(written_table(entries))->properties().has_value());
}

TEST_CASE("sst extension: a reader finds all entries with and without a filter") {
    const unsigned filter_bits = GENERATE(0u, 1u, 10u);
    const auto entries = numbered_entries(300);
    const opened_table table(extended_table(entries, 256, filter_bits));
    CHECK(all_of(*table) == entries);
    for (const auto& [key, value] : entries) {
        const auto found = must(table->get(key));
        CHECK(found.tombstone() == !value.has_value());
        if (value) CHECK(found.value() == *value);
        CHECK(must(table->get(key + "x")).absent());
    }
}

TEST_CASE("sst extension: every flipped bit is an error and never a wrong entry") {
    const auto entries = numbered_entries(12);
    const bytes good = extended_table(entries);
    std::size_t refused = 0;
    for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
        bytes bad = good;
        bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
        const opened_table table(bad);
        if (!table.opened) {
            ++refused;
            continue;
        }
        INFO("bit " << bit);
        auto at = table->iter();
        entry_list seen;
        for (auto [key, value] : at) seen.emplace_back(bytes(key), value ? std::optional<bytes>(*value) : std::nullopt);
        if (at.status()) {
            REQUIRE(seen == entries);
        } else {
            ++refused;
            REQUIRE(seen.size() < entries.size());
            REQUIRE(std::equal(seen.begin(), seen.end(), entries.begin()));
        }
        for (const auto& [key, value] : entries)
            if (const auto found = table->get(key))
                REQUIRE((value ? found->found() && found->value() == *value : found->tombstone()));
    }
    CHECK(refused == 8 * good.size());
}

TEST_CASE("sst extension: damage is reported with the offset of the area or index or block") {
    const auto entries = numbered_entries(40);
    const bytes good = extended_table(entries);
    const auto area = area_of(good, written_table(entries, 64));
    const auto defect = [&](std::size_t at) {
        bytes bad = good;
        bad[at] = static_cast<char>(bad[at] ^ 1);
        const opened_table table(bad);
        return table.opened ? must_fail(table->get(entries.front().first)) : table.opened.error();
    };
    const auto last_index_byte = good.size() - 33;
    for (const auto& [at, offset] : {std::pair{area.begin + 20, area.begin}, {last_index_byte, area.end}, {20, 0}}) {
        CHECK(defect(at).code == errc::bad_checksum);
        CHECK(defect(at).what.find("offset " + std::to_string(offset) + ":") != std::string::npos);
    }
}

TEST_CASE("sst extension: an area that does not begin where the last block ends is refused") {
    const auto entries = numbered_entries(5);
    bytes table = extended_table(entries);
    const auto area = area_of(table, written_table(entries, 64));
    table.insert(area.begin, "gap");
    lsm::detail::store_le(table.data() + table.size() - 32, std::uint64_t{area.end + 3});
    CHECK(opened_table(table).error_code() == errc::bad_checksum);
}

TEST_CASE("sst extension: foreign bytes before the index are ignored") {
    const auto entries = numbered_entries(5);
    const std::size_t size = GENERATE(1u, 23u, 24u, 25u, 1000u);
    bytes table = written_table(entries, 64);
    const auto end = area_of(table, table).begin;
    table.insert(end, bytes(size, 'x'));
    lsm::detail::store_le(table.data() + table.size() - 32, std::uint64_t{end + size});
    const opened_table opened(table);
    CHECK(all_of(*opened) == entries);
    CHECK_FALSE(opened->properties().has_value());
}

TEST_CASE("sst extension: a last value that looks like an area remains a value") {
    const bytes area = [] {
        const auto entries = numbered_entries(3);
        const bytes table = extended_table(entries);
        const auto [begin, end] = area_of(table, written_table(entries, 64));
        return table.substr(begin, end - begin);
    }();
    const entry_list entries = {{"a", "1"}, {"b", area}};
    CHECK(all_of(*opened_table(written_table(entries))) == entries);
    CHECK(all_of(*opened_table(extended_table(entries))) == entries);
}

TEST_CASE("sst extension: unknown sections and versions are ignored") {
    const auto entries = numbered_entries(20);
    bytes table = extended_table(entries);
    const auto area = area_of(table, written_table(entries, 64));
    SECTION("a section") {
        table[area.begin] = 77;  // the kind of the checksums
        fix_area_crc(table, area);
        const opened_table opened(table);
        CHECK(all_of(*opened) == entries);
        CHECK(opened->properties().has_value());
    }
    SECTION("a version") {
        table[area.end - 12] = 2;
        fix_area_crc(table, area);
        const opened_table opened(table);
        CHECK(all_of(*opened) == entries);
        CHECK_FALSE(opened->properties().has_value());
    }
}

TEST_CASE("sst extension: a malformed area with a correct crc is refused") {
    const auto entries = numbered_entries(20);
    bytes table = extended_table(entries);
    const auto area = area_of(table, written_table(entries, 64));
    SECTION("a section longer than the area") { table[area.begin + 10] = 1; }
    SECTION("checksums of too few blocks") { table[area.begin + 4] = static_cast<char>(table[area.begin + 4] - 4); }
    fix_area_crc(table, area);
    CHECK(opened_table(table).error_code() == errc::bad_block);
}

TEST_CASE("sst extension: two sections of one kind are malformed") {
    const auto entries = numbered_entries(50);
    const bytes plain = written_table(entries, 64);
    const bytes once = extended_table(entries);
    const auto area = area_of(once, plain);
    std::size_t at = area.begin;
    for (int kind = 1; kind <= 3; ++kind) {
        const auto size = 12 + static_cast<std::size_t>(lsm::detail::load_le<std::uint64_t>(once.data() + at + 4));
        bytes twice = once;
        twice.insert(area.begin, once, at, size);
        lsm::detail::store_le(twice.data() + twice.size() - 32, std::uint64_t{area.end + size});
        const area_place both{area.begin, area.end + size};
        lsm::detail::store_le(twice.data() + both.end - 24, std::uint64_t{both.end - both.begin});
        fix_area_crc(twice, both);
        CHECK(opened_table<>(twice).error_code() == errc::bad_block);
        at += size;
    }
    CHECK(at == area.end - 24);
}
