#include <lsm/core/hex.hpp>

#include <cstdio>
#include <string>

#include "support/catch.hpp"

TEST_CASE("hex: every byte becomes two lower-case digits") {
    for (unsigned byte = 0; byte < 256; ++byte) {
        char expected[3];
        std::snprintf(expected, sizeof expected, "%02x", byte);
        REQUIRE(lsm::hex(std::string(1, static_cast<char>(byte))) == expected);
    }
}

TEST_CASE("hex: the digits have the order of the bytes") {
    CHECK(lsm::hex("").empty());
    CHECK(lsm::hex(std::string("a\0\xff", 3)) == "6100ff");
}

TEST_CASE("hex: append_hex appends") {
    std::string out = "V ";
    lsm::append_hex(out, "key");
    CHECK(out == "V 6b6579");
}
