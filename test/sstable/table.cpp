#include <lsm/sstable/table.hpp>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <lsm/io/posix_file_system.hpp>
#include <lsm/sstable/reader.hpp>

#include "sstable/tables.hpp"
#include "support/catch.hpp"
#include "support/cursors.hpp"
#include "support/recording_file_system.hpp"

using lsm::bytes;
using lsm::errc;
using lsm::sst_reader;
using namespace lsm::test;

namespace {

using alloc = std::allocator<std::byte>;
using byte_table = lsm::detail::table<alloc>;
using block_handle = lsm::basic_block<alloc>;

const bytes one_block = raw_block({{"a", "1"}});                    // 15 bytes
const bytes other_block = raw_block({{"b", "2"}, {"c", "value"}});  // 30 bytes
const bytes two_blocks = one_block + other_block;

bytes with_index(const std::vector<raw_index_entry>& index) { return raw_table(two_blocks, index); }

std::shared_ptr<const byte_table> opened(lsm::io::file_system& fs, const std::string& path, bool map = false) {
    return std::make_shared<const byte_table>(must(byte_table::open(open_file(fs, path), alloc(), map)));
}

entry_list entries_of(const block_handle& block) {
    entry_list out;
    for (std::size_t i = 0; i < block.size(); ++i) out.emplace_back(block.key(i), value_of(block.entry(i)));
    return out;
}

/// A block_source with a cache that a test fills. Verifies checksums on request.
class test_source {
public:
    using alloc_type = alloc;

    explicit test_source(std::shared_ptr<const byte_table> table, bool verify = true)
        : table_(std::move(table)), cache_(table_->index().size()), verify_(verify) {}

    [[nodiscard]] const byte_table& table_of() const noexcept { return *table_; }
    [[nodiscard]] bool verifies() const noexcept { return verify_; }
    [[nodiscard]] block_handle cached(std::size_t i) const noexcept { return cache_[i]; }
    [[nodiscard]] lsm::result<block_handle> load(std::size_t i) const { return table_->load(i, verify_); }
    void keep(std::size_t i) { cache_[i] = must(load(i)); }

private:
    std::shared_ptr<const byte_table> table_;
    std::vector<block_handle> cache_;
    bool verify_;
};
using test_cursor = lsm::detail::table_cursor<test_source>;

/// An open table in a file system that counts reads.
struct counted_table {
    explicit counted_table(lsm::bytes_view contents) : fs(inner) {
        write_file(inner, table_path, contents);
        table = opened(fs, table_path);
        fs.forget();
    }
    [[nodiscard]] test_cursor cursor(bool verify = true) const { return {test_source(table, verify), alloc()}; }

    lsm::io::memory_file_system inner;
    mutable recording_file_system fs;
    std::shared_ptr<const byte_table> table;
};

}  // namespace

TEST_CASE("sst opening: the table that the cases below damage is valid") {
    const opened_table<> t(with_index({{"a", 0, one_block.size()}, {"b", one_block.size(), other_block.size()}}));
    CHECK(must(t->len()) == 3);
}

TEST_CASE("sst opening: an index that does not lie just before the footer is out of range") {
    const bytes index = raw_index({{"a", 0, one_block.size()}});
    const std::uint64_t offset = one_block.size();
    const std::uint64_t size = index.size();
    const std::uint64_t end = offset + size;  // where the footer begins
    const std::vector<std::pair<std::uint64_t, std::uint64_t>> places = {
        {offset, size + 1},
        {offset, size - 1},
        {offset + 1, size},
        {offset - 1, size},
        {end, 0},
        {end + 1, UINT64_MAX},  // the sum wraps to the correct end
        {end + 32, 0 - std::uint64_t{32}},
        {UINT64_MAX, end + 1},  // the same
        {UINT64_MAX, 0},
        {offset, UINT64_MAX},
        {0, 0},
    };
    for (const auto& [index_offset, index_size] : places) {
        INFO(index_offset << " " << index_size);
        CHECK(open_error(one_block + index + raw_footer(index_offset, index_size, 1)) == errc::index_out_of_range);
    }
}

TEST_CASE("sst opening: of two defects the first in the order of the format page is reported") {
    const auto broken_magic = [](bytes table) {
        table.back() = 'x';
        return table;
    };
    const std::vector<raw_index_entry> small = {{"a", 0, 12}};
    const std::vector<raw_index_entry> overlapping = {{"a", 0, 15}, {"b", 14, 20}};
    // Short and bad magic.
    CHECK(open_error(bytes(35, 'x')) == errc::short_input);
    // Bad magic and an index out of range.
    CHECK(open_error(broken_magic(two_blocks + raw_footer(1000, 1000, 0))) == errc::bad_magic);
    // An index out of range that would not parse either.
    CHECK(open_error(two_blocks + bytes(20, 'x') + raw_footer(two_blocks.size(), 19, 7)) == errc::index_out_of_range);
    // An index that does not parse and has keys that do not ascend.
    const bytes unsorted = raw_index({{"b", 0, 15}, {"a", 15, 20}});
    CHECK(open_error(two_blocks + unsorted + "x" + raw_footer(two_blocks.size(), unsorted.size() + 1, 2)) ==
          errc::bad_block);
    CHECK(open_error(two_blocks + unsorted + raw_footer(two_blocks.size(), unsorted.size(), 3)) == errc::bad_block);
    // Unsorted in the last entry, and a block that is too small in the first.
    CHECK(open_error(with_index({{"a", 0, 5}, {"c", 15, 20}, {"b", 35, 13}})) == errc::unsorted);
    // Out of range in the first entry, and a block that is too small in the last.
    CHECK(open_error(with_index({{"a", 1000, 13}, {"b", 15, 5}})) == errc::bad_block);
    CHECK(open_error(with_index({{"a", 0, 15}, {"b", 14, 15}, {"c", 30, 5}})) == errc::bad_block);
    CHECK(open_error(with_index(small)) == errc::bad_block);
    CHECK(open_error(with_index(overlapping)) == errc::index_out_of_range);
}

TEST_CASE("sst opening: one read of the end of the file gets footer and index") {
    const auto entries = numbered_entries(9000);
    lsm::io::memory_file_system inner;
    write_file(inner, table_path, written_table(entries, 512));
    recording_file_system fs(inner);
    const auto reader = must(sst_reader::open(open_file(fs, table_path)));
    REQUIRE(reader.footer().index_size < 64 << 10);
    CHECK(fs.reads == 1);
    CHECK(fs.bytes_read == 64 << 10);

    fs.forget();
    CHECK(must(reader.get("a key below the first")).absent());
    CHECK(fs.reads == 0);
    CHECK(must(reader.get(entries[777].first)).found());
    CHECK(fs.reads == 1);
    CHECK(fs.bytes_read <= 512);
    CHECK(must(reader.get("zzz")).absent());
    CHECK(fs.reads == 2);
}

TEST_CASE("sst opening: an index out of range is reported before anything but the end of the file is read") {
    bytes table = written_table(numbered_entries(100), 64);
    table.replace(table.size() - 32, 8, u64(table.size()));
    lsm::io::memory_file_system inner;
    write_file(inner, table_path, table);
    recording_file_system fs(inner);
    CHECK(must_fail(sst_reader::open(open_file(fs, table_path))).code == errc::index_out_of_range);
    CHECK(fs.reads == 1);
    CHECK(fs.open_files() == 0);
}

TEST_CASE("sst opening: a disk error is reported as io") {
    lsm::io::memory_file_system inner;
    write_file(inner, table_path,
               written_table(numbered_entries(10'000), 64));  // the index is too large for the first read
    recording_file_system fs(inner);
    for (std::uint64_t n = 0; n < 2; ++n) {
        fs.forget();
        fs.fault = [&fs, n](std::string_view call) { return call.starts_with("read") && fs.reads == n ? EIO : 0; };
        const auto error = must_fail(sst_reader::open(open_file(fs, table_path)));
        CHECK(error.code == errc::io);
        CHECK(error.sys == EIO);
    }
}

TEST_CASE("sst extension: properties that contradict the last block are an error when it is read") {
    const auto entries = numbered_entries(50);
    bytes table = extended_table(entries);
    const auto area = area_of(table, written_table(entries, 64));
    const auto largest = table.find(entries.back().first, area.begin);
    REQUIRE(largest < area.end);
    table[largest + entries.back().first.size() - 1] = 'z';
    fix_area_crc(table, area);
    const opened_table<> opened(table);
    CHECK(must(opened->get(entries.front().first)).found());
    CHECK(must_fail(opened->get(entries.back().first)).code == errc::bad_block);
    CHECK(must_fail(opened->len()).code == errc::bad_block);
}

TEST_CASE("sst reader: a full pass reads each block once and many with one call") {
    lsm::io::memory_file_system inner;
    write_file(inner, table_path, written_table(numbered_entries(500), 256));
    recording_file_system fs(inner);
    const auto reader = must(sst_reader::open(open_file(fs, table_path)));
    for (const bool reverse : {false, true}) {
        fs.forget();
        CHECK(rest_of(reader.iter({.from = {}, .to = {}, .reverse = reverse})).size() == 500);
        CHECK(fs.bytes_read == reader.footer().index_offset);
        CHECK(fs.reads < reader.num_blocks() / 10);
    }
    fs.forget();
    auto at = reader.iter();
    fs.forget();
    at.seek("key100001");
    at.seek("key100002");
    at.prev();
    at.seek_to_first();
    CHECK(fs.reads == 0);  // all keys are in the current block
}

TEST_CASE("sst table: load returns the entries of a block") {
    const entry_list first = {{"a", "1"}, {"b", deleted}}, second = {{"c", ""}, {"d", "4"}};
    const counted_table t(raw_table({first, second}));
    CHECK(entries_of(must(t.table->load(0))) == first);
    CHECK(entries_of(must(t.table->load(1))) == second);
    CHECK(t.fs.reads == 2);
}

TEST_CASE("sst table: a block that does not match its checksum is an error unless checksums are not verified") {
    bytes contents = extended_table({{"a", "1"}, {"b", "2"}});
    const auto value = contents.find('1');
    contents[value] = 'x';
    const counted_table t(contents);
    const auto error = must_fail(t.table->load(0));
    CHECK(error.code == errc::bad_checksum);
    CHECK(error.what == "table.sst: offset 0: bad_checksum: block: checksum mismatch");
    CHECK(entries_of(must(t.table->load(0, false))) == entry_list{{"a", "x"}, {"b", "2"}});
}

TEST_CASE("sst table: a malformed block is an error even if checksums are not verified") {
    bytes contents = extended_table({{"a", "1"}, {"b", "2"}});
    contents[12] = 2;  // the type of the first entry
    const counted_table t(contents);
    CHECK(must_fail(t.table->load(0, false)).what == "table.sst: offset 4: bad_type: malformed entry");
}

TEST_CASE("sst table: look_up serves blocks that have a checksum and fit into the buffer") {
    const entry_list entries = {{"a", bytes(8000, 'v')}, {"b", bytes(9000, 'v')}};
    const counted_table extended(extended_table(entries)), plain(written_table(entries, 64));
    CHECK(extended.table->can_look_up(0));
    CHECK_FALSE(extended.table->can_look_up(1));
    CHECK_FALSE(plain.table->can_look_up(0));
}

TEST_CASE("sst table: look_up finds the entries of a block") {
    const auto entries = numbered_entries(30);
    const counted_table t(extended_table(entries, 256));
    lsm::detail::lookup_buffer buffer;
    for (const auto& [key, value] : entries) {
        const auto block = t.table->index().floor(key);
        REQUIRE(block.has_value());
        const auto found = must(t.table->look_up(*block, key, buffer));
        REQUIRE(found.has_value());
        CHECK(value_of(*found) == value);
        CHECK_FALSE(must(t.table->look_up(*block, key + "x", buffer)).has_value());
    }
    CHECK_FALSE(must(t.table->look_up(0, "", buffer)).has_value());
}

TEST_CASE("sst table: look_up verifies the checksum of the whole block") {
    bytes contents = extended_table({{"a", "1"}, {"b", "2"}});
    contents[contents.find('2')] = 'x';
    const counted_table t(contents);
    lsm::detail::lookup_buffer buffer;
    const auto error = must_fail(t.table->look_up(0, "a", buffer));
    CHECK(error.what == "table.sst: offset 0: bad_checksum: block: checksum mismatch");
}

TEST_CASE("sst table: a mapped table has the same entries and reads nothing into memory") {
    const scratch_directory directory;
    auto& fs = lsm::io::default_file_system();
    const auto entries = numbered_entries(2000);
    write_file(fs, directory / "t", extended_table(entries, 512));
    const auto table = opened(fs, directory / "t", true);
    REQUIRE(table->file().mapped());

    // The bytes of a block are in the map.
    const auto block = must(table->load(3));
    const auto begin = table->file().view(0, table->file_bytes()).data();
    CHECK(block.key(0).data() == begin + table->index()[3].offset + 4 + 9);
    CHECK(block.memory_bytes() < 512);
    lsm::detail::lookup_buffer buffer;
    const auto entry = must(table->look_up(0, entries[0].first, buffer));
    REQUIRE(entry.has_value());
    CHECK(entry->value.data() > begin);
    CHECK(entry->value.data() < begin + 512);

    test_cursor at(test_source(table), alloc{});
    at.seek_to_first();
    CHECK(walk(at) == entries);
}

TEST_CASE("sst table: a cursor on a long walk reads chunks of growing size") {
    const counted_table t(written_table(numbered_entries(15'000), 512));
    REQUIRE(t.table->footer().index_offset > 400'000);
    for (const bool reverse : {false, true}) {
        auto at = t.cursor();
        t.fs.forget();
        std::vector<std::uint64_t> sizes;
        std::uint64_t before = 0;
        reverse ? at.seek_to_last() : at.seek_to_first();
        for (; at.valid() && sizes.size() < 6; reverse ? at.prev() : at.next()) {
            if (t.fs.reads == sizes.size()) continue;
            REQUIRE(t.fs.reads == sizes.size() + 1);
            sizes.push_back(t.fs.bytes_read - before);
            before = t.fs.bytes_read;
        }
        REQUIRE(sizes.size() == 6);
        // Two single blocks, then chunks with less than a block to spare.
        CHECK(sizes[0] <= 512);
        CHECK(sizes[1] <= 512);
        const std::vector<std::uint64_t> chunks = {16 << 10, 32 << 10, 64 << 10, 64 << 10};
        for (std::size_t i = 0; i < chunks.size(); ++i) {
            CHECK(sizes[2 + i] <= chunks[i]);
            CHECK(sizes[2 + i] > chunks[i] - 512);
        }
    }
}

TEST_CASE("sst table: a cursor reads no bytes between blocks") {
    bytes body;
    std::vector<raw_index_entry> index;
    const auto entries = numbered_entries(100);
    std::uint64_t bytes_of_blocks = 0;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const bytes block = raw_block({entries[i]});
        if (i % 10 == 0) body += bytes(1000, 'g');  // a gap before every tenth block
        index.push_back({entries[i].first, body.size(), block.size()});
        body += block;
        bytes_of_blocks += block.size();
    }
    const counted_table t(raw_table(body, index));
    auto at = t.cursor();
    at.seek_to_first();
    CHECK(walk(at) == entries);
    CHECK(t.fs.bytes_read == bytes_of_blocks);
    CHECK(t.fs.reads <= 2 + 10);
}

TEST_CASE("sst table: a cursor reads a block that is larger than a chunk by itself") {
    const entry_list entries = {{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", bytes(100'000, 'v')}, {"e", "5"}};
    const counted_table t(written_table(entries, 16));
    auto at = t.cursor();
    at.seek_to_first();
    CHECK(walk(at) == entries);
    CHECK(t.fs.bytes_read == t.table->footer().index_offset);
}

TEST_CASE("sst table: a cursor does not read the blocks that the cache has") {
    const auto entries = numbered_entries(100);
    const counted_table t(written_table(entries, 128));
    test_source source(t.table);
    for (std::size_t i = 0; i < t.table->index().size(); i += 2) source.keep(i);
    t.fs.forget();
    test_cursor at(std::move(source), alloc());
    at.seek_to_first();
    at.seek(t.table->index()[4].first_key);
    CHECK(t.fs.reads == 0);
    at.seek(t.table->index()[5].first_key);
    CHECK(t.fs.reads == 1);
    at.seek_to_first();
    CHECK(walk(at) == entries);
}

TEST_CASE("sst table: a cursor that does not verify checksums shows a changed value on a long walk too") {
    auto entries = numbered_entries(200);
    bytes contents = extended_table(entries, 64);
    auto& [key, value] = entries[151];
    REQUIRE(value.has_value());
    contents[contents.find(key) + key.size()] ^= 1;
    const counted_table t(contents);
    auto strict = t.cursor();
    strict.seek_to_first();
    CHECK(rest_of(strict).size() <= 151);
    CHECK(must_fail(strict.status()).code == errc::bad_checksum);
    value->front() ^= 1;
    auto lax = t.cursor(false);
    lax.seek_to_first();
    CHECK(walk(lax) == entries);
}

TEST_CASE("sst table: a cursor that switches to another table has no position until it seeks") {
    const counted_table one(written_table({{"a", "1"}, {"b", "2"}})), other(written_table({{"c", "3"}, {"d", "4"}}));
    auto at = one.cursor();
    at.seek("b");
    REQUIRE(at.valid());
    at.switch_to(test_source(other.table));
    CHECK_FALSE(at.valid());
    must(at.status());
    at.seek_to_first();
    CHECK(walk(at) == entry_list{{"c", "3"}, {"d", "4"}});
}

TEST_CASE("sst table: a cursor on a long walk does not show the chunk of a table that it has left") {
    const counted_table one(written_table(numbered_entries(100), 64)),
        other(written_table(numbered_entries(100, 20), 64));
    auto at = one.cursor();
    at.seek_to_first();
    for (int i = 0; i < 50; ++i) at.next();
    at.switch_to(test_source(other.table));
    at.seek_to_first();
    CHECK(walk(at) == numbered_entries(100, 20));
}

TEST_CASE("sst table: leave clears the position and the error of a cursor") {
    const counted_table t(written_table(numbered_entries(100), 64));
    auto at = t.cursor();
    at.seek_to_first();
    at.leave();
    CHECK_FALSE(at.valid());
    must(at.status());
    t.fs.fault = [](std::string_view call) { return call.starts_with("read") ? EIO : 0; };
    at.seek("key100099");
    CHECK(must_fail(at.status()).sys == EIO);
    at.leave();
    CHECK_FALSE(at.valid());
    must(at.status());
}

TEST_CASE("sst table: a cursor that is moved keeps its position in a block and in a chunk") {
    // The chunk of the second table is its last block, of 14 bytes, which fit into a string object.
    const entry_list few = {{"a", ""}, {"b", ""}, {"c", ""}};
    for (const entry_list& entries : {numbered_entries(2000, 1), few}) {
        const counted_table t(written_table(entries, 1));
        const counted_table elsewhere(written_table({{"x", ""}, {"y", ""}, {"z", ""}}, 1));
        for (std::size_t steps = 0; steps < 3; ++steps) {
            auto at = t.cursor();
            at.seek_to_first();
            for (std::size_t i = 0; i < steps; ++i) at.next();
            auto moved = std::move(at);
            // Overwrites all that the moved cursor might still refer to in this object.
            at = elsewhere.cursor();
            at.seek_to_first();
            CHECK(walk(at).size() == 3);
            CHECK(moved.key() == entries[steps].first);
            auto assigned = elsewhere.cursor();
            assigned.seek_to_first();
            assigned = std::move(moved);
            REQUIRE(assigned.valid());
            CHECK(assigned.key() == entries[steps].first);
            CHECK(walk(assigned) == entry_list(entries.begin() + static_cast<std::ptrdiff_t>(steps), entries.end()));
        }
    }
}
