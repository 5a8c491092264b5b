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
    /// Make the directory, its parents and an empty database where there is none; else errc::not_found.
    bool create_if_missing = true;
    /// Refuse a database that is there already: errc::exists.
    bool error_if_exists = false;
    /// Open to read, beside a writer in another process if there is one: takes no lock, changes nothing on the disk,
    /// and sees the state of the moment until basic_db::refresh(). create_if_missing does not apply.
    bool read_only = false;

    /// The memory a memtable may take before it freezes to become a table, in bytes.
    std::size_t write_buffer_bytes = std::size_t{16} << 20;
    /// Memtables at one time, those that wait to be tables included, at least 2. Writes are slowed down, and at last
    /// held up, before there are more.
    unsigned max_write_buffers = 4;
    /// The memory for blocks of tables that were read, in bytes; 0 for none.
    std::size_t block_cache_bytes = std::size_t{8} << 20;
    /// Table files that are kept open at the same time; the others are opened for each read, which takes longer.
    unsigned max_open_files = 512;
    /// Read tables through memory maps, where the system has room for them, without a system call or a copy. A disk
    /// that cannot deliver a page then ends the process with SIGBUS, where reads without a map return errc::io. A
    /// cached block was verified once: bytes that change in the file later are not noticed.
    bool map_tables = false;
    /// Write to the log through a memory map, without a system call, what is not to be synced, where the system can and
    /// log_preallocation_bytes is not 0. A disk that fails may then end the process with SIGBUS, where a write returns
    /// errc::io; what was acknowledged is in the log all the same.
    bool map_log = false;
    /// The memory for all of it: memtables, block cache, indexes and filters of tables, and what snapshots and cursors
    /// keep of older states; in bytes, 0 for no limit. Under pressure the cache shrinks, then the write buffers;
    /// snapshots and cursors are refused (errc::over_budget) when those that live take what the rest needs.
    std::size_t memory_budget_bytes = 0;

    /// The target size of a table's data blocks, in bytes.
    std::uint32_t block_bytes = 4096;
    /// The size of a table's filter: 10 bits a key let one in a hundred absent keys through; 0 for no filter.
    unsigned filter_bits_per_key = 10;
    /// Write tables with the extension area, checksums and all; without it, the canonical files that every
    /// implementation writes.
    bool extended_tables = true;

    /// When tables are merged, and which.
    compaction_options compaction = {};

    /// Whether a write is on the disk when it returns, for writes that do not say: see write_options.
    bool sync = true;
    /// What to make of a damaged log. By default strict_tail if `sync`, else point_in_time: a power cut may leave holes
    /// between records that were not synced.
    std::optional<wal::recovery> wal_recovery = {};
    /// How far writes that are synced or mapped reserve disk space for the log ahead of them, in bytes; 0 for not at
    /// all. The file of a database that was not closed then ends in zeros.
    std::uint64_t log_preallocation_bytes = std::uint64_t{1} << 20;

    /// Where flushes and compactions run; null for threads of the database's own, background_threads of them, which
    /// start when there is something to do. Must outlive the database. With an io::inline_executor they run inside the
    /// calls that make them necessary, and a program that uses the database from one thread has no other.
    io::executor* executor = nullptr;
    /// From 1 to 16, as the nearest of which anything else counts. One is for flushes as long as there are two.
    unsigned background_threads = 2;
    /// Told of flushes, compactions, stalls and failures. Must outlive the database.
    event_listener* listener = nullptr;
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
    /// Log records replayed, each of the batches that were written together.
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
