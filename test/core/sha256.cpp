#include <lsm/core/sha256.hpp>

#include <algorithm>
#include <random>
#include <string>

#include "support/catch.hpp"
#include "support/seed.hpp"
#include "support/sha256.hpp"

using lsm::bytes_view;
using lsm::test::sha256;

TEST_CASE("sha256: known texts have the hashes of FIPS 180-4 and its test vectors") {
    CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(sha256("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrs"
                 "mnopqrstnopqrstu") == "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
    CHECK(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(sha256({}) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(sha256(std::string(1'000'000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("sha256: texts around the length of a block and of its padding have their hashes") {
    CHECK(sha256(std::string(55, 'a')) == "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
    CHECK(sha256(std::string(56, 'a')) == "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
    CHECK(sha256(std::string(63, 'a')) == "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34");
    CHECK(sha256(std::string(64, 'a')) == "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
    CHECK(sha256(std::string(65, 'a')) == "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0");
    CHECK(sha256(std::string(119, 'a')) == "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb");
    CHECK(sha256(std::string(120, 'a')) == "2f3d335432c70b580af0e8e1b3674a7c020d683aa5f73aaaedfdc55af904c21c");
}

TEST_CASE("sha256: pieces at every split give the hash of the whole") {
    const auto seed = lsm::test::seed_or(1);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    std::string text(200, '\0');
    for (char& c : text) c = static_cast<char>(random());
    for (std::size_t size = 0; size <= text.size(); ++size) {
        const bytes_view whole = bytes_view(text).substr(0, size);
        const auto expected = sha256(whole);
        for (std::size_t split = 0; split <= size; ++split) {
            INFO("size " << size << " split " << split);
            lsm::detail::sha256 pieces;
            pieces.update(whole.substr(0, split));
            pieces.update(whole.substr(split, 1));
            pieces.update({});
            pieces.update(whole.substr(std::min(split + 1, size)));
            REQUIRE(lsm::test::hex_of(pieces.finish()) == expected);
        }
    }
}

TEST_CASE("sha256: a text passed byte by byte has the hash of the whole") {
    lsm::detail::sha256 single;
    for (int i = 0; i < 1'000'000; ++i) single.update("a");
    CHECK(lsm::test::hex_of(single.finish()) == sha256(std::string(1'000'000, 'a')));
}
