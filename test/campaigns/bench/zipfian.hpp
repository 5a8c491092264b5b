#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>

namespace bench {

/// Returns the sum of 1 / i^theta for i from 1 to n. Adds up the first 1000 terms, and approximates the rest by the
/// Euler-Maclaurin formula, whose first omitted term is below 1e-12 there.
inline double zeta(std::uint64_t n, double theta) {
    constexpr std::uint64_t exact = 1000;
    double sum = 0;
    for (std::uint64_t i = 1; i <= std::min(n, exact); ++i) sum += std::pow(double(i), -theta);
    if (n <= exact) return sum;
    const auto integral = [&](double x) { return std::pow(x, 1 - theta) / (1 - theta); };
    const auto half_a_step = [&](double x) { return std::pow(x, -theta) / 2; };
    const auto slope = [&](double x) { return -theta * std::pow(x, -theta - 1) / 12; };
    const auto formula = [&](double x) { return integral(x) + half_a_step(x) + slope(x); };
    return sum + formula(double(n)) - formula(double(exact));
}

/// Draws ranks below n. Rank i is drawn about 1 / (i + 1)^0.99 times as often as rank 0. This is the generator of YCSB,
/// from "Quickly Generating Billion-Record Synthetic Databases" (Gray et al., 1994).
class zipfian {
public:
    static constexpr double theta = 0.99;

    explicit zipfian(std::uint64_t n) : n_(double(n)), zeta_(zeta(n, theta)) {
        eta_ = (1 - std::pow(2 / n_, 1 - theta)) / (1 - zeta(2, theta) / zeta_);
    }

    [[nodiscard]] std::uint64_t operator()(std::mt19937_64& random) const {
        const double u = double(random() >> 11) * 0x1p-53;
        if (u * zeta_ < 1) return 0;
        if (u * zeta_ < 1 + std::pow(0.5, theta)) return 1;
        return static_cast<std::uint64_t>(n_ * std::pow(eta_ * u - eta_ + 1, 1 / (1 - theta)));
    }

private:
    double n_, zeta_, eta_;
};

/// Returns the FNV-1a hash of the number's eight bytes, the lowest first.
constexpr std::uint64_t fnv(std::uint64_t number) {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (int byte = 0; byte < 8; ++byte, number >>= 8) hash = (hash ^ (number & 0xff)) * 0x100000001b3;
    return hash;
}

/// Draws numbers below n with the frequencies of zipfian ranks, and scatters the popular ones over all numbers. As in
/// YCSB, the ranks are those of ten billion items, whatever n is.
class scrambled_zipfian {
public:
    explicit scrambled_zipfian(std::uint64_t n) : n_(n) {}

    [[nodiscard]] std::uint64_t operator()(std::mt19937_64& random) const { return fnv(rank_(random)) % n_; }

private:
    std::uint64_t n_;
    zipfian rank_{10'000'000'000};
};

}  // namespace bench
