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
#include "support/cursors.hpp"
#include "support/seed.hpp"

// Counts the comparisons of whole keys: all of them call memcmp, which is replaced here. No other file of this
// executable may replace it.
namespace {
volatile std::size_t comparisons = 0;  // volatile, because the compiler assumes that memcmp has no side effects
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

// The merge represents a key by the eight bytes after the prefix that all keys share. `last`, from a source of its own,
// shares no prefix with the others, so these eight bytes are `same` in all others, and whole keys must be compared.
const lsm::bytes same = "the same";
const lsm::bytes last = "up to the end";

lsm::bytes key(std::size_t i) {
    const std::string digits = std::to_string(i);
    return same + std::string(8 - digits.size(), '0') + digits;
}

// Returns the average number of comparisons for a step of a merge in which entry i is from source `source_of(i)`.
template <class SourceOf>
double comparisons_a_step(std::size_t sources, std::size_t entries, SourceOf source_of) {
    std::vector<entry_list> lists(sources);
    for (std::size_t i = 0; i < entries; ++i) lists[source_of(i)].emplace_back(key(i), "");
    std::vector<listed_cursor> cursors;
    for (auto& list : lists) cursors.emplace_back(std::move(list));
    cursors.emplace_back(entry_list{{last, ""}});
    lsm::merging_iterator<listed_cursor, std::allocator<std::byte>> at(std::move(cursors));
    const std::size_t before = comparisons;
    for (std::size_t i = 0; i < entries; ++i) at.next();
    const std::size_t made = comparisons - before;
    REQUIRE(at.valid());
    CHECK(at.key() == last);
    return static_cast<double>(made) / static_cast<double>(entries);
}

}  // namespace

TEST_CASE("merge comparisons: about log2 k for a step when every step changes the source") {
    const auto seed = seed_or(64);
    INFO("LSM_SEED=" << seed);
    std::mt19937_64 random(seed);
    for (const std::size_t sources : {std::size_t{2}, std::size_t{16}, std::size_t{256}}) {
        const double made = comparisons_a_step(sources, 20'000, [&](std::size_t) { return random() % sources; });
        const double levels = std::log2(static_cast<double>(sources));
        INFO(sources << " sources: " << made);
        CHECK(made > levels);  // fewer are not possible, so fewer would mean that the count is wrong
        CHECK(made < levels + 3.5);
    }
}

// One finds that no other source has a smaller key, and one that none has the same key.
TEST_CASE("merge comparisons: two for a step while the source stays the same") {
    for (const std::size_t sources : {std::size_t{2}, std::size_t{16}, std::size_t{256}}) {
        const double made = comparisons_a_step(sources, 25'600, [&](std::size_t i) { return i / 100 % sources; });
        INFO(sources << " sources: " << made);
        CHECK(made > 1);
        CHECK(made < 2.2);
    }
}
