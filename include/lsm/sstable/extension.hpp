#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>
#include <lsm/core/crc32.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/hash.hpp>
#include <lsm/core/result.hpp>
#include <lsm/core/vector_of.hpp>
#include <lsm/sstable/filter.hpp>
#include <lsm/sstable/format.hpp>
#include <lsm/sstable/table_file.hpp>

/// The extension area of an SSTable lies between the end of the last block and the index, where a reader that does not
/// know about it never looks:
///
///     +-----------+-----------+-----+---------+
///     | section 0 | section 1 | ... | trailer |                     the trailer ends at index_offset
///     +-----------+-----------+-----+---------+
///
///     section         0      4          12        12+size
///                     +------+----------+---------+
///                     | kind |   size   | payload |                 kinds and payloads: see below
///                     | u32  |   u64    | [size]  |
///                     +------+----------+---------+
///
///     trailer         0           8       12        16            24
///                     +-----------+-------+---------+-------------+
///                     | area size |  crc  | version | "LSMEXT1" 0 |
///                     |    u64    |  u32  |   u32   |   8 bytes   |
///                     +-----------+-------+---------+-------------+
///
///     1 checksums     crc of index and footer u32 | crc of block 0 u32 | crc of block 1 u32 | ...
///
///     2 properties    entries u64 | tombstones u64 | key bytes u64 | value bytes u64 |
///                     klen u32 | smallest key [klen] | klen u32 | largest key [klen]
///
///     3 filter        probes u32 | lines u32 | lines times 64 bytes (sstable/filter.hpp)
///
/// The area size includes the trailer. The trailer's crc covers the whole area except its own four bytes. Sections of
/// an unknown kind and areas of an unknown version are ignored.
namespace lsm {

/// The properties in a table's extension area. The keys are valid while the table is open.
struct sst_properties {
    std::uint64_t entries = 0;
    std::uint64_t tombstones = 0;
    std::uint64_t key_bytes = 0;
    std::uint64_t value_bytes = 0;
    bytes_view smallest;
    bytes_view largest;
};

}  // namespace lsm

namespace lsm::detail {

inline constexpr bytes_view extension_magic{"LSMEXT1\0", 8};
inline constexpr std::uint32_t extension_version = 1;
inline constexpr std::size_t extension_trailer_bytes = table_file::seal_bytes;
inline constexpr std::size_t section_header_bytes = 12;

enum class section : std::uint32_t { checksums = 1, properties = 2, filter = 3 };

/// Returns the CRC of the index and the footer after it.
[[nodiscard]] inline std::uint32_t index_crc(bytes_view index, const sst_footer& footer) noexcept {
    char raw[sst_footer_bytes];
    write_footer(raw, footer);
    return crc32({raw, sizeof raw}, crc32(index));
}

/// Returns the CRC of an area without its crc field. Requires that the area has a trailer.
[[nodiscard]] inline std::uint32_t area_crc(bytes_view area) noexcept {
    return crc32(area.substr(area.size() - 12), crc32(area.substr(0, area.size() - 16)));
}

/// Collects the contents of a table's area while the table is written, then encodes them. Holds 8 bytes for each entry
/// and 4 bytes for each block.
template <class Alloc>
class extension_builder {
public:
    extension_builder(unsigned filter_bits_per_key, const Alloc& alloc)
        : filter_bits_per_key_(filter_bits_per_key),
          block_crcs_(alloc),
          hashes_(alloc),
          smallest_(alloc),
          area_(alloc) {}

    /// Requires that keys come in ascending order. If Alloc throws, the call has no effect.
    void add(bytes_view key, entry_view entry) {
        if (counts_.entries == 0) smallest_.assign(key);
        if (filter_bits_per_key_ != 0) hashes_.push_back(xxh64(key));
        ++counts_.entries;
        counts_.tombstones += entry.tombstone();
        counts_.key_bytes += key.size();
        counts_.value_bytes += entry.value.size();
    }
    void add_block(bytes_view block) { block_crcs_.push_back(crc32(block)); }

    /// Returns the area of a table whose last block ends at `footer.index_offset`, and advances `footer.index_offset`
    /// to the end of the area. Requires at least one entry; `largest` is the last key. The view is valid until the next
    /// call.
    bytes_view build(bytes_view index, sst_footer& footer, bytes_view largest) {
        area_.clear();
        begin_section(section::checksums);
        append_le(area_, std::uint32_t{0});  // the crc of index and footer; filled in below
        for (const std::uint32_t crc : block_crcs_) append_le(area_, crc);
        end_section();

        begin_section(section::properties);
        append_le(area_, counts_.entries);
        append_le(area_, counts_.tombstones);
        append_le(area_, counts_.key_bytes);
        append_le(area_, counts_.value_bytes);
        for (const bytes_view key : {bytes_view(smallest_), largest}) {
            append_le(area_, static_cast<std::uint32_t>(key.size()));
            area_.append(key);
        }
        end_section();

        if (filter_bits_per_key_ != 0) {
            begin_section(section::filter);
            append_filter(area_, hashes_, filter_bits_per_key_);
            end_section();
        }

        // The footer holds the index's offset, so its crc can be computed only now that the size of the area is known.
        const std::uint64_t size = area_.size() + extension_trailer_bytes;
        footer.index_offset += size;
        store_le(area_.data() + section_header_bytes, index_crc(index, footer));
        append_le(area_, size);
        append_le(area_, std::uint32_t{0});
        append_le(area_, extension_version);
        area_.append(extension_magic);
        store_le(area_.data() + area_.size() - 16, area_crc(area_));
        return area_;
    }

private:
    void begin_section(section kind) {
        append_le(area_, static_cast<std::uint32_t>(kind));
        append_le(area_, std::uint64_t{0});  // the payload's size; end_section() fills it in
        payload_start_ = area_.size();
    }
    void end_section() { store_le(area_.data() + payload_start_ - 8, std::uint64_t{area_.size() - payload_start_}); }

    unsigned filter_bits_per_key_;
    sst_properties counts_;  // the keys in it are unused
    vector_of<std::uint32_t, Alloc> block_crcs_;
    vector_of<std::uint64_t, Alloc> hashes_;
    basic_bytes<Alloc> smallest_;
    basic_bytes<Alloc> area_;
    std::size_t payload_start_ = 0;  // of the section being written
};

/// The extension area of an open table. Empty for a table without one: then there are no properties, every key may be
/// in the table, and every block passes as good.
template <class Alloc>
class table_extension {
public:
    /// Reads the area between `begin`, where the last block ends, and the index. Returns an empty extension if there is
    /// no area or its version is unknown. Bytes that do not end with the magic are foreign and are ignored, unless
    /// their size and crc show that they are an area in which only the magic is damaged. Errors: bad_checksum, if the
    /// area, the index or the footer is not what was written; bad_block, if the area is malformed; io.
    static result<table_extension> read(const table_tail<Alloc>& file, std::uint64_t begin, const sst_footer& footer,
                                        bytes_view index, const Alloc& alloc) {
        table_extension out(alloc);
        const std::uint64_t size = footer.index_offset - begin;
        if (size < extension_trailer_bytes || footer.num_blocks == 0) return out;
        char trailer[extension_trailer_bytes];
        if (auto got = file.read(footer.index_offset - sizeof trailer, trailer); !got) return std::move(got).error();
        const bool ours = bytes_view(trailer + 16, 8) == extension_magic;
        const bool sized = load_le<std::uint64_t>(trailer) == size;
        if (!ours && !sized) return out;  // foreign bytes: don't read all of them

        const auto damaged = [&](errc code, bytes_view why) { return failure_at(begin, code, why).in(file.path()); };
        if (!sized) return damaged(errc::bad_checksum, "the extension area does not begin where the last block ends");
        out.area_.resize(static_cast<std::size_t>(size));
        if (auto got = file.read(begin, {out.area_.data(), out.area_.size()}); !got) return std::move(got).error();
        // The crc covers the magic. With the magic restored, it distinguishes an area with a damaged magic from foreign
        // bytes.
        out.area_.replace(out.area_.size() - extension_magic.size(), extension_magic.size(), extension_magic);
        const bool intact = area_crc(out.area_) == load_le<std::uint32_t>(trailer + 8);
        if (!ours && !intact) return table_extension(alloc);
        if (!ours) return damaged(errc::bad_checksum, "the magic of the extension area is damaged");
        if (!intact) return damaged(errc::bad_checksum, "extension area: checksum mismatch");
        if (load_le<std::uint32_t>(trailer + 12) != extension_version) return table_extension(alloc);
        if (!out.find_sections(footer.num_blocks)) return damaged(errc::bad_block, "the extension area is malformed");
        if (!out.block_crcs_.empty() && out.index_crc_ != index_crc(index, footer))
            return failure_at(footer.index_offset, errc::bad_checksum, "index and footer: checksum mismatch")
                .in(file.path());
        return out;
    }

    [[nodiscard]] std::size_t memory_bytes() const noexcept { return area_.capacity(); }
    /// Returns false only if the table does not have the key whose xxh64() is `hash`.
    [[nodiscard]] bool may_contain(std::uint64_t hash) const noexcept {
        return filter_.empty() || filter_may_contain(filter_.in(area_), hash);
    }
    [[nodiscard]] bool has_checksums() const noexcept { return !block_crcs_.empty(); }
    /// Returns the trailer, whose crc identifies the contents of all blocks, the index and the footer, because it
    /// covers their checksums. Requires has_checksums().
    [[nodiscard]] bytes_view seal() const noexcept {
        return bytes_view(area_).substr(area_.size() - extension_trailer_bytes);
    }
    /// Returns whether block `i` matches its checksum. True without checksums.
    [[nodiscard]] bool block_is_good(std::size_t i, bytes_view block) const noexcept {
        return block_crcs_.empty() || load_le<std::uint32_t>(block_crcs_.in(area_).data() + 4 * i) == crc32(block);
    }
    [[nodiscard]] std::optional<sst_properties> properties() const noexcept {
        sst_properties out;
        if (properties_.empty() || !parse_properties(properties_.in(area_), out)) return std::nullopt;
        return out;
    }

private:
    // A part of area_: offsets, because moving a short string moves its bytes.
    struct area_part {
        std::size_t offset = 0;
        std::size_t size = 0;
        [[nodiscard]] bool empty() const noexcept { return size == 0; }
        [[nodiscard]] bytes_view in(bytes_view area) const noexcept { return area.substr(offset, size); }
    };

    explicit table_extension(const Alloc& alloc) : area_(alloc) {}

    // Notes where the sections of known kinds lie. Returns false if the sections do not fill the area exactly, or if
    // one of a known kind is malformed or occurs twice.
    [[nodiscard]] bool find_sections(std::uint64_t blocks) noexcept {
        field_reader in(bytes_view(area_).substr(0, area_.size() - extension_trailer_bytes));
        while (in.left() != 0) {
            std::uint32_t kind = 0;
            std::uint64_t size = 0;
            bytes_view payload;
            if (!in.read(kind) || !in.read(size) || size > in.left() ||
                !in.read(static_cast<std::size_t>(size), payload))
                return false;
            const area_part place{in.offset() - payload.size(), payload.size()};
            sst_properties ignored;
            // No default: sections of unknown kinds are skipped, so that later versions can add some.
            switch (static_cast<section>(kind)) {
                case section::checksums:
                    if (has_checksums() || size != 4 + 4 * blocks) return false;
                    index_crc_ = load_le<std::uint32_t>(payload.data());
                    block_crcs_ = {place.offset + 4, place.size - 4};
                    break;
                case section::properties:
                    if (!properties_.empty() || !parse_properties(payload, ignored)) return false;
                    properties_ = place;
                    break;
                case section::filter:
                    if (!filter_.empty() || !is_filter(payload)) return false;
                    filter_ = place;
                    break;
            }
        }
        return true;
    }

    [[nodiscard]] static bool parse_properties(bytes_view payload, sst_properties& out) noexcept {
        field_reader in(payload);
        std::uint32_t smallest = 0;
        std::uint32_t largest = 0;
        return in.read(out.entries) && in.read(out.tombstones) && in.read(out.key_bytes) && in.read(out.value_bytes) &&
               in.read(smallest) && in.read(smallest, out.smallest) && in.read(largest) &&
               in.read(largest, out.largest) && in.left() == 0;
    }

    basic_bytes<Alloc> area_;
    std::uint32_t index_crc_ = 0;
    area_part block_crcs_;
    area_part properties_;
    area_part filter_;
};

}  // namespace lsm::detail
