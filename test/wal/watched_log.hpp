#pragma once

#include <string>
#include <vector>

#include <lsm/io/memory_file_system.hpp>
#include <lsm/wal/writer.hpp>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/raw_bytes.hpp"
#include "support/recording_file_system.hpp"
#include "wal/logs.hpp"

namespace lsm::test {

using calls = std::vector<std::string>;

inline const bytes one = raw_batch({{"a", "1"}});
inline const bytes two = raw_batch({{"b", "2"}, {"a", std::nullopt}});

/// A memory file system with a directory for a log, and a record of what is done to it through `fs`. Calls on `inner`
/// are not recorded.
struct watched {
    watched() { must(inner.make_directory("db")); }
    explicit watched(const bytes& log) : watched() { write_file(inner, path, log); }

    [[nodiscard]] bytes log() { return read_file(inner, path); }
    [[nodiscard]] bool exists(const std::string& name) {
        return io::file::open(inner, name, io::open_mode::read).has_value();
    }

    const std::string path = "db/wal.log";
    io::memory_file_system inner;
    recording_file_system fs{inner};
};

}  // namespace lsm::test
