#include <lsm/wal/format.hpp>

#include <iterator>
#include <random>

#include <lsm/core/hex.hpp>
#include <lsm/io/memory_file_system.hpp>
#include <lsm/wal/reader.hpp>
#include <lsm/wal/writer.hpp>

#include "support/catch.hpp"
#include "support/raw_bytes.hpp"
#include "support/seed.hpp"
#include "wal/logs.hpp"

using lsm::bytes;
using lsm::bytes_view;
using lsm::detail::record_search;
using namespace lsm::test;

namespace {

bool intact_by_definition(bytes_view in) {
    if (in.size() <= lsm::detail::log_header_bytes) return false;
    const auto header = lsm::detail::log_record_header::read(in.data());
    in.remove_prefix(lsm::detail::log_header_bytes);
    if (header.length == 0 || header.length > in.size()) return false;
    const bytes_view payload = in.substr(0, header.length);
    return lsm::crc32(payload) == header.crc && lsm::detail::check_batch(payload);
}

bool torn(const bytes& in) {
    record_search search(in, in.size());
    return lsm::detail::torn_tail(0, search);
}

}  // namespace

TEST_CASE("log format: the golden records of the format page are written and read") {
    struct vector {
        entry_list operations;
        bytes record;
    };
    const vector vectors[] = {
        {{{"a", "1"}}, unhex("0f000000 4446fc2e 01000000 00 01000000 61 01000000 31")},
        {{{"a", "1"}, {"a", std::nullopt}, {"", ""}},
         unhex("1e000000 f0da1b3d 03000000 00 01000000 61 01000000 31 01 01000000 61 00 00000000 00000000")}};
    for (const auto& [operations, record] : vectors) {
        lsm::io::memory_file_system fs;
        lsm::wal::writer log(fs, "wal.log", 0);
        must(log.append(raw_batch(operations)));
        CHECK(read_file(fs, "wal.log") == record);
        CHECK(read_log(fs).records == std::vector<bytes>{raw_batch(operations)});
    }
}

TEST_CASE("log format: a search finds an intact record at any offset and only there") {
    const bytes record = raw_log_record(raw_batch({{"key", "value"}}));
    for (std::size_t before = 0; before < 20; ++before) {
        const bytes in = bytes(before, '\xee') + record + "rest";
        record_search search(in, in.size());
        CHECK(search.find(0) == before);
        CHECK(search.find(before) == before);
        CHECK_FALSE(search.find(before + 1).has_value());
        CHECK_FALSE(search.exhausted());
    }
    for (std::size_t length = 0; length < record.size(); ++length) {
        const bytes in = record.substr(0, length);
        record_search search(in, length);
        CHECK_FALSE(search.find(0).has_value());
        CHECK_FALSE(search.find(length).has_value());
    }
}

TEST_CASE("log format: a search from every offset finds what the definition of an intact record names") {
    const auto seed = seed_or(11);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    const bytes good = raw_log_record(raw_batch({{"k", "v"}, {"", std::nullopt}}));
    bytes bad = good;
    bad[5] ^= 1;
    const bytes pieces[] = {
        good,
        bad,
        good.substr(0, good.size() - 1),
        raw_log_record(u32(0)),                                        // a batch of no operations
        raw_log_record(u32(0) + bytes(1, '\0')),                       // and a byte after it
        raw_log_record(""),                                            // not a record, although its CRC matches
        raw_log_record("abc"),                                         // too short for a count
        raw_log_record(u32(2) + "\x01" + u32(0)),                      // an operation is missing
        raw_log_record(u32(1) + "\x02" + u32(0)),                      // an undefined type
        raw_log_record(raw_batch({{"k", "v"}}) + "x"),                 // a byte too many
        raw_log_record(raw_batch({{"inner", good + bad}, {"", ""}})),  // records in a value
        raw_log_record(bytes("\x01\0\0\0\0\x20\0\0\0", 9) + good),     // and after a key that is too long
        bytes(9, '\0'),
        u32(3) + u64(20) + u32(3) + u64(11),
        u32(20),
        "\x01",
    };
    for (int round = 0; round < 1000; ++round) {
        bytes in;
        for (auto n = random() % 7; n > 0; --n) in += pieces[random() % std::size(pieces)];
        if (!in.empty() && random() % 2 == 0) in[random() % in.size()] ^= static_cast<char>(1 << random() % 8);
        record_search search(in, in.size());
        std::optional<std::size_t> expected;
        std::vector<std::optional<std::size_t>> found(in.size() + 1);
        for (std::size_t at = 0; at <= in.size(); ++at) found[at] = search.find(at);
        REQUIRE_FALSE(search.exhausted());
        for (std::size_t at = in.size() + 1; at-- > 0;) {
            const bool here = intact_by_definition(bytes_view(in).substr(at));
            if (here) expected = at;
            INFO("round " << round << ", at " << at << " of " << lsm::hex(in));
            REQUIRE(found[at] == expected);
            REQUIRE(search.intact(at) == here);
        }
    }
}

TEST_CASE("log format: a defect is a torn tail at the end and not before intact records") {
    const bytes record = raw_log_record(raw_batch({{"key", "value"}}));
    const bytes other = raw_log_record(raw_batch({{"k", std::nullopt}}));
    bytes damaged = record;
    damaged.back() = static_cast<char>(damaged.back() ^ 1);
    bytes too_long = record;
    too_long[1] = 1;  // claims more bytes than there are

    CHECK(torn(""));
    CHECK(torn(bytes(5, '\0')));
    CHECK(torn(bytes(500, '\0')));
    CHECK(torn("\x01"));
    CHECK(torn(record.substr(0, record.size() - 1)));
    CHECK(torn(damaged));
    CHECK(torn(too_long));
    CHECK(torn(damaged + bytes(100, '\0')));
    CHECK(torn(bytes(100, '\0') + "x"));

    CHECK_FALSE(torn(damaged + other));
    CHECK_FALSE(torn(too_long + other));
    CHECK_FALSE(torn(bytes(100, '\0') + other));
    CHECK_FALSE(torn("bytes of no record at all" + other));
    CHECK_FALSE(torn(damaged + other + bytes(100, '\0')));
    CHECK_FALSE(torn(damaged + "junk" + other));

    // What follows the last intact record is neither the end nor zeros.
    CHECK(torn(damaged + "junk" + other + "junk"));
}

TEST_CASE("log format: a torn record whose value is a log is a torn tail unless it ends between two records of that") {
    const bytes inner = raw_log_record(raw_batch({{"inner", "record"}}));
    const bytes record = raw_log_record(raw_batch({{"key", inner + inner + bytes(100, 'v')}}));
    const std::size_t first_end = record.find(inner) + inner.size();
    for (std::size_t length = 1; length < record.size(); ++length)
        for (const std::size_t zeros : {0u, 100u}) {
            INFO("length " << length << " and zeros " << zeros);
            const bool between = length == first_end || length == first_end + inner.size();
            CHECK(torn(record.substr(0, length) + bytes(zeros, '\0')) != between);
        }
}

TEST_CASE("log format: foreign bytes over the front of a log are damage wherever they claim to end") {
    bytes log;
    for (int n = 0; n < 40; ++n) log += raw_log_record(raw_batch({{"key" + std::to_string(n), bytes(20, 'v')}}));
    bytes floats, big_endian, small;
    for (int n = 0; n < 128; ++n) {
        const float value = 1.5f * static_cast<float>(n + 1);
        floats.append(reinterpret_cast<const char*>(&value), sizeof value);
        big_endian += bytes("\0\0\1", 3) + static_cast<char>(n);
        small += u32(static_cast<std::uint32_t>(n));
    }
    for (const bytes& sector : {floats, big_endian, small, bytes(512, '\xff'), bytes(512, '\0')})
        for (std::size_t at = 0; at + 512 < log.size() - 100; ++at) {
            INFO("at " << at);
            // What the reader passes to torn_tail() is the log from the first record that is not intact.
            bytes damaged = log;
            damaged.replace(at, 512, sector);
            bytes_view rest = damaged;
            while (intact_by_definition(rest))
                rest.remove_prefix(lsm::detail::log_header_bytes +
                                   lsm::detail::log_record_header::read(rest.data()).length);
            REQUIRE_FALSE(torn(bytes(rest)));
        }
}
