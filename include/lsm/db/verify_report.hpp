#pragma once

#include <cstdint>
#include <vector>

#include <lsm/core/error.hpp>

namespace lsm {

/// What basic_db::verify() found by reading every byte of the tables.
struct verify_report {
    std::uint64_t tables = 0;
    std::uint64_t blocks = 0;
    std::uint64_t entries = 0;
    std::uint64_t bytes = 0;
    /// One error for each table that is missing or does not open, and for each damaged block, with file and offset.
    std::vector<error> damage;
};

}  // namespace lsm
