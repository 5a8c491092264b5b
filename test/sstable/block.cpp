#include <lsm/sstable/block.hpp>

#include <string>
#include <vector>

#include <lsm/core/hex.hpp>

#include "sstable/tables.hpp"
#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/cursors.hpp"

using lsm::bytes;
using lsm::errc;
using namespace lsm::test;

namespace {

struct bad_block {
    bytes raw;
    errc code;
};

constexpr std::uint64_t far_too_long = 0xffff'ffff;
const bytes first_record = raw_record({"m", "value"});

// Blocks with a defect, for a table in which their index key is "m" and that of the next block is "t".
std::vector<bad_block> bad_blocks() {
    const bytes two = u32(2);
    return {
        {u32(0) + first_record, errc::bad_block},
        {u32(0) + raw_record(1, 0, 9, "m"), errc::bad_block},  // no entries before a bad type
        {u32(1) + raw_record(1, 0, 2, "m"), errc::bad_type},
        {u32(1) + raw_record(1, 0, 255, "m"), errc::bad_type},
        {u32(1) + raw_record(1, 1, 1, "mv"), errc::bad_tombstone},
        {u32(1) + raw_record(1, far_too_long, 0, "mv"), errc::bad_block},
        {u32(1) + raw_record(far_too_long, 0, 0, "m"), errc::bad_block},
        {u32(1) + raw_record(far_too_long, far_too_long, 0, "m"), errc::bad_block},
        {u32(1) + raw_record(2, 0, 0, "m"), errc::bad_block},
        {two + first_record, errc::bad_block},
        {two + first_record + raw_record({"n", ""}).substr(0, 8), errc::bad_block},
        {two + first_record + raw_record({"m", ""}), errc::unsorted},
        {two + first_record + raw_record({"l", ""}), errc::unsorted},
        {two + first_record + raw_record({"", std::nullopt}), errc::unsorted},
        {u32(1) + first_record + "x", errc::bad_block},
        {u32(1) + first_record + raw_record({"n", "not counted"}), errc::bad_block},
        {u32(1) + raw_record({"n", "not the index key"}), errc::bad_block},
        {u32(1) + raw_record({"l", "not the index key"}), errc::bad_block},
        {two + first_record + raw_record({"t", "the next index key"}), errc::unsorted},
        {two + first_record + raw_record({"u", "above the next index key"}), errc::unsorted},
        // Two defects: the order of the format page decides.
        {u32(1) + raw_record(far_too_long, 1, 2, "m"), errc::bad_type},
        {u32(1) + raw_record(far_too_long, 1, 1, "m"), errc::bad_tombstone},
        {two + first_record + raw_record(1, far_too_long, 0, "a"), errc::bad_block},
        {two + first_record + raw_record({"a", "unsorted"}) + "trailing", errc::unsorted},
        {two + first_record + raw_record(1, 0, 3, "a"), errc::bad_type},
        {u32(1) + raw_record({"l", "not the index key"}) + "trailing", errc::bad_block},
        {u32(1) + raw_record({"z", "not the index key nor below the next"}), errc::bad_block},
        {two + raw_record({"n", ""}) + raw_record({"a", "unsorted, and not the index key"}), errc::unsorted},
        {u32(1000) + raw_record(1, 0, 2, "m"), errc::bad_type},  // more entries than fit, and the first is bad
        {u32(1000) + raw_record(1, 1, 1, "mv"), errc::bad_tombstone},
        {u32(1000) + first_record + raw_record({"a", ""}), errc::unsorted},
        {u32(far_too_long) + first_record + raw_record({"n", ""}), errc::bad_block},
    };
}

bytes table_with(const bytes& middle) {
    const bytes before = raw_block({{"a", "1"}, {"b", std::nullopt}});
    const bytes after = raw_block({{"t", "3"}});
    return raw_table(before + middle + after, {{"a", 0, before.size()},
                                               {"m", before.size(), middle.size()},
                                               {"t", before.size() + middle.size(), after.size()}});
}

}  // namespace

TEST_CASE("sst block: a valid block in place of the bad ones is read") {
    const opened_table<> t(table_with(raw_block({{"m", "value"}, {"s", "last"}})));
    CHECK(must(t->len()) == 5);
}

TEST_CASE("sst block: get and len and cursors report every defect with file and code") {
    for (const auto& [raw, code] : bad_blocks()) {
        INFO(lsm::hex(raw));
        const opened_table<> t(table_with(raw));
        const auto error = must_fail(t->get("m"));
        CHECK(error.code == code);
        CHECK(error.what.starts_with(table_path + ": offset "));
        CHECK(must_fail(t->get("s")).code == code);
        CHECK(must_fail(t->len()).code == code);

        auto at = t->iter();
        CHECK(rest_of(at) == entry_list{{"a", "1"}, {"b", std::nullopt}});
        CHECK_FALSE(at.valid());
        CHECK(must_fail(at.status()).code == code);
    }
}

TEST_CASE("sst block: damage in one block leaves the others readable in both directions") {
    const opened_table<> t(table_with(u32(0) + first_record));
    CHECK(must(t->get("a")).value() == "1");
    CHECK(must(t->get("b")).tombstone());
    CHECK(must(t->get("c")).absent());
    CHECK(must(t->get("t")).value() == "3");

    auto at = t->iter();
    at.seek_to_last();
    REQUIRE(at.valid());
    CHECK(at.key() == "t");
    at.prev();
    CHECK_FALSE(at.valid());
    CHECK(must_fail(at.status()).code == errc::bad_block);
    at.seek("n");
    CHECK_FALSE(at.valid());
    CHECK_FALSE(at.status().has_value());
    at.seek("t");
    REQUIRE(at.valid());
    CHECK(at.status().has_value());
    CHECK(at.value() == "3");
    at.seek_to_first();
    CHECK(at.key() == "a");
    at.next();
    at.next();
    CHECK_FALSE(at.valid());
    CHECK_FALSE(at.status().has_value());
}

TEST_CASE("sst block: an error has the offset in the file") {
    const bytes before = raw_block({{"a", "1"}, {"b", std::nullopt}});
    const opened_table<> t(table_with(u32(2) + first_record + raw_record(1, 0, 2, "n")));
    const auto offset = before.size() + 4 + first_record.size();
    CHECK(must_fail(t->get("m")).what.starts_with("table.sst: offset " + std::to_string(offset) + ": bad_type"));
}

TEST_CASE("sst block: a decoded block has all entries and finds them") {
    const entry_list entries = {{"", "empty key"}, {"b", std::nullopt}, {"bb", ""}, {"d", bytes(300, 'v')}};
    const auto block = must(lsm::block::decode(raw_block(entries), "", 0));
    REQUIRE(block.size() == entries.size());
    for (std::size_t i = 0; i < entries.size(); ++i) {
        CHECK(block.key(i) == entries[i].first);
        CHECK(block.entry(i).tombstone() == !entries[i].second.has_value());
        CHECK(block.entry(i).value == entries[i].second.value_or(""));
        CHECK(block.lower_bound(entries[i].first) == i);
        CHECK(block.lower_bound(entries[i].first + bytes(1, '\0')) == i + 1);
    }
    CHECK(block.lower_bound("a") == 1);
    CHECK(block.lower_bound("c") == 3);
    CHECK(block.lower_bound("e") == 4);
    CHECK(block.memory_bytes() >= raw_block(entries).size());
}

TEST_CASE("sst block: a copy shares the block and keeps it alive") {
    allocation_log log;
    using alloc = logged_allocator<std::byte>;
    using block_type = lsm::basic_block<alloc>;
    {
        std::optional<block_type> first_copy;
        block_type second_copy;
        {
            const bytes raw = raw_block({{"key", bytes(100, 'v')}});
            first_copy = must(block_type::decode(raw, "key", 0, alloc(log)));
            const auto held = log.live_bytes;
            second_copy = *first_copy;
            CHECK(log.live_bytes == held);
        }
        const auto view = second_copy.entry(0);
        first_copy.reset();
        CHECK(view.value == bytes(100, 'v'));
    }
    CHECK(log.live_bytes == 0);
}

TEST_CASE("sst block: a count of four billion costs no memory") {
    allocation_log log;
    using alloc = logged_allocator<std::byte>;
    const bytes raw = u32(0xffff'ffff) + first_record + bytes(80, 'x');
    CHECK_FALSE(lsm::basic_block<alloc>::decode(raw, "m", 0, alloc(log)).has_value());
    CHECK(log.peak_bytes < 10 * raw.size());
    CHECK(log.live_bytes == 0);
}
