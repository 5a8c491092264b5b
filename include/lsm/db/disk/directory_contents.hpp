#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/result.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/io/file.hpp>

namespace lsm::detail {

/// What lies in a database directory, by the names alone.
struct directory_contents {
    bool manifest = false;
    bool log = false;
    std::vector<std::uint64_t> tables;
    std::vector<std::uint64_t> frozen_logs;  // ascending: oldest first
    std::vector<std::string> temporaries;
    std::uint64_t highest_table_id = 0;  // of tables that were being written, too
    std::uint64_t highest_cut_log = 0;

    /// Whether a database is here, whole or not.
    [[nodiscard]] bool database() const noexcept { return manifest || log || !tables.empty() || !frozen_logs.empty(); }

    /// Whether the database's own files have the same names.
    [[nodiscard]] bool same_state(const directory_contents& other) const {
        return manifest == other.manifest && log == other.log && tables == other.tables &&
               frozen_logs == other.frozen_logs;
    }

    static result<directory_contents> read(io::file_system& fs, std::string_view directory) {
        directory_contents out;
        auto listed = fs.list(directory, [&](std::string_view name) { out.add(name); });
        if (!listed) return std::move(listed).error().in(directory);
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

/// The name of a directory that was there already is on the disk, and so are those of its parents, as far as we may
/// look: whoever made them was perhaps killed before it could sync them.
inline result<void> sync_name_of_found(io::file_system& fs, std::string_view path) {
    std::string_view below = path;
    for (std::string_view parent = parent_directory(below); parent != below; parent = parent_directory(below)) {
        if (auto synced = io::sync_directory(fs, parent); !synced) {
            if (synced.error().sys == EACCES) return {};
            return std::move(synced).error().in(path);
        }
        below = parent;
    }
    return {};
}

/// Makes a directory and the parents it lacks, each durable in its own parent. That it exists is fine.
inline result<void> make_directories(io::file_system& fs, std::string_view path) {
    auto made = fs.make_directory(path);
    if (made) return io::sync_directory(fs, parent_directory(path));
    if (made.error().code == errc::exists) return {};
    if (made.error().code == errc::not_found && parent_directory(path) != path && !path.empty()) {
        if (auto parents = make_directories(fs, parent_directory(path)); !parents) return parents;
        made =
            fs.make_directory(path);  // there already if somebody else makes it too, or it is a "." behind its parent
    }
    if (!made && made.error().code != errc::exists) return std::move(made).error().in(path);
    return io::sync_directory(fs, parent_directory(path));
}

}  // namespace lsm::detail
