#include <lsm/policy/key_codec.hpp>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/codecs.hpp"
#include "support/random_keys.hpp"
#include "support/seed.hpp"

using lsm::bytes;
using lsm::key_codec;
using lsm::test::key_bytes;
using lsm::test::require_round_trip;
using lsm::test::require_same_order;

namespace {

enum class signed_level : std::int16_t { low = -300, middle = 0, high = 300 };
enum class unsigned_level : std::uint8_t { zero = 0, most = 255 };
enum class flag : bool { off, on };
enum plain : int { first_plain = -2, second_plain = 7 };

template <class Int>
std::vector<Int> integers(std::mt19937_64& random) {
    using limits = std::numeric_limits<Int>;
    std::vector<Int> out;
    if constexpr (sizeof(Int) == 1) {
        for (int i = limits::min(); i <= limits::max(); ++i) out.push_back(static_cast<Int>(i));
    } else {
        for (const int near : {-2, -1, 0, 1, 2})
            for (const Int far : {Int{0}, limits::min(), limits::max(), static_cast<Int>(limits::max() / 2)})
                out.push_back(static_cast<Int>(static_cast<std::uint64_t>(far) + static_cast<std::uint64_t>(near)));
        for (int shift = 0; shift < 64; ++shift)
            for (int i = 0; i < 20; ++i) out.push_back(static_cast<Int>(random() >> shift));
    }
    return out;
}

template <class Float>
using bits_of = typename key_codec<Float>::bits_type;

// All kinds of floats except NaN.
template <class Float>
std::vector<Float> floats(std::mt19937_64& random) {
    using limits = std::numeric_limits<Float>;
    std::vector<Float> out;
    for (const Float x : {Float{0}, limits::denorm_min(), limits::min(), limits::epsilon(), Float{1}, Float{1.5},
                          std::nextafter(Float{1}, Float{2}), std::nextafter(limits::min(), Float{0}), limits::max(),
                          limits::infinity()}) {
        out.push_back(x);
        out.push_back(-x);
    }
    while (out.size() < 5000) {
        const auto x = std::bit_cast<Float>(static_cast<bits_of<Float>>(random()));
        if (!std::isnan(x)) out.push_back(x);
    }
    for (int i = 0; i < 1000; ++i) out.push_back(static_cast<Float>(static_cast<std::int64_t>(random()) >> 40));
    return out;
}

}  // namespace

TEST_CASE("key codec of bytes: the key is its own encoding") {
    const auto seed = lsm::test::seed_or(100);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    std::vector<bytes> keys;
    for (int i = 0; i < 2000; ++i) keys.push_back(lsm::test::random_key(random));
    for (const auto& key : keys) REQUIRE(key_bytes(key) == key);
    require_round_trip(keys);
    require_same_order(keys);
}

TEST_CASE("key codec of bytes: encode appends and accepts a view") {
    bytes out = "before:";
    key_codec<bytes>::encode(lsm::bytes_view("key"), out);
    CHECK(out == "before:key");
}

TEMPLATE_TEST_CASE("key codec of integers: preserves order and every key is read back", "", std::int8_t, std::int16_t,
                   std::int32_t, std::int64_t, std::uint8_t, std::uint16_t, std::uint32_t, std::uint64_t, char,
                   signed char, char8_t, char16_t, char32_t, wchar_t, long, unsigned long, long long,
                   unsigned long long) {
    const auto seed = lsm::test::seed_or(101);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    const auto keys = integers<TestType>(random);
    require_round_trip(keys);
    require_same_order(keys);
    for (std::size_t size = 0; size < 2 * sizeof(TestType) + 1; ++size) {
        INFO("size " << size);
        CHECK(key_codec<TestType>::decode(bytes(size, '\x55')).has_value() == (size == sizeof(TestType)));
    }
    CHECK(lsm::test::require_garbage_refused_or_kept<TestType>(random, sizeof(TestType) + 1, 2000) > 0);
}

TEST_CASE("key codec of integers: is big-endian with the sign bit inverted") {
    CHECK(key_bytes(std::uint16_t{0x0102}) == "\x01\x02");
    CHECK(key_bytes(std::uint64_t{0x0102030405060708}) == "\x01\x02\x03\x04\x05\x06\x07\x08");
    CHECK(key_bytes(std::int32_t{1}) == bytes("\x80\0\0\1", 4));
    CHECK(key_bytes(std::int32_t{-1}) == "\x7f\xff\xff\xff");
    CHECK(key_bytes(std::numeric_limits<std::int64_t>::min()) == bytes(8, '\0'));
    CHECK(key_bytes(std::numeric_limits<std::int64_t>::max()) == bytes(8, '\xff'));
    CHECK(key_bytes(std::int8_t{-1}) == "\x7f");
}

TEST_CASE("key codec of bool: false is before true and other bytes are refused") {
    CHECK(key_bytes(false) == bytes(1, '\0'));
    CHECK(key_bytes(true) == "\1");
    for (unsigned byte = 0; byte < 256; ++byte) {
        const auto decoded = key_codec<bool>::decode(bytes(1, static_cast<char>(byte)));
        REQUIRE(decoded.has_value() == (byte < 2));
        if (decoded) REQUIRE(*decoded == (byte == 1));
    }
    CHECK_FALSE(key_codec<bool>::decode(""));
    CHECK_FALSE(key_codec<bool>::decode(bytes(2, '\0')));
}

TEMPLATE_TEST_CASE("key codec of floats: preserves order and every key is read back", "", float, double) {
    const auto seed = lsm::test::seed_or(102);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    const auto keys = floats<TestType>(random);
    require_round_trip(keys);
    require_same_order(keys);
    for (const std::size_t size : {std::size_t{0}, sizeof(TestType) - 1, sizeof(TestType) + 1})
        CHECK_FALSE(key_codec<TestType>::decode(bytes(size, '\x55')));
}

TEMPLATE_TEST_CASE("key codec of floats: both zeros are the same key", "", float, double) {
    const TestType zero = 0;
    CHECK(key_bytes(-zero) == key_bytes(zero));
    const auto decoded = key_codec<TestType>::decode(key_bytes(-zero));
    REQUIRE(decoded);
    CHECK_FALSE(std::signbit(*decoded));
    CHECK(key_bytes(std::numeric_limits<TestType>::denorm_min()) > key_bytes(zero));
    CHECK(key_bytes(-std::numeric_limits<TestType>::denorm_min()) < key_bytes(zero));
}

TEMPLATE_TEST_CASE("key codec of floats: all NaNs are the same key above infinity", "", float, double) {
    using limits = std::numeric_limits<TestType>;
    const bytes nan = key_bytes(limits::quiet_NaN());
    CHECK(nan > key_bytes(limits::infinity()));
    CHECK(key_bytes(-limits::quiet_NaN()) == nan);
    auto payload = std::bit_cast<bits_of<TestType>>(limits::quiet_NaN());
    ++payload;
    CHECK(key_bytes(std::bit_cast<TestType>(payload)) == nan);
    const auto decoded = key_codec<TestType>::decode(nan);
    REQUIRE(decoded);
    CHECK(std::isnan(*decoded));
}

TEST_CASE("key codec of floats: known encodings") {
    CHECK(key_bytes(1.0) == bytes("\xbf\xf0\0\0\0\0\0\0", 8));
    CHECK(key_bytes(-1.0) == "\x40\x0f\xff\xff\xff\xff\xff\xff");
    CHECK(key_bytes(0.0f) == bytes("\x80\0\0\0", 4));
    CHECK(key_bytes(-std::numeric_limits<float>::infinity()) == bytes("\0\x7f\xff\xff", 4));
}

TEST_CASE("key codec of floats: bytes that encode never writes are refused") {
    // These would be -0.0 and NaNs with another payload, which are stored as 0.0 and as the one NaN. If they were keys,
    // two encodings would be the same key.
    CHECK_FALSE(key_codec<float>::decode("\x7f\xff\xff\xff"));
    CHECK_FALSE(key_codec<float>::decode("\xff\xff\xff\xff"));
    CHECK_FALSE(key_codec<float>::decode(bytes(4, '\0')));
    CHECK_FALSE(key_codec<double>::decode("\x7f\xff\xff\xff\xff\xff\xff\xff"));
    CHECK_FALSE(key_codec<double>::decode(bytes(8, '\0')));
}

TEMPLATE_TEST_CASE("key codec of enums: orders by the underlying integer", "", signed_level, unsigned_level, plain,
                   std::byte) {
    using integer = std::underlying_type_t<TestType>;
    const auto seed = lsm::test::seed_or(103);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    std::vector<TestType> keys;
    for (int i = 0; i < 8; ++i) keys.push_back(static_cast<TestType>(random() % 8));
    if constexpr (std::is_same_v<TestType, signed_level>)
        keys.insert(keys.end(), {signed_level::low, signed_level::middle, signed_level::high});
    if constexpr (std::is_same_v<TestType, plain>) keys.insert(keys.end(), {first_plain, second_plain});
    if constexpr (std::is_same_v<TestType, unsigned_level>)
        keys.insert(keys.end(), {unsigned_level::zero, unsigned_level::most});
    require_round_trip(keys);
    require_same_order(keys);
    for (const auto key : keys) REQUIRE(key_bytes(key) == key_bytes(static_cast<integer>(key)));
    CHECK_FALSE(key_codec<TestType>::decode(bytes(sizeof(TestType) + 1, '\0')));
    CHECK_FALSE(key_codec<TestType>::decode(""));
}

TEST_CASE("key codec of enums: an enum over bool refuses bytes that are not a bool") {
    CHECK(key_codec<flag>::decode("\1") == flag::on);
    CHECK_FALSE(key_codec<flag>::decode("\2"));
}

TEST_CASE("key codec: strings of other allocators are bytes too") {
    using text = std::basic_string<char, std::char_traits<char>, lsm::test::logged_allocator<char>>;
    lsm::test::allocation_log log;
    const text key("some key", lsm::test::logged_allocator<char>(log));
    bytes out;
    key_codec<text>::encode(key, out);
    CHECK(out == "some key");
    STATIC_REQUIRE(std::is_same_v<key_codec<text>::view_type, lsm::bytes_view>);
}
