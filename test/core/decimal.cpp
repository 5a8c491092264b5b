#include <lsm/core/decimal.hpp>

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "support/seed.hpp"

using lsm::detail::parse_decimal;

TEST_CASE("decimal: digits are a number") {
    const auto parsed = [](std::string_view text) {
        std::uint64_t out = 0;
        REQUIRE(parse_decimal(text, out));
        return out;
    };
    CHECK(parsed("0") == 0);
    CHECK(parsed("7") == 7);
    CHECK(parsed("1234567890") == 1234567890);
    CHECK(parsed("18446744073709551615") == UINT64_MAX);
    CHECK(parsed("000") == 0);
    CHECK(parsed("000042") == 42);
    CHECK(parsed("000000000000000000000000000001") == 1);
    CHECK(parsed(std::string_view("123456").substr(1, 3)) == 234);
}

TEST_CASE("decimal: every number is read back") {
    const auto seed = lsm::test::seed_or(60);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    for (int i = 0; i < 2000; ++i) {
        const std::uint64_t number = random() >> random() % 64;
        std::uint64_t out = 0;
        REQUIRE(parse_decimal(std::to_string(number), out));
        REQUIRE(out == number);
    }
}

TEST_CASE("decimal: other texts and larger numbers are refused") {
    std::uint64_t out = 0;
    for (const std::string_view text : {"",
                                        " ",
                                        "+",
                                        "-",
                                        "+1",
                                        "-1",
                                        "-0",
                                        " 1",
                                        "1 ",
                                        "\t1",
                                        "1\n",
                                        "1x",
                                        "x1",
                                        "1.0",
                                        "1,000",
                                        "0x10",
                                        "1e3",
                                        "18446744073709551616",
                                        "18446744073709551620",
                                        "99999999999999999999",
                                        "100000000000000000000000"}) {
        INFO('"' << text << '"');
        CHECK_FALSE(parse_decimal(text, out));
    }
    CHECK_FALSE(parse_decimal(std::string_view("1\0", 2), out));
    CHECK_FALSE(parse_decimal(std::string_view("\0", 1), out));
}
