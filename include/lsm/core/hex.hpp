#pragma once

#include <string>

#include <lsm/core/bytes.hpp>

namespace lsm {

/// Appends `in` to `out` as lower-case hex digits: two for each byte, without prefix or separators.
template <class Out>
void append_hex(Out& out, bytes_view in) {
    constexpr char digits[] = "0123456789abcdef";
    for (const char c : in) {
        const auto byte = static_cast<unsigned char>(c);
        out.push_back(digits[byte >> 4]);
        out.push_back(digits[byte & 15]);
    }
}

/// Returns the same digits as a string.
[[nodiscard]] inline std::string hex(bytes_view in) {
    std::string out;
    out.reserve(2 * in.size());
    append_hex(out, in);
    return out;
}

}  // namespace lsm
