#include <lsm/core/radix_sort.hpp>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "support/catch.hpp"
#include "support/seed.hpp"

namespace {

struct item {
    std::uint64_t number;
    int place;

    friend bool operator==(const item&, const item&) = default;
};

void check(std::vector<item> items) {
    auto expected = items;
    std::stable_sort(expected.begin(), expected.end(),
                     [](const item& a, const item& b) { return a.number < b.number; });
    std::vector<item> spare(3);
    lsm::detail::radix_sort(items, spare);
    CHECK(items == expected);
}

}  // namespace

TEST_CASE("radix sort: sorts no items and one item and equal items") {
    check({});
    check({{7, 0}});
    check({{7, 0}, {7, 1}, {7, 2}});
    check({{~std::uint64_t{0}, 0}, {0, 1}, {~std::uint64_t{0}, 2}, {std::uint64_t{1} << 63, 3}});
}

TEST_CASE("radix sort: equals a stable sort whichever bytes of the numbers differ") {
    std::mt19937_64 random(lsm::test::seed_or(1));
    for (int round = 0; round < 300; ++round) {
        std::uint64_t differing = 0;  // some bits of some bytes
        for (int byte = 0; byte < 8; ++byte)
            if (random() % 2 == 0) differing |= (random() & 0xff) << 8 * byte;
        const std::uint64_t common = random() & ~differing;
        std::vector<item> items(random() % 600);
        for (std::size_t i = 0; i < items.size(); ++i)
            items[i] = {common | (random() & differing), static_cast<int>(i)};
        check(items);
    }
}
