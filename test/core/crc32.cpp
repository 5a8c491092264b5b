#include <lsm/core/crc32.hpp>

#include <random>
#include <string>

#include "support/catch.hpp"
#include "support/seed.hpp"

using lsm::bytes_view;
using lsm::crc32;
namespace detail = lsm::detail;

namespace {

constexpr std::size_t longest = 300;
constexpr std::size_t alignments = 16;

std::string random_text(std::size_t size, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::string out(size, '\0');
    for (char& c : out) c = static_cast<char>(random());
    return out;
}

// The definition, bit by bit.
std::uint32_t next_register(std::uint32_t crc, char byte) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    return crc;
}

}  // namespace

TEST_CASE("crc32: known texts have their published CRCs") {
    CHECK(crc32("123456789") == 0xcbf43926);
    CHECK(crc32("") == 0);
    CHECK(crc32({}) == 0);
    CHECK(crc32("The quick brown fox jumps over the lazy dog") == 0x414fa339);
    CHECK(crc32(std::string(32, '\0')) == 0x190a55ad);
    CHECK(crc32(std::string(32, '\xff')) == 0xff6cab0b);
}

TEST_CASE("crc32: equals the bitwise definition for every size at every alignment") {
    const auto seed = lsm::test::seed_or(1);
    INFO("seed " << seed);
    const std::string text = random_text(longest + alignments, seed);
    for (std::size_t start = 0; start < alignments; ++start) {
        std::uint32_t reference = 0xffffffff;
        for (std::size_t size = 0; size <= longest; ++size) {
            INFO("start " << start << " size " << size);
            const bytes_view piece(text.data() + start, size);
            REQUIRE(crc32(piece) == ~reference);
            REQUIRE(detail::crc32_portable(0xffffffff, piece.data(), size) == reference);
            reference = next_register(reference, text[start + size]);
        }
    }
}

#if LSM_CRC32_PCLMUL
TEST_CASE("crc32: hardware and tables agree from any register") {
    if (!detail::crc32_has_hardware()) return;
    const auto seed = lsm::test::seed_or(2);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    const std::string text = random_text(longest + alignments, seed);
    for (std::size_t start = 0; start < alignments; ++start)
        for (std::size_t size = 64; size <= longest; ++size) {
            const auto before = static_cast<std::uint32_t>(random());
            INFO("start " << start << " size " << size << " register " << before);
            REQUIRE(detail::crc32_pclmul(before, text.data() + start, size) ==
                    detail::crc32_portable(before, text.data() + start, size));
        }
}
#endif

TEST_CASE("crc32: two pieces give the CRC of the whole at every split") {
    const auto seed = lsm::test::seed_or(3);
    INFO("seed " << seed);
    const std::string text = random_text(longest, seed);
    for (std::size_t size = 0; size <= longest; ++size) {
        const bytes_view whole(text.data(), size);
        const auto expected = crc32(whole);
        for (std::size_t split = 0; split <= size; ++split) {
            INFO("size " << size << " split " << split);
            REQUIRE(crc32(whole.substr(split), crc32(whole.substr(0, split))) == expected);
        }
    }
}

TEST_CASE("crc32: a large text in pieces of many sizes has the same CRC") {
    const auto seed = lsm::test::seed_or(4);
    INFO("seed " << seed);
    const std::string text = random_text((std::size_t{1} << 20) + 7, seed);
    const auto expected = ~detail::crc32_portable(0xffffffff, text.data(), text.size());
    CHECK(crc32(text) == expected);

    std::mt19937_64 random(seed);
    std::uint32_t crc = 0;
    for (bytes_view left = text; !left.empty();) {
        const auto piece = left.substr(0, random() % 5000);
        crc = crc32(piece, crc);
        left.remove_prefix(piece.size());
    }
    CHECK(crc == expected);
}

TEST_CASE("crc32: every flipped bit changes the CRC") {
    std::string text = random_text(longest, 5);
    const auto before = crc32(text);
    for (char& c : text)
        for (int bit = 0; bit < 8; ++bit) {
            const auto mask = static_cast<char>(1 << bit);
            c = static_cast<char>(c ^ mask);
            REQUIRE(crc32(text) != before);
            c = static_cast<char>(c ^ mask);
        }
}
