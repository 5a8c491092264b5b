#pragma once

#include <utility>
#include <vector>

#include <lsm/core/result.hpp>
#include <lsm/core/vector_of.hpp>
#include <lsm/db/disk/table_files.hpp>
#include <lsm/io/sink.hpp>
#include <lsm/merge/merging_iterator.hpp>
#include <lsm/sstable/reader.hpp>
#include <lsm/sstable/writer.hpp>

namespace lsm {

struct compact_options {
    /// Leaves out deleted keys: correct only if no older table can hold them.
    bool drop_tombstones = false;
    /// How the new table is written.
    sst_options table = {};
};

/// Merges tables, the newest first, into one new SSTable. Without tables the result is the SSTable without entries.
/// Takes memory for a block of each table, the indexes and a buffer. After an error `out` holds part of a table, so
/// write to an io::replacement.
template <class Policies, class ReaderAlloc>
result<void> compact(const std::vector<basic_sst_reader<Policies>, ReaderAlloc>& newest_first, io::sink& out,
                     compact_options options = {},
                     const typename Policies::allocator_type& alloc = typename Policies::allocator_type()) {
    using cursor = decltype(newest_first.front().byte_cursor());
    detail::vector_of<cursor, typename Policies::allocator_type> sources(alloc);
    sources.reserve(newest_first.size());
    for (const auto& reader : newest_first) sources.push_back(reader.byte_cursor());
    merging_iterator<cursor, typename Policies::allocator_type> merged(
        std::move(sources), {.drop_tombstones = options.drop_tombstones}, alloc);
    return detail::write_table(merged, out, options.table, alloc);
}

}  // namespace lsm
