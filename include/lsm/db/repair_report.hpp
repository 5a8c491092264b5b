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
    /// Only tell what would be done: nothing changes, but that LOCK is made if it is missing.
    bool dry_run = false;
    /// Where tables of unknown order differ on a key, take the one with the higher id for the newer one. Without it
    /// such tables are an error.
    bool newer_by_id = false;
    /// Where the files are; the system's by default.
    io::file_system* file_system = nullptr;
};

/// What repair() found and did; of a dry run, what it would have done.
struct repair_report {
    /// A line of the new MANIFEST. `listed`: the old one gave its place.
    struct table {
        int level;
        std::uint64_t id;
        bool listed;

        friend bool operator==(const table&, const table&) = default;
    };
    /// A table that is damaged, and the name it has now; or one that is listed and missing, then without a name.
    struct lost_table {
        std::uint64_t id;
        error why;
        std::string kept_as;
    };
    /// A key on which tables of unknown order differ, and all tables that have it: the first decides.
    struct decided_key {
        bytes key;
        std::vector<std::uint64_t> tables;
    };
    /// How many of them are kept.
    static constexpr std::size_t most_decided_keys = 1000;

    /// Whether there was anything to do.
    bool needed = false;
    /// What is wrong with the old MANIFEST, not_found if there is none; nothing if it is whole.
    std::optional<error> manifest_defect;
    /// The name that the old MANIFEST has now; empty if none was replaced.
    std::string manifest_kept_as;
    /// The lines of the new MANIFEST.
    std::vector<table> tables;
    std::vector<lost_table> lost;
    /// Tables that a whole MANIFEST does not list: left-overs of a crash, which the next open removes.
    std::vector<std::uint64_t> orphans;
    /// What newer_by_id decided: the first keys, and how many there are.
    std::vector<decided_key> decided;
    std::uint64_t decided_keys = 0;
};

}  // namespace lsm
