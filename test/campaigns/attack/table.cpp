#include <lsm/sstable/reader.hpp>
#include <lsm/sstable/writer.hpp>

#include <algorithm>

#include <lsm/io/memory_file_system.hpp>

#include "campaigns/attack/mutations.hpp"
#include "campaigns/fuzz/entries.hpp"
#include "support/catch.hpp"
#include "support/cursors.hpp"
#include "support/files.hpp"
#include "support/raw_bytes.hpp"
#include "support/results.hpp"

using lsm::bytes;
using namespace lsm::test;

TEST_CASE("attacked table: an accepted table is in order and consistent and anything else is refused") {
    const bytes sound = raw_table({{{"", "empty key"}, {"a", std::nullopt}},
                                   {{"ab", ""}, {"b", bytes(30, 'v')}},
                                   {{"key", "value"}, {"\xff", std::nullopt}}});
    REQUIRE(fuzz::table(sound));
    std::size_t accepted = 0;
    for_each_mutation(sound, 202, [&](const bytes& in) { accepted += fuzz::table(in); });
    CHECK(accepted > 0);  // without an extension area, a bit flipped inside a value leaves a valid table
}

TEST_CASE("attacked table: all damage to a table with an extension area is reported with file and offset") {
    const entry_list entries = {{"", "empty key"},     {"a", std::nullopt}, {"ab", ""},
                                {"b", bytes(30, 'v')}, {"key", "value"},    {"\xff", std::nullopt}};
    bytes sound;
    lsm::io::string_sink to(sound);
    lsm::sst_writer writer(to, {.block_size = 40, .extended = true});
    for (const auto& [key, value] : entries) must(writer.add(key, value));
    must(writer.finish());
    REQUIRE(fuzz::table(sound));

    std::size_t reported = 0, unreported = 0;
    for_each_damage(sound, [&](const bytes& in) {
        if (in == sound) return;  // zeros replaced zeros
        fuzz::table(in);
        lsm::io::memory_file_system fs;
        write_file(fs, "table.sst", in);
        const auto report = [&](const lsm::error& error) {
            ++reported;
            INFO(error.what);
            // A truncated file and a file of another kind are refused as a whole: there is no offset to give.
            const bool has_offset = error.code != lsm::errc::short_input && error.code != lsm::errc::bad_magic;
            REQUIRE(error.what.starts_with(has_offset ? "table.sst: offset " : "table.sst: "));
        };
        const auto table = lsm::sst_reader::open(open_file(fs, "table.sst"));
        if (!table) return report(table.error());
        auto at = table->iter();
        const auto seen = rest_of(at);
        if (!at.status()) {
            report(at.status().error());
            REQUIRE(std::equal(seen.begin(), seen.end(), entries.begin()));  // the entries before the damage
        } else {
            ++unreported;
            REQUIRE(seen == entries);
        }
        for (const auto& [key, value] : entries) {
            const auto found = table->get(key);
            if (!found) {
                report(found.error());
                continue;
            }
            REQUIRE_FALSE(found->absent());
            REQUIRE(found->tombstone() == !value.has_value());
            if (value) REQUIRE(found->value() == *value);
        }
    });
    CHECK(reported > 8 * sound.size());
    CHECK(unreported == 0);
}

TEST_CASE(
    "attacked table: a hundred bytes that claim four billion blocks or bytes are refused without allocating for them") {
    constexpr std::uint64_t many = 0xffff'ffff;
    const auto padded = [](const bytes& index, std::uint64_t blocks) {
        const bytes body(100 - 32 - index.size(), '\0');
        return body + index + raw_footer(body.size(), index.size(), blocks);
    };
    const bytes block_of_many = u32(many) + raw_record({"a", ""});
    const bytes long_entry = u32(1) + raw_record(many, many, 0, "a");
    const auto with_block = [](const bytes& block) {
        const bytes index = raw_index({{"a", 0, block.size()}});
        return block + bytes(100 - 32 - index.size() - block.size(), '\0') + index +
               raw_footer(100 - 32 - index.size(), index.size(), 1);
    };
    const bytes claims[] = {
        padded(u32(many), many),
        padded(u32(1) + u32(many) + u64(0) + u64(13) + "a", 1),
        padded(raw_index({{"a", 0, many}}), 1),
        padded(raw_index({{"a", many, 13}}), 1),
        bytes(68, '\0') + raw_footer(0, many, many),
        bytes(68, '\0') + raw_footer(many, 0 - many + 68, many),
        with_block(block_of_many),
        with_block(long_entry),
    };
    for (const bytes& claim : claims) {
        REQUIRE(claim.size() == 100);
        CHECK_FALSE(fuzz::table(claim));
    }
}
