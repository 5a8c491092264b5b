#include <lsm/sstable/filter.hpp>

#include <cmath>
#include <string>
#include <vector>

#include <lsm/core/hash.hpp>

#include "support/catch.hpp"

using lsm::bytes;
using lsm::detail::append_filter;
using lsm::detail::filter_may_contain;
using lsm::detail::xxh64;

namespace {

bytes filter_of(int keys, unsigned bits_per_key) {
    std::vector<std::uint64_t> hashes;
    for (int i = 0; i < keys; ++i) hashes.push_back(xxh64("key" + std::to_string(i)));
    bytes out;
    append_filter(out, hashes, bits_per_key);
    return out;
}

double false_positives(const bytes& filter, int questions) {
    int found = 0;
    for (int i = 0; i < questions; ++i) found += filter_may_contain(filter, xxh64("absent" + std::to_string(i)));
    return static_cast<double>(found) / questions;
}

// The expected rate of false positives. In a line with n keys, an absent key passes if all its probes hit set bits.
// Over the lines, n has a Poisson distribution.
double expected(unsigned bits_per_key, unsigned probes) {
    const double mean = 512.0 / bits_per_key;
    double sum = 0;
    double weight = std::exp(-mean);
    for (int n = 0; n < 500; ++n, weight *= mean / n)
        sum += weight * std::pow(1 - std::pow(1 - 1.0 / 512, n * static_cast<double>(probes)), probes);
    return sum;
}

}  // namespace

TEST_CASE("filter: every key that was added may be contained") {
    const unsigned bits = GENERATE(1u, 5u, 10u, 20u, 100u);
    for (const int keys : {0, 1, 51, 52, 1000, 10000}) {
        const bytes filter = filter_of(keys, bits);
        REQUIRE(lsm::detail::is_filter(filter));
        for (int i = 0; i < keys; ++i) REQUIRE(filter_may_contain(filter, xxh64("key" + std::to_string(i))));
    }
}

TEST_CASE("filter: the false positive rate is the one that theory predicts") {
    struct point {
        unsigned bits;
        unsigned probes;
    };
    const auto [bits, probes] = GENERATE(values<point>({{5, 3}, {10, 6}, {15, 10}}));
    const double measured = false_positives(filter_of(100'000, bits), 400'000);
    INFO(bits << " bits a key: " << measured << " measured, " << expected(bits, probes) << " expected");
    CHECK(measured < 1.1 * expected(bits, probes) + 0.0001);
    CHECK(measured > 0.9 * expected(bits, probes) - 0.0001);
}

TEST_CASE("filter: ten bits per key pass about one absent key in a hundred") {
    CHECK(false_positives(filter_of(100'000, 10), 400'000) < 0.0125);
}

TEST_CASE("filter: malformed filters are detected") {
    const bytes good = filter_of(100, 10);
    for (std::size_t length = 0; length < good.size(); ++length)
        CHECK_FALSE(lsm::detail::is_filter(good.substr(0, length)));
    CHECK_FALSE(lsm::detail::is_filter(good + '\0'));
    bytes many_probes = good;
    many_probes[0] = 25;
    CHECK_FALSE(lsm::detail::is_filter(many_probes));
    CHECK_FALSE(lsm::detail::is_filter(bytes(8, '\0')));
}
