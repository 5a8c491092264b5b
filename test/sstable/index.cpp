#include <lsm/sstable/index.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "sstable/tables.hpp"
#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/random_keys.hpp"
#include "support/raw_bytes.hpp"
#include "support/results.hpp"
#include "support/seed.hpp"

using lsm::bytes;
using lsm::errc;
using namespace lsm::test;

namespace {

template <class Alloc = std::allocator<std::byte>>
using index_of = lsm::detail::table_index<Alloc>;

// Parses `index` as if it stood in a file right after the blocks that end at `index_offset`.
template <class Alloc = std::allocator<std::byte>>
lsm::result<index_of<Alloc>> parsed(const bytes& index, std::uint64_t index_offset, std::uint64_t num_blocks,
                                    const Alloc& alloc = {}) {
    return index_of<Alloc>::parse(lsm::basic_bytes<Alloc>(lsm::bytes_view(index), alloc),
                                  {index_offset, index.size(), num_blocks}, alloc);
}
lsm::result<index_of<>> parsed(const std::vector<raw_index_entry>& entries, std::uint64_t index_offset) {
    return parsed(raw_index(entries), index_offset, entries.size());
}

// The index of adjacent blocks of 20 bytes with these first keys, which must ascend.
std::vector<raw_index_entry> entries_with_keys(const std::vector<bytes>& keys) {
    std::vector<raw_index_entry> out;
    for (const bytes& key : keys) out.push_back({key, 20 * out.size(), 20});
    return out;
}

void check_floors(const std::vector<bytes>& first_keys, const std::vector<bytes>& targets) {
    const auto index = must(parsed(entries_with_keys(first_keys), 20 * first_keys.size()));
    for (const bytes& target : targets) {
        const auto above = std::upper_bound(first_keys.begin(), first_keys.end(), target) - first_keys.begin();
        const auto found = index.floor(target);
        REQUIRE(found.has_value() == (above != 0));
        if (found) REQUIRE(*found == static_cast<std::size_t>(above) - 1);
    }
}

// A table with this index after 45 bytes that serve as blocks. Opening a table does not read them.
const bytes unread_blocks(45, '.');
bytes with_index(const std::vector<raw_index_entry>& index) { return raw_table(unread_blocks, index); }

}  // namespace

TEST_CASE("sst index: entries have the key and the place of each block") {
    const std::vector<raw_index_entry> entries = {
        {"", 0, 13}, {bytes("a\0b", 3), 13, 400}, {"b", 500, std::uint64_t{1} << 40}};
    const auto index = must(parsed(entries, std::uint64_t{1} << 41));
    REQUIRE(index.size() == entries.size());
    for (std::size_t i = 0; i < entries.size(); ++i) {
        CHECK(index[i].first_key == entries[i].first_key);
        CHECK(index[i].offset == entries[i].offset);
        CHECK(index[i].size == entries[i].size);
    }
    CHECK(index.raw() == raw_index(entries));
}

TEST_CASE("sst index: the end of the blocks is the end of the last one") {
    CHECK(must(parsed({{"a", 0, 15}, {"b", 20, 30}}, 100)).end_of_blocks() == 50);
    CHECK(must(parsed({{"a", 7, 13}}, 20)).end_of_blocks() == 20);
    CHECK(must(parsed(std::vector<raw_index_entry>(), 20)).end_of_blocks() == 0);
}

TEST_CASE("sst index: an empty index has no block for any key") {
    const auto index = must(parsed(std::vector<raw_index_entry>(), 0));
    CHECK(index.size() == 0);
    CHECK_FALSE(index.floor("").has_value());
    CHECK_FALSE(index.floor("key").has_value());
}

TEST_CASE("sst index: the floor of a key is the last block that does not begin above it") {
    const std::vector<bytes> keys = {"b", "bb", "d"};
    const auto index = must(parsed(entries_with_keys(keys), 60));
    CHECK_FALSE(index.floor("").has_value());
    CHECK_FALSE(index.floor("a\xff").has_value());
    CHECK(index.floor("b") == 0u);
    CHECK(index.floor("ba") == 0u);
    CHECK(index.floor("bb") == 1u);
    CHECK(index.floor("c") == 1u);
    CHECK(index.floor("d") == 2u);
    CHECK(index.floor("\xff") == 2u);
}

TEST_CASE("sst index: floors are right where keys differ only far beyond their shared prefix") {
    const bytes prefix(100, 'p');
    const bytes same = prefix + "a long common part";  // longer than the number that represents a key
    const std::vector<bytes> keys = {prefix, same, same + bytes(1, '\0'), same + "1", same + "1x", same + "2"};
    std::vector<bytes> targets = {"", "p", prefix.substr(1), prefix + bytes(1, '\0'), prefix + "z", "q", same + "0"};
    for (const bytes& key : keys) {
        targets.push_back(key);
        targets.push_back(key + bytes(1, '\0'));
        targets.push_back(key.substr(0, key.size() - 1));
    }
    check_floors(keys, targets);
}

TEST_CASE("sst index: floors of random keys are those of a binary search") {
    const auto seed = seed_or(2024);
    INFO("LSM_SEED=" << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 200; ++round) {
        std::vector<bytes> keys;
        for (auto n = random() % 60 + 1; n > 0; --n) keys.push_back(random_key(random));
        std::sort(keys.begin(), keys.end());
        keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
        std::vector<bytes> targets = keys;
        for (int i = 0; i < 100; ++i) targets.push_back(random_key(random));
        check_floors(keys, targets);
    }
}

TEST_CASE("sst index: an error has the offset in the file of the entry that is wrong") {
    const auto what = [](const std::vector<raw_index_entry>& entries) { return must_fail(parsed(entries, 100)).what; };
    // The second entry begins after the count and an entry of 21 bytes.
    CHECK(what({{"b", 0, 15}, {"a", 15, 20}}) ==
          "offset 125: unsorted: the index key is not greater than the one before it");
    CHECK(what({{"a", 0, 15}, {"b", 15, 12}}) == "offset 125: bad_block: a block has at least 13 bytes");
    CHECK(what({{"a", 0, 15}, {"b", 14, 15}}) ==
          "offset 125: index_out_of_range: the block begins before the previous one ends");
    CHECK(what({{"a", 0, 101}}) == "offset 104: index_out_of_range: the block ends after the index begins");

    const bytes good = raw_index({{"a", 0, 15}, {"b", 15, 20}});
    CHECK(must_fail(parsed(good.substr(0, 3), 100, 2)).what == "offset 100: bad_block: the index is cut off");
    CHECK(must_fail(parsed(good + "x", 100, 2)).what == "offset 146: bad_block: bytes after the last index entry");
    CHECK(must_fail(parsed(good, 100, 3)).what ==
          "offset 146: bad_block: index and footer differ in the number of blocks");
}

TEST_CASE("sst index: memory comes from the allocator and memory_bytes is its size") {
    allocation_log log;
    using alloc = logged_allocator<std::byte>;
    {
        std::vector<bytes> keys;
        for (int i = 0; i < 500; ++i) keys.push_back("key" + std::to_string(1000 + i));
        const auto entries = entries_with_keys(keys);
        const auto index = must(parsed<alloc>(raw_index(entries), 20 * 500, 500, alloc(log)));
        CHECK(index.memory_bytes() <= log.live_bytes);
        CHECK(index.memory_bytes() + 8 >= log.live_bytes);  // a string has a zero at its end
        CHECK(index.memory_bytes() >= raw_index(entries).size() + 2 * 500 * sizeof(std::uint64_t));
    }
    CHECK(log.live_bytes == 0);
}

TEST_CASE("sst index: a count of four billion costs no memory") {
    allocation_log log;
    using alloc = logged_allocator<std::byte>;
    const bytes index = u32(0xffff'ffff) + bytes(1000, 'x');
    CHECK(must_fail(parsed<alloc>(index, 0, 0xffff'ffff, alloc(log))).what ==
          "offset 4: bad_block: more blocks than the index has room for");
    CHECK(log.peak_bytes < 2 * index.size());
    CHECK(log.live_bytes == 0);
}

TEST_CASE("sst opening: an index that does not parse exactly is a bad block") {
    const bytes good = raw_index({{"a", 0, 15}});
    const auto table_with = [](const bytes& index, std::uint64_t blocks) {
        return bytes(15, '.') + index + raw_footer(15, index.size(), blocks);
    };
    opened_table<>(table_with(good, 1)).operator*();
    for (std::size_t length = 1; length < good.size(); ++length)
        CHECK(open_error(table_with(good.substr(0, length), 1)) == errc::bad_block);
    CHECK(open_error(table_with(good + "x", 1)) == errc::bad_block);
    CHECK(open_error(table_with(good, 0)) == errc::bad_block);
    CHECK(open_error(table_with(good, 2)) == errc::bad_block);
    CHECK(open_error(table_with(good, (std::uint64_t{1} << 32) + 1)) == errc::bad_block);
    CHECK(open_error(table_with(u32(2) + good.substr(4), 2)) == errc::bad_block);
    CHECK(open_error(table_with(u32(0) + good.substr(4), 0)) == errc::bad_block);
    CHECK(open_error(table_with(u32(0xffff'ffff) + good.substr(4), 0xffff'ffff)) == errc::bad_block);
    CHECK(open_error(table_with(u32(1) + u32(2) + good.substr(8), 1)) == errc::bad_block);
    CHECK(open_error(table_with(u32(1) + u32(0xffff'ffff) + good.substr(8), 1)) == errc::bad_block);
    CHECK(open_error(table_with(u32(1) + u32(0) + good.substr(8), 1)) == errc::bad_block);
}

TEST_CASE("sst opening: index keys that do not ascend are unsorted") {
    for (const auto& [first, second] : std::vector<std::pair<bytes, bytes>>{
             {"b", "a"}, {"a", "a"}, {"", ""}, {"a", ""}, {"\x80", "\x7f"}, {bytes("a\0", 2), "a"}})
        CHECK(open_error(with_index({{first, 0, 15}, {second, 15, 20}})) == errc::unsorted);
}

TEST_CASE("sst opening: a block of fewer than 13 bytes is a bad block") {
    for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{12}}) {
        CHECK(open_error(with_index({{"a", 0, size}, {"b", 15, 20}})) == errc::bad_block);
        CHECK(open_error(with_index({{"a", 0, 15}, {"b", 15, size}})) == errc::bad_block);
    }
    const opened_table<> smallest(raw_table({{{"", ""}}}));
    CHECK(must(smallest->len()) == 1);
}

TEST_CASE("sst opening: blocks that overlap or extend into the index are out of range") {
    const std::uint64_t end = unread_blocks.size();
    const std::vector<std::vector<raw_index_entry>> indexes = {
        {{"a", 0, 15}, {"b", 14, 20}}, {{"a", 0, 15}, {"b", 0, 15}},
        {{"a", 15, 20}, {"b", 0, 15}}, {{"a", 0, 15}, {"b", 15, end - 15 + 1}},
        {{"a", end - 12, 13}},         {{"a", end, 13}},
        {{"a", end + 1, 13}},          {{"a", 0, end + 1}},
        {{"a", UINT64_MAX, 13}},       {{"a", UINT64_MAX - 12, 13}},  // a sum of 0
        {{"a", 13, UINT64_MAX - 12}},                                 // the same
        {{"a", 0, UINT64_MAX}},
    };
    for (const auto& index : indexes) CHECK(open_error(with_index(index)) == errc::index_out_of_range);
}
