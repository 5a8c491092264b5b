#pragma once

#include <charconv>
#include <cstdint>
#include <string_view>
#include <system_error>

namespace lsm::detail {

/// Parses a text that is a decimal number and nothing else, without a sign. Returns false, and leaves `out` undefined,
/// for any other text and for a number above 2^64-1. Leading zeros are accepted.
[[nodiscard]] inline bool parse_decimal(std::string_view text, std::uint64_t& out) noexcept {
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), out);
    return problem == std::errc() && end == text.data() + text.size();
}

}  // namespace lsm::detail
