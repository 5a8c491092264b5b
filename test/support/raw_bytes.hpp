#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/crc32.hpp>

/// The formats written out by hand, from the format page and not from the library's own writers.
namespace lsm::test {

inline bytes little_endian(std::uint64_t value, int width) {
    bytes out;
    for (int i = 0; i < width; ++i) out.push_back(static_cast<char>(value >> 8 * i & 0xff));
    return out;
}
inline bytes u32(std::uint64_t value) { return little_endian(value, 4); }
inline bytes u64(std::uint64_t value) { return little_endian(value, 8); }

/// The bytes of hex digits; spaces are passed over.
inline bytes unhex(std::string_view digits) {
    bytes out;
    int high = -1;
    for (const char c : digits) {
        if (c == ' ') continue;
        const int digit = c <= '9' ? c - '0' : c - 'a' + 10;
        if (high < 0) {
            high = digit;
        } else {
            out.push_back(static_cast<char>(high << 4 | digit));
            high = -1;
        }
    }
    return out;
}

/// A key, and its value or nothing for a tombstone.
using raw_entry = std::pair<bytes, std::optional<bytes>>;
using raw_entries = std::vector<raw_entry>;

/// An entry record with any header.
inline bytes raw_record(std::uint64_t klen, std::uint64_t vlen, int type, bytes_view payload) {
    return u32(klen) + u32(vlen) + little_endian(static_cast<std::uint64_t>(type), 1) + bytes(payload);
}
inline bytes raw_record(const raw_entry& e) {
    const bytes value = e.second.value_or("");
    return raw_record(e.first.size(), value.size(), e.second ? 0 : 1, e.first + value);
}

inline bytes raw_records(const raw_entries& entries) {
    bytes out;
    for (const auto& e : entries) out += raw_record(e);
    return out;
}
inline bytes raw_dump(const raw_entries& entries) { return "MMT1" + u32(entries.size()) + raw_records(entries); }
inline bytes raw_block(const raw_entries& entries) { return u32(entries.size()) + raw_records(entries); }

/// A write batch of these operations.
inline bytes raw_batch(const raw_entries& operations) {
    bytes out = u32(operations.size());
    for (const auto& [key, value] : operations) {
        out += value ? '\0' : '\1';
        out += u32(key.size()) + key;
        if (value) out += u32(value->size()) + *value;
    }
    return out;
}

/// A log record around any payload.
inline bytes raw_log_record(bytes_view payload) { return u32(payload.size()) + u32(crc32(payload)) + bytes(payload); }

struct raw_index_entry {
    bytes first_key;
    std::uint64_t offset;
    std::uint64_t size;
};

inline bytes raw_index(const std::vector<raw_index_entry>& entries) {
    bytes out = u32(entries.size());
    for (const auto& e : entries) out += u32(e.first_key.size()) + u64(e.offset) + u64(e.size) + e.first_key;
    return out;
}
inline bytes raw_footer(std::uint64_t index_offset, std::uint64_t index_size, std::uint64_t num_blocks) {
    return u64(index_offset) + u64(index_size) + u64(num_blocks) + bytes("SST1\0\0\0\0", 8);
}

/// An SSTable with `body` in front of an index.
inline bytes raw_table(const bytes& body, const std::vector<raw_index_entry>& index) {
    const bytes encoded = raw_index(index);
    return body + encoded + raw_footer(body.size(), encoded.size(), index.size());
}

/// An SSTable of blocks that lie one behind the other.
inline bytes raw_table(const std::vector<raw_entries>& blocks) {
    bytes body;
    std::vector<raw_index_entry> index;
    for (const auto& entries : blocks) {
        const bytes block = raw_block(entries);
        index.push_back({entries.front().first, body.size(), block.size()});
        body += block;
    }
    return raw_table(body, index);
}

}  // namespace lsm::test
