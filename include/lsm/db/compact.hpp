#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/cursor.hpp>
#include <lsm/core/result.hpp>
#include <lsm/core/vector_of.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/io/file.hpp>
#include <lsm/io/replacement.hpp>
#include <lsm/io/sink.hpp>
#include <lsm/merge/merging_iterator.hpp>
#include <lsm/sstable/reader.hpp>
#include <lsm/sstable/writer.hpp>

namespace lsm::detail {

/// Writes what `entries` has from where it stands on as an SSTable. Memory for one block, the index and a buffer.
template <class Alloc, forward_cursor C>
result<void> write_table(C& entries, io::sink& out, sst_options options, const Alloc& alloc) {
    io::buffered_sink<Alloc> buffer(out, alloc);
    table_builder<Alloc> builder(buffer, options, alloc);
    for (; entries.valid(); entries.next())
        if (auto added = builder.add(entries.key(), entries.entry()); !added) return added;
    if (auto status = entries.status(); !status) return status;
    if (auto finished = builder.finish(); !finished) return finished;
    return buffer.flush();
}

/// The same as the database's table `id`: durable, under its own name, when this returns; after an error no file is
/// left under a temporary name.
template <class Alloc, forward_cursor C>
result<void> write_table_file(C& entries, io::file_system& fs, std::string_view directory, std::uint64_t id,
                              sst_options options, const Alloc& alloc) {
    const std::string path = joined(directory, table_name(id));
    auto file = io::replacement::create(fs, path + std::string(temporary_suffix), path);
    if (!file) return std::move(file).error();
    io::file_sink out(file->file());
    if (auto written = write_table(entries, out, options, alloc); !written) return written;
    return file->commit();
}

}  // namespace lsm::detail

namespace lsm {

struct compact_options {
    /// Leave out deleted keys: right only if no older table can hold them.
    bool drop_tombstones = false;
    /// How the new table is written.
    sst_options table = {};
};

/// Merges tables, the newest first, into one new SSTable; of no tables at all, the one without entries. Memory for a
/// block of each table, the indexes and a buffer. After an error `out` holds a part of a table: write to an
/// io::replacement.
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
