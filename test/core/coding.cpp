#include <lsm/core/coding.hpp>

#include <limits>
#include <random>
#include <string>

#include "support/catch.hpp"
#include "support/random_keys.hpp"
#include "support/seed.hpp"

using lsm::bytes_view;
using namespace lsm::detail;

TEST_CASE("coding: integers are little-endian") {
    std::string out;
    append_le(out, std::uint8_t{0x01});
    append_le(out, std::uint16_t{0x0302});
    append_le(out, std::uint32_t{0x07060504});
    append_le(out, std::uint64_t{0x0f0e0d0c0b0a0908});
    CHECK(out == std::string("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"));
}

TEMPLATE_TEST_CASE("coding: integers are stored and loaded at any alignment", "", std::uint8_t, std::uint16_t,
                   std::uint32_t, std::uint64_t) {
    const auto seed = lsm::test::seed_or(10);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    char raw[2 * sizeof(TestType)];
    for (std::size_t start = 0; start < sizeof(TestType); ++start)
        for (int i = 0; i < 100; ++i) {
            const auto value = static_cast<TestType>(random());
            store_le(raw + start, value);
            REQUIRE(load_le<TestType>(raw + start) == value);
        }
    for (const auto value : {TestType{0}, std::numeric_limits<TestType>::max()}) {
        store_le(raw, value);
        CHECK(load_le<TestType>(raw) == value);
    }
}

TEST_CASE("coding: byte_swapped reverses the bytes") {
    STATIC_REQUIRE(byte_swapped(std::uint8_t{0x12}) == 0x12);
    STATIC_REQUIRE(byte_swapped(std::uint16_t{0x1234}) == 0x3412);
    STATIC_REQUIRE(byte_swapped(std::uint32_t{0x12345678}) == 0x78563412);
    STATIC_REQUIRE(byte_swapped(std::uint64_t{0x0123456789abcdef}) == 0xefcdab8967452301);
}

TEST_CASE("coding: leading_number is the first eight bytes padded with zeros") {
    CHECK(leading_number("") == 0);
    CHECK(leading_number("\x01") == 0x0100000000000000);
    CHECK(leading_number("\xfe\x02\x03") == 0xfe02030000000000);
    CHECK(leading_number("\x01\x02\x03\x04\x05\x06\x07") == 0x0102030405060700);
    CHECK(leading_number("\x01\x02\x03\x04\x05\x06\x07\xff") == 0x01020304050607ff);
    CHECK(leading_number("\x01\x02\x03\x04\x05\x06\x07\x08\x09") == 0x0102030405060708);
}

TEST_CASE("coding: strings with different leading numbers compare as the numbers do") {
    const auto seed = lsm::test::seed_or(11);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    for (int i = 0; i < 20000; ++i) {
        const auto a = lsm::test::random_key(random);
        const auto b = lsm::test::random_key(random);
        const auto left = leading_number(a);
        const auto right = leading_number(b);
        if (left != right) REQUIRE((left < right) == (a < b));
    }
}

TEST_CASE("field_reader: reads fields in order and counts them") {
    const std::string in("\x07\x02\x00\x00\x00hi!", 8);
    field_reader fields(in);
    std::uint8_t small = 0;
    std::uint32_t length = 0;
    bytes_view text;
    REQUIRE(fields.read(small));
    REQUIRE(fields.read(length));
    REQUIRE(fields.read(length, text));
    CHECK(small == 7);
    CHECK(text == "hi");
    CHECK(text.data() == in.data() + 5);
    CHECK(fields.offset() == 7);
    CHECK(fields.left() == 1);
}

TEST_CASE("field_reader: a read of more bytes than are left changes nothing") {
    const std::string in(7, 'x');
    field_reader fields(in);
    std::uint64_t wide = 5;
    bytes_view text = "before";
    CHECK_FALSE(fields.read(wide));
    CHECK_FALSE(fields.read(8, text));
    CHECK_FALSE(fields.read(std::numeric_limits<std::size_t>::max(), text));
    CHECK(wide == 5);
    CHECK(text == "before");
    CHECK(fields.offset() == 0);
    CHECK(fields.left() == in.size());
    CHECK(fields.read(7, text));
    CHECK(text == in);
}

TEST_CASE("field_reader: at the end only zero bytes can be read") {
    field_reader fields{bytes_view()};
    std::uint8_t small = 0;
    bytes_view text = "before";
    CHECK_FALSE(fields.read(small));
    CHECK_FALSE(fields.read(1, text));
    CHECK(fields.read(0, text));
    CHECK(text.empty());
}
