#pragma once

#include <string_view>

#include <lsm/core/bytes.hpp>

/// The entry points of the fuzzers: each takes bytes from outside, throws a finding (support/finding.hpp) if lsm does
/// with them what it promises not to do, and says whether they were accepted as what they claim to be.
namespace lsm::test::fuzz {

bool log(bytes_view in);         ///< a log, in all recovery modes
bool manifest(bytes_view in);    ///< a MANIFEST
bool table(bytes_view in);       ///< an SSTable: opened, scanned both ways, every key looked up
bool dump(bytes_view in);        ///< a memtable's dump
bool batch(bytes_view in);       ///< a write batch
bool operations(bytes_view in);  ///< a history of operations (support/history.hpp) on a database and on a std::map
bool directory(bytes_view in);   ///< a database directory (directory.hpp): opened, read, verified, repaired
bool tools(bytes_view in);       ///< a tool's command line, a newline, and its standard input or input file

/// Makes lengths, checksums and seals right, so that what comes behind them is reached.
bytes mended_log(bytes in);
bytes mended_table(bytes in);
bytes mended_directory(bytes in);
bytes mended_tools(bytes in);

struct entry {
    std::string_view name;
    bool (*body)(bytes_view);
    bytes (*mend)(bytes) = nullptr;
};

inline constexpr entry entries[] = {
    {"log", log, mended_log},
    {"manifest", manifest},
    {"table", table, mended_table},
    {"dump", dump},
    {"batch", batch},
    {"operations", operations},
    {"directory", directory, mended_directory},
    {"tools", tools, mended_tools},
};

}  // namespace lsm::test::fuzz
