#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>

#include <lsm/core/coding.hpp>
#include <lsm/core/cursor.hpp>
#include <lsm/core/result.hpp>
#include <lsm/io/sink.hpp>

namespace lsm {

/// Writes the merge stream of the entries from the cursor's position to its end. For each entry:
///
///     value         0        4        4+klen   5+klen   9+klen      9+klen+vlen
///                   +--------+--------+--------+--------+-----------+
///                   |  klen  |  key   | type 0 |  vlen  |   value   |
///                   |  u32   | [klen] |   u8   |  u32   |  [vlen]   |
///                   +--------+--------+--------+--------+-----------+
///
///     tombstone     0        4        4+klen   5+klen
///                   +--------+--------+--------+
///                   |  klen  |  key   | type 1 |
///                   |  u32   | [klen] |   u8   |
///                   +--------+--------+--------+
///
/// The stream has no header and no trailer. Errors: the first one of the sink or the cursor; after one of the cursor,
/// the entries before it have been written. Moves the cursor to its end. Holds one buffer, from `alloc`.
template <forward_cursor C, class Alloc = std::allocator<std::byte>>
result<void> serialize_stream(C& entries, io::sink& out, const Alloc& alloc = {}) {
    io::buffered_sink<Alloc> buffer(out, alloc);
    for (; entries.valid(); entries.next()) {
        const bytes_view key = entries.key();
        const entry_view entry = entries.entry();
        char key_length[4], after_key[5] = {static_cast<char>(entry.type)};
        detail::store_le(key_length, static_cast<std::uint32_t>(key.size()));
        detail::store_le(after_key + 1, static_cast<std::uint32_t>(entry.value.size()));
        for (const bytes_view piece :
             {bytes_view(key_length, 4), key, bytes_view(after_key, entry.tombstone() ? 1 : 5), entry.value})
            if (auto done = buffer.append(piece); !done) return done;
    }
    if (auto flushed = buffer.flush(); !flushed) return flushed;
    return entries.status();
}

}  // namespace lsm
