#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/crc32.hpp>

#include "support/entry_list.hpp"

/// The formats assembled by hand from the format page, without the library's own writers.
namespace lsm::test {

inline bytes little_endian(std::uint64_t value, int width) {
    bytes out;
    for (int i = 0; i < width; ++i) out.push_back(static_cast<char>(value >> 8 * i & 0xff));
    return out;
}
inline bytes u32(std::uint64_t value) { return little_endian(value, 4); }
inline bytes u64(std::uint64_t value) { return little_endian(value, 8); }

/// The bytes of lower-case hex digits. Ignores spaces.
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

/// An entry record with any header, correct or not.
inline bytes raw_record(std::uint64_t klen, std::uint64_t vlen, int type, bytes_view payload) {
    return u32(klen) + u32(vlen) + little_endian(static_cast<std::uint64_t>(type), 1) + bytes(payload);
}
inline bytes raw_record(const entry_list::value_type& entry) {
    const bytes value = entry.second.value_or("");
    return raw_record(entry.first.size(), value.size(), entry.second ? 0 : 1, entry.first + value);
}

inline bytes raw_records(const entry_list& entries) {
    bytes out;
    for (const auto& entry : entries) out += raw_record(entry);
    return out;
}
inline bytes raw_dump(const entry_list& entries) { return "MMT1" + u32(entries.size()) + raw_records(entries); }
inline bytes raw_block(const entry_list& entries) { return u32(entries.size()) + raw_records(entries); }

/// An encoded write batch of these operations.
inline bytes raw_batch(const entry_list& operations) {
    bytes out = u32(operations.size());
    for (const auto& [key, value] : operations) {
        out += value ? '\0' : '\1';
        out += u32(key.size()) + key;
        if (value) out += u32(value->size()) + *value;
    }
    return out;
}

/// A log record with any payload.
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

/// An SSTable: `body`, the index, and a footer that fits both.
inline bytes raw_table(const bytes& body, const std::vector<raw_index_entry>& index) {
    const bytes encoded = raw_index(index);
    return body + encoded + raw_footer(body.size(), encoded.size(), index.size());
}

/// An SSTable of these blocks, without gaps between them.
inline bytes raw_table(const std::vector<entry_list>& blocks) {
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
