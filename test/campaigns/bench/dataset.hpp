#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

namespace bench {

/// A key of 16 bytes: a decimal number with leading zeros, or, if `binary`, a big-endian number of eight bytes followed
/// by eight characters '0'.
class key_text {
public:
    static constexpr std::size_t bytes = 16;

    key_text(std::uint64_t number, bool binary) {
        text_.fill('0');
        if (binary)
            for (std::size_t at = 8; at > 0; number >>= 8) text_[--at] = static_cast<char>(number);
        else
            for (std::size_t at = text_.size(); number != 0; number /= 10)
                text_[--at] = static_cast<char>('0' + number % 10);
    }
    operator std::string_view() const { return {text_.data(), text_.size()}; }

private:
    std::array<char, bytes> text_;
};

/// The keys and values by number, the same for every engine.
class dataset {
public:
    dataset(std::uint64_t entries, std::size_t value_bytes, std::uint64_t seed, bool binary_keys)
        : entries_(entries), value_bytes_(value_bytes), seed_(seed), binary_keys_(binary_keys) {
        std::mt19937_64 random(seed);
        noise_.resize(noise_bytes + value_bytes);
        for (char& c : noise_) c = static_cast<char>(random());
    }

    [[nodiscard]] std::uint64_t entries() const { return entries_; }
    [[nodiscard]] std::size_t value_bytes() const { return value_bytes_; }

    [[nodiscard]] std::uint64_t seed() const { return seed_; }

    /// Returns key i. Keys below entries() are those of the database at the start. Keys from entries() to twice that
    /// lie between them and are not in the database.
    [[nodiscard]] key_text key(std::uint64_t i) const {
        return {i < entries_ ? 2 * i : 2 * (i - entries_) + 1, binary_keys_};
    }

    /// Returns a value of key i: random bytes, which do not compress. `generation` is 0 for the first value of a key
    /// and 1 for the value that overwrites it.
    [[nodiscard]] std::string_view value(std::uint64_t i, unsigned generation) const {
        return {noise_.data() + (i * 0x9e3779b97f4a7c15 + generation * 0x7f4a7c15ULL) % noise_bytes, value_bytes_};
    }

    /// A permutation of the numbers below entries(), another one for each `salt`. Computed from linear steps and
    /// shifts, each of which is a bijection on the numbers below the next power of two; repeated until the result is
    /// below entries().
    [[nodiscard]] std::uint64_t shuffled(std::uint64_t i, std::uint64_t salt) const {
        const auto bits = std::bit_width(entries_ - 1);
        const std::uint64_t mask = (std::uint64_t{1} << bits) - 1;
        do {
            for (int round = 0; round < 3; ++round) {
                i = (i * 0xd1342543de82ef95 + seed_ + salt) & mask;
                i ^= i >> (bits / 2 + 1);
            }
        } while (i >= entries_);
        return i;
    }

private:
    static constexpr std::size_t noise_bytes = std::size_t{1} << 20;

    std::uint64_t entries_;
    std::size_t value_bytes_;
    std::uint64_t seed_;
    bool binary_keys_;
    std::string noise_;
};

}  // namespace bench
