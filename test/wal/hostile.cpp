#include <lsm/wal/reader.hpp>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <random>

#include <lsm/io/memory_file_system.hpp>
#include <lsm/io/posix_file_system.hpp>

#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/raw_bytes.hpp"
#include "support/recording_file_system.hpp"
#include "support/seed.hpp"
#include "wal/logs.hpp"

using lsm::bytes;
using lsm::errc;
using lsm::wal::recovery;
using namespace lsm::test;

namespace {

constexpr std::size_t hostile_bytes = 1 << 20;
// An unbounded search would take minutes.
constexpr std::chrono::seconds time_limit{20};

struct outcome {
    std::optional<lsm::error> failure;
    std::uint64_t records = 0;
    std::uint64_t cut_bytes = 0;
};

// Reads the log to its end or an error. Checks that this takes memory in proportion to the log and stays within the
// time limit.
outcome read_hostile(const bytes& log, recovery mode) {
    using alloc = logged_allocator<std::byte>;
    lsm::io::memory_file_system fs;
    write_file(fs, log_path, log);
    allocation_log memory;
    const auto start = std::chrono::steady_clock::now();
    outcome out;
    {
        auto reader = must(lsm::wal::basic_reader<alloc>::open(open_file(fs, log_path), mode, alloc(memory)));
        for (;;) {
            auto record = reader.next();
            if (!record) out.failure = std::move(record).error();
            if (out.failure || !*record) break;
            ++out.records;
        }
        out.cut_bytes = reader.cut_bytes();
    }
    CHECK(std::chrono::steady_clock::now() - start < time_limit);
    CHECK(memory.peak_bytes < 4 * log.size() + (256 << 10));
    CHECK(memory.live_bytes == 0);
    return out;
}

bytes repeated(const bytes& unit) {
    bytes out;
    while (out.size() < hostile_bytes) out += unit;
    return out;
}

}  // namespace

TEST_CASE("hostile log: many records with wrong CRCs that all claim the rest of the file take bounded time") {
    // At many offsets starts a record with a wrong CRC, whose batch has one value up to the end of the file: checking
    // each takes the CRC of all that follows.
    constexpr std::size_t unit = 8 + 4 + 1 + 4 + 4;
    constexpr std::size_t units = hostile_bytes / unit;
    bytes log;
    for (std::size_t i = 0; i < units; ++i) {
        const std::size_t left = (units - i) * unit;
        log += u32(left - 8) + u32(0x12345678) + u32(1) + bytes(1, '\0') + u32(0) + u32(left - unit);
    }
    CHECK_FALSE(read_hostile(log, recovery::strict_tail).failure);
    CHECK(read_hostile(log, recovery::absolute).failure->code == errc::corruption);
    CHECK_FALSE(read_hostile(log, recovery::point_in_time).failure);
    CHECK_FALSE(read_hostile(log, recovery::salvage).failure);
    const auto damaged = read_hostile(log + raw_log_record(raw_batch({{"a", "1"}})), recovery::strict_tail);
    REQUIRE(damaged.failure);
    CHECK(damaged.failure->code == errc::corruption);
}

namespace {

// Tombstones, each with a key that holds the header of a record with a matching CRC and the count of its batch; the
// batch is made of the tombstones that follow. The last operation has an undefined type, so no batch is well-formed,
// but that shows only when a batch is parsed to its end.
bytes nested_records(std::size_t depth) {
    bytes backwards = "\x02";
    const auto prepend = [&](bytes piece) { backwards.append(piece.rbegin(), piece.rend()); };
    for (std::size_t inside = 1; inside <= depth; ++inside) {
        prepend(u32(inside));
        const bytes payload(backwards.rbegin(), backwards.rend());
        prepend(bytes(1, '\x01') + u32(12) + u32(payload.size()) + u32(lsm::crc32(payload)));
    }
    prepend(bytes(8, '\0'));
    return {backwards.rbegin(), backwards.rend()};
}

}  // namespace

TEST_CASE("hostile log: of nested records with matching CRCs a bounded number of operations is parsed") {
    // Together they have depth * depth / 2 operations, of which eight for each byte of the file are parsed.
    for (const std::size_t depth : {200u, 400u, 2000u}) {
        const bytes log = nested_records(depth);
        const bool gives_up = depth * (depth - 1) / 2 > 8 * log.size();
        CHECK(gives_up == (depth != 200));
        lsm::detail::record_search search(log, log.size());
        CHECK_FALSE(search.find(1).has_value());
        CHECK(search.exhausted() == gives_up);
        const auto strict = read_hostile(log, recovery::strict_tail);
        CHECK(strict.failure.has_value() == gives_up);
        if (strict.failure) CHECK(strict.failure->code == errc::corruption);
        for (const bytes& end : {bytes(), raw_log_record(raw_batch({{"a", "1"}}))}) {
            const auto salvaged = read_hostile(log + end, recovery::salvage);
            CHECK_FALSE(salvaged.failure);
            if (!gives_up) CHECK(salvaged.records == (end.empty() ? 0 : 1));
        }
    }
}

TEST_CASE("hostile log: salvage does not compute the CRC of all that follows for each damaged record") {
    constexpr std::size_t pairs = 120'000;
    const bytes good = raw_log_record(raw_batch({{"key", "value"}}));
    const std::size_t pair = 8 + 4 + 1 + 4 + good.size();
    bytes log;
    for (std::size_t i = 0; i < pairs; ++i)
        log += u32((pairs - i) * pair - 8) + u32(0x12345678) + u32(1) + bytes(1, '\x01') + u32(good.size()) + good;
    CHECK(read_hostile(log, recovery::salvage).records == pairs);
}

TEST_CASE("hostile log: long batches that begin at every few bytes are not all parsed") {
    // A tombstone whose key is the header of a record and the count of its batch, which the tombstones after it fill.
    const bytes unit = bytes(1, '\x01') + u32(12) + u32(hostile_bytes / 2) + u32(0) + u32(0xffff'ffff);
    for (const auto mode : {recovery::strict_tail, recovery::salvage})
        CHECK(read_hostile(repeated(unit), mode).records == 0);
}

TEST_CASE("hostile log: repeated and random bytes hold no records and take little time") {
    const auto seed = seed_or(5);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    bytes noise(hostile_bytes, '\0');
    for (char& c : noise) c = static_cast<char>(random());
    const bytes logs[] = {repeated("\x01"),
                          repeated("\xff"),
                          repeated(bytes("\x01\0\0\0", 4)),
                          repeated(bytes("\x01\0\0\0\0", 5)),
                          bytes(hostile_bytes, '\0') + "x",
                          noise};
    for (const auto& log : logs)
        for (const auto mode : {recovery::strict_tail, recovery::point_in_time, recovery::salvage})
            CHECK(read_hostile(log, mode).records == 0);
}

TEST_CASE("hostile log: a torn value of small numbers is not damage") {
    // Each number looks like the length of a record, the next like its CRC and the third like a count. Most of the
    // bytes that these records claim lie in the preallocated end.
    const auto numbers = [](std::size_t count, unsigned below, std::size_t width) {
        std::mt19937_64 random(7);
        bytes out;
        for (std::size_t i = 0; i < count; ++i) out += little_endian(random() % below, static_cast<int>(width));
        return out;
    };
    const bytes first = raw_log_record(raw_batch({{"a", "1"}}));
    for (const std::size_t width : {4u, 8u})
        for (const unsigned below : {3u, 10u, 100u, 1000u})
            for (const std::size_t count : {600u, 2500u, 25'000u}) {
                bytes torn = raw_log_record(raw_batch({{"numbers", numbers(count, below, width)}}));
                std::fill_n(torn.begin() + 1000, 512, '\0');  // a sector that did not reach the disk
                const auto read = read_hostile(first + torn + bytes(hostile_bytes, '\0'), recovery::strict_tail);
                INFO(width << " " << below << " " << count);
                CHECK_FALSE(read.failure);
                CHECK(read.records == 1);
            }
}

TEST_CASE("hostile log: a large torn value of rows of small numbers is not damage") {
    // Nearly every row looks like a record whose batch has a great many operations.
    std::mt19937_64 random(7);
    using row = bytes (*)(std::size_t, std::mt19937_64&);
    const row rows[] = {
        [](std::size_t, std::mt19937_64& r) { return u32(3) + u64(r() % 100); },
        [](std::size_t i, std::mt19937_64& r) { return u32(7) + u32(i % 10) + u64(r() % 300); },
        [](std::size_t, std::mt19937_64&) { return u32(1) + little_endian(0, 2) + u32(260); },
    };
    const bytes first = raw_log_record(raw_batch({{"a", "1"}}));
    for (std::size_t kind = 0; kind < std::size(rows); ++kind)
        for (const std::size_t size : {1'000'000u, 2'000'000u}) {
            bytes value;
            for (std::size_t i = 0; value.size() < size; ++i) value += rows[kind](i, random);
            const bytes log = first + raw_log_record(raw_batch({{"rows", value}}));
            for (const std::size_t lost : {512u, 4096u})
                for (const std::size_t zeros : {std::size_t{0}, hostile_bytes}) {
                    const auto place = 1 + static_cast<std::size_t>(random() % (log.size() / lost - 2));
                    INFO("rows " << kind << ", " << size << " bytes, " << lost << " lost at " << place * lost
                                 << ", zeros " << zeros);
                    bytes torn = log + bytes(zeros, '\0');
                    std::fill_n(torn.begin() + static_cast<std::ptrdiff_t>(place * lost), lost, '\0');
                    const auto read = read_hostile(torn, recovery::strict_tail);
                    CHECK_FALSE(read.failure);
                    CHECK(read.records == 1);
                    CHECK(read.cut_bytes == torn.size() - first.size());
                }
        }
}

TEST_CASE("hostile log: a long end of zeros is not read into memory") {
    const scratch_directory dir;
    const std::string path = dir / "wal.log";
    auto& disk = lsm::io::default_file_system();
    write_file(disk, path, raw_log_record(raw_batch({{"key", "value"}})));
    std::filesystem::resize_file(path, 64u << 20);
    allocation_log memory;
    auto log = must(lsm::wal::basic_reader<logged_allocator<std::byte>>::open(
        open_file(disk, path), recovery::strict_tail, logged_allocator<std::byte>(memory)));
    CHECK(must(log.next()).has_value());
    CHECK_FALSE(must(log.next()).has_value());
    CHECK(log.cut_bytes() == 0);
    CHECK(memory.peak_bytes < 1u << 20);
}

TEST_CASE("hostile log: a claim of four billion bytes costs no memory") {
    for (const bytes& claim : {u32(0xffff'ffff), u32(0x7fff'ffff), u32(0xffff'fff7)}) {
        const bytes log = claim + bytes(96, 'x');
        for (const auto mode : {recovery::strict_tail, recovery::absolute, recovery::salvage})
            CHECK(read_hostile(log, mode).records == 0);
    }
}

TEST_CASE("hostile log: salvage does not read a log once more for each damaged record") {
    const bytes good = raw_log_record(raw_batch({{"key", "value"}}));
    bytes bad = good;
    bad.back() ^= 1;
    bytes log;
    constexpr int pairs = 2000;
    for (int i = 0; i < pairs; ++i) log += bad + good;
    lsm::io::memory_file_system inner;
    write_file(inner, log_path, log);
    recording_file_system fs(inner);
    const auto read = read_log(fs, recovery::salvage);
    CHECK(read.records.size() == pairs);
    CHECK(read.cuts.size() == pairs);
    CHECK(fs.bytes_read < 50 * log.size());
}
