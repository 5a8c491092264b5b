#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include <lsm/core/bytes.hpp>

namespace lsm {

/// Encodes values of type `Value` as bytes, and decodes them. The members are those of key_codec; an order need not be
/// preserved.
template <class Value>
struct value_codec;

/// Bytes are their own encoding.
template <class Allocator>
struct value_codec<std::basic_string<char, std::char_traits<char>, Allocator>> {
    using value_type = std::basic_string<char, std::char_traits<char>, Allocator>;
    using view_type = bytes_view;

    template <class Out>
    static void encode(bytes_view value, Out& out) {
        out.append(value.data(), value.size());
    }
    static std::optional<value_type> decode(bytes_view in) { return value_type(in); }
};

namespace detail {

// Trivially copyable types whose bytes mean nothing in another process.
template <class T>
inline constexpr bool refers_elsewhere =
    std::is_pointer_v<T> || std::is_member_pointer_v<T> || std::is_null_pointer_v<T>;
template <class Char, class Traits>
inline constexpr bool refers_elsewhere<std::basic_string_view<Char, Traits>> = true;
template <class T, std::size_t Extent>
inline constexpr bool refers_elsewhere<std::span<T, Extent>> = true;
template <class T>
inline constexpr bool refers_elsewhere<std::reference_wrapper<T>> = true;
template <class T>
inline constexpr bool refers_elsewhere<std::optional<T>> = refers_elsewhere<T>;
template <class T, std::size_t Size>
inline constexpr bool refers_elsewhere<std::array<T, Size>> = refers_elsewhere<T>;

}  // namespace detail

/// Trivially copyable types, stored as their bytes in memory. So the files are for machines with the same byte order
/// and layout of types. Padding is stored as zeros if the compiler can clear it (GCC 11 and later), otherwise as it is
/// in memory. decode() accepts any bytes of the right length. It refuses a bool that is neither 0 nor 1, but does not
/// look into members: if their types have invalid values (bool, some enums), they are as safe as the file.
template <class T>
requires(std::is_trivially_copyable_v<T>&& std::is_object_v<T> && !std::is_array_v<T> &&
         !detail::refers_elsewhere<T>) struct value_codec<T> {
    static constexpr std::size_t size = sizeof(T);

    template <class Out>
    static void encode(const T& value, Out& out) {
        char raw[size];
        T copy = value;
#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
        __builtin_clear_padding(&copy);
#endif
#endif
        std::memcpy(raw, &copy, size);
        out.append(raw, size);
    }

    static std::optional<T> decode(bytes_view in) {
        if (in.size() != size) return std::nullopt;
        if (std::is_same_v<T, bool> && static_cast<unsigned char>(in.front()) > 1) return std::nullopt;
        union {  // T need not have a default constructor
            char none;
            T value;
        } out{0};
        std::memcpy(std::addressof(out.value), in.data(), size);
        return out.value;
    }
};

}  // namespace lsm
