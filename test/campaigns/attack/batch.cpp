#include "campaigns/attack/mutations.hpp"
#include "campaigns/fuzz/entries.hpp"
#include "support/catch.hpp"
#include "support/raw_bytes.hpp"

using lsm::bytes;
using namespace lsm::test;

TEST_CASE("attacked batch: what is accepted encodes to the same bytes and all else is refused") {
    const bytes sound =
        raw_batch({{"", ""}, {"a", std::nullopt}, {"a", "1"}, {"key", bytes(30, 'v')}, {"z", std::nullopt}});
    std::size_t accepted = 0;
    for_each_mutation(sound, 404, [&](const bytes& in) { accepted += fuzz::batch(in); });
    CHECK(accepted > 0);  // a flipped bit in a value is no defect
}

TEST_CASE("attacked batch: a hundred bytes that claim four billion of anything are refused at no cost") {
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
