#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

#include <lsm/io/file.hpp>
#include <lsm/io/memory_file_system.hpp>

#include "support/allocators.hpp"
#include "support/finding.hpp"
#include "support/raw_bytes.hpp"

/// What the bodies have in common: files in memory, and cursors that are read to their end.
namespace lsm::test::fuzz {

using logged = logged_allocator<std::byte>;

inline void write_file(io::file_system& fs, const std::string& path, bytes_view contents) {
    static_cast<void>(fs.remove(path));
    sound(sound(io::file::open(fs, path, io::open_mode::create_exclusive)).append(contents));
}
inline io::file open_file(io::file_system& fs, const std::string& path) {
    return sound(io::file::open(fs, path, io::open_mode::read));
}

/// Everything in front of a cursor over bytes, which must come in strict order.
template <class Cursor>
raw_entries ordered_rest(Cursor& at, bool reverse = false) {
    raw_entries out;
    for (; at.valid(); at.next()) {
        const auto entry = at.entry();
        if (!out.empty())
            require(reverse ? at.key() < out.back().first : at.key() > out.back().first, "keys are out of order");
        out.emplace_back(at.key(), entry.tombstone() ? std::nullopt : std::optional<bytes>(entry.value));
    }
    return out;
}

/// That memory went back, and was never out of proportion to the input.
inline void require_modest(const allocation_log& memory, std::size_t most) {
    require(memory.peak_bytes <= most,
            "took " + std::to_string(memory.peak_bytes) + " bytes, more than " + std::to_string(most));
    require(memory.live_bytes == 0, "kept memory");
}

}  // namespace lsm::test::fuzz
