#include "campaigns/attack/mutations.hpp"
#include "campaigns/fuzz/entries.hpp"
#include "support/catch.hpp"
#include "support/raw_bytes.hpp"

using lsm::bytes;
using namespace lsm::test;

TEST_CASE("attacked batch: an accepted batch encodes to the same bytes and anything else is refused") {
    const bytes sound =
        raw_batch({{"", ""}, {"a", std::nullopt}, {"a", "1"}, {"key", bytes(30, 'v')}, {"z", std::nullopt}});
    std::size_t accepted = 0;
    for_each_mutation(sound, 404, [&](const bytes& in) { accepted += fuzz::batch(in); });
    CHECK(accepted > 0);  // a bit flipped inside a value leaves a valid batch
}

TEST_CASE(
    "attacked batch: a hundred bytes that claim four billion operations or bytes are refused without allocating for "
    "them") {
    const bytes claims[] = {
        u32(0xffff'ffff),
        u32(1) + bytes(1, '\0') + u32(0xffff'ffff),
        u32(1) + bytes(1, '\1') + u32(0xffff'ffff),
        u32(1) + bytes(1, '\0') + u32(1) + "k" + u32(0xffff'ffff),
    };
    for (bytes claim : claims) {
        claim.resize(100, '\0');
        CHECK_FALSE(fuzz::batch(claim));
    }
}
