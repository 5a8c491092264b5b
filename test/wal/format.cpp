#include <lsm/wal/format.hpp>

#include <lsm/io/memory_file_system.hpp>
#include <lsm/wal/reader.hpp>
#include <lsm/wal/writer.hpp>

#include "support/catch.hpp"
#include "support/raw_bytes.hpp"
#include "wal/logs.hpp"

using lsm::bytes;
using namespace lsm::test;

TEST_CASE("log format: the record vectors of the format page are written and read") {
    struct vector {
        raw_entries operations;
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
        lsm::detail::record_search search(in.size());
        CHECK(search.find(in, 0) == before);
        CHECK(search.find(in, before) == before);
        CHECK_FALSE(search.find(in, before + 1).has_value());
        CHECK_FALSE(search.exhausted());
    }
    for (std::size_t length = 0; length < record.size(); ++length) {
        lsm::detail::record_search search(length);
        CHECK_FALSE(search.find(record.substr(0, length), 0).has_value());
    }
}

namespace {

bool torn(const bytes& in) {
    lsm::detail::record_search search(in.size());
    return lsm::detail::torn_tail(in, search);
}

}  // namespace

TEST_CASE("log format: what a crash leaves is a torn tail and what stands in front of intact records is not") {
    const bytes record = raw_log_record(raw_batch({{"key", "value"}}));
    const bytes other = raw_log_record(raw_batch({{"k", std::nullopt}}));
    bytes damaged = record;
    damaged.back() = static_cast<char>(damaged.back() ^ 1);
    bytes too_long = record;
    too_long[1] = 1;  // 256 bytes more than there are

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
    CHECK_FALSE(torn(damaged + "junk" + other + "junk"));
}

TEST_CASE("log format: a record that is cut off hides what looks like a record inside it") {
    // A value may hold a whole log: as long as its record runs beyond the end, it is not looked into.
    const bytes inner = raw_log_record(raw_batch({{"inner", "record"}}));
    const bytes record = raw_log_record(raw_batch({{"key", inner + bytes(100, 'v')}}));
    for (std::size_t length = 1; length < record.size(); ++length) CHECK(torn(record.substr(0, length)));
}
