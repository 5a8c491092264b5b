#include <lsm/wal/reader.hpp>
#include <lsm/wal/writer.hpp>

#include <algorithm>
#include <random>
#include <vector>

#include <lsm/io/memory_file_system.hpp>

#include "support/catch.hpp"
#include "support/raw_bytes.hpp"
#include "support/seed.hpp"
#include "wal/logs.hpp"

using lsm::bytes;
using lsm::errc;
using lsm::wal::recovery;
using namespace lsm::test;

TEST_CASE("log damage: every truncation is a torn tail after an intact prefix that a writer continues") {
    const auto log = five_records();
    const bytes added = raw_batch({{"added", "afterwards"}});
    for (std::size_t length = 0; length <= log.raw.size(); ++length) {
        for (const std::size_t zeros : {0u, 100u}) {
            INFO("length " << length << " and zeros " << zeros);
            const bytes cut = log.raw.substr(0, length) + bytes(zeros, '\0');
            // If only zeros at the end of a record were cut, the zeros after the cut make it whole again.
            std::size_t whole = log.whole_in(length);
            if (cut.starts_with(log.raw.substr(0, log.starts[std::min(whole + 1, log.payloads.size())])))
                whole = std::min(whole + 1, log.payloads.size());
            lsm::io::memory_file_system fs;
            write_file(fs, log_path, cut);
            const auto read = read_log(fs);
            REQUIRE_FALSE(read.failure);
            REQUIRE(read.records == log.first(whole));
            REQUIRE(read.end == log.starts[whole]);

            auto writer = must(lsm::wal::writer::open(fs, log_path));
            REQUIRE(writer.len() == log.starts[whole]);
            must(writer.append(added));
            must(writer.sync());
            REQUIRE(read_file(fs, log_path) == log.raw.substr(0, log.starts[whole]) + raw_log_record(added));
            REQUIRE(writer.len() == log.starts[whole] + raw_log_record(added).size());
        }
    }
}

TEST_CASE("log damage: every bit flip is reported before the last record and never read in the last") {
    const auto log = five_records();
    for (std::size_t at = 0; at < log.raw.size(); ++at)
        for (int bit = 0; bit < 8; ++bit) {
            INFO("byte " << at << " bit " << bit);
            bytes flipped = log.raw;
            flipped[at] = static_cast<char>(flipped[at] ^ 1 << bit);
            const std::size_t hit = log.record_of(at);
            const auto read = read_log(flipped);
            REQUIRE(read.records == log.first(hit));
            REQUIRE(read.end == log.starts[hit]);
            if (hit + 1 < log.payloads.size()) REQUIRE(read.failure);
            if (read.failure) REQUIRE(read.failure->code == errc::corruption);

            const auto absolute = read_log(flipped, recovery::absolute);
            REQUIRE(absolute.records == log.first(hit));
            REQUIRE(absolute.failure);

            // Salvage loses only the damaged record.
            auto expected = log.payloads;
            expected.erase(expected.begin() + static_cast<std::ptrdiff_t>(hit));
            const auto salvaged = read_log(flipped, recovery::salvage);
            REQUIRE_FALSE(salvaged.failure);
            REQUIRE(salvaged.records == expected);
            REQUIRE(salvaged.cut_bytes == log.starts[hit + 1] - log.starts[hit]);
        }
}

TEST_CASE("log damage: a writer that refuses a log leaves it unchanged") {
    const auto log = five_records();
    bytes damaged = log.raw;
    damaged[log.starts[2] + 10] ^= 1;
    lsm::io::memory_file_system fs;
    write_file(fs, log_path, damaged);
    CHECK(must_fail(lsm::wal::writer::open(fs, log_path)).code == errc::corruption);
    CHECK(read_file(fs, log_path) == damaged);
}

TEST_CASE("log damage: any wrong length before the last record is reported") {
    const auto log = five_records();
    const auto seed = seed_or(31337);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    std::vector<std::uint32_t> lengths;
    for (std::uint32_t n = 0; n < 2 * log.raw.size(); ++n) lengths.push_back(n);
    for (int bit = 0; bit < 32; ++bit)
        for (const std::uint32_t near : {0u, 1u}) lengths.push_back((std::uint32_t{1} << bit) - near);
    lengths.push_back(0xffff'ffff);
    for (int i = 0; i < 1000; ++i) lengths.push_back(static_cast<std::uint32_t>(random()));

    for (std::size_t hit = 0; hit + 1 < log.payloads.size(); ++hit)
        for (const auto length : lengths) {
            if (length == log.payloads[hit].size()) continue;
            INFO("record " << hit << " length " << length);
            bytes damaged = log.raw;
            damaged.replace(log.starts[hit], 4, u32(length));
            const auto read = read_log(damaged);
            REQUIRE(read.records == log.first(hit));
            REQUIRE(read.failure);
            REQUIRE(read.failure->code == errc::corruption);
        }
}

TEST_CASE("log damage: of a log with random damage only a prefix of the records is read") {
    const auto log = five_records();
    const auto seed = seed_or(99);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 5000; ++round) {
        bytes smashed = log.raw;
        std::size_t first = smashed.size();
        for (auto n = random() % 6 + 1; n > 0; --n) {
            const auto at = static_cast<std::size_t>(random() % smashed.size());
            const auto byte = static_cast<char>(random());
            if (smashed[at] != byte) first = std::min(first, at);
            smashed[at] = byte;
        }
        if (smashed == log.raw) continue;
        const auto read = read_log(smashed);
        REQUIRE(read.records.size() <= log.payloads.size());
        REQUIRE(read.records == log.first(read.records.size()));
        const auto salvaged = read_log(smashed, recovery::salvage);
        REQUIRE_FALSE(salvaged.failure);
        for (const auto& record : salvaged.records)
            REQUIRE(std::find(log.payloads.begin(), log.payloads.end(), record) != log.payloads.end());
    }
}
