#include <lsm/wal/reader.hpp>

#include <algorithm>
#include <vector>

#include <lsm/core/batch_coding.hpp>
#include <lsm/io/memory_file_system.hpp>

#include "attack/mutations.hpp"
#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/raw_bytes.hpp"
#include "support/results.hpp"

using lsm::bytes;
using lsm::errc;
using lsm::wal::recovery;
using namespace lsm::test;

namespace {

using alloc = logged_allocator<std::byte>;

// The tail that is judged, the reader's buffer, and what a buffer holds while it grows.
std::size_t memory_bound(std::size_t file_bytes) { return 4 * file_bytes + 4096; }

struct contents {
    std::vector<bytes> records;
    bool refused = false;
    std::uint64_t end = 0;
    std::uint64_t cut_bytes = 0;
};

contents read_all(const bytes& log, recovery mode) {
    lsm::io::memory_file_system fs;
    write_file(fs, "wal.log", log);
    allocation_log memory;
    contents out;
    {
        auto reader = must(lsm::wal::basic_reader<alloc>::open(open_file(fs, "wal.log"), mode, alloc(memory)));
        for (;;) {
            const auto record = reader.next();
            if (!record) {
                REQUIRE(record.error().code == errc::corruption);
                out.refused = true;
            }
            if (!record || !*record) break;
            REQUIRE(lsm::detail::check_batch(**record).has_value());
            out.records.emplace_back(**record);
        }
        out.end = reader.end();
        out.cut_bytes = reader.cut_bytes();
    }
    REQUIRE(memory.peak_bytes <= memory_bound(log.size()));
    REQUIRE(memory.live_bytes == 0);
    return out;
}

bytes joined(const std::vector<bytes>& payloads) {
    bytes out;
    for (const auto& p : payloads) out += raw_log_record(p);
    return out;
}

}  // namespace

TEST_CASE("attacked log: every mode gives out intact records only and accounts for all bytes") {
    const std::vector<bytes> payloads = {raw_batch({{"a", "1"}}), raw_batch({{"", ""}, {"b", std::nullopt}}),
                                         raw_batch({{"key", bytes(30, 'v')}}), raw_batch({{"last", "value"}})};
    for_each_mutation(joined(payloads), 303, [&](const bytes& log) {
        const auto strict = read_all(log, recovery::strict_tail);
        const auto absolute = read_all(log, recovery::absolute);
        const auto prefix = read_all(log, recovery::point_in_time);
        const auto salvaged = read_all(log, recovery::salvage);

        // All that read a prefix read the same one, and it stands in the file as it is.
        REQUIRE(strict.records == prefix.records);
        REQUIRE(absolute.records == prefix.records);
        REQUIRE(log.starts_with(joined(prefix.records)));
        REQUIRE(prefix.end == joined(prefix.records).size());
        REQUIRE(strict.end == prefix.end);

        REQUIRE_FALSE(prefix.refused);
        REQUIRE_FALSE(salvaged.refused);
        REQUIRE((absolute.refused || !strict.refused));
        REQUIRE(salvaged.records.size() >= prefix.records.size());
        REQUIRE(std::equal(prefix.records.begin(), prefix.records.end(), salvaged.records.begin()));

        // Nothing is lost without a word but zeros at the end.
        if (!absolute.refused) {
            REQUIRE(prefix.cut_bytes == 0);
            REQUIRE(lsm::bytes_view(log).substr(static_cast<std::size_t>(prefix.end)).find_first_not_of('\0') ==
                    bytes::npos);
        } else {
            REQUIRE(prefix.end + prefix.cut_bytes == log.size());
            REQUIRE(prefix.cut_bytes != 0);
        }
        const std::uint64_t accounted = joined(salvaged.records).size() + salvaged.cut_bytes;
        REQUIRE(accounted <= log.size());
        REQUIRE(lsm::bytes_view(log).substr(static_cast<std::size_t>(accounted)).find_first_not_of('\0') ==
                bytes::npos);
        // A record that no mutation reached is salvaged.
        for (const auto& payload : payloads)
            if (log.find(raw_log_record(payload)) != bytes::npos)
                REQUIRE(std::find(salvaged.records.begin(), salvaged.records.end(), payload) != salvaged.records.end());
    });
}

TEST_CASE("attacked log: a hundred bytes that claim four billion of anything cost no memory") {
    const bytes claims[] = {
        u32(0xffff'ffff) + u32(0),
        u32(92) + u32(0) + u32(0xffff'ffff),
        raw_log_record(u32(0xffff'ffff) + bytes(80, '\0')),
        raw_log_record(u32(1) + bytes(1, '\0') + u32(0xffff'ffff) + bytes(70, 'k')),
        raw_log_record(u32(1) + bytes(1, '\0') + u32(1) + "k" + u32(0xffff'ffff) + bytes(70, 'v')),
    };
    for (bytes claim : claims) {
        claim.resize(100, 'x');
        for (const auto mode : {recovery::strict_tail, recovery::absolute, recovery::point_in_time, recovery::salvage})
            CHECK(read_all(claim, mode).records.empty());
        CHECK(read_all(claim, recovery::absolute).refused);
    }
}
