#include "campaigns/attack/mutations.hpp"
#include "campaigns/fuzz/entries.hpp"
#include "support/catch.hpp"
#include "support/raw_bytes.hpp"

using lsm::bytes;
using namespace lsm::test;

TEST_CASE("attacked dump: an accepted dump is in order and encodes to the same bytes and anything else is refused") {
    const bytes sound = raw_dump({{"", "empty key"},
                                  {"a", std::nullopt},
                                  {"ab", ""},
                                  {"b", bytes(30, 'v')},
                                  {"key with a name", "and a value"},
                                  {"\xff", std::nullopt}});
    std::size_t accepted = 0;
    for_each_mutation(sound, 101, [&](const bytes& in) { accepted += fuzz::dump(in); });
    CHECK(accepted > 0);  // a bit flipped inside a value leaves a valid dump
}

TEST_CASE(
    "attacked dump: a hundred bytes that claim four billion entries or bytes are refused without allocating for them") {
    const bytes claims[] = {
        "MMT1" + u32(0xffff'ffff),
        "MMT1" + u32(1) + raw_record(0xffff'ffff, 0, 0, ""),
        "MMT1" + u32(1) + raw_record(0, 0xffff'ffff, 0, ""),
        "MMT1" + u32(1) + raw_record(0xffff'ffff, 0xffff'ffff, 0, ""),
        "MMT1" + u32(0xffff'ffff) + raw_record({"a", "1"}),
    };
    for (bytes claim : claims) {
        claim.resize(100, '\0');
        CHECK_FALSE(fuzz::dump(claim));
    }
}
