#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <lsm/config.hpp>

namespace lsm {

/// Byte strings, owned and viewed. Both compare by unsigned bytes, and a proper prefix is less than the longer string:
/// char_traits<char> compares characters as unsigned char. So std::less, operator< and operator<=> of these types are
/// the key order of every lsm file.
using bytes = std::string;
using bytes_view = std::string_view;

/// A byte string whose memory comes from `Alloc`.
template <class Alloc>
using basic_bytes =
    std::basic_string<char, std::char_traits<char>, typename std::allocator_traits<Alloc>::template rebind_alloc<char>>;

/// The greatest length of a key or value in bytes. The formats store lengths in 32 bits.
inline constexpr std::size_t max_length = 0xffff'ffff;

namespace detail {

/// Makes room for `more` bytes, so that appending them cannot throw. Growing at least doubles the capacity.
template <class String>
void make_room(String& out, std::size_t more) {
    if (out.capacity() - out.size() < more) out.reserve(std::max(out.size() + more, 2 * out.capacity()));
}

}  // namespace detail
}  // namespace lsm
