#include <lsm/memtable/dump.hpp>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <lsm/io/memory_file_system.hpp>
#include <lsm/memtable/memtable.hpp>

#include "support/catch.hpp"
#include "support/cursors.hpp"
#include "support/files.hpp"
#include "support/raw_bytes.hpp"
#include "support/recording_file_system.hpp"
#include "support/results.hpp"

using lsm::bytes;
using lsm::errc;
using lsm::memtable;
using namespace lsm::test;

namespace {

lsm::error decode_error(const bytes& dump) { return must_fail(memtable::decode(dump)); }

bytes dump_of_records(std::uint64_t count, const bytes& records) { return "MMT1" + u32(count) + records; }

}  // namespace

TEST_CASE("dump: the golden vector of the format page is read and written") {
    const bytes vector =
        unhex("4d4d5431 02000000 05000000 05000000 00 616c706861 6669727374 04000000 00000000 01 62657461");
    const memtable table = must(memtable::decode(vector));
    CHECK(rest_of(table.iter()) == entry_list{{"alpha", "first"}, {"beta", std::nullopt}});
    CHECK(table.encode() == vector);
}

TEST_CASE("dump: every truncation is short input") {
    const bytes dump = raw_dump({{"", ""}, {"a", "value"}, {"b", std::nullopt}, {"long key", bytes(40, 'v')}});
    must(memtable::decode(dump));
    for (std::size_t length = 0; length < dump.size(); ++length) {
        INFO("length " << length);
        CHECK(decode_error(dump.substr(0, length)).code == errc::short_input);
    }
}

TEST_CASE("dump: four wrong bytes are a bad magic and fewer than four are short input") {
    const bytes dump = raw_dump({{"a", "value"}});
    for (std::size_t i = 0; i < 4; ++i) {
        bytes wrong = dump;
        wrong[i] = static_cast<char>(wrong[i] ^ 0x20);
        CHECK(decode_error(wrong).code == errc::bad_magic);
        CHECK(decode_error(wrong.substr(0, 4)).code == errc::bad_magic);
        CHECK(decode_error(wrong.substr(0, 3)).code == errc::short_input);
    }
    CHECK(decode_error("SST1" + u32(0)).code == errc::bad_magic);
    CHECK(decode_error("").code == errc::short_input);
    CHECK(decode_error("MMT1").code == errc::short_input);
}

TEST_CASE("dump: keys that do not ascend are unsorted") {
    for (const auto& [first, second] : std::vector<std::pair<bytes, bytes>>{
             {"b", "a"}, {"a", "a"}, {"", ""}, {"a", ""}, {"\x80", "\x7f"}, {bytes("a\0", 2), "a"}, {"ab", "a"}}) {
        INFO(lsm::hex(first) << " before " << lsm::hex(second));
        CHECK(decode_error(raw_dump({{first, "1"}, {second, "2"}})).code == errc::unsorted);
        CHECK(decode_error(raw_dump({{first, "1"}, {second, std::nullopt}})).code == errc::unsorted);
    }
    CHECK(decode_error(raw_dump({{"a", "1"}, {"c", "2"}, {"b", "3"}, {"d", "4"}})).code == errc::unsorted);
}

TEST_CASE("dump: bytes after the last record are an error") {
    for (const auto& entries : {entry_list{}, entry_list{{"", std::nullopt}}, entry_list{{"a", "b"}, {"c", "d"}}}) {
        const bytes dump = raw_dump(entries);
        CHECK(decode_error(dump + bytes(1, '\0')).code == errc::trailing_bytes);
        CHECK(decode_error(dump + raw_record({"z", "one more than counted"})).code == errc::trailing_bytes);
    }
}

TEST_CASE("dump: a record is checked in the order of the format page") {
    constexpr std::uint64_t far_too_long = 0xffff'ffff;
    const bytes first = raw_record({"m", "value"});
    struct bad_record {
        bytes raw;
        errc code;
    };
    const std::vector<bad_record> records = {
        {raw_record(1, 1, 2, "ab").substr(0, 8), errc::short_input},  // a header that ends before its bad type
        {raw_record(far_too_long, 5, 2, "a"), errc::bad_type},        // bad type, with a value length, and too long
        {raw_record(1, 0, 255, "a"), errc::bad_type},                 // bad type and unsorted
        {raw_record(far_too_long, 1, 1, "a"), errc::bad_tombstone},   // tombstone with a value, and too long
        {raw_record(1, 1, 1, "av"), errc::bad_tombstone},             // tombstone with a value, and unsorted
        {raw_record(1, far_too_long, 0, "av"), errc::short_input},    // too long and unsorted
        {raw_record(far_too_long, far_too_long, 0, "a"), errc::short_input},  // a sum beyond 32 bits
        {raw_record(1, 0, 1, "a"), errc::unsorted},
        {raw_record({"m", "the same key"}), errc::unsorted},
    };
    for (const auto& [raw, code] : records) {
        INFO(lsm::hex(raw));
        CHECK(decode_error(dump_of_records(2, first + raw)).code == code);
        // What follows the record is not checked.
        if (code != errc::short_input) CHECK(decode_error(dump_of_records(9, first + raw + "x")).code == code);
    }
    CHECK(decode_error(dump_of_records(1, first + raw_record(1, 1, 1, "av"))).code == errc::trailing_bytes);
}

TEST_CASE("dump: an error names the offset of its record") {
    const bytes first = raw_record({"b", "value"});
    const auto at_second = "offset " + std::to_string(8 + first.size()) + ":";
    for (const auto& second : {raw_record(1, 0, 7, "c"), raw_record(1, 2, 1, "cvv"), raw_record({"a", ""})})
        CHECK(decode_error(dump_of_records(2, first + second)).what.starts_with(at_second));
}

TEST_CASE("dump: a count larger than the number of records is short input") {
    CHECK(decode_error(dump_of_records(0xffff'ffff, "")).code == errc::short_input);
    CHECK(decode_error(dump_of_records(3, raw_records({{"a", "1"}, {"b", "2"}}))).code == errc::short_input);
}

TEST_CASE("dump: a file decodes to the same memtable as its bytes in memory") {
    memtable table;
    for (int i = 0; i < 3000; ++i) table.put("key" + std::to_string(i), bytes(static_cast<std::size_t>(i % 97), 'v'));
    table.put("larger than any buffer", bytes(200'000, 'L'));
    table.put("zzz after the large one", "value");
    const bytes dump = table.encode();

    lsm::io::memory_file_system fs;
    write_file(fs, "dump.mt", dump);
    const auto file = open_file(fs, "dump.mt");
    CHECK(must(memtable::decode(lsm::io::input<>(file, dump.size()))).encode() == dump);
}

TEST_CASE("dump: a read error is reported as io and never as a defect or an end") {
    memtable table;
    for (int i = 0; i < 20'000; ++i) table.put("key" + std::to_string(i), "value");
    const bytes dump = table.encode();
    lsm::io::memory_file_system inner;
    write_file(inner, "dump.mt", dump);
    recording_file_system fs(inner);
    const auto file = open_file(fs, "dump.mt");
    must(memtable::decode(lsm::io::input<>(file, dump.size())));
    const auto reads = fs.reads;
    REQUIRE(reads > 2);
    for (std::uint64_t n = 0; n < reads; ++n) {
        fs.forget();
        fs.fault = [&fs, n](std::string_view call) { return call.starts_with("read") && fs.reads == n ? EIO : 0; };
        const auto error = must_fail(memtable::decode(lsm::io::input<>(file, dump.size())));
        CHECK(error.code == errc::io);
        CHECK(error.sys == EIO);
    }
}
