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

/// Writes the merge stream of what a cursor has from where it stands to its end:
///
///     for each entry: klen u32 | key | type u8 | for a value only: vlen u32 | value
///
/// Returns the first error of the sink or the cursor; up to there the stream has been written. Holds one buffer, from
/// `alloc`.
template <forward_cursor C, class Alloc = std::allocator<std::byte>>
result<void> serialize_stream(C& entries, io::sink& out, const Alloc& alloc = {}) {
    io::buffered_sink<Alloc> buffer(out, alloc);
    for (; entries.valid(); entries.next()) {
        const bytes_view key = entries.key();
        const entry_view entry = entries.entry();
        char key_length[4], behind_key[5] = {static_cast<char>(entry.type)};
        detail::store_le(key_length, static_cast<std::uint32_t>(key.size()));
        detail::store_le(behind_key + 1, static_cast<std::uint32_t>(entry.value.size()));
        for (const bytes_view piece :
             {bytes_view(key_length, 4), key, bytes_view(behind_key, entry.tombstone() ? 1 : 5), entry.value})
            if (auto done = buffer.append(piece); !done) return done;
    }
    if (auto flushed = buffer.flush(); !flushed) return flushed;
    return entries.status();
}

}  // namespace lsm
