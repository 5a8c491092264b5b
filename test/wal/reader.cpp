#include <lsm/wal/reader.hpp>
#include <lsm/wal/writer.hpp>

#include <cerrno>
#include <cstdint>
#include <new>

#include <lsm/core/hex.hpp>
#include <lsm/io/memory_file_system.hpp>

#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/raw_bytes.hpp"
#include "support/recording_file_system.hpp"
#include "wal/logs.hpp"

using lsm::bytes;
using lsm::errc;
using lsm::wal::recovery;
using namespace lsm::test;

namespace {

constexpr recovery all_modes[] = {recovery::strict_tail, recovery::absolute, recovery::point_in_time,
                                  recovery::salvage};

using cuts = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

bytes with_flip(bytes in, std::size_t at) {
    in[at] = static_cast<char>(in[at] ^ 1);
    return in;
}

}  // namespace

TEST_CASE("log reader: an empty log and a log of zeros have no records in every mode") {
    for (const auto mode : all_modes)
        for (const std::size_t zeros : {0u, 1u, 7u, 8u, 12u, 4096u, 100'000u}) {
            const auto read = read_log(bytes(zeros, '\0'), mode);
            CHECK_FALSE(read.failure);
            CHECK(read.records.empty());
            CHECK(read.cuts.empty());
            CHECK(read.end == 0);
        }
}

TEST_CASE("log reader: reads every record and ends cleanly at a tail of zeros in every mode") {
    const auto log = five_records();
    for (const auto mode : all_modes)
        for (const std::size_t zeros : {0u, 1u, 7u, 8u, 9u, 4096u}) {
            const auto read = read_log(log.raw + bytes(zeros, '\0'), mode);
            CHECK_FALSE(read.failure);
            CHECK(read.records == log.payloads);
            CHECK(read.end == log.raw.size());
            CHECK(read.cuts.empty());
            CHECK(read.cut_bytes == 0);
        }
}

TEST_CASE("log reader: a batch of no operations is a record") {
    const auto read = read_log(raw_log_record(u32(0)) + raw_log_record(raw_batch({{"a", "1"}})));
    CHECK_FALSE(read.failure);
    CHECK(read.records == std::vector<bytes>{u32(0), raw_batch({{"a", "1"}})});
}

TEST_CASE("log reader: records larger than any buffer are read whole") {
    const sample_log log({raw_batch({{"a", bytes(300'000, 'v')}}), raw_batch({{"b", "small"}}),
                          raw_batch({{"c", bytes(65'536, 'w')}}), raw_batch({{bytes(70'000, 'k'), std::nullopt}})});
    for (const auto mode : all_modes) CHECK(read_log(log.raw, mode).records == log.payloads);
}

TEST_CASE("log reader: sees the log as it was when it was opened") {
    lsm::io::memory_file_system fs;
    auto file = must(lsm::io::file::open(fs, log_path, lsm::io::open_mode::create_exclusive));
    must(file.append(raw_log_record(raw_batch({{"a", "1"}}))));
    auto reader = must(lsm::wal::reader::open(open_file(fs, log_path)));
    must(file.append(raw_log_record(raw_batch({{"b", "2"}}))));
    CHECK(must(reader.next()).has_value());
    CHECK_FALSE(must(reader.next()).has_value());
    CHECK_FALSE(must(reader.next()).has_value());
}

TEST_CASE("log reader: the mode decides whether damage before intact records is an error or the end or skipped") {
    const auto log = five_records();
    const std::size_t at = log.starts[1];
    const bytes damaged = with_flip(log.raw, log.starts[2] - 1);

    for (const auto mode : {recovery::strict_tail, recovery::absolute}) {
        const auto read = read_log(damaged, mode);
        CHECK(read.records == log.first(1));
        REQUIRE(read.failure);
        CHECK(read.failure->code == errc::corruption);
        CHECK(read.failure->what.starts_with("wal.log: offset " + std::to_string(at) + ":"));
        CHECK(read.end == at);
    }
    const auto prefix = read_log(damaged, recovery::point_in_time);
    CHECK_FALSE(prefix.failure);
    CHECK(prefix.records == log.first(1));
    CHECK(prefix.cuts == cuts{{at, damaged.size() - at}});
    CHECK(prefix.cut_bytes == damaged.size() - at);
    CHECK(prefix.end == at);

    const auto salvaged = read_log(damaged, recovery::salvage);
    CHECK_FALSE(salvaged.failure);
    CHECK(salvaged.records == std::vector<bytes>{log.payloads[0], log.payloads[2], log.payloads[3], log.payloads[4]});
    CHECK(salvaged.cuts == cuts{{at, log.starts[2] - at}});
    CHECK(salvaged.end == damaged.size());
}

TEST_CASE("log reader: salvage skips every damaged range and reports each") {
    const auto log = five_records();
    bytes damaged = with_flip(with_flip(log.raw, log.starts[0] + 5), log.starts[3] + 9);
    damaged += "some junk";
    const auto read = read_log(damaged, recovery::salvage);
    CHECK_FALSE(read.failure);
    CHECK(read.records == std::vector<bytes>{log.payloads[1], log.payloads[2], log.payloads[4]});
    CHECK(read.cuts == cuts{{0, log.starts[1]}, {log.starts[3], log.starts[4] - log.starts[3]}, {log.raw.size(), 9}});
    CHECK(read.cut_bytes == log.starts[1] + log.starts[4] - log.starts[3] + 9);
    CHECK(read.end == log.raw.size());
}

TEST_CASE("log reader: a torn tail is the end except where any defect is an error") {
    const auto log = five_records();
    const std::size_t last = log.starts[4];
    for (const std::size_t torn : {last + 1, last + 7, last + 8, last + 9, log.raw.size() - 1}) {
        for (const auto mode : {recovery::strict_tail, recovery::point_in_time, recovery::salvage}) {
            const auto read = read_log(log.raw.substr(0, torn), mode);
            CHECK_FALSE(read.failure);
            CHECK(read.records == log.first(4));
            CHECK(read.cuts == cuts{{last, torn - last}});
            CHECK(read.end == last);
        }
        const auto read = read_log(log.raw.substr(0, torn), recovery::absolute);
        CHECK(read.records == log.first(4));
        REQUIRE(read.failure);
        CHECK(read.failure->code == errc::corruption);
    }
}

TEST_CASE("log reader: a hole of zeros before intact records is damage") {
    const auto log = five_records();
    bytes holed = log.raw;
    for (std::size_t at = log.starts[1]; at < log.starts[3]; ++at) holed[at] = '\0';
    CHECK(read_log(holed).failure->code == errc::corruption);
    CHECK(read_log(holed, recovery::salvage).records ==
          std::vector<bytes>{log.payloads[0], log.payloads[3], log.payloads[4]});
}

TEST_CASE("log reader: a length of zero is the end only if nothing but zeros follows") {
    const auto log = five_records();
    const bytes more = raw_log_record(raw_batch({{"z", "more"}}));
    // After a zero length, junk is a torn tail; a record that reaches the end of the log makes it damage.
    CHECK_FALSE(read_log(log.raw + u32(0) + "junk that is no record").failure);
    CHECK(read_log(log.raw + u32(0) + "junk that is no record").cut_bytes == 4 + 22);
    CHECK(read_log(log.raw + u32(0) + "junk that is no record", recovery::absolute).failure->code == errc::corruption);
    CHECK(read_log(log.raw + u32(0) + u32(0) + more).failure->code == errc::corruption);
    CHECK(read_log(log.raw + u32(0) + "junk" + more).failure->code == errc::corruption);
    CHECK_FALSE(read_log(log.raw + u32(0) + "junk" + more + "junk").failure);
    CHECK(read_log(log.raw + bytes(1000, '\0') + more).failure->code == errc::corruption);
    CHECK(read_log(log.raw + bytes(1000, '\0') + more).records == log.payloads);
}

TEST_CASE("log reader: a matching CRC of a payload that is not a batch is damage and never a torn tail") {
    const auto log = five_records();
    const bytes malformed[] = {
        "x",
        u32(1),                    // an operation is missing
        u32(1) + "\x02" + u32(0),  // an undefined type
        u32(0) + "trailing",
        raw_batch({{"a", "1"}}) + bytes(1, '\0'),
        raw_batch({{"a", "1"}}).substr(0, 14),
        u32(0xffff'ffff) + raw_batch({{"a", "1"}}).substr(4),
    };
    for (const auto& payload : malformed) {
        INFO(lsm::hex(payload));
        const bytes last = log.raw + raw_log_record(payload);
        for (const auto mode : {recovery::strict_tail, recovery::absolute})
            for (const bytes& raw : {last, last + raw_log_record(raw_batch({{"z", "more"}}))}) {
                const auto read = read_log(raw, mode);
                CHECK(read.records == log.payloads);
                REQUIRE(read.failure);
                CHECK(read.failure->code == errc::corruption);
            }
        const cuts cut{{log.raw.size(), last.size() - log.raw.size()}};
        CHECK(read_log(last, recovery::point_in_time).cuts == cut);
        const auto salvaged = read_log(last + raw_log_record(raw_batch({{"z", "more"}})), recovery::salvage);
        CHECK(salvaged.cuts == cut);
        CHECK(salvaged.records.size() == 6);
        CHECK(salvaged.records.back() == raw_batch({{"z", "more"}}));
    }
}

TEST_CASE("log reader: a read error is io and never the end in every mode") {
    const sample_log log({raw_batch({{"a", bytes(100'000, 'v')}}), raw_batch({{"b", bytes(100'000, 'v')}}),
                          raw_batch({{"c", "small"}})});
    lsm::io::memory_file_system inner;
    write_file(inner, log_path, with_flip(log.raw, log.raw.size() - 1));
    recording_file_system fs(inner);
    for (const auto mode : all_modes) {
        fs.fault = nullptr;
        fs.forget();
        static_cast<void>(read_log(fs, mode));
        const auto reads = fs.reads;
        REQUIRE(reads > 2);
        for (std::uint64_t n = 0; n < reads; ++n) {
            fs.forget();
            fs.fault = [&fs, n](std::string_view call) { return call.starts_with("read") && fs.reads == n ? EIO : 0; };
            const auto read = read_log(fs, mode);
            REQUIRE(read.failure);
            CHECK(read.failure->code == errc::io);
            CHECK(read.failure->sys == EIO);
        }
    }
}

TEST_CASE("log reader: records that a writer appends meanwhile are not damage") {
    const bytes first = raw_log_record(raw_batch({{"a", "1"}}));
    const bytes more = raw_log_record(raw_batch({{"b", "2"}})) + raw_log_record(raw_batch({{"c", "3"}}));
    lsm::io::memory_file_system inner;
    auto log = must(lsm::io::file::open(inner, log_path, lsm::io::open_mode::create_exclusive));
    must(log.append(first));
    must(log.allocate(4096));
    recording_file_system fs(inner);
    fs.fault = [&](std::string_view call) {
        if (call.starts_with("read") && fs.reads == 1) must(log.append(more));  // after the reader has read zeros there
        return 0;
    };
    const auto read =
        read_log(fs, GENERATE(recovery::strict_tail, recovery::absolute, recovery::point_in_time, recovery::salvage));
    CHECK_FALSE(read.failure);
    CHECK(read.records.size() == 3);
    CHECK(read.cuts.empty());
}

TEST_CASE("log reader: takes its memory from its allocator and gives it back") {
    using reader_type = lsm::wal::basic_reader<logged_allocator<std::byte>>;
    const auto log = five_records();
    lsm::io::memory_file_system fs;
    write_file(fs, log_path, with_flip(log.raw, log.starts[1] + 9));
    allocation_log memory;
    for (const auto mode : all_modes) {
        {
            auto reader = must(reader_type::open(open_file(fs, log_path), mode, logged_allocator<std::byte>(memory)));
            for (auto record = reader.next(); record && *record; record = reader.next()) {
            }
            CHECK(memory.live_bytes > 0);
        }
        CHECK(memory.live_bytes == 0);
    }
}

TEST_CASE("log reader: a failure of any allocation is thrown and leaks nothing") {
    using reader_type = lsm::wal::basic_reader<logged_allocator<std::byte>>;
    const auto log = five_records();
    lsm::io::memory_file_system fs;
    write_file(fs, log_path, with_flip(log.raw, log.starts[1] + 9));
    allocation_log memory;
    for (const auto mode : all_modes) {
        const auto read_all = [&] {
            auto reader = must(reader_type::open(open_file(fs, log_path), mode, logged_allocator<std::byte>(memory)));
            for (auto record = reader.next(); record && *record; record = reader.next()) {
            }
        };
        memory.reset();
        read_all();
        const auto all = memory.allocations;
        CHECK(all > 2);
        for (std::size_t fail_at = 0; fail_at < all; ++fail_at) {
            memory.reset();
            memory.fail_at = fail_at;
            CHECK_THROWS_AS(read_all(), std::bad_alloc);
            CHECK(memory.live_bytes == 0);
        }
    }
}

TEST_CASE("log reader: a moved reader goes on at its position") {
    const auto log = five_records();
    lsm::io::memory_file_system fs;
    write_file(fs, log_path, log.raw);
    auto reader = must(lsm::wal::reader::open(open_file(fs, log_path)));
    CHECK(must(reader.next()) == log.payloads[0]);
    auto moved = std::move(reader);
    CHECK(must(moved.next()) == log.payloads[1]);
    CHECK(moved.records() == 2);
}

TEST_CASE("log reader: a reader moved after a defect goes on at its position") {
    const auto log = five_records();
    lsm::io::memory_file_system fs;
    write_file(fs, log_path, with_flip(with_flip(log.raw, log.starts[1] - 1), log.starts[4] - 1));
    auto reader = must(lsm::wal::reader::open(open_file(fs, log_path), recovery::salvage));
    CHECK(must(reader.next()) == log.payloads[1]);
    auto moved = std::move(reader);
    CHECK(must(moved.next()) == log.payloads[2]);
    CHECK(must(moved.next()) == log.payloads[4]);
    CHECK_FALSE(must(moved.next()).has_value());
    CHECK(moved.cut_ranges().size() == 2);
}

TEST_CASE("log reader: a cut that holds intact records says so") {
    const auto log = five_records();
    const bytes torn = log.raw.substr(0, log.raw.size() - 1);
    CHECK_FALSE(read_log(torn).cut_holds_records);

    // Damage in the third record, and a torn write at the end: nothing tells that the damage is not torn, too.
    bytes damaged = torn;
    damaged[log.starts[2] + 10] = static_cast<char>(damaged[log.starts[2] + 10] ^ 1);
    const auto read = read_log(damaged);
    REQUIRE_FALSE(read.failure);
    CHECK(read.records == log.first(2));
    CHECK(read.cut_holds_records);
    CHECK(read_log(damaged, recovery::point_in_time).cut_holds_records);
    // Salvage reads the record after the damage, so that the cuts hold none.
    CHECK_FALSE(read_log(damaged, recovery::salvage).cut_holds_records);

    lsm::io::memory_file_system fs;
    write_file(fs, log_path, damaged);
    CHECK(must_fail(lsm::wal::writer::open(fs, log_path)).code == errc::corruption);
}
