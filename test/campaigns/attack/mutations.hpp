#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <random>

#include <lsm/core/bytes.hpp>

#include "support/catch.hpp"
#include "support/seed.hpp"

namespace lsm::test {

/// Calls `attempt` with accidental damage to `sound`: every truncation, every tail overwritten with zeros, every single
/// bit flip, and zeros appended.
template <class Attempt>
void for_each_damage(const bytes& sound, Attempt attempt) {
    for (std::size_t length = 0; length < sound.size(); ++length) {
        INFO("truncated or zeros from offset " << length);
        attempt(sound.substr(0, length));
        attempt(sound.substr(0, length) + bytes(sound.size() - length, '\0'));
    }
    for (std::size_t at = 0; at < sound.size(); ++at)
        for (int bit = 0; bit < 8; ++bit) {
            INFO("byte " << at << " bit " << bit);
            bytes flipped = sound;
            flipped[at] = static_cast<char>(flipped[at] ^ 1 << bit);
            attempt(flipped);
        }
    for (std::size_t zeros = 1; zeros < 100; ++zeros) {
        INFO(zeros << " zeros appended");
        attempt(sound + bytes(zeros, '\0'));
    }
    attempt(sound + bytes(4096, '\0'));
}

/// Calls `attempt` with everything for_each_damage() makes, and with deliberate damage: zeros prepended, zeros alone,
/// and runs of up to eight bytes overwritten at random, some of them with numbers near a limit.
template <class Attempt>
void for_each_mutation(const bytes& sound, std::uint64_t fixed_seed, Attempt attempt) {
    for_each_damage(sound, attempt);
    for (const std::size_t zeros : {1u, 4u, 8u, 13u, 36u, 4096u}) {
        INFO(zeros << " zeros prepended or alone");
        attempt(bytes(zeros, '\0') + sound);
        attempt(bytes(zeros, '\0'));
    }

    const auto seed = seed_or(fixed_seed);
    std::mt19937_64 random(seed);
    static constexpr std::uint64_t limits[] = {
        0, 1, 0x7f, 0xff, 0x7fff'ffff, 0x8000'0000, 0xffff'fff7, 0xffff'ffff, ~0ull >> 1, ~0ull - 12, ~0ull};
    for (int round = 0; round < 5000; ++round) {
        INFO("seed " << seed << " round " << round);
        bytes overwritten = sound;
        for (auto n = random() % 3 + 1; n > 0; --n) {
            const auto at = static_cast<std::size_t>(random() % overwritten.size());
            const auto length =
                std::min<std::size_t>(static_cast<std::size_t>(random() % 8 + 1), overwritten.size() - at);
            const std::uint64_t number = random() % 2 == 0 ? random() : limits[random() % std::size(limits)];
            for (std::size_t i = 0; i < length; ++i) overwritten[at + i] = static_cast<char>(number >> 8 * i);
        }
        attempt(overwritten);
    }
}

}  // namespace lsm::test
