#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include <lsm/io/file_system.hpp>
#include <lsm/wal/reader.hpp>

namespace lsm {

struct options {
    /// Make the directory, its parents and an empty database where there is none; else errc::not_found.
    bool create_if_missing = true;
    /// Refuse a database that is there already: errc::exists.
    bool error_if_exists = false;

    /// The memory a memtable may take before it becomes a table, in bytes.
    std::size_t write_buffer_bytes = std::size_t{16} << 20;
    /// The memory for blocks of tables that were read, in bytes; 0 for none.
    std::size_t block_cache_bytes = std::size_t{8} << 20;
    /// The target size of a table's data blocks, in bytes.
    std::uint32_t block_bytes = 4096;
    /// The size of a table's filter: 10 bits a key let one in a hundred absent keys through; 0 for no filter.
    unsigned filter_bits_per_key = 10;
    /// Write tables with the extension area, checksums and all; without it, the canonical files that every
    /// implementation writes.
    bool extended_tables = true;

    /// Whether a write is on the disk when it returns, for writes that do not say: see write_options.
    bool sync = true;
    /// What to make of a damaged log. By default strict_tail if `sync`, else point_in_time: a power cut may leave holes
    /// between records that were not synced.
    std::optional<wal::recovery> wal_recovery = {};

    /// Where the files are; the system's by default. Must outlive the database and its cursors.
    io::file_system* file_system = nullptr;
};

struct write_options {
    /// Return only when the write survives a power cut; otherwise it survives the end of the process, and a power cut
    /// may take it and later ones. Without a value, options::sync. A database that mixes both should set
    /// options::wal_recovery: the default of a synced one refuses a log with holes between its records.
    std::optional<bool> sync = {};
};

/// What opening found in the logs.
struct recovery_report {
    /// Write batches replayed.
    std::uint64_t records = 0;
    /// Bytes that were left out: a torn end, or what options::wal_recovery allowed to be cut.
    std::uint64_t cut_bytes = 0;
};

/// A table of the database.
struct live_table {
    int level;
    std::uint64_t id;
    std::uint64_t file_bytes;

    friend bool operator==(const live_table&, const live_table&) = default;
};

}  // namespace lsm
