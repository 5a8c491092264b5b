#include <lsm/policy/key_codec.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/codecs.hpp"
#include "support/seed.hpp"

namespace {

/// A user-defined key of variable size: shorter words first, and then by letters. Its encodings can contain zeros.
struct word {
    std::string letters;
    friend bool operator==(const word&, const word&) = default;
    friend bool operator<(const word& a, const word& b) {
        return std::pair(a.letters.size(), a.letters) < std::pair(b.letters.size(), b.letters);
    }
};

/// A user-defined key of fixed size: larger numbers first.
struct descending {
    std::uint8_t number;
    friend bool operator==(const descending&, const descending&) = default;
    friend bool operator<(const descending& a, const descending& b) { return a.number > b.number; }
};

}  // namespace

template <>
struct lsm::key_codec<word> {
    template <class Out>
    static void encode(const word& key, Out& out) {
        const auto size = static_cast<char>(key.letters.size());
        out.append(&size, 1);
        out.append(key.letters.data(), key.letters.size());
    }
    static std::optional<word> decode(bytes_view in) {
        if (in.empty() || in.size() - 1 != static_cast<unsigned char>(in.front())) return std::nullopt;
        return word{std::string(in.substr(1))};
    }
};

template <>
struct lsm::key_codec<descending> {
    static constexpr std::size_t size = 1;

    template <class Out>
    static void encode(const descending& key, Out& out) {
        const auto turned = static_cast<char>(~key.number);
        out.append(&turned, 1);
    }
    static std::optional<descending> decode(bytes_view in) {
        if (in.size() != size) return std::nullopt;
        return descending{static_cast<std::uint8_t>(~in.front())};
    }
};

using lsm::bytes;
using lsm::key_codec;
using lsm::test::key_bytes;
using lsm::test::require_round_trip;
using lsm::test::require_same_order;

namespace {

using text_pair = std::pair<bytes, bytes>;
using record = std::tuple<bytes, std::int32_t, bytes>;
using nested = std::tuple<std::pair<bytes, bytes>, bytes, std::tuple<std::uint8_t, bytes>>;
using custom = std::tuple<word, descending, word>;

// All strings of at most `longest` bytes, made of the bytes of the terminator and their neighbours.
std::vector<bytes> hard_strings(std::size_t longest) {
    std::vector<bytes> out = {""};
    for (std::size_t i = 0; i < out.size(); ++i) {
        const bytes shorter = out[i];
        if (shorter.size() == longest) continue;
        for (const char c : {'\0', '\1', '\2', '\xfe', '\xff'}) out.push_back(shorter + c);
    }
    return out;
}

template <class Part>
struct random_part;

template <>
struct random_part<bytes> {
    static bytes make(std::mt19937_64& random) { return lsm::test::random_garbage(random, 4); }
};
template <>
struct random_part<std::int32_t> {
    static std::int32_t make(std::mt19937_64& random) { return static_cast<std::int32_t>(random() % 5) - 2; }
};
template <>
struct random_part<std::uint8_t> {
    static std::uint8_t make(std::mt19937_64& random) { return static_cast<std::uint8_t>(random()); }
};
template <>
struct random_part<double> {
    static double make(std::mt19937_64& random) { return static_cast<double>(random() % 5) - 2.5; }
};
template <>
struct random_part<word> {
    static word make(std::mt19937_64& random) { return {random_part<bytes>::make(random)}; }
};
template <>
struct random_part<descending> {
    static descending make(std::mt19937_64& random) { return {static_cast<std::uint8_t>(random() % 3)}; }
};
template <class... Parts>
struct random_part<std::tuple<Parts...>> {
    static std::tuple<Parts...> make(std::mt19937_64& random) { return {random_part<Parts>::make(random)...}; }
};
template <class First, class Second>
struct random_part<std::pair<First, Second>> {
    static std::pair<First, Second> make(std::mt19937_64& random) {
        return {random_part<First>::make(random), random_part<Second>::make(random)};
    }
};

}  // namespace

TEST_CASE("tuple codec: preserves the order of pairs of all short strings of hard bytes") {
    const auto strings = hard_strings(2);
    std::vector<text_pair> keys;
    for (const auto& first : strings)
        for (const auto& second : strings) keys.emplace_back(first, second);
    require_round_trip(keys);
    require_same_order(keys);
}

TEST_CASE("tuple codec: preserves the order of all strings of up to four hard bytes before another element") {
    std::vector<std::pair<bytes, char8_t>> keys;
    for (const auto& first : hard_strings(4))
        for (const char8_t second : {u8'\0', u8'\1', u8'\xff'}) keys.emplace_back(first, second);
    require_round_trip(keys);
    require_same_order(keys);
}

TEMPLATE_TEST_CASE("tuple codec: preserves order and every key is read back", "", text_pair, record, nested, custom,
                   (std::tuple<bytes>), (std::tuple<std::uint8_t, double>), (std::tuple<std::int32_t, bytes, double>),
                   (std::tuple<std::tuple<std::tuple<bytes>>, bytes>), (std::pair<descending, double>),
                   (std::tuple<std::tuple<std::uint8_t>, std::tuple<>, bytes>)) {
    const auto seed = lsm::test::seed_or(110);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    std::vector<TestType> keys;
    for (int i = 0; i < 5000; ++i) keys.push_back(random_part<TestType>::make(random));
    require_round_trip(keys);
    require_same_order(keys);
}

TEMPLATE_TEST_CASE("tuple codec: random bytes are refused or are the encoding of their key", "", text_pair, record,
                   nested, custom) {
    const auto seed = lsm::test::seed_or(111);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    lsm::test::require_garbage_refused_or_kept<TestType>(random, 24, 100000);

    // Encodings in which one byte is changed.
    int accepted = 0;
    for (int i = 0; i < 20000; ++i) {
        bytes raw = key_bytes(random_part<TestType>::make(random));
        raw[random() % raw.size()] = static_cast<char>(random() % 2 == 0 ? random() % 3 : random());
        const auto decoded = key_codec<TestType>::decode(raw);
        if (!decoded) continue;
        ++accepted;
        REQUIRE(key_bytes(*decoded) == raw);
    }
    CHECK(accepted > 0);
}

TEST_CASE("tuple codec: known encodings") {
    CHECK(key_bytes(text_pair("a", "b")) == bytes("a\0\1b\0\1", 6));
    CHECK(key_bytes(text_pair(bytes(1, '\0'), "")) == bytes("\0\xff\0\1\0\1", 6));
    CHECK(key_bytes(std::pair(std::uint8_t{7}, bytes("x"))) == bytes("\7x\0\1", 4));
    CHECK(key_bytes(std::tuple(std::uint8_t{1}, std::uint16_t{2})) == bytes("\1\0\2", 3));
    CHECK(key_bytes(custom{{"ab"}, {0}, {""}}) == bytes("\2ab\0\1\xff\0\xff\0\1", 10));
}

TEST_CASE("tuple codec: the sizes of fixed elements add up") {
    STATIC_REQUIRE(key_codec<std::tuple<std::uint8_t, double, bool>>::size == 10);
    STATIC_REQUIRE(key_codec<std::pair<descending, std::pair<float, float>>>::size == 9);
    STATIC_REQUIRE(key_codec<std::tuple<>>::size == 0);
    STATIC_REQUIRE(lsm::detail::fixed_size_codec<key_codec<std::tuple<std::tuple<>, bool>>>);
    STATIC_REQUIRE_FALSE(lsm::detail::fixed_size_codec<key_codec<std::tuple<std::uint8_t, bytes>>>);
    STATIC_REQUIRE_FALSE(lsm::detail::fixed_size_codec<key_codec<std::pair<word, bool>>>);
}

TEST_CASE("tuple codec: the empty tuple is encoded as no bytes") {
    CHECK(key_bytes(std::tuple<>()).empty());
    CHECK(key_codec<std::tuple<>>::decode(""));
    CHECK_FALSE(key_codec<std::tuple<>>::decode("x"));
}

TEST_CASE("tuple codec: an encoding that is cut off or too long is refused") {
    const std::vector<record> keys = {{"", 0, ""}, {"key", -1, "other"}, {bytes("\0\0\xff\1", 4), 7, bytes("\0", 1)}};
    for (const auto& key : keys) {
        const bytes whole = key_bytes(key);
        for (std::size_t size = 0; size < whole.size(); ++size) {
            INFO("size " << size);
            REQUIRE_FALSE(key_codec<record>::decode(whole.substr(0, size)));
        }
        for (const bytes& tail : {bytes(1, '\0'), bytes(1, '\1'), bytes(1, '\xff'), bytes("\0\1", 2), whole})
            REQUIRE_FALSE(key_codec<record>::decode(whole + tail));
    }
    using fixed = std::pair<std::uint16_t, bool>;
    for (std::size_t size = 0; size < 6; ++size)
        REQUIRE(key_codec<fixed>::decode(bytes(size, '\1')).has_value() == (size == 3));
}

TEST_CASE("tuple codec: malformed terminators are refused") {
    using one = std::tuple<bytes>;
    REQUIRE(key_codec<one>::decode(bytes("a\0\1", 3)));
    CHECK_FALSE(key_codec<one>::decode(""));
    CHECK_FALSE(key_codec<one>::decode("a"));
    CHECK_FALSE(key_codec<one>::decode(bytes("a\0", 2)));
    CHECK_FALSE(key_codec<one>::decode(bytes("a\0\xff", 3)));
    for (unsigned mark = 0; mark < 256; ++mark) {
        const bytes raw = bytes("a\0", 2) + static_cast<char>(mark) + bytes("\0\1", 2);
        REQUIRE(key_codec<one>::decode(raw).has_value() == (mark == 0xff));
    }
}

TEST_CASE("tuple codec: a tuple with an element that its codec refuses is refused") {
    CHECK_FALSE(key_codec<std::pair<bool, bool>>::decode("\1\2"));
    CHECK_FALSE(key_codec<std::pair<bool, bool>>::decode("\2\1"));
    // A word of two letters with the length three.
    CHECK_FALSE(key_codec<std::tuple<word>>::decode(bytes("\3ab\0\1", 5)));
    // An element that is well terminated, but is not the encoding of a pair.
    CHECK_FALSE(key_codec<std::tuple<text_pair>>::decode(bytes("abc\0\1", 5)));
}

TEST_CASE("tuple codec: the encoding of the first elements is a prefix of the whole") {
    const auto seed = lsm::test::seed_or(112);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    for (int i = 0; i < 5000; ++i) {
        const auto [text, number, last] = random_part<record>::make(random);
        const bytes whole = key_bytes(record(text, number, last));
        REQUIRE(whole.starts_with(key_bytes(std::tuple(text))));
        REQUIRE(whole.starts_with(key_bytes(std::tuple(text, number))));
        const auto other = random_part<bytes>::make(random);
        REQUIRE(whole.starts_with(key_bytes(std::tuple(other))) == (other == text));
    }
}

TEST_CASE("tuple codec: encode appends") {
    bytes out = "before:";
    key_codec<text_pair>::encode({"a", ""}, out);
    CHECK(out == bytes("before:a\0\1\0\1", 12));
}
