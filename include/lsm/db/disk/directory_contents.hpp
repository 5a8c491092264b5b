#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/result.hpp>
#include <lsm/db/disk/db_directory.hpp>
#include <lsm/db/disk/file_names.hpp>

namespace lsm::detail {

/// Which files a database directory holds, by their names alone.
struct directory_contents {
    bool manifest = false;
    bool log = false;
    std::vector<std::uint64_t> tables;       // ascending
    std::vector<std::uint64_t> frozen_logs;  // ascending: oldest first
    std::vector<std::string> temporaries;
    std::uint64_t highest_table_id = 0;  // including tables that were being written
    std::uint64_t highest_cut_log = 0;

    /// Whether there is a database here, intact or not.
    [[nodiscard]] bool has_database() const noexcept {
        return manifest || log || !tables.empty() || !frozen_logs.empty();
    }

    /// Whether both hold database files of the same names.
    [[nodiscard]] bool same_names(const directory_contents& other) const {
        return manifest == other.manifest && log == other.log && tables == other.tables &&
               frozen_logs == other.frozen_logs;
    }

    static result<directory_contents> read(const db_directory& directory) {
        directory_contents out;
        auto listed = directory.fs().list(directory.path(), [&](std::string_view name) { out.add(name); });
        if (!listed) return std::move(listed).error().in(directory.path());
        std::sort(out.frozen_logs.begin(), out.frozen_logs.end());
        std::sort(out.tables.begin(), out.tables.end());
        return out;
    }

private:
    void add(std::string_view name) {
        if (name == manifest_name) manifest = true;
        if (name == log_name) log = true;
        if (is_temporary(name)) temporaries.emplace_back(name);
        if (const auto id = temporary_table_id(name)) highest_table_id = std::max(highest_table_id, *id);
        if (const auto number = frozen_log_number(name)) frozen_logs.push_back(*number);
        if (const auto number = cut_log_number(name)) highest_cut_log = std::max(highest_cut_log, *number);
        if (const auto id = table_id(name)) {
            tables.push_back(*id);
            highest_table_id = std::max(highest_table_id, *id);
        }
    }
};

}  // namespace lsm::detail
