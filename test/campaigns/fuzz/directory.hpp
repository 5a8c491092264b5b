#pragma once

#include <map>
#include <string>

#include <lsm/core/bytes.hpp>

/// A database directory, encoded in bytes:
///
///     mode u8 || any number of files: (name u8 || size u16 || contents[size])
///
/// `mode` selects the options that the database is opened with. `name` is an index into file_names, modulo its size.
/// The last file may be truncated; it holds the bytes that remain.
namespace lsm::test::fuzz {

inline constexpr const char* file_names[] = {
    "MANIFEST",
    "wal.log",
    "sst-000001.sst",
    "sst-000002.sst",
    "sst-000003.sst",
    "sst-000010.sst",
    "wal-000001.log",
    "wal-000002.log",
    "sst-9223372036854775807.sst",
    "wal-9223372036854775807.log",
    "cut-9223372036854775807.log",
    "sst-9223372036854775806.sst.tmp",
    "MANIFEST.tmp",
    "wal.log.tmp",
    "sst-000004.sst.tmp",
    "cut-000001.log",
    "LOCK",
    "MANIFEST.bak",
    "damaged-000001.sst",
    "sst-0000001.sst",
    "somebody else's",
};

using file_map = std::map<std::string, bytes>;

struct hostile_directory {
    unsigned mode = 0;
    file_map files;
};

hostile_directory directory_of(bytes_view in);
bytes encoded(const hostile_directory& directory);

}  // namespace lsm::test::fuzz
