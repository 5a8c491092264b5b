#pragma once

#include <string_view>

#include <lsm/core/bytes.hpp>

/// The entry points of the fuzzers. Each takes untrusted bytes and returns whether lsm accepted them as what they claim
/// to be. Throws failed_check (support/results.hpp) if lsm breaks one of its promises while reading them.
namespace lsm::test::fuzz {

bool log(bytes_view in);         ///< a log, in all recovery modes
bool manifest(bytes_view in);    ///< a MANIFEST
bool table(bytes_view in);       ///< an SSTable: opened, scanned both ways, every key looked up
bool dump(bytes_view in);        ///< a memtable's dump
bool batch(bytes_view in);       ///< a write batch
bool operations(bytes_view in);  ///< a history of operations (support/history.hpp) on a database and on a std::map
bool directory(bytes_view in);   ///< a database directory (directory.hpp): opened, read, verified, repaired
bool tools(bytes_view in);  ///< a tool's tab-separated command line, a newline, and its standard input or input file

/// Corrects the lengths, checksums and seals in `in`, so that fuzzing reaches the code after those checks. Input that
/// is too broken to correct comes back unchanged.
bytes resealed_log(bytes in);
bytes resealed_table(bytes in);
bytes resealed_directory(bytes in);
bytes resealed_tools(bytes in);

struct entry {
    std::string_view name;
    bool (*body)(bytes_view);
    bytes (*reseal)(bytes) = nullptr;
};

inline constexpr entry entries[] = {
    {"log", log, resealed_log},
    {"manifest", manifest},
    {"table", table, resealed_table},
    {"dump", dump},
    {"batch", batch},
    {"operations", operations},
    {"directory", directory, resealed_directory},
    {"tools", tools, resealed_tools},
};

}  // namespace lsm::test::fuzz
