#include <lsm/sstable/reader.hpp>
#include <lsm/sstable/writer.hpp>

#include <algorithm>

#include <lsm/io/memory_file_system.hpp>

#include "campaigns/attack/mutations.hpp"
#include "campaigns/fuzz/entries.hpp"
#include "support/catch.hpp"
#include "support/cursor_walk.hpp"
#include "support/files.hpp"
#include "support/raw_bytes.hpp"
#include "support/results.hpp"

using lsm::bytes;
using namespace lsm::test;

TEST_CASE("attacked table: what is read is in order and consistent and all else is refused") {
    const bytes sound = raw_table({{{"", "empty key"}, {"a", std::nullopt}},
                                   {{"ab", ""}, {"b", bytes(30, 'v')}},
                                   {{"key", "value"}, {"\xff", std::nullopt}}});
    REQUIRE(fuzz::table(sound));
    std::size_t accepted = 0;
    for_each_mutation(sound, 202, [&](const bytes& in) { accepted += fuzz::table(in); });
    CHECK(accepted > 0);  // a flipped bit in a value is no defect
}

TEST_CASE("attacked table: with an extension area all damage is told, with file and offset, or changes nothing") {
    const raw_entries entries = {{"", "empty key"},     {"a", std::nullopt}, {"ab", ""},
                                 {"b", bytes(30, 'v')}, {"key", "value"},    {"\xff", std::nullopt}};
    bytes sound;
    lsm::io::string_sink to(sound);
    lsm::sst_writer writer(to, {.block_size = 40, .extended = true});
    for (const auto& [key, value] : entries) must(writer.add(key, value));
    must(writer.finish());
    REQUIRE(fuzz::table(sound));

    std::size_t told = 0, unharmed = 0;
    for_each_damage(sound, [&](const bytes& in) {
        if (in == sound) return;  // zeros in place of zeros
        fuzz::table(in);
        lsm::io::memory_file_system fs;
        write_file(fs, "table.sst", in);
        const auto told_of = [&](const lsm::error& what) {
            ++told;
            INFO(what.what);
            // Of a file that is cut off or of another kind there is no place to tell.
            const bool whole = what.code != lsm::errc::short_input && what.code != lsm::errc::bad_magic;
            REQUIRE(what.what.starts_with(whole ? "table.sst: offset " : "table.sst: "));
        };
        const auto table = lsm::sst_reader::open(open_file(fs, "table.sst"));
        if (!table) return told_of(table.error());
        auto at = table->iter();
        const auto seen = rest_of(at);
        if (!at.status()) {
            told_of(at.status().error());
            REQUIRE(std::equal(seen.begin(), seen.end(), entries.begin()));
        } else {
            ++unharmed;
            REQUIRE(seen == entries);
        }
        for (const auto& [key, value] : entries) {
            const auto found = table->get(key);
            if (!found) {
                told_of(found.error());
                continue;
            }
            REQUIRE_FALSE(found->absent());
            REQUIRE(found->tombstone() == !value.has_value());
            if (value) REQUIRE(found->value() == *value);
        }
    });
    CHECK(told > 8 * sound.size());
    CHECK(unharmed == 0);
}

TEST_CASE("attacked table: a hundred bytes that claim four billion of anything are refused at no cost") {
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
