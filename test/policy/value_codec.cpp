#include <lsm/policy/value_codec.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <lsm/policy/policies.hpp>

#include "support/catch.hpp"
#include "support/codecs.hpp"
#include "support/random_keys.hpp"
#include "support/seed.hpp"

using lsm::bytes;
using lsm::storable_value;
using lsm::value_codec;
using lsm::test::value_bytes;

namespace {

struct padded {
    char tag;
    std::int64_t number;
    std::int16_t last;
};

struct without_default {
    explicit without_default(int n) : number(n) {}
    int number;
};

struct nothing {};

template <class T>
T round_trip(const T& value) {
    const auto decoded = value_codec<T>::decode(value_bytes(value));
    REQUIRE(decoded.has_value());
    return *decoded;
}

}  // namespace

TEST_CASE("value codec of bytes: the value is its own encoding") {
    const auto seed = lsm::test::seed_or(120);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    for (int i = 0; i < 200; ++i) {
        const bytes value = lsm::test::random_value(random);
        REQUIRE(value_bytes(value) == value);
        REQUIRE(value_codec<bytes>::decode(value) == value);
    }
}

TEST_CASE("value codec of plain types: every value is read back") {
    CHECK(round_trip(42) == 42);
    CHECK(round_trip(-1.5) == -1.5);
    CHECK(round_trip(true));
    CHECK_FALSE(round_trip(false));
    CHECK(round_trip(std::array<std::uint16_t, 3>{1, 2, 3}) == std::array<std::uint16_t, 3>{1, 2, 3});
    CHECK(round_trip(without_default(9)).number == 9);
    CHECK(round_trip(std::numeric_limits<long double>::max()) == std::numeric_limits<long double>::max());
    const padded value = round_trip(padded{'y', 1, 2});
    CHECK((value.tag == 'y' && value.number == 1 && value.last == 2));
    CHECK(value_codec<nothing>::decode(value_bytes(nothing())));
}

TEST_CASE("value codec of plain types: the bytes are those in memory") {
    const std::uint32_t number = 0x01020304;
    const bytes raw = value_bytes(number);
    REQUIRE(raw.size() == sizeof number);
    CHECK(std::memcmp(raw.data(), &number, sizeof number) == 0);
}

TEST_CASE("value codec of plain types: other sizes are refused") {
    for (std::size_t size = 0; size <= 2 * sizeof(padded); ++size) {
        INFO("size " << size);
        CHECK(value_codec<padded>::decode(bytes(size, '\1')).has_value() == (size == sizeof(padded)));
        CHECK(value_codec<std::uint16_t>::decode(bytes(size, '\1')).has_value() == (size == sizeof(std::uint16_t)));
    }
}

TEST_CASE("value codec of bool: bytes that are not a bool are refused") {
    for (unsigned byte = 0; byte < 256; ++byte) {
        INFO("byte " << byte);
        REQUIRE(value_codec<bool>::decode(bytes(1, static_cast<char>(byte))).has_value() == (byte < 2));
    }
}

TEST_CASE("value codec of plain types: decodes unaligned bytes") {
    bytes raw(1, '?');
    value_codec<padded>::encode(padded{'z', 77, 3}, raw);
    const auto decoded = value_codec<padded>::decode(lsm::bytes_view(raw).substr(1));
    REQUIRE(decoded);
    CHECK(decoded->number == 77);
}

#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
namespace {

// The encoding of a `padded` whose memory was filled with `fill` before.
bytes padded_bytes(unsigned char fill) {
    alignas(padded) unsigned char memory[sizeof(padded)];
    std::memset(memory, fill, sizeof memory);
    auto& value = *reinterpret_cast<padded*>(memory);
    value.tag = 'x';
    value.number = -5;
    value.last = 300;
    return value_bytes(value);
}

}  // namespace

TEST_CASE("value codec of plain types: padding does not affect the encoding") {
    CHECK(padded_bytes(0xaa) == padded_bytes(0x55));
    CHECK(padded_bytes(0xff) == padded_bytes(0x00));
    const bytes raw = padded_bytes(0xff);
    for (std::size_t i = 1; i < offsetof(padded, number); ++i) CHECK(raw[i] == '\0');

    alignas(long double) unsigned char memory[sizeof(long double)];
    bytes wide[2];
    for (const int i : {0, 1}) {
        std::memset(memory, i == 0 ? 0x00 : 0xff, sizeof memory);
        auto& value = *reinterpret_cast<long double*>(memory);
        value = 1.25L;
        wide[i] = value_bytes(value);
    }
    CHECK(wide[0] == wide[1]);
}
#endif
#endif

TEST_CASE("value codec: types that refer to other memory have none") {
    STATIC_REQUIRE(storable_value<bytes>);
    STATIC_REQUIRE(storable_value<int>);
    STATIC_REQUIRE(storable_value<padded>);
    STATIC_REQUIRE(storable_value<std::array<char, 5>>);
    STATIC_REQUIRE_FALSE(storable_value<int*>);
    STATIC_REQUIRE_FALSE(storable_value<const char* const>);
    STATIC_REQUIRE_FALSE(storable_value<void (*)()>);
    STATIC_REQUIRE_FALSE(storable_value<int padded::*>);
    STATIC_REQUIRE_FALSE(storable_value<std::nullptr_t>);
    STATIC_REQUIRE_FALSE(storable_value<std::string_view>);
    STATIC_REQUIRE_FALSE(storable_value<std::u16string_view>);
    STATIC_REQUIRE_FALSE(storable_value<std::span<int>>);
    STATIC_REQUIRE_FALSE(storable_value<std::reference_wrapper<int>>);
    STATIC_REQUIRE_FALSE(storable_value<std::vector<int>>);
    STATIC_REQUIRE_FALSE(storable_value<std::unique_ptr<int>>);
}
