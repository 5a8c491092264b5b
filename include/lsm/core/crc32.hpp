#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <wmmintrin.h>
#define LSM_CRC32_PCLMUL 1
#endif

/// CRC-32 (IEEE 802.3; reflected polynomial 0xEDB88320), as zlib's crc32. The functions in detail take and return the
/// CRC register, which is the CRC inverted.
namespace lsm::detail {

// Slicing by eight: tables[k][b] is the CRC of byte b followed by k zero bytes.
inline constexpr auto crc32_tables = [] {
    std::array<std::array<std::uint32_t, 256>, 8> tables{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t crc = byte;
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
        tables[0][byte] = crc;
    }
    for (std::size_t k = 1; k < 8; ++k)
        for (std::size_t byte = 0; byte < 256; ++byte)
            tables[k][byte] = tables[k - 1][byte] >> 8 ^ tables[0][tables[k - 1][byte] & 0xff];
    return tables;
}();

[[nodiscard]] inline std::uint32_t crc32_portable(std::uint32_t crc, const char* data, std::size_t size) noexcept {
    const auto& t = crc32_tables;
    for (; size >= 8; data += 8, size -= 8) {
        const std::uint32_t low = load_le<std::uint32_t>(data) ^ crc;
        const std::uint32_t high = load_le<std::uint32_t>(data + 4);
        crc = t[7][low & 0xff] ^ t[6][low >> 8 & 0xff] ^ t[5][low >> 16 & 0xff] ^ t[4][low >> 24] ^  //
              t[3][high & 0xff] ^ t[2][high >> 8 & 0xff] ^ t[1][high >> 16 & 0xff] ^ t[0][high >> 24];
    }
    for (; size > 0; ++data, --size) crc = crc >> 8 ^ t[0][(crc ^ static_cast<unsigned char>(*data)) & 0xff];
    return crc;
}

#if LSM_CRC32_PCLMUL

#define LSM_CRC32_TARGET __attribute__((target("pclmul")))

// Multiplies a 128-bit remainder by the power of x that `factors` stand for, which shifts it over that many bits of the
// message, and adds the next 128 bits of the message.
LSM_CRC32_TARGET inline __m128i crc32_fold(__m128i remainder, __m128i factors, __m128i next) noexcept {
    const __m128i low = _mm_clmulepi64_si128(remainder, factors, 0x00);
    const __m128i high = _mm_clmulepi64_si128(remainder, factors, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

LSM_CRC32_TARGET inline __m128i crc32_load(const char* from) noexcept {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}

/// Folding by carry-less multiplication, after V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using
/// PCLMULQDQ Instruction" (Intel, 2009). The constants are x^n mod P for the reflected IEEE polynomial, as listed
/// there. Requires a CPU with PCLMULQDQ, and size >= 64.
[[nodiscard]] LSM_CRC32_TARGET inline std::uint32_t crc32_pclmul(std::uint32_t crc, const char* data,
                                                                 std::size_t size) noexcept {
    const __m128i by_64 = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
    const __m128i by_16 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);

    // Four remainders run side by side, 64 bytes at a time: the multiplications of one would wait for each other.
    __m128i a = _mm_xor_si128(crc32_load(data), _mm_cvtsi32_si128(static_cast<int>(crc)));
    __m128i b = crc32_load(data + 16);
    __m128i c = crc32_load(data + 32);
    __m128i d = crc32_load(data + 48);
    for (data += 64, size -= 64; size >= 64; data += 64, size -= 64) {
        a = crc32_fold(a, by_64, crc32_load(data));
        b = crc32_fold(b, by_64, crc32_load(data + 16));
        c = crc32_fold(c, by_64, crc32_load(data + 32));
        d = crc32_fold(d, by_64, crc32_load(data + 48));
    }
    // Then the four become one.
    a = crc32_fold(a, by_16, b);
    a = crc32_fold(a, by_16, c);
    a = crc32_fold(a, by_16, d);
    for (; size >= 16; data += 16, size -= 16) a = crc32_fold(a, by_16, crc32_load(data));

    // These 128 bits leave the same register as the message up to here. The tables process them and the last bytes.
    char rest[16];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(rest), a);
    return crc32_portable(crc32_portable(0, rest, sizeof rest), data, size);
}

#undef LSM_CRC32_TARGET
#endif

[[nodiscard]] inline bool crc32_has_hardware() noexcept {
#if LSM_CRC32_PCLMUL
    return __builtin_cpu_supports("pclmul");
#else
    return false;
#endif
}

}  // namespace lsm::detail

namespace lsm {

/// Returns the CRC-32 of `data`; crc32("123456789") is 0xCBF43926. To compute the CRC of a text in pieces, pass the CRC
/// of the text before `data` as `before`. O(size). Uses carry-less multiplication if the CPU has it, and tables
/// otherwise.
[[nodiscard]] inline std::uint32_t crc32(bytes_view data, std::uint32_t before = 0) noexcept {
#if LSM_CRC32_PCLMUL
    if (data.size() >= 64 && detail::crc32_has_hardware())
        return ~detail::crc32_pclmul(~before, data.data(), data.size());
#endif
    return ~detail::crc32_portable(~before, data.data(), data.size());
}

}  // namespace lsm
