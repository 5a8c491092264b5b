#include <lsm/memtable/memtable.hpp>

#include "attack/mutations.hpp"
#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/cursor_walk.hpp"
#include "support/raw_bytes.hpp"

using lsm::bytes;
using namespace lsm::test;

namespace {

using alloc = logged_allocator<std::byte>;
using table_type = lsm::basic_memtable<lsm::policies<bytes, bytes, alloc>>;

// An entry of 9 bytes becomes a node and a version of some 80, in chunks of which the last may be empty.
std::size_t memory_bound(std::size_t dump_bytes) { return 24 * dump_bytes + 4096; }

}  // namespace

TEST_CASE("attacked dump: what is accepted is in order and encodes to the same bytes and all else is refused") {
    const bytes sound = raw_dump({{"", "empty key"},
                                  {"a", std::nullopt},
                                  {"ab", ""},
                                  {"b", bytes(30, 'v')},
                                  {"key with a name", "and a value"},
                                  {"\xff", std::nullopt}});
    allocation_log log;
    std::size_t accepted = 0;
    for_each_mutation(sound, 101, [&](const bytes& dump) {
        log.reset();
        {
            const auto table = table_type::decode(dump, alloc(log));
            if (table) {
                ++accepted;
                REQUIRE(table->encode() == dump);
                REQUIRE(table->size_bytes() == dump.size());
                const auto entries = rest_of(table->iter());
                REQUIRE(entries.size() == table->len());
                for (std::size_t i = 1; i < entries.size(); ++i) REQUIRE(entries[i - 1].first < entries[i].first);
            }
        }
        REQUIRE(log.peak_bytes <= memory_bound(dump.size()));
        REQUIRE(log.live_bytes == 0);
    });
    CHECK(accepted > 0);  // a flipped bit in a value is no defect
}

TEST_CASE("attacked dump: a hundred bytes that claim four billion entries or bytes are refused at no cost") {
    const bytes claims[] = {
        "MMT1" + u32(0xffff'ffff),
        "MMT1" + u32(1) + raw_record(0xffff'ffff, 0, 0, ""),
        "MMT1" + u32(1) + raw_record(0, 0xffff'ffff, 0, ""),
        "MMT1" + u32(1) + raw_record(0xffff'ffff, 0xffff'ffff, 0, ""),
        "MMT1" + u32(0xffff'ffff) + raw_record({"a", "1"}),
    };
    for (bytes claim : claims) {
        claim.resize(100, '\0');
        allocation_log log;
        CHECK_FALSE(table_type::decode(claim, alloc(log)).has_value());
        CHECK(log.peak_bytes <= memory_bound(claim.size()));
        CHECK(log.live_bytes == 0);
    }
}
