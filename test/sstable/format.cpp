#include <lsm/sstable/format.hpp>

#include <string>

#include "sstable/tables.hpp"
#include "support/catch.hpp"
#include "support/raw_bytes.hpp"
#include "support/results.hpp"

using lsm::bytes;
using lsm::errc;
using lsm::sst_footer;
using namespace lsm::test;

namespace {

bytes footer_bytes(const sst_footer& footer) {
    bytes out(lsm::detail::sst_footer_bytes, '?');
    lsm::detail::write_footer(out.data(), footer);
    return out;
}

}  // namespace

TEST_CASE("sst format: a footer has its fields in order and in little-endian and ends with the magic") {
    const sst_footer footer{0x1122334455667788, 0x99aabbccddeeff00, 0x0102030405060708};
    CHECK(footer_bytes(footer) == unhex("8877665544332211 00ffeeddccbbaa99 0807060504030201 5353543100000000"));
}

TEST_CASE("sst format: parsing returns the footer that was written") {
    const sst_footer footer{UINT64_MAX, std::uint64_t{1} << 32, 3};
    CHECK(lsm::detail::parse_footer(footer_bytes(footer).data()) == footer);
}

TEST_CASE("sst format: a footer with a damaged magic is parsed and reported as damaged") {
    const sst_footer footer{10, 20, 1};
    for (std::size_t i = 24; i < 32; ++i) {
        bytes damaged = footer_bytes(footer);
        damaged[i] ^= 1;
        const sst_footer parsed = lsm::detail::parse_footer(damaged.data());
        CHECK_FALSE(parsed.magic_ok);
        CHECK(parsed.index_offset == 10);
        CHECK(parsed.index_size == 20);
        CHECK(parsed.num_blocks == 1);
    }
}

TEST_CASE("sst format: the sizes are those of the smallest pieces") {
    CHECK(lsm::detail::sst_footer_bytes == raw_footer(0, 4, 0).size());
    CHECK(lsm::detail::sst_smallest_file == raw_table("", {}).size());
    CHECK(lsm::detail::block_header_bytes == raw_block({}).size());
    CHECK(lsm::detail::smallest_block == raw_block({{"", ""}}).size());
    CHECK(lsm::detail::index_header_bytes == raw_index({}).size());
    CHECK(lsm::detail::index_entry_header_bytes == raw_index({{"", 0, 0}}).size() - raw_index({}).size());
}

TEST_CASE("sst format: a file of 36 bytes is large enough and one of 35 is short with both sizes in the error") {
    must(lsm::detail::check_table_size(36));
    must(lsm::detail::check_table_size(UINT64_MAX));
    CHECK(must_fail(lsm::detail::check_table_size(0)).code == errc::short_input);
    const auto error = must_fail(lsm::detail::check_table_size(35));
    CHECK(error.code == errc::short_input);
    CHECK(error.what == "short_input: an SSTable has at least 36 bytes, this file has 35");
}

TEST_CASE("sst format: without options a table is the canonical one with blocks of 4096 bytes") {
    CHECK(lsm::sst_options().block_size == 4096);
    CHECK_FALSE(lsm::sst_options().extended);
    CHECK(lsm::sst_options().filter_bits_per_key == 10);
}

TEST_CASE("sst opening: a file of fewer than 36 bytes is short whatever its last bytes are") {
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
