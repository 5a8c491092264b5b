#pragma once

#include <cstdint>
#include <string>

#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>
#include <lsm/core/result.hpp>

/// The SSTable file format: data blocks of sorted entries, an index that locates the blocks, and a footer that locates
/// the index.
///
///     +--------------+--------------+-----+------------------+-------+--------+
///     | data block 0 | data block 1 | ... | [extension area] | index | footer |
///     +--------------+--------------+-----+------------------+-------+--------+
///
///     data block      0       4
///                     +-------+----------+----------+-----+
///                     | count | record 0 | record 1 | ... |        count entry records (core/entry.hpp)
///                     |  u32  |          |          |     |
///                     +-------+----------+----------+-----+
///
///     index           0       4
///                     +-------+----------+----------+-----+
///                     |   n   | entry 0  | entry 1  | ... |        n index entries, one for each block
///                     |  u32  |          |          |     |
///                     +-------+----------+----------+-----+
///
///     index entry     0       4          12         20       20+klen
///                     +-------+----------+----------+--------+
///                     | klen  |  offset  |   size   |  key   |     where the block lies, and its first key
///                     |  u32  |   u64    |   u64    | [klen] |
///                     +-------+----------+----------+--------+
///
///     footer          0              8            16           24               32
///                     +--------------+------------+------------+----------------+
///                     | index_offset | index_size | num_blocks | "SST1" 0 0 0 0 |
///                     |     u64      |    u64     |    u64     |                |
///                     +--------------+------------+------------+----------------+
///
/// Integers are little-endian. Keys ascend strictly over the whole file. The writer closes a block before the entry
/// that would take it beyond the target size. An SSTable without entries has no block and is 36 bytes long. The
/// extension area is optional (sstable/extension.hpp).
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
    /// The target size of a data block, in bytes. A block exceeds it only if its single entry does.
    std::uint32_t block_size = 4096;
    /// Writes the extension area (sstable/extension.hpp): checksums, properties, and a filter. The filter takes
    /// 8 bytes of memory for each entry until the table is finished. Without the area the file is the canonical one.
    bool extended = false;
    /// The size of the filter, in bits for each key. With 10, about one lookup of an absent key in a hundred passes the
    /// filter. 0 writes no filter.
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

/// Errors: short_input, for a file of `size` bytes that is too small to be an SSTable.
inline result<void> check_table_size(std::uint64_t size) {
    if (size < sst_smallest_file)
        return failure(errc::short_input, "an SSTable has at least 36 bytes, this file has " + std::to_string(size));
    return {};
}

}  // namespace lsm::detail
