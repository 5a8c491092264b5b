#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include <lsm/db/compaction_policy.hpp>
#include <lsm/db/event_listener.hpp>
#include <lsm/io/executor.hpp>
#include <lsm/io/file_system.hpp>
#include <lsm/wal/recovery.hpp>

namespace lsm {

struct options {
    /// Creates the directory, its parents and an empty database where there is none; otherwise errc::not_found.
    bool create_if_missing = true;
    /// Refuses an existing database: errc::exists.
    bool error_if_exists = false;
    /// Opens for reading, if need be beside a writer in another process: takes no lock, changes nothing on the disk,
    /// and sees the state of the moment until basic_db::refresh(). create_if_missing does not apply.
    bool read_only = false;

    /// The memory that a memtable may take before it freezes and is flushed to a table, in bytes.
    std::size_t write_buffer_bytes = std::size_t{16} << 20;
    /// The number of memtables at one time, those that wait to be flushed included, at least 2. Writes are slowed down
    /// as the number comes near this limit, and held up when it is reached.
    unsigned max_write_buffers = 4;
    /// The memory for blocks that were read from tables, in bytes; 0 for none.
    std::size_t block_cache_bytes = std::size_t{8} << 20;
    /// Table files that are kept open at the same time. The others are opened for each read, which takes longer.
    unsigned max_open_files = 512;
    /// Reads tables through memory maps, without a system call or a copy, where the system has room for them. A disk
    /// that cannot deliver a page then ends the process with SIGBUS, where reads without a map return errc::io. A
    /// cached block was verified once: bytes that change in the file later are not noticed.
    bool map_tables = false;
    /// Writes to the log through a memory map, without a system call. Applies to writes that are not synced, where the
    /// system supports it and log_preallocation_bytes is not 0. A disk that fails may then end the process with SIGBUS,
    /// where a write otherwise returns errc::io; what was acknowledged is in the log all the same.
    bool map_log = false;
    /// The memory for everything: memtables, block cache, indexes and filters of tables, and what snapshots and cursors
    /// keep of older states; in bytes, 0 for no limit. Under pressure the cache shrinks first, then the write buffers;
    /// snapshots and cursors are refused (errc::over_budget) when the existing ones take what the rest needs.
    std::size_t memory_budget_bytes = 0;

    /// The target size of a table's data blocks, in bytes.
    std::uint32_t block_bytes = 4096;
    /// The size of a table's filter. With 10 bits a key, one absent key in a hundred passes it; 0 for no filter.
    unsigned filter_bits_per_key = 10;
    /// Writes tables with the extension area (checksums, filter, properties); without it, the canonical files that
    /// every implementation writes.
    bool extended_tables = true;

    /// When to merge tables, and which.
    compaction_options compaction = {};

    /// Whether a write is on the disk when it returns, for writes that do not say so themselves: see write_options.
    bool sync = true;
    /// How to treat a damaged log. By default strict_tail if `sync`, otherwise point_in_time: a power cut may leave
    /// holes between records that were not synced.
    std::optional<wal::recovery> wal_recovery = {};
    /// How far ahead of the log disk space is reserved, in bytes, by writes that are synced or mapped; 0 for not at
    /// all. The log of a database that was not closed then ends in zeros.
    std::uint64_t log_preallocation_bytes = std::uint64_t{1} << 20;

    /// Where flushes and compactions run. Null for `background_threads` threads of the database's own, which start when
    /// there is work. Must outlive the database. With an io::inline_executor they run inside the calls that make them
    /// necessary, and a program that uses the database from one thread has no other thread.
    io::executor* executor = nullptr;
    /// Clamped to 1..16. With two or more, one thread is reserved for flushes.
    unsigned background_threads = 2;
    /// Receives flushes, compactions, stalls and failures. Must outlive the database.
    event_listener* listener = nullptr;
    /// Where the files are; the system's by default. Must outlive the database and its cursors.
    io::file_system* file_system = nullptr;
};

struct write_options {
    /// Whether the write survives a power cut when it returns. If false, it survives the end of the process, but a
    /// power cut may lose it and later writes. Without a value, options::sync applies. A database that mixes both
    /// should set options::wal_recovery: the default of a synced one refuses a log with holes between its records.
    std::optional<bool> sync = {};
};

/// What opening found in the logs.
struct recovery_report {
    /// Log records replayed; each holds the batches that were written together.
    std::uint64_t records = 0;
    /// Bytes that were left out: a torn end, or what options::wal_recovery allows to be cut.
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
