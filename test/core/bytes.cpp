#include <lsm/core/bytes.hpp>

#include <algorithm>
#include <cstring>
#include <random>

#include "support/catch.hpp"
#include "support/random_keys.hpp"
#include "support/seed.hpp"

using lsm::bytes;
using lsm::bytes_view;

TEST_CASE("bytes: strings compare by unsigned bytes and a prefix is less than the longer string") {
    const auto seed = lsm::test::seed_or(20);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    for (int i = 0; i < 20000; ++i) {
        const bytes a = lsm::test::random_key(random);
        const bytes b = lsm::test::random_key(random);
        const int common = std::memcmp(a.data(), b.data(), std::min(a.size(), b.size()));
        const bool below = common != 0 ? common < 0 : a.size() < b.size();
        REQUIRE((a < b) == below);
        REQUIRE((bytes_view(a) < bytes_view(b)) == below);
        REQUIRE(std::less<>()(a, b) == below);
    }
    CHECK(bytes("\x7f") < bytes("\x80"));
    CHECK(bytes("a") < bytes("a\0", 2));
    CHECK(bytes() < bytes(1, '\0'));
}
