#pragma once

/// Includes all that most programs need. Not included: lsm/db/repair.hpp, lsm/io/memory_file_system.hpp and
/// lsm/io/simulated_file_system.hpp.

#include <lsm/cache/block_cache.hpp>
#include <lsm/core/crc32.hpp>
#include <lsm/core/hex.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/compact.hpp>
#include <lsm/db/db.hpp>
#include <lsm/fwd.hpp>
#include <lsm/io/executor.hpp>
#include <lsm/io/posix_file_system.hpp>
#include <lsm/io/replacement.hpp>
#include <lsm/io/sink.hpp>
#include <lsm/memtable/memtable.hpp>
#include <lsm/merge/merging_iterator.hpp>
#include <lsm/merge/serialize_stream.hpp>
#include <lsm/policy/arena.hpp>
#include <lsm/policy/policies.hpp>
#include <lsm/sstable/reader.hpp>
#include <lsm/sstable/writer.hpp>
#include <lsm/version.hpp>
#include <lsm/wal/reader.hpp>
#include <lsm/wal/writer.hpp>
