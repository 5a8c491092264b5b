#include <cmath>
#include <cstddef>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <lsm/merge/merging_iterator.hpp>

#include "support/catch.hpp"
#include "support/seed.hpp"
#include "support/vector_cursor.hpp"

// Counts comparisons of keys: where the numbers that stand for them say nothing, each ends here. The only file of its
// executable that may replace this.
namespace {
volatile std::size_t comparisons = 0;  // the compiler knows that memcmp changes nothing
}

extern "C" int memcmp(const void* a, const void* b, std::size_t size) noexcept {
    comparisons = comparisons + 1;
    const auto* const left = static_cast<const unsigned char*>(a);
    const auto* const right = static_cast<const unsigned char*>(b);
    for (std::size_t i = 0; i < size; ++i)
        if (left[i] != right[i]) return left[i] < right[i] ? -1 : 1;
    return 0;
}

namespace {

using namespace lsm::test;

// The merge numbers the eight bytes behind what all keys share. These have the same ones there, and `last`, which
// stands in a source of its own and comes last, shares nothing with them.
const lsm::bytes same = "the same";
const lsm::bytes last = "up to the end";

lsm::bytes key(std::size_t i) {
    const std::string digits = std::to_string(i);
    return same + std::string(8 - digits.size(), '0') + digits;
}

// Comparisons for each step of a merge, in which entry i comes from source `source_of(i)`.
template <class SourceOf>
double comparisons_a_step(std::size_t sources, std::size_t entries, SourceOf source_of) {
    std::vector<std::vector<owned_entry>> lists(sources);
    for (std::size_t i = 0; i < entries; ++i) lists[source_of(i)].push_back({key(i)});
    std::vector<vector_cursor> cursors;
    for (auto& list : lists) cursors.emplace_back(std::move(list));
    cursors.emplace_back(std::vector<owned_entry>{{last}});
    lsm::merging_iterator<vector_cursor, std::allocator<std::byte>> at(std::move(cursors));
    const std::size_t before = comparisons;
    for (std::size_t i = 0; i < entries; ++i) at.next();
    const std::size_t made = comparisons - before;
    REQUIRE(at.valid());
    CHECK(at.key() == last);
    return static_cast<double>(made) / static_cast<double>(entries);
}

}  // namespace

TEST_CASE("merge comparisons: about log2 k a step when each is from another source") {
    const auto seed = seed_or(64);
    INFO("LSM_SEED=" << seed);
    std::mt19937_64 random(seed);
    for (const std::size_t sources : {std::size_t{2}, std::size_t{16}, std::size_t{256}}) {
        const double made = comparisons_a_step(sources, 20'000, [&](std::size_t) { return random() % sources; });
        const double levels = std::log2(static_cast<double>(sources));
        INFO(sources << " sources: " << made);
        CHECK(made > levels);  // else they were not counted: no merge makes do with fewer
        CHECK(made < levels + 3.5);
    }
}

// One tells that nobody else is before it, one that nobody else has its key.
TEST_CASE("merge comparisons: two a step while the same source goes on") {
    for (const std::size_t sources : {std::size_t{2}, std::size_t{16}, std::size_t{256}}) {
        const double made = comparisons_a_step(sources, 25'600, [&](std::size_t i) { return i / 100 % sources; });
        INFO(sources << " sources: " << made);
        CHECK(made > 1);
        CHECK(made < 2.2);
    }
}
