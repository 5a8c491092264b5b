#pragma once

#include <cstdint>
#include <string>

#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>
#include <lsm/core/result.hpp>

/// An SSTable:
///
///     data block 0 | data block 1 | ... | index | footer
///
///     data block   count u32 | count entry records, keys ascending
///     index        n u32 | n times: klen u32 | offset u64 | size u64 | first key of the block [klen]
///     footer       index_offset u64 | index_size u64 | num_blocks u64 | "SST1\0\0\0\0"
///
/// A block is closed before the entry that would take it over the target size. An SSTable of no entries has no block
/// and is 36 bytes long.
namespace lsm {

/// The last 32 bytes of an SSTable.
struct sst_footer {
    std::uint64_t index_offset = 0;
    std::uint64_t index_size = 0;
    std::uint64_t num_blocks = 0;
    bool magic_ok = true;

    friend bool operator==(const sst_footer&, const sst_footer&) = default;
};

struct sst_options {
    /// The target size of a data block, in bytes: a block is larger only when it holds one entry that alone is.
    std::uint32_t block_size = 4096;
    /// Write the extension area (see extension.hpp): checksums, properties, a filter. Costs 8 bytes of memory an entry
    /// until the table is finished. Without it the file is the canonical one.
    bool extended = false;
    /// The size of the filter: 10 bits a key let one in a hundred absent keys through; 0 for no filter.
    unsigned filter_bits_per_key = 10;
};

}  // namespace lsm

namespace lsm::detail {

inline constexpr bytes_view sst_magic{"SST1\0\0\0\0", 8};
inline constexpr std::size_t sst_footer_bytes = 32;
inline constexpr std::size_t sst_smallest_file = 36;
inline constexpr std::size_t block_header_bytes = 4;
inline constexpr std::size_t smallest_block = 13;
inline constexpr std::size_t index_header_bytes = 4;
inline constexpr std::size_t index_entry_header_bytes = 20;

/// Requires sst_footer_bytes bytes at `to`.
inline void write_footer(char* to, const sst_footer& footer) noexcept {
    store_le(to, footer.index_offset);
    store_le(to + 8, footer.index_size);
    store_le(to + 16, footer.num_blocks);
    sst_magic.copy(to + 24, sst_magic.size());
}

/// Requires sst_footer_bytes bytes at `from`.
[[nodiscard]] inline sst_footer parse_footer(const char* from) noexcept {
    return {load_le<std::uint64_t>(from), load_le<std::uint64_t>(from + 8), load_le<std::uint64_t>(from + 16),
            bytes_view(from + 24, 8) == sst_magic};
}

/// short_input for a file too small to be an SSTable.
inline result<void> check_table_size(std::uint64_t size) {
    if (size < sst_smallest_file)
        return failure(errc::short_input, "an SSTable has at least 36 bytes, this file " + std::to_string(size));
    return {};
}

}  // namespace lsm::detail
