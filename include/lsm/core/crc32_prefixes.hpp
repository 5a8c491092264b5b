#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/crc32.hpp>
#include <lsm/core/vector_of.hpp>

/// The CRC of any part of a text, computed from the CRCs of its prefixes.
///
/// A CRC is the remainder of a polynomial modulo P. Appending n bytes to a text multiplies its polynomial by x^(8n) and
/// adds that of the bytes, so crc(A B) = (crc(A) * x^(8 |B|) mod P) ^ crc(B). A polynomial is stored as in the CRC
/// register: the highest bit is the coefficient of x^0.
namespace lsm::detail {

/// Returns a * b mod P.
[[nodiscard]] constexpr std::uint32_t crc32_product(std::uint32_t a, std::uint32_t b) noexcept {
    std::uint64_t product = 0;
    for (int bit = 0; bit < 32; ++bit) {
        // A mask instead of a branch, which nothing could predict.
        const std::uint64_t mask = 0 - std::uint64_t{a >> bit & 1};
        product ^= std::uint64_t{b} << (bit + 1) & mask;
    }
    // The low half has the coefficients from x^32 on. The tables reduce them like four bytes of a message.
    const auto low = static_cast<std::uint32_t>(product);
    const auto& t = crc32_tables;
    return t[3][low & 0xff] ^ t[2][low >> 8 & 0xff] ^ t[1][low >> 16 & 0xff] ^ t[0][low >> 24] ^
           static_cast<std::uint32_t>(product >> 32);
}

// powers[k][n] is x^8 to the power of n * 256^k, which stands for n * 256^k bytes.
inline constexpr auto crc32_byte_powers = [] {
    std::array<std::array<std::uint32_t, 256>, 4> powers{};
    std::uint32_t base = 0x00800000;  // x^8
    for (auto& digit : powers) {
        digit[0] = 0x80000000;  // x^0
        for (std::size_t n = 1; n < 256; ++n) digit[n] = crc32_product(digit[n - 1], base);
        base = crc32_product(digit[255], base);
    }
    return powers;
}();

/// Returns crc * x^(8 length) mod P: what `crc`, the CRC of a text, contributes to the CRC of that text followed by
/// `length` bytes. At most four products.
[[nodiscard]] inline std::uint32_t crc32_shifted(std::uint32_t crc, std::uint32_t length) noexcept {
    for (std::size_t k = 0; length != 0; ++k, length >>= 8)
        if ((length & 0xff) != 0) crc = crc32_product(crc, crc32_byte_powers[k][length & 0xff]);
    return crc;
}

/// The CRC-32 of any part of a text, in O(1).
template <class Alloc = std::allocator<std::byte>>
class crc32_prefixes {
public:
    /// `text` must outlive the object. O(size); keeps four bytes for each 64 bytes of `text`.
    explicit crc32_prefixes(bytes_view text, const Alloc& alloc = {}) : text_(text), marks_(alloc) {
        marks_.reserve(text.size() / spacing + 1);
        marks_.push_back(0);
        for (; text.size() >= spacing; text.remove_prefix(spacing))
            marks_.push_back(crc32(text.substr(0, spacing), marks_.back()));
    }

    /// Returns the CRC of the `length` bytes at `offset`. Requires offset + length <= text.size().
    [[nodiscard]] std::uint32_t of(std::size_t offset, std::uint32_t length) const noexcept {
        return up_to(offset + length) ^ crc32_shifted(up_to(offset), length);
    }

private:
    static constexpr std::size_t spacing = 64;

    [[nodiscard]] std::uint32_t up_to(std::size_t end) const noexcept {
        return crc32({text_.data() + end / spacing * spacing, end % spacing}, marks_[end / spacing]);
    }

    bytes_view text_;
    vector_of<std::uint32_t, Alloc> marks_;  // marks_[i] is the CRC of the first i * spacing bytes
};

}  // namespace lsm::detail
