#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <type_traits>

#include <lsm/core/bytes.hpp>
#include <lsm/fwd.hpp>
#include <lsm/policy/key_codec.hpp>
#include <lsm/policy/value_codec.hpp>

namespace lsm {

/// `Codec` encodes a T as bytes and decodes it; see key_codec.
template <class Codec, class T>
concept codec_for = requires(const T& value, bytes& out, bytes_view in) {
    Codec::encode(value, out);
    { Codec::decode(in) } -> std::same_as<std::optional<T>>;
};

template <class Key>
concept storable_key = codec_for<key_codec<Key>, Key>;

template <class Value>
concept storable_value = codec_for<value_codec<Value>, Value>;

/// A standard allocator of any value type whose pointers are plain pointers.
template <class Alloc>
concept standard_allocator = std::copy_constructible<Alloc> &&
    requires(typename std::allocator_traits<Alloc>::template rebind_alloc<char> alloc) {
    { alloc.allocate(std::size_t{1}) } -> std::same_as<char*>;
    alloc.deallocate(static_cast<char*>(nullptr), std::size_t{1});
};

}  // namespace lsm

namespace lsm::detail {

// Used where a codec is missing, so that the compiler reports the static_assert and no further errors.
template <class Key>
struct missing_key_codec {
    template <class Out>
    static void encode(const Key&, Out&) {
        static_assert(storable_key<Key>,
                      "lsm: Key needs a specialization of lsm::key_codec<Key> with encode(const Key&, Out&) and "
                      "decode(bytes_view) -> std::optional<Key>, preserving order");
    }
    static std::optional<Key> decode(bytes_view) { return std::nullopt; }
};
template <class Value>
struct missing_value_codec {
    template <class Out>
    static void encode(const Value&, Out&) {
        static_assert(storable_value<Value>,
                      "lsm: Value needs a specialization of lsm::value_codec<Value> with encode(const Value&, Out&) "
                      "and decode(bytes_view) -> std::optional<Value>");
    }
    static std::optional<Value> decode(bytes_view) { return std::nullopt; }
};

template <class Codec>
concept identity_codec = requires {
    typename Codec::view_type;
};

// How a T is passed to a stage and returned by it: as a view if it is its own encoding, otherwise by reference and by
// value.
template <class Codec, class T>
struct passing {
    using argument = const T&;
    using view = T;
};
template <identity_codec Codec, class T>
struct passing<Codec, T> {
    using argument = typename Codec::view_type;
    using view = typename Codec::view_type;
};

/// The encoding of a key or value for the duration of a call. It is the argument itself if that is its own encoding,
/// lies in the object if its size is fixed, and otherwise in memory from Alloc.
template <class Codec, class T, class Alloc>
class encoded {
public:
    encoded(const T& value, const Alloc& alloc) : out_(typename buffer::allocator_type(alloc)) {
        Codec::encode(value, out_);
    }
    [[nodiscard]] bytes_view view() const noexcept { return out_; }

private:
    using buffer = basic_bytes<Alloc>;
    buffer out_;
};

template <identity_codec Codec, class T, class Alloc>
class encoded<Codec, T, Alloc> {
public:
    encoded(bytes_view value, const Alloc&) noexcept : value_(value) {}
    [[nodiscard]] bytes_view view() const noexcept { return value_; }

private:
    bytes_view value_;
};

template <class Codec, class T, class Alloc>
requires(fixed_size_codec<Codec> && !identity_codec<Codec>) class encoded<Codec, T, Alloc> {
public:
    encoded(const T& value, const Alloc&) { Codec::encode(value, *this); }
    [[nodiscard]] bytes_view view() const noexcept { return {raw_, used_}; }

    /// For the codec. Ignores what exceeds Codec::size.
    void append(const char* data, std::size_t size) noexcept {
        for (std::size_t i = 0; i < size && used_ < Codec::size; ++i) raw_[used_++] = data[i];
    }

private:
    char raw_[Codec::size == 0 ? 1 : Codec::size];
    std::size_t used_ = 0;
};

}  // namespace lsm::detail

namespace lsm {

/// The types that every stage is a template of. Keys and values are stored by key_codec<Key> and value_codec<Value>.
/// All memory that a stage holds comes from `Alloc`, except for the texts of errors and the names of files.
template <class Key, class Value, class Alloc>
struct policies {
    static_assert(standard_allocator<Alloc>, "lsm: Alloc must be a standard allocator with plain pointers");

    using key_type = Key;
    using value_type = Value;
    using allocator_type = Alloc;
    using key_codec = std::conditional_t<storable_key<Key>, lsm::key_codec<Key>, detail::missing_key_codec<Key>>;
    using value_codec =
        std::conditional_t<storable_value<Value>, lsm::value_codec<Value>, detail::missing_value_codec<Value>>;

    /// How keys and values are passed to a stage and returned by it. Bytes are passed and returned as views, other
    /// types are passed by reference and returned by value.
    using key_argument = typename detail::passing<key_codec, Key>::argument;
    using key_view = typename detail::passing<key_codec, Key>::view;
    using value_argument = typename detail::passing<value_codec, Value>::argument;
    using value_view = typename detail::passing<value_codec, Value>::view;
};

}  // namespace lsm

namespace lsm::detail {

template <class Policies>
using encoded_key =
    encoded<typename Policies::key_codec, typename Policies::key_type, typename Policies::allocator_type>;

template <class Policies>
using encoded_value =
    encoded<typename Policies::value_codec, typename Policies::value_type, typename Policies::allocator_type>;

/// Returns the key that is stored as `in`: a view of `in` if keys are bytes, otherwise a decoded key. Returns nullopt
/// if `in` is not a key.
template <class Policies>
[[nodiscard]] std::optional<typename Policies::key_view> decode_key(bytes_view in) {
    if constexpr (identity_codec<typename Policies::key_codec>)
        return in;
    else
        return Policies::key_codec::decode(in);
}

/// The same for a value.
template <class Policies>
[[nodiscard]] std::optional<typename Policies::value_view> decode_value(bytes_view in) {
    if constexpr (identity_codec<typename Policies::value_codec>)
        return in;
    else
        return Policies::value_codec::decode(in);
}

}  // namespace lsm::detail
