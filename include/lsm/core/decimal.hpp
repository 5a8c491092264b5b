#pragma once

#include <charconv>
#include <cstdint>
#include <string_view>
#include <system_error>

namespace lsm::detail {

/// Parses a text that consists of decimal digits. Leading zeros are accepted; a sign, spaces and the empty text are
/// not. Returns false for any other text and for a number above 2^64-1; `out` is then unspecified.
[[nodiscard]] inline bool parse_decimal(std::string_view text, std::uint64_t& out) noexcept {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc() && end == text.data() + text.size();
}

}  // namespace lsm::detail
