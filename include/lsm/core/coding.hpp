#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <lsm/core/bytes.hpp>

/// Fixed-width little-endian integers, and a reader that checks every length against the bytes that are left.
namespace lsm::detail {

template <std::unsigned_integral T>
[[nodiscard]] constexpr T byte_swapped(T value) noexcept {
    T out = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) out = static_cast<T>(out << 8 | ((value >> 8 * i) & 0xff));
    return out;
}

/// Requires sizeof(T) bytes at `from`.
template <std::unsigned_integral T>
[[nodiscard]] inline T load_le(const char* from) noexcept {
    T value;
    std::memcpy(&value, from, sizeof value);
    if constexpr (std::endian::native == std::endian::big) value = byte_swapped(value);
    return value;
}

/// Requires room for sizeof(T) bytes at `to`.
template <std::unsigned_integral T>
inline void store_le(char* to, T value) noexcept {
    if constexpr (std::endian::native == std::endian::big) value = byte_swapped(value);
    std::memcpy(to, &value, sizeof value);
}

template <std::unsigned_integral T, class Out>
void append_le(Out& out, T value) {
    char raw[sizeof value];
    store_le(raw, value);
    out.append(raw, sizeof raw);
}

/// Reads fields from a byte string, from front to back. A read that needs more bytes than are left returns false and
/// changes nothing.
class field_reader {
public:
    explicit field_reader(bytes_view in) noexcept : in_(in) {}

    template <std::unsigned_integral T>
    [[nodiscard]] bool read(T& out) noexcept {
        if (left() < sizeof(T)) return false;
        out = load_le<T>(in_.data() + offset_);
        offset_ += sizeof(T);
        return true;
    }

    /// Reads `length` bytes. `out` is a view of the reader's input.
    [[nodiscard]] bool read(std::size_t length, bytes_view& out) noexcept {
        if (left() < length) return false;
        out = {in_.data() + offset_, length};
        offset_ += length;
        return true;
    }

    [[nodiscard]] std::size_t offset() const noexcept { return offset_; }
    [[nodiscard]] std::size_t left() const noexcept { return in_.size() - offset_; }

private:
    bytes_view in_;
    std::size_t offset_ = 0;
};

/// Returns the first eight bytes of `in` as a big-endian number; fewer bytes are padded with zeros at the end. Byte
/// strings whose numbers differ compare as their numbers do.
[[nodiscard]] inline std::uint64_t leading_number(bytes_view in) noexcept {
    std::uint64_t out = 0;
    if (in.size() >= sizeof out) return byte_swapped(load_le<std::uint64_t>(in.data()));
    for (const char c : in) out = out << 8 | static_cast<unsigned char>(c);
    return in.empty() ? 0 : out << 8 * (sizeof out - in.size());
}

}  // namespace lsm::detail
