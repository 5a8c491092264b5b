#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/error.hpp>
#include <lsm/io/file_system.hpp>

namespace lsm {

struct repair_options {
    /// Reports what would be done, and changes nothing except that it creates LOCK if that is missing.
    bool dry_run = false;
    /// Where tables of unknown order differ on a key, takes the table with the higher id as the newer one. Without it
    /// such tables are an error.
    bool newer_by_id = false;
    /// Where the files are; the system's by default.
    io::file_system* file_system = nullptr;
};

/// What repair() found and did; for a dry run, what it would have done.
struct repair_report {
    /// A line of the new MANIFEST. `listed`: the old MANIFEST gave its place.
    struct table {
        int level;
        std::uint64_t id;
        bool listed;

        friend bool operator==(const table&, const table&) = default;
    };
    /// A damaged table and the name it has now, or a listed table that is missing, without a name.
    struct lost_table {
        std::uint64_t id;
        error why;
        std::string kept_as;
    };
    /// A key on which tables of unknown order differ, and all tables that have it. The first one decides.
    struct decided_key {
        bytes key;
        std::vector<std::uint64_t> tables;
    };
    /// The most keys that `decided` holds.
    static constexpr std::size_t most_decided_keys = 1000;

    /// Whether there was anything to do.
    bool needed = false;
    /// What is wrong with the old MANIFEST; not_found if there was none; nothing if it was intact.
    std::optional<error> manifest_defect;
    /// The name that the old MANIFEST has now; empty if none was replaced.
    std::string manifest_kept_as;
    /// The lines of the new MANIFEST.
    std::vector<table> tables;
    std::vector<lost_table> lost;
    /// Tables that an intact MANIFEST does not list: left over from a crash. The next open removes them.
    std::vector<std::uint64_t> orphans;
    /// The first keys that newer_by_id decided, and how many there are in all.
    std::vector<decided_key> decided;
    std::uint64_t decided_keys = 0;
};

}  // namespace lsm
