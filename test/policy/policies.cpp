#include <lsm/policy/policies.hpp>

#include <cstdint>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include <lsm/policy/arena.hpp>

#include "support/allocators.hpp"
#include "support/catch.hpp"

using lsm::bytes;
using lsm::bytes_view;
using lsm::policies;
using lsm::test::allocation_log;
using lsm::test::logged_allocator;

namespace {

struct no_codec {};
using logged = logged_allocator<std::byte>;

}  // namespace

TEST_CASE("policies: the default is bytes from the standard allocator") {
    using p = policies<>;
    STATIC_REQUIRE(std::is_same_v<p::key_type, bytes>);
    STATIC_REQUIRE(std::is_same_v<p::value_type, bytes>);
    STATIC_REQUIRE(std::is_same_v<p::allocator_type, std::allocator<std::byte>>);
    STATIC_REQUIRE(std::is_same_v<p::key_codec, lsm::key_codec<bytes>>);
    STATIC_REQUIRE(std::is_same_v<p::value_codec, lsm::value_codec<bytes>>);
}

TEST_CASE("policies: bytes are passed as views and other types by reference and value") {
    STATIC_REQUIRE(std::is_same_v<policies<>::key_argument, bytes_view>);
    STATIC_REQUIRE(std::is_same_v<policies<>::key_view, bytes_view>);
    STATIC_REQUIRE(std::is_same_v<policies<>::value_argument, bytes_view>);
    STATIC_REQUIRE(std::is_same_v<policies<>::value_view, bytes_view>);
    using typed = policies<std::pair<int, bytes>, double>;
    STATIC_REQUIRE(std::is_same_v<typed::key_argument, const std::pair<int, bytes>&>);
    STATIC_REQUIRE(std::is_same_v<typed::key_view, std::pair<int, bytes>>);
    STATIC_REQUIRE(std::is_same_v<typed::value_argument, const double&>);
    STATIC_REQUIRE(std::is_same_v<typed::value_view, double>);
    STATIC_REQUIRE(std::is_same_v<policies<int>::value_view, bytes_view>);
}

TEST_CASE("policies: types with a codec satisfy the concepts") {
    STATIC_REQUIRE(lsm::storable_key<bytes>);
    STATIC_REQUIRE(lsm::storable_key<std::uint64_t>);
    STATIC_REQUIRE(lsm::storable_key<std::tuple<bytes, double>>);
    STATIC_REQUIRE_FALSE(lsm::storable_key<no_codec>);
    STATIC_REQUIRE_FALSE(lsm::storable_key<bytes_view>);
    STATIC_REQUIRE_FALSE(lsm::storable_key<const char*>);
    STATIC_REQUIRE(lsm::storable_value<no_codec>);
    STATIC_REQUIRE(lsm::standard_allocator<std::allocator<int>>);
    STATIC_REQUIRE(lsm::standard_allocator<logged>);
    STATIC_REQUIRE(lsm::standard_allocator<lsm::arena_allocator<std::byte>>);
}

TEST_CASE("encoded: bytes are not copied") {
    const std::string key(100, 'k');
    allocation_log log;
    const lsm::detail::encoded_key<policies<bytes, bytes, logged>> encoded(key, logged(log));
    CHECK(encoded.view().data() == key.data());
    CHECK(encoded.view().size() == key.size());
    CHECK(log.allocations == 0);
}

TEST_CASE("encoded: encodings of fixed size need no memory") {
    using p = policies<std::tuple<std::uint8_t, double, std::pair<bool, std::int32_t>>, std::uint16_t, logged>;
    allocation_log log;
    const p::key_type key{3, -1.5, {true, 7}};
    const lsm::detail::encoded_key<p> encoded(key, logged(log));
    bytes expected;
    p::key_codec::encode(key, expected);
    CHECK(encoded.view() == expected);
    const lsm::detail::encoded_value<p> value(std::uint16_t{300}, logged(log));
    CHECK(value.view().size() == 2);
    CHECK(lsm::detail::decode_value<p>(value.view()) == std::uint16_t{300});
    CHECK(log.allocations == 0);
}

TEST_CASE("encoded: other encodings take their memory from the allocator") {
    using p = policies<std::pair<bytes, bool>, bytes, logged>;
    allocation_log log;
    {
        const p::key_type key(bytes(1000, 'k'), true);
        const lsm::detail::encoded_key<p> encoded(key, logged(log));
        CHECK(encoded.view().size() == 1003);
        CHECK(log.allocations > 0);
        CHECK(lsm::detail::decode_key<p>(encoded.view()) == key);
    }
    CHECK(log.live_bytes == 0);
}

TEST_CASE("decode_key: returns a view of bytes and a decoded key of other types") {
    const bytes raw(5, 'r');
    const auto view = lsm::detail::decode_key<policies<>>(raw);
    REQUIRE(view);
    CHECK(view->data() == raw.data());
    CHECK(lsm::detail::decode_value<policies<>>(raw)->data() == raw.data());

    using typed = policies<std::uint16_t, std::uint16_t>;
    CHECK(lsm::detail::decode_key<typed>("\1\2") == std::uint16_t{0x0102});
    CHECK_FALSE(lsm::detail::decode_key<typed>(raw));
    CHECK_FALSE(lsm::detail::decode_value<typed>(raw));
}
