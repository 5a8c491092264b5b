#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/crc32.hpp>
#include <lsm/core/vector_of.hpp>

/// A CRC is the remainder of a polynomial: that of a text moves over the bytes behind it by a multiplication. As in the
/// registers, the highest bit is the coefficient of x^0.
namespace lsm::detail {

/// a * b mod P.
[[nodiscard]] constexpr std::uint32_t crc32_product(std::uint32_t a, std::uint32_t b) noexcept {
    std::uint64_t product = 0;
    for (int bit = 0; bit < 32; ++bit) product ^= (std::uint64_t{b} << 1 << bit) & -std::uint64_t{a >> bit & 1};
    // The low half are the coefficients from x^32 on, which the tables reduce like four bytes of a message.
    const auto low = static_cast<std::uint32_t>(product);
    const auto& t = crc32_tables;
    return t[3][low & 0xff] ^ t[2][low >> 8 & 0xff] ^ t[1][low >> 16 & 0xff] ^ t[0][low >> 24] ^
           static_cast<std::uint32_t>(product >> 32);
}

// powers[k][n] is x^8, a byte, to the power of n * 256^k.
inline constexpr auto crc32_byte_powers = [] {
    std::array<std::array<std::uint32_t, 256>, 4> powers{};
    std::uint32_t base = 0x00800000;
    for (auto& digit : powers) {
        digit[0] = 0x80000000;
        for (std::size_t n = 1; n < 256; ++n) digit[n] = crc32_product(digit[n - 1], base);
        base = crc32_product(digit[255], base);
    }
    return powers;
}();

/// What `crc`, the CRC of some text, adds to the CRC of that text with `length` more bytes behind it.
[[nodiscard]] inline std::uint32_t crc32_moved(std::uint32_t crc, std::uint32_t length) noexcept {
    for (std::size_t k = 0; length != 0; ++k, length >>= 8)
        if ((length & 0xff) != 0) crc = crc32_product(crc, crc32_byte_powers[k][length & 0xff]);
    return crc;
}

/// The CRC-32 of any stretch of a text, in O(1) whatever its length.
template <class Alloc = std::allocator<std::byte>>
class crc32_prefixes {
public:
    /// O(size); keeps four bytes for each 64 of `text`, which must outlive it.
    explicit crc32_prefixes(bytes_view text, const Alloc& alloc = {}) : text_(text), marks_(alloc) {
        marks_.reserve(text.size() / spacing + 1);
        marks_.push_back(0);
        for (; text.size() >= spacing; text.remove_prefix(spacing))
            marks_.push_back(crc32(text.substr(0, spacing), marks_.back()));
    }

    /// Requires offset + length <= the size of the text.
    [[nodiscard]] std::uint32_t of(std::size_t offset, std::uint32_t length) const noexcept {
        return up_to(offset + length) ^ crc32_moved(up_to(offset), length);
    }

private:
    static constexpr std::size_t spacing = 64;

    [[nodiscard]] std::uint32_t up_to(std::size_t end) const noexcept {
        return crc32({text_.data() + end / spacing * spacing, end % spacing}, marks_[end / spacing]);
    }

    bytes_view text_;
    vector_of<std::uint32_t, Alloc> marks_;  // the CRC of the text up to every 64th byte
};

}  // namespace lsm::detail
