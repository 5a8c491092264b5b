#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include <lsm/core/cursor.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/disk/db_directory.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/db/options.hpp>
#include <lsm/io/replacement.hpp>
#include <lsm/io/sink.hpp>
#include <lsm/sstable/writer.hpp>

namespace lsm::detail {

/// How a database writes its tables.
[[nodiscard]] inline sst_options table_format(const options& opts) noexcept {
    return {.block_size = opts.block_bytes,
            .extended = opts.extended_tables,
            .filter_bits_per_key = opts.filter_bits_per_key};
}

/// Writes the entries from where the cursor stands to its end as an SSTable. Takes memory for one block, the index and
/// a buffer.
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

/// Does the same for the file of table `id`, which is durable under its own name when this returns. After an error no
/// file is left under a temporary name.
template <class Alloc, forward_cursor C>
result<void> write_table_file(C& entries, const db_directory& directory, std::uint64_t id, sst_options options,
                              const Alloc& alloc) {
    const std::string path = directory.path_of(table_name(id));
    auto file = io::replacement::create(directory.fs(), path + std::string(temporary_suffix), path);
    if (!file) return std::move(file).error();
    io::file_sink out(file->file());
    if (auto written = write_table(entries, out, options, alloc); !written) return written;
    return file->commit();
}

}  // namespace lsm::detail
