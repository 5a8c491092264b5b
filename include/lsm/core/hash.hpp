#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>

namespace lsm::detail {

/// Returns the XXH64 hash of `data` with seed 0 (Y. Collet, "xxHash fast digest algorithm"); xxh64("") is
/// 0xEF46DB3751D8E999. The filters in files depend on it, so it never changes. O(size).
[[nodiscard]] inline std::uint64_t xxh64(bytes_view data) noexcept {
    constexpr std::uint64_t p1 = 0x9e3779b185ebca87, p2 = 0xc2b2ae3d27d4eb4f, p3 = 0x165667b19e3779f9;
    constexpr std::uint64_t p4 = 0x85ebca77c2b2ae63, p5 = 0x27d4eb2f165667c5;
    const auto round = [](std::uint64_t lane, std::uint64_t input) { return std::rotl(lane + input * p2, 31) * p1; };
    const char* at = data.data();
    std::size_t left = data.size();

    std::uint64_t hash = p5;
    if (left >= 32) {
        // Four independent lanes, so that their multiplications overlap.
        std::uint64_t lanes[4] = {p1 + p2, p2, 0, 0 - p1};
        for (; left >= 32; left -= 32)
            for (std::uint64_t& lane : lanes) {
                lane = round(lane, load_le<std::uint64_t>(at));
                at += 8;
            }
        hash = std::rotl(lanes[0], 1) + std::rotl(lanes[1], 7) + std::rotl(lanes[2], 12) + std::rotl(lanes[3], 18);
        for (const std::uint64_t lane : lanes) hash = (hash ^ round(0, lane)) * p1 + p4;
    }
    hash += data.size();
    for (; left >= 8; left -= 8, at += 8) hash = std::rotl(hash ^ round(0, load_le<std::uint64_t>(at)), 27) * p1 + p4;
    for (; left >= 4; left -= 4, at += 4) hash = std::rotl(hash ^ load_le<std::uint32_t>(at) * p1, 23) * p2 + p3;
    for (; left > 0; --left, ++at) hash = std::rotl(hash ^ static_cast<unsigned char>(*at) * p5, 11) * p1;
    // The final mixing: every bit of the text affects every bit of the hash.
    hash = (hash ^ hash >> 33) * p2;
    hash = (hash ^ hash >> 29) * p3;
    return hash ^ hash >> 32;
}

}  // namespace lsm::detail
