#include <lsm/core/hash.hpp>

#include <string>

#include "support/catch.hpp"

using lsm::detail::xxh64;

TEST_CASE("hash: known texts have their published XXH64 hashes") {
    CHECK(xxh64("") == 0xef46db3751d8e999);
    CHECK(xxh64("a") == 0xd24ec4f1a98c6e5b);
    CHECK(xxh64("abc") == 0x44bc2cf5ad770999);
    CHECK(xxh64("Nobody inspects the spammish repetition") == 0xfbcea83c8a378bf1);
}

TEST_CASE("hash: depends on every byte at every length and alignment") {
    std::string text(8 + 100, 'x');
    for (std::size_t start = 0; start < 8; ++start)
        for (std::size_t length = 1; length <= 100; ++length) {
            const lsm::bytes_view part(text.data() + start, length);
            const auto before = xxh64(part);
            CHECK(before == xxh64(std::string(length, 'x')));
            for (const std::size_t at : {std::size_t{0}, length / 2, length - 1}) {
                text[start + at] = 'y';
                CHECK(xxh64(part) != before);
                text[start + at] = 'x';
            }
        }
}
