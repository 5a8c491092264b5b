#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

#include "support/allocators.hpp"
#include "support/cursors.hpp"
#include "support/files.hpp"
#include "support/raw_bytes.hpp"
#include "support/results.hpp"

/// What the entry points share: scans to the end of a cursor, and bounds on memory.
namespace lsm::test::fuzz {

using logged = logged_allocator<std::byte>;

/// Reads a cursor over bytes to its end. Requires that the keys are in strict order, descending if `reverse`.
template <class Cursor>
entry_list ordered_rest(Cursor& at, bool reverse = false) {
    entry_list out;
    for (; at.valid(); at.next()) {
        if (!out.empty())
            require(reverse ? at.key() < out.back().first : at.key() > out.back().first, "keys are out of order");
        out.emplace_back(at.key(), value_of(at.entry()));
    }
    return out;
}

/// Requires that all memory was freed, and that no more than `most` bytes were allocated at any time.
inline void require_modest(const allocation_log& memory, std::size_t most) {
    require(memory.peak_bytes <= most,
            "allocated " + std::to_string(memory.peak_bytes) + " bytes, over the bound of " + std::to_string(most));
    require(memory.live_bytes == 0, "memory was not freed");
}

}  // namespace lsm::test::fuzz
