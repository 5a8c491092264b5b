#pragma once

#include <optional>

#include <lsm/core/cache_item.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/sstable/block.hpp>

namespace lsm::detail {

/// The answer to a point lookup: the newest entry of a key, a tombstone included, or nothing. Its bytes are valid as
/// long as this object, the lookup_buffer it was read into, and the version it was found in.
template <class Alloc>
struct found_entry {
    std::optional<entry_view> entry = {};
    /// The block that the bytes lie in, if that can be held; null if they lie in a memtable, a map or the buffer.
    block_contents<Alloc>* block = nullptr;
    /// Holds `block` if no cache does.
    item_pointer<block_contents<Alloc>> loaded = {};
};

}  // namespace lsm::detail
