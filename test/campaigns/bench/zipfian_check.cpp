#include "campaigns/bench/zipfian.hpp"

#include <cmath>
#include <cstdint>
#include <map>
#include <random>
#include <set>

#include "support/catch.hpp"
#include "support/seed.hpp"

using namespace bench;

namespace {

constexpr int draws = 1'000'000;

/// Five standard deviations of the frequency of an event with this probability.
double slack(double probability) { return 5 * std::sqrt(probability * (1 - probability) / draws); }

}  // namespace

TEST_CASE("zipfian: zeta equals the sum and the constant that YCSB has for ten billion items") {
    double sum = 0;
    for (std::uint64_t n = 1; n <= 100'000; ++n) {
        sum += std::pow(double(n), -zipfian::theta);
        if (n == 2 || n == 1000 || n == 1001 || n == 100'000)
            CHECK(zeta(n, zipfian::theta) == Approx(sum).epsilon(1e-13));
    }
    CHECK(zeta(10'000'000'000, zipfian::theta) == Approx(26.46902820178302).epsilon(1e-9));
}

TEST_CASE("zipfian: ranks are drawn with the frequencies of the law") {
    constexpr std::uint64_t n = 500'000;
    const auto seed = lsm::test::seed_or(1);
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const zipfian draw(n);
    std::map<std::uint64_t, int> below{{1, 0}, {2, 0}, {10, 0}, {1000, 0}, {100'000, 0}, {n, 0}};
    for (int i = 0; i < draws; ++i) {
        const auto rank = draw(random);
        for (auto& [bound, count] : below) count += rank < bound;
    }
    CHECK(below[n] == draws);
    for (const auto& [bound, count] : below) {
        CAPTURE(bound);
        const double law = zeta(bound, zipfian::theta) / zeta(n, zipfian::theta);
        // The generator draws the first two ranks by the law itself, and approximates it for the rest to about 0.01.
        CHECK(std::abs(count / double(draws) - law) <= slack(law) + (bound <= 2 ? 0 : 0.02));
    }
}

TEST_CASE("zipfian: popular numbers are scattered over the whole range") {
    constexpr std::uint64_t n = 500'000;
    const auto seed = lsm::test::seed_or(1);
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const scrambled_zipfian draw(n);
    std::map<std::uint64_t, int> counts;
    for (int i = 0; i < draws; ++i) ++counts[draw(random)];
    CHECK(counts.rbegin()->first < n);
    const double law = 1 / zeta(10'000'000'000, zipfian::theta);
    // Other ranks that are hashed to the same number add to its frequency, by less than 0.001.
    CHECK(std::abs(counts[fnv(0) % n] / double(draws) - law) <= slack(law) + 0.001);
    std::set<std::uint64_t> tenths;
    for (std::uint64_t rank = 0; rank < 100; ++rank) tenths.insert(fnv(rank) % n / (n / 10));
    CHECK(tenths.size() == 10);
}

TEST_CASE("zipfian: the hash is FNV-1a of eight bytes") {
    CHECK(fnv(0) == 0xa8c7f832281a39c5);
    CHECK(fnv(0x3837363534333231) == 0x173932c41a90a42d);  // of "12345678"
}
