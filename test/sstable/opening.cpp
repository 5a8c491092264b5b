#include <lsm/sstable/reader.hpp>

#include <cerrno>
#include <cstdint>
#include <vector>

#include "sstable/tables.hpp"
#include "support/catch.hpp"
#include "support/recording_file_system.hpp"

using lsm::bytes;
using lsm::errc;
using lsm::sst_reader;
using namespace lsm::test;

namespace {

errc open_error(const bytes& table) { return opened_table<>(table).error_code(); }

const bytes one_block = raw_block({{"a", "1"}});                    // 15 bytes
const bytes other_block = raw_block({{"b", "2"}, {"c", "value"}});  // bytes of a second one
const bytes body = one_block + other_block;

bytes with_index(const std::vector<raw_index_entry>& index) { return raw_table(body, index); }

}  // namespace

TEST_CASE("sst opening: the table that the cases below damage is sound") {
    const opened_table<> t(with_index({{"a", 0, one_block.size()}, {"b", one_block.size(), other_block.size()}}));
    CHECK(must(t->len()) == 3);
}

TEST_CASE("sst opening: a file of fewer than 36 bytes is short whatever it ends with") {
    for (std::size_t length = 0; length < 36; ++length) {
        INFO("length " << length);
        const bytes zeros(length, '\0');
        CHECK(open_error(zeros) == errc::short_input);
        const bytes ending = bytes(36, '\0') + bytes("SST1\0\0\0\0", 8);
        CHECK(open_error(ending.substr(ending.size() - length)) == errc::short_input);
    }
    CHECK(open_error(bytes(36, '\0')) == errc::bad_magic);
}

TEST_CASE("sst opening: every byte of the magic counts") {
    const bytes table = written_table(numbered_entries(3));
    for (std::size_t i = 1; i <= 8; ++i) {
        bytes wrong = table;
        wrong[wrong.size() - i] ^= 1;
        CHECK(open_error(wrong) == errc::bad_magic);
    }
    CHECK(open_error(table + bytes(1, '\0')) == errc::bad_magic);
}

TEST_CASE("sst opening: the footer of a damaged file is read and its magic reported") {
    bytes table = written_table(numbered_entries(3));
    table.back() = 'x';
    lsm::io::memory_file_system fs;
    write_file(fs, table_path, table);
    const auto footer = must(sst_reader::read_footer(open_file(fs, table_path)));
    CHECK_FALSE(footer.magic_ok);
    CHECK(footer.num_blocks == 1);
    CHECK(footer.index_offset + footer.index_size + 32 == table.size());
    write_file(fs, table_path, table.substr(table.size() - 35));
    CHECK(must_fail(sst_reader::read_footer(open_file(fs, table_path))).code == errc::short_input);
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
        {end + 1, UINT64_MAX},  // wraps to the right end
        {end + 32, 0 - std::uint64_t{32}},
        {UINT64_MAX, end + 1},  // wraps too
        {UINT64_MAX, 0},
        {offset, UINT64_MAX},
        {0, 0},
    };
    for (const auto& [index_offset, index_size] : places) {
        INFO(index_offset << " " << index_size);
        CHECK(open_error(one_block + index + raw_footer(index_offset, index_size, 1)) == errc::index_out_of_range);
    }
}

TEST_CASE("sst opening: an index that does not parse exactly is a bad block") {
    const bytes good = raw_index({{"a", 0, one_block.size()}});
    const auto table_with = [](const bytes& index, std::uint64_t blocks) {
        return one_block + index + raw_footer(one_block.size(), index.size(), blocks);
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

TEST_CASE("sst opening: blocks that overlap or leave their place are out of range") {
    const std::uint64_t end = body.size();
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

TEST_CASE("sst opening: of two defects the one that the format page lists first is reported") {
    const auto broken_magic = [](bytes table) {
        table.back() = 'x';
        return table;
    };
    const std::vector<raw_index_entry> small = {{"a", 0, 12}};
    const std::vector<raw_index_entry> overlapping = {{"a", 0, 15}, {"b", 14, 20}};
    // Short and bad magic.
    CHECK(open_error(bytes(35, 'x')) == errc::short_input);
    // Bad magic and an index out of range.
    CHECK(open_error(broken_magic(body + raw_footer(1000, 1000, 0))) == errc::bad_magic);
    // An index out of range, which would not parse either.
    CHECK(open_error(body + bytes(20, 'x') + raw_footer(body.size(), 19, 7)) == errc::index_out_of_range);
    // An index that does not parse, of keys that do not ascend.
    const bytes unsorted = raw_index({{"b", 0, 15}, {"a", 15, 20}});
    CHECK(open_error(body + unsorted + "x" + raw_footer(body.size(), unsorted.size() + 1, 2)) == errc::bad_block);
    CHECK(open_error(body + unsorted + raw_footer(body.size(), unsorted.size(), 3)) == errc::bad_block);
    // Unsorted in the last entry, a block too small in the first.
    CHECK(open_error(with_index({{"a", 0, 5}, {"c", 15, 20}, {"b", 35, 13}})) == errc::unsorted);
    // Out of range in the first entry, too small in the last.
    CHECK(open_error(with_index({{"a", 1000, 13}, {"b", 15, 5}})) == errc::bad_block);
    CHECK(open_error(with_index({{"a", 0, 15}, {"b", 14, 15}, {"c", 30, 5}})) == errc::bad_block);
    CHECK(open_error(with_index(small)) == errc::bad_block);
    CHECK(open_error(with_index(overlapping)) == errc::index_out_of_range);
}

TEST_CASE("sst opening: one read, of the end of the file, has footer and index") {
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

TEST_CASE("sst opening: an index out of range is found before anything but the end of the file is read") {
    bytes table = written_table(numbered_entries(100), 64);
    table.replace(table.size() - 32, 8, u64(table.size()));
    lsm::io::memory_file_system inner;
    write_file(inner, table_path, table);
    recording_file_system fs(inner);
    CHECK(must_fail(sst_reader::open(open_file(fs, table_path))).code == errc::index_out_of_range);
    CHECK(fs.reads == 1);
    CHECK(fs.open_files() == 0);
}

TEST_CASE("sst opening: an error of the disk is io") {
    lsm::io::memory_file_system inner;
    write_file(inner, table_path, written_table(numbered_entries(10'000), 64));  // the index takes a read of its own
    recording_file_system fs(inner);
    for (std::uint64_t n = 0; n < 2; ++n) {
        fs.forget();
        fs.fault = [&fs, n](std::string_view call) { return call.starts_with("read") && fs.reads == n ? EIO : 0; };
        const auto error = must_fail(sst_reader::open(open_file(fs, table_path)));
        CHECK(error.code == errc::io);
        CHECK(error.sys == EIO);
    }
}
