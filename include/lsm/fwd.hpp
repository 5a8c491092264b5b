#pragma once

#include <cstddef>
#include <memory>

#include <lsm/core/bytes.hpp>

/// Forward declarations of the public templates, with all their default template arguments, and the names of the
/// instantiations that most programs use.
namespace lsm {

template <class Key = bytes, class Value = bytes, class Alloc = std::allocator<std::byte>>
struct policies;

template <class Policies, class ByteCursor, bool ShowsTombstones = false>
class typed_cursor;

template <class Policies = policies<>>
class basic_memtable;
using memtable = basic_memtable<>;

template <class Alloc = std::allocator<std::byte>>
class basic_dump_reader;
using dump_reader = basic_dump_reader<>;

template <class Policies = policies<>>
class basic_sst_writer;
using sst_writer = basic_sst_writer<>;

template <class Policies = policies<>>
class basic_sst_reader;
using sst_reader = basic_sst_reader<>;

template <class Alloc = std::allocator<std::byte>>
class basic_block;
using block = basic_block<>;

namespace wal {
template <class Alloc = std::allocator<std::byte>>
class basic_writer;
using writer = basic_writer<>;

template <class Alloc = std::allocator<std::byte>>
class basic_reader;
using reader = basic_reader<>;
}  // namespace wal

struct capacity_in_entries;
struct capacity_in_bytes;
template <class Block = block, class Capacity = capacity_in_entries, class Alloc = std::allocator<std::byte>>
class basic_block_cache;
using block_cache = basic_block_cache<>;

template <class Cursor, class Alloc = std::allocator<std::byte>>
class merging_iterator;

template <class Policies = policies<>>
class basic_write_batch;
using write_batch = basic_write_batch<>;

template <class Policies = policies<>>
class basic_snapshot;
using snapshot = basic_snapshot<>;

template <class Policies = policies<>>
class basic_pinned_value;
using pinned_value = basic_pinned_value<>;

template <class Policies = policies<>>
class basic_db;
using db = basic_db<>;

}  // namespace lsm
