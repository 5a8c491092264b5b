#include <lsm/wal/reader.hpp>

#include <algorithm>
#include <vector>

#include "campaigns/attack/mutations.hpp"
#include "campaigns/fuzz/entries.hpp"
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/raw_bytes.hpp"
#include "support/results.hpp"

using lsm::bytes;
using lsm::wal::recovery;
using namespace lsm::test;

namespace {

std::vector<bytes> salvaged(const bytes& log) {
    lsm::io::memory_file_system fs;
    write_file(fs, "wal.log", log);
    auto reader = must(lsm::wal::reader::open(open_file(fs, "wal.log"), recovery::salvage));
    std::vector<bytes> out;
    while (const auto record = must(reader.next())) out.emplace_back(*record);
    return out;
}

}  // namespace

TEST_CASE("attacked log: every recovery mode returns only intact records and accounts for all bytes") {
    const std::vector<bytes> payloads = {raw_batch({{"a", "1"}}), raw_batch({{"", ""}, {"b", std::nullopt}}),
                                         raw_batch({{"key", bytes(30, 'v')}}), raw_batch({{"last", "value"}})};
    bytes sound;
    for (const auto& payload : payloads) sound += raw_log_record(payload);
    for_each_mutation(sound, 303, [&](const bytes& log) {
        fuzz::log(log);
        // Salvage finds every record that the mutation left intact.
        const auto found = salvaged(log);
        for (const auto& payload : payloads)
            if (log.find(raw_log_record(payload)) != bytes::npos)
                REQUIRE(std::find(found.begin(), found.end(), payload) != found.end());
    });
}

TEST_CASE(
    "attacked log: a hundred bytes that claim four billion operations or bytes are read without allocating for them") {
    const bytes claims[] = {
        u32(0xffff'ffff) + u32(0),
        u32(92) + u32(0) + u32(0xffff'ffff),
        raw_log_record(u32(0xffff'ffff) + bytes(80, '\0')),
        raw_log_record(u32(1) + bytes(1, '\0') + u32(0xffff'ffff) + bytes(70, 'k')),
        raw_log_record(u32(1) + bytes(1, '\0') + u32(1) + "k" + u32(0xffff'ffff) + bytes(70, 'v')),
    };
    for (bytes claim : claims) {
        claim.resize(100, 'x');
        fuzz::log(claim);
        CHECK(salvaged(claim).empty());
    }
}
