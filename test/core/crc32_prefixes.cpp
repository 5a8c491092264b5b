#include <lsm/core/crc32_prefixes.hpp>

#include <algorithm>
#include <random>

#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/seed.hpp"

using lsm::bytes;
using lsm::bytes_view;
using lsm::crc32;
using lsm::detail::crc32_prefixes;
using lsm::detail::crc32_product;
using lsm::detail::crc32_shifted;

namespace {

constexpr std::uint32_t one = 0x80000000;

// The definition: a sum of b, b * x, b * x^2 and so on.
std::uint32_t product_by_bits(std::uint32_t a, std::uint32_t b) {
    std::uint32_t out = 0;
    for (; a != 0; a <<= 1) {
        if ((a & one) != 0) out ^= b;
        b = (b & 1) != 0 ? b >> 1 ^ 0xedb88320u : b >> 1;
    }
    return out;
}

bytes text_of(std::size_t size, std::mt19937_64& random) {
    bytes out(size, '\0');
    for (char& c : out) c = static_cast<char>(random());
    return out;
}

}  // namespace

TEST_CASE("crc32 algebra: a product equals the product of the polynomials") {
    const auto seed = lsm::test::seed_or(6);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 2000; ++round) {
        const auto a = static_cast<std::uint32_t>(random());
        const auto b = static_cast<std::uint32_t>(random()) >> random() % 32;
        REQUIRE(crc32_product(a, b) == product_by_bits(a, b));
        REQUIRE(crc32_product(a, b) == crc32_product(b, a));
        REQUIRE(crc32_product(a, one) == a);
        REQUIRE(crc32_product(a, 0) == 0);
    }
}

TEST_CASE("crc32 algebra: a shifted CRC and the CRC of more bytes combine to that of both") {
    const auto seed = lsm::test::seed_or(7);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    const bytes front = text_of(50, random);
    for (const std::size_t size : {0u, 1u, 63u, 64u, 65u, 255u, 256u, 257u, 65'535u, 65'536u, 65'537u, 1u << 20}) {
        const bytes more = text_of(size, random);
        INFO("size " << size);
        CHECK((crc32_shifted(crc32(front), static_cast<std::uint32_t>(size)) ^ crc32(more)) == crc32(front + more));
    }
    for (int round = 0; round < 1000; ++round) {
        const auto crc = static_cast<std::uint32_t>(random());
        const auto first = static_cast<std::uint32_t>(random()) >> random() % 32;
        const auto second = (UINT32_MAX - first) >> random() % 32;
        REQUIRE(crc32_shifted(crc32_shifted(crc, first), second) == crc32_shifted(crc, first + second));
        REQUIRE(crc32_shifted(crc, UINT32_MAX) == crc);  // the order of x, and so of x^8, is 2^32 - 1
    }
}

TEST_CASE("crc32 algebra: every part of a short text has its CRC") {
    const auto seed = lsm::test::seed_or(8);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    for (const std::size_t size : {0u, 1u, 63u, 64u, 65u, 128u, 200u}) {
        const bytes text = text_of(size, random);
        const crc32_prefixes crcs(text);
        for (std::size_t offset = 0; offset <= size; ++offset)
            for (std::size_t length = 0; length <= size - offset; ++length) {
                INFO("size " << size << " offset " << offset << " length " << length);
                REQUIRE(crcs.of(offset, static_cast<std::uint32_t>(length)) ==
                        crc32(bytes_view(text).substr(offset, length)));
            }
    }
}

TEST_CASE("crc32 algebra: random parts of a long text have their CRCs") {
    const auto seed = lsm::test::seed_or(9);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    const bytes text = text_of(300'007, random);
    const crc32_prefixes crcs(text);
    const auto check = [&](std::size_t offset, std::size_t length) {
        INFO("offset " << offset << " length " << length);
        REQUIRE(crcs.of(offset, static_cast<std::uint32_t>(length)) == crc32(bytes_view(text).substr(offset, length)));
    };
    check(0, text.size());
    for (int round = 0; round < 500; ++round) {
        const auto offset = static_cast<std::size_t>(random() % text.size());
        const auto left = text.size() - offset;
        for (const std::size_t length : {0u, 1u, 63u, 64u, 65u, 65'536u, 100'000u})
            check(offset, std::min(length, left));
        check(offset, static_cast<std::size_t>(random() % left));
        check(offset, left);
    }
}

TEST_CASE("crc32 algebra: takes four bytes of its allocator for each 64") {
    lsm::test::allocation_log memory;
    const bytes text(64'000, 'x');
    {
        const crc32_prefixes crcs(text, lsm::test::logged_allocator<std::byte>(memory));
        CHECK(crcs.of(1, 63'999) == crc32(bytes_view(text).substr(1)));
        CHECK(memory.allocations == 1);
        CHECK(memory.peak_bytes == 4 * (1000 + 1));
    }
    CHECK(memory.live_bytes == 0);
}
