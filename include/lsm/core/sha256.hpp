#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>

namespace lsm::detail {

/// Computes the SHA-256 (FIPS 180-4) of a text that is passed in pieces of any size. Holds one block of 64 bytes and
/// allocates nothing.
class sha256 {
public:
    using digest = std::array<unsigned char, 32>;

    /// Appends `data` to the text. O(size).
    void update(bytes_view data) noexcept {
        const std::size_t filled = length_ % block_.size();
        length_ += data.size();
        if (filled != 0) {
            const std::size_t taken = data.copy(block_.data() + filled, block_.size() - filled);
            if (filled + taken < block_.size()) return;  // the block is not full yet
            compress(block_.data());
            data.remove_prefix(taken);
        }
        for (; data.size() >= block_.size(); data.remove_prefix(block_.size())) compress(data.data());
        data.copy(block_.data(), block_.size());
    }

    /// Returns the hash of the whole text. Requires that no call follows.
    [[nodiscard]] digest finish() noexcept {
        const std::uint64_t bits = 8 * length_;
        // Padding: 0x80, then zeros up to the last eight bytes of a block, which take the length.
        constexpr std::array<char, 64> padding = {'\x80'};
        update({padding.data(), 1 + (119 - length_ % 64) % 64});
        char raw[sizeof bits];
        store_be(raw, bits);
        update({raw, sizeof raw});
        digest out;
        for (std::size_t i = 0; i < state_.size(); ++i) store_be(out.data() + 4 * i, state_[i]);
        return out;
    }

private:
    template <class T>
    static void store_be(void* to, T value) noexcept {
        if constexpr (std::endian::native == std::endian::little) value = byte_swapped(value);
        std::memcpy(to, &value, sizeof value);
    }

    // Round t; w is its word of the message schedule. The parameters have the names of the standard's working
    // variables.
    static void round(std::size_t t, std::uint32_t w, std::uint32_t a, std::uint32_t b, std::uint32_t c,
                      std::uint32_t& d, std::uint32_t e, std::uint32_t f, std::uint32_t g, std::uint32_t& h) noexcept {
        const std::uint32_t e_mixed = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
        const std::uint32_t a_mixed = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
        const std::uint32_t t1 = h + e_mixed + (g ^ (e & (f ^ g))) + constants[t] + w;
        d += t1;
        h = t1 + a_mixed + ((a & b) | (c & (a | b)));
    }

    // Updates the state with a block of 64 bytes.
    void compress(const char* from) noexcept {
        std::uint32_t w[64];
        for (std::size_t t = 0; t < 16; ++t) w[t] = byte_swapped(load_le<std::uint32_t>(from + 4 * t));
        for (std::size_t t = 16; t < 64; ++t) {
            const std::uint32_t near = w[t - 2];
            const std::uint32_t far = w[t - 15];
            w[t] = w[t - 16] + (std::rotr(far, 7) ^ std::rotr(far, 18) ^ far >> 3) + w[t - 7] +
                   (std::rotr(near, 17) ^ std::rotr(near, 19) ^ near >> 10);
        }
        // The standard shifts the eight variables after each round. Here the arguments rotate instead, and are back in
        // place after eight rounds.
        auto [a, b, c, d, e, f, g, h] = state_;
        for (std::size_t t = 0; t < 64; t += 8) {
            round(t, w[t], a, b, c, d, e, f, g, h);
            round(t + 1, w[t + 1], h, a, b, c, d, e, f, g);
            round(t + 2, w[t + 2], g, h, a, b, c, d, e, f);
            round(t + 3, w[t + 3], f, g, h, a, b, c, d, e);
            round(t + 4, w[t + 4], e, f, g, h, a, b, c, d);
            round(t + 5, w[t + 5], d, e, f, g, h, a, b, c);
            round(t + 6, w[t + 6], c, d, e, f, g, h, a, b);
            round(t + 7, w[t + 7], b, c, d, e, f, g, h, a);
        }
        const std::array<std::uint32_t, 8> worked = {a, b, c, d, e, f, g, h};
        for (std::size_t i = 0; i < state_.size(); ++i) state_[i] += worked[i];
    }

    static constexpr std::array<std::uint32_t, 64> constants = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

    std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                           0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::uint64_t length_ = 0;
    std::array<char, 64> block_;  // the first length_ % 64 bytes are not in the state yet
};

}  // namespace lsm::detail
