#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <lsm/core/vector_of.hpp>
#include <lsm/db/state/table_set.hpp>
#include <lsm/memtable/memtable.hpp>

namespace lsm::detail {

/// A memtable of the database, and the logs that hold the same operations.
template <class Alloc>
struct db_memtable {
    memtable_core<Alloc> entries;
    std::uint64_t number;           // ascends in the order of creation
    std::vector<std::string> logs;  // names, oldest first; set when the memtable freezes

    db_memtable(std::uint64_t n, std::size_t filter_bytes, const Alloc& alloc)
        : entries(alloc, filter_bytes), number(n) {}
};

/// Returns a cursor over what a reader at sequence `at` sees. Its pointer owns nothing: a pin or the caller keeps the
/// memtable alive, so that a scan counts no references.
template <class Alloc>
[[nodiscard]] memtable_cursor<Alloc> cursor_of(const db_memtable<Alloc>& memtable, sequence at) {
    return {std::shared_ptr<const memtable_core<Alloc>>(std::shared_ptr<void>(), &memtable.entries), at};
}

/// What the database holds at one time. Immutable once it is published, except that the active memtable grows. A reader
/// sees that up to a sequence, which it must read after it took the version.
template <class Alloc>
struct version : std::enable_shared_from_this<version<Alloc>> {
    using memtable_pointer = std::shared_ptr<const db_memtable<Alloc>>;

    vector_of<memtable_pointer, Alloc> memtables;  // newest first: the active one, then those that wait to be flushed
    std::shared_ptr<const table_set<Alloc>> tables;

    // Used by the version_store, for a superseded version.
    mutable std::chrono::steady_clock::time_point superseded_at;
    mutable std::shared_ptr<const version> next_retired;

    explicit version(const Alloc& alloc) : memtables(alloc) {}

    /// Appends the memtables of `other` except one. Does not allocate if memory was reserved.
    void take_memtables_but(const db_memtable<Alloc>* left_out, const version& other) {
        for (const auto& m : other.memtables)
            if (m.get() != left_out) memtables.push_back(m);
    }
};

}  // namespace lsm::detail
