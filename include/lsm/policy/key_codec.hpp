#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include <lsm/core/bytes.hpp>

namespace lsm {

/// Encodes keys of type `Key` as bytes, and decodes them. The engine orders keys by their encoding, so a codec must
/// preserve order: a < b if and only if encode(a) < encode(b), compared as unsigned bytes, and a == b if and only if
/// the encodings are equal.
///
/// A specialization has
///     template <class Out> static void encode(const Key&, Out& out);    // appends with out.append(data, size)
///     static std::optional<Key> decode(bytes_view);                     // nullopt if the bytes are not a Key
/// and may have
///     static constexpr std::size_t size = N;      // every encoding has N bytes, so encoding needs no memory
///     using view_type = bytes_view;               // a Key is its own encoding, so it is passed on without a copy
template <class Key>
struct key_codec;

/// Bytes are their own encoding.
template <class Allocator>
struct key_codec<std::basic_string<char, std::char_traits<char>, Allocator>> {
    using key_type = std::basic_string<char, std::char_traits<char>, Allocator>;
    using view_type = bytes_view;

    template <class Out>
    static void encode(bytes_view key, Out& out) {
        out.append(key.data(), key.size());
    }
    static std::optional<key_type> decode(bytes_view in) { return key_type(in); }
};

/// Integers, big-endian. The sign bit of signed integers is inverted, so that negative numbers come first.
template <std::integral Int>
struct key_codec<Int> {
    static constexpr std::size_t size = sizeof(Int);

    template <class Out>
    static void encode(Int key, Out& out) {
        const auto bits = static_cast<std::uint64_t>(key) ^ sign;
        char raw[size];
        for (std::size_t i = 0; i < size; ++i) raw[i] = static_cast<char>(bits >> 8 * (size - 1 - i));
        out.append(raw, size);
    }

    static std::optional<Int> decode(bytes_view in) {
        if (in.size() != size) return std::nullopt;
        std::uint64_t bits = 0;
        for (const char c : in) bits = bits << 8 | static_cast<unsigned char>(c);
        bits ^= sign;
        if (std::same_as<Int, bool> && bits > 1) return std::nullopt;
        return static_cast<Int>(bits);
    }

private:
    static_assert(sizeof(Int) <= 8, "lsm: integers wider than 64 bits have no key codec");
    static constexpr std::uint64_t sign =
        std::numeric_limits<Int>::is_signed ? std::uint64_t{1} << (8 * sizeof(Int) - 1) : 0;
};

/// float and double in numeric order, from -inf to inf, and then NaN. -0.0 is stored as 0.0, since the two are equal.
/// All NaNs are stored as the same NaN.
template <std::floating_point Float>
struct key_codec<Float> {
    static_assert(std::numeric_limits<Float>::is_iec559 && sizeof(Float) <= 8,
                  "lsm: only IEEE float and double have a key codec");
    using bits_type = std::conditional_t<sizeof(Float) == 4, std::uint32_t, std::uint64_t>;
    static constexpr std::size_t size = sizeof(Float);

    // Positive numbers have the order of their bits with the sign bit set, negative ones that of their inverted bits.
    template <class Out>
    static void encode(Float key, Out& out) {
        if (key == 0) key = 0;
        if (key != key) key = std::numeric_limits<Float>::quiet_NaN();
        const auto bits = std::bit_cast<bits_type>(key);
        key_codec<bits_type>::encode(bits & sign ? static_cast<bits_type>(~bits) : bits | sign, out);
    }

    static std::optional<Float> decode(bytes_view in) {
        const auto bits = key_codec<bits_type>::decode(in);
        if (!bits) return std::nullopt;
        const auto key = std::bit_cast<Float>(*bits & sign ? *bits ^ sign : static_cast<bits_type>(~*bits));
        // encode() never writes -0.0 or another NaN. If decode() accepted them, two encodings would be the same key.
        if (key == 0 && !(*bits & sign)) return std::nullopt;
        if (key != key &&
            std::bit_cast<bits_type>(key) != std::bit_cast<bits_type>(std::numeric_limits<Float>::quiet_NaN()))
            return std::nullopt;
        return key;
    }

private:
    static constexpr bits_type sign = bits_type{1} << (8 * sizeof(Float) - 1);
};

/// Enums with a fixed underlying type, stored as that integer. decode() accepts values without an enumerator.
template <class Enum>
requires(std::is_enum_v<Enum>&& requires { Enum{0}; }) struct key_codec<Enum> {
    using integer = std::underlying_type_t<Enum>;
    static constexpr std::size_t size = sizeof(Enum);

    template <class Out>
    static void encode(Enum key, Out& out) {
        key_codec<integer>::encode(static_cast<integer>(key), out);
    }
    static std::optional<Enum> decode(bytes_view in) {
        const auto number = key_codec<integer>::decode(in);
        if (!number) return std::nullopt;
        return static_cast<Enum>(*number);
    }
};

}  // namespace lsm

namespace lsm::detail {

template <class Codec>
concept fixed_size_codec = requires {
    { Codec::size } -> std::convertible_to<std::size_t>;
};

// Appends an element of variable size inside a tuple: its encoding, in which 0x00 is written as 0x00 0xff, and then the
// terminator 0x00 0x01. The terminator is less than every continuation of the element, so "a" < "a\0" < "ab" whatever
// the next element is.
template <class Out>
void append_terminated(Out& out, bytes_view element) {
    for (;;) {
        const auto zero = element.find('\0');
        out.append(element.data(), std::min(zero, element.size()));
        if (zero == bytes_view::npos) break;
        out.append("\x00\xff", 2);
        element.remove_prefix(zero + 1);
    }
    out.append("\x00\x01", 2);
}

/// Removes a terminated element from the front of `in` and returns it. Returns nullopt if `in` does not begin with one.
[[nodiscard]] inline std::optional<bytes> take_terminated(bytes_view& in) {
    bytes out;
    for (;;) {
        const auto zero = in.find('\0');
        if (zero == bytes_view::npos || zero + 1 == in.size()) return std::nullopt;
        const auto mark = static_cast<unsigned char>(in[zero + 1]);
        out.append(in.data(), zero);
        in.remove_prefix(zero + 2);
        if (mark == 0x01) return out;
        if (mark != 0xff) return std::nullopt;
        out.push_back('\0');
    }
}

// Appends an element of a tuple. Elements of fixed size need no terminator.
template <class Element, class Out>
void append_element(Out& out, const Element& element) {
    using codec = key_codec<Element>;
    if constexpr (fixed_size_codec<codec>) {
        codec::encode(element, out);
    } else if constexpr (requires { typename codec::view_type; }) {
        append_terminated(out, element);
    } else {
        bytes encoded;
        codec::encode(element, encoded);
        append_terminated(out, encoded);
    }
}

template <class Element>
[[nodiscard]] std::optional<Element> take_element(bytes_view& in) {
    using codec = key_codec<Element>;
    if constexpr (fixed_size_codec<codec>) {
        if (in.size() < codec::size) return std::nullopt;
        const auto element = in.substr(0, codec::size);
        in.remove_prefix(codec::size);
        return codec::decode(element);
    } else {
        const auto element = take_terminated(in);
        if (!element) return std::nullopt;
        return codec::decode(*element);
    }
}

// The encoding of a tuple is that of its elements, one after the other. It has the order of the tuples because no
// encoding of an element is a proper prefix of another encoding of it.
template <class Tuple, class... Elements>
struct tuple_codec {
    template <class Out>
    static void encode(const Tuple& key, Out& out) {
        std::apply([&](const auto&... elements) { (append_element(out, elements), ...); }, key);
    }

    static std::optional<Tuple> decode(bytes_view in) {
        bool good = true;
        // Braces evaluate from left to right, which parentheses would not guarantee.
        std::tuple<std::optional<Elements>...> elements{take_if<Elements>(good, in)...};
        if (!good || !in.empty()) return std::nullopt;
        return std::apply([](auto&&... element) { return Tuple(*std::move(element)...); }, std::move(elements));
    }

private:
    // Does nothing once an element was refused.
    template <class Element>
    static std::optional<Element> take_if(bool& good, bytes_view& in) {
        if (!good) return std::nullopt;
        auto element = take_element<Element>(in);
        good = element.has_value();
        return element;
    }
};

template <class Tuple, class... Elements>
struct fixed_tuple_codec : tuple_codec<Tuple, Elements...> {
    static constexpr std::size_t size = (std::size_t{0} + ... + key_codec<Elements>::size);
};

template <class Tuple, class... Elements>
using tuple_codec_for = typename std::conditional_t<(fixed_size_codec<key_codec<Elements>> && ...),
                                                    std::type_identity<fixed_tuple_codec<Tuple, Elements...>>,
                                                    std::type_identity<tuple_codec<Tuple, Elements...>>>::type;

}  // namespace lsm::detail

namespace lsm {

/// Tuples and pairs of keys, ordered element by element. The encoding of the first elements is a prefix of the encoding
/// of the tuple, so a scan over that prefix finds all tuples that begin with these elements.
template <class... Elements>
struct key_codec<std::tuple<Elements...>> : detail::tuple_codec_for<std::tuple<Elements...>, Elements...> {};

template <class First, class Second>
struct key_codec<std::pair<First, Second>> : detail::tuple_codec_for<std::pair<First, Second>, First, Second> {};

}  // namespace lsm
