#include <lsm/sstable/reader.hpp>
#include <lsm/sstable/writer.hpp>

#include <algorithm>

#include <lsm/io/memory_file_system.hpp>

#include "attack/mutations.hpp"
#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/cursor_walk.hpp"
#include "support/files.hpp"
#include "support/raw_bytes.hpp"
#include "support/results.hpp"

using lsm::bytes;
using namespace lsm::test;

namespace {

using alloc = logged_allocator<std::byte>;
using reader_type = lsm::basic_sst_reader<lsm::policies<bytes, bytes, alloc>>;

std::size_t memory_bound(std::size_t file_bytes) { return 4 * file_bytes + 4096; }

bytes rewritten(const raw_entries& entries) {
    bytes out;
    lsm::io::string_sink to(out);
    lsm::sst_writer writer(to);
    for (const auto& [key, value] : entries) must(writer.add(key, value));
    must(writer.finish());
    return out;
}

// Everything that can be asked of a table; returns whether all of it was sound.
bool interrogate(const bytes& table, allocation_log& log) {
    lsm::io::memory_file_system fs;
    write_file(fs, "table.sst", table);
    auto reader = reader_type::open(open_file(fs, "table.sst"), alloc(log));
    if (!reader) return false;

    auto at = reader->iter();
    const auto forwards = rest_of(at);
    const bool sound = at.status().has_value();
    for (std::size_t i = 1; i < forwards.size(); ++i) REQUIRE(forwards[i - 1].first < forwards[i].first);
    auto back = reader->iter({.from = {}, .to = {}, .reverse = true});
    auto backwards = rest_of(back);
    REQUIRE(back.status().has_value() == sound);
    for (std::size_t i = 1; i < backwards.size(); ++i) REQUIRE(backwards[i - 1].first > backwards[i].first);

    const auto len = reader->len();
    REQUIRE(len.has_value() == sound);
    for (const auto& [key, value] : forwards) {
        const auto found = reader->get(key);
        REQUIRE(found.has_value());
        REQUIRE(found->tombstone() == !value.has_value());
        if (value) REQUIRE(found->value() == *value);
    }
    static_cast<void>(reader->get(""));
    static_cast<void>(reader->get("\xff\xff"));
    if (!sound) return false;

    REQUIRE(*len == forwards.size());
    std::reverse(backwards.begin(), backwards.end());
    REQUIRE(backwards == forwards);
    write_file(fs, "again.sst", rewritten(forwards));
    REQUIRE(rest_of(must(lsm::sst_reader::open(open_file(fs, "again.sst"))).iter()) == forwards);
    return true;
}

}  // namespace

TEST_CASE("attacked table: what is read is in order and consistent and all else is refused") {
    const bytes sound = raw_table({{{"", "empty key"}, {"a", std::nullopt}},
                                   {{"ab", ""}, {"b", bytes(30, 'v')}},
                                   {{"key", "value"}, {"\xff", std::nullopt}}});
    allocation_log log;
    REQUIRE(interrogate(sound, log));
    std::size_t accepted = 0;
    for_each_mutation(sound, 202, [&](const bytes& table) {
        log.reset();
        if (interrogate(table, log)) ++accepted;
        REQUIRE(log.peak_bytes <= memory_bound(table.size()));
        REQUIRE(log.live_bytes == 0);
    });
    CHECK(accepted > 0);  // a flipped bit in a value is no defect
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
        allocation_log log;
        CHECK_FALSE(interrogate(claim, log));
        CHECK(log.peak_bytes <= memory_bound(claim.size()));
        CHECK(log.live_bytes == 0);
    }
}
