#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/db/levels.hpp>

namespace lsm {

enum class compaction_style : unsigned char {
    leveled,      ///< levels 1 to 6, each several times as large as the one above it: little space, fast reads
    size_tiered,  ///< merges tables of similar size within level 0: few writes, more space, slower reads
    none,         ///< compacts only on request
};

/// A table that has entries, as a policy sees it. The keys are views into the database.
struct table_summary {
    std::uint64_t id;
    std::uint64_t file_bytes;
    bytes_view smallest;
    bytes_view largest;
    bool busy = false;  ///< must not be chosen: it is an input of a running compaction, or damaged
};

/// A compaction that has not finished. Its inputs are busy; its outputs will lie in output_level, between the smallest
/// and the largest key of all inputs.
struct running_compaction {
    bytes_view smallest;
    bytes_view largest;
    int output_level;
};

/// The tables of a database at one time, those without entries left out.
struct table_layout {
    /// Level 0 is ordered newest first; every other level is in key order and has no overlap.
    std::array<std::vector<table_summary>, detail::level_count> levels = {};
    std::vector<running_compaction> running = {};
    /// Readers lose time in level 0, and nothing has been flushed since that was noticed.
    bool readers_wait = false;
};

/// The ids of the tables to merge, in any order, and the level of the result. In level 0 the result is one table, which
/// takes the place of the newest input.
struct compaction_choice {
    std::vector<std::uint64_t> inputs = {};
    int output_level = 0;
};

/// Chooses what to merge next.
class compaction_policy {
public:
    virtual ~compaction_policy() = default;

    /// Returns the next compaction, or nothing if none is due. The database calls this after tables have changed, until
    /// it returns nothing; it ignores a choice that would hide the newest entry of a key.
    ///
    /// Called by any thread, one at a time, under a lock of the database: must not use the database, and should be
    /// fast.
    [[nodiscard]] virtual std::optional<compaction_choice> choose(const table_layout& layout) const = 0;
};

struct compaction_options {
    compaction_style style = compaction_style::leveled;
    /// leveled: merges level 0 when it has this many tables. It waits for up to three times as many while level 1 is
    /// much larger than they are together and few reads suffer from them. size_tiered: merges this many tables of
    /// similar size, at least 2.
    unsigned level0_trigger = 4;
    /// Delays writers when level 0 has more than `level0_slowdown` tables; the delay is longest at `level0_stop`.
    unsigned level0_slowdown = 20;
    unsigned level0_stop = 36;
    /// The size of level 1 in bytes, and by how much each deeper level may be larger than the one above it. Level 6 has
    /// no limit.
    unsigned level_factor = 10;
    std::uint64_t level1_bytes = std::uint64_t{256} << 20;
    /// Ends a table above level 0 when its entries take this many bytes. With 0 or 1 each entry has a table of its own.
    std::uint64_t target_table_bytes = std::uint64_t{16} << 20;
    /// Used instead of `style` if set. Must outlive the database.
    const compaction_policy* policy = nullptr;
};

}  // namespace lsm
