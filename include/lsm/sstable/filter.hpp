#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>

/// A blocked Bloom filter: all bits of a key lie in one line of 64 bytes, so a lookup costs one cache miss.
///
///     0        4       8          72                8+64*lines
///     +--------+-------+----------+----------+-----+
///     | probes | lines |  line 0  |  line 1  | ... |
///     |  u32   |  u32  | 64 bytes | 64 bytes |     |
///     +--------+-------+----------+----------+-----+
///
/// Let h = xxh64(key), a its upper 32 bits and b its lower 32 bits. The key's line is a * lines / 2^32. Probe i,
/// counted from 0, is bit (b * 0x9e3779b9^i mod 2^32) / 2^23 of that line, where bit j of a line is bit j mod 8 of its
/// byte j / 8. All divisions round down.
///
/// After F. Putze, P. Sanders, J. Singler, "Cache-, Hash- and Space-Efficient Bloom Filters" (2007).
namespace lsm::detail {

inline constexpr std::size_t filter_header_bytes = 8;
inline constexpr std::size_t filter_line_bytes = 64;
inline constexpr std::uint32_t most_filter_probes = 24;

/// Calls `visit(byte, mask)` for each probe of `hash`, until it returns false: `byte` is an offset from the first line,
/// `mask` the bit in that byte. Returns whether every call returned true.
template <class Visit>
bool for_each_filter_bit(std::uint64_t hash, std::uint32_t probes, std::uint32_t lines, Visit visit) {
    const std::size_t line = static_cast<std::size_t>((hash >> 32) * lines >> 32) * filter_line_bytes;
    auto spread = static_cast<std::uint32_t>(hash);
    for (std::uint32_t i = 0; i < probes; ++i, spread *= 0x9e3779b9u) {
        const std::uint32_t bit = spread >> 23;
        if (!visit(line + bit / 8, static_cast<unsigned char>(1u << bit % 8))) return false;
    }
    return true;
}

/// Appends a filter of the keys with these xxh64() hashes. Requires bits_per_key > 0. O(hashes).
template <class Out, class Hashes>
void append_filter(Out& out, const Hashes& hashes, unsigned bits_per_key) {
    const std::uint64_t bits = std::uint64_t{hashes.size()} * bits_per_key;
    const auto lines =
        static_cast<std::uint32_t>(std::clamp<std::uint64_t>((bits + 511) / 512, 1, std::uint64_t{1} << 26));
    // bits_per_key * ln 2 probes minimize the false positives of an unblocked filter, and nearly those of a blocked
    // one. The products below are part of the format, so that every writer makes the same filter.
    const std::uint32_t probes = std::clamp(std::min(bits_per_key, 100u) * 69 / 100, 1u, most_filter_probes);
    append_le(out, probes);
    append_le(out, lines);
    const std::size_t start = out.size();
    out.append(lines * filter_line_bytes, '\0');
    for (const std::uint64_t hash : hashes)
        for_each_filter_bit(hash, probes, lines, [&](std::size_t byte, unsigned char mask) {
            out[start + byte] = static_cast<char>(static_cast<unsigned char>(out[start + byte]) | mask);
            return true;
        });
}

/// Returns whether `filter` is well-formed: probes and lines are in range, and the size fits the number of lines.
[[nodiscard]] inline bool is_filter(bytes_view filter) noexcept {
    if (filter.size() < filter_header_bytes) return false;
    const auto probes = load_le<std::uint32_t>(filter.data());
    const auto lines = load_le<std::uint32_t>(filter.data() + 4);
    return probes > 0 && probes <= most_filter_probes && lines > 0 &&
           filter.size() - filter_header_bytes == std::uint64_t{lines} * filter_line_bytes;
}

/// Returns false only if the filter was made without the key that has this xxh64() hash. Requires is_filter(filter).
[[nodiscard]] inline bool filter_may_contain(bytes_view filter, std::uint64_t hash) noexcept {
    const char* const bits = filter.data() + filter_header_bytes;
    return for_each_filter_bit(
        hash, load_le<std::uint32_t>(filter.data()), load_le<std::uint32_t>(filter.data() + 4),
        [&](std::size_t byte, unsigned char mask) { return (static_cast<unsigned char>(bits[byte]) & mask) != 0; });
}

}  // namespace lsm::detail
