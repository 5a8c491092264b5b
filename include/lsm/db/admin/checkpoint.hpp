#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <lsm/core/result.hpp>
#include <lsm/core/vector_of.hpp>
#include <lsm/db/disk/db_directory.hpp>
#include <lsm/db/disk/directory_contents.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/db/disk/manifest.hpp>
#include <lsm/db/disk/table_files.hpp>
#include <lsm/db/options.hpp>
#include <lsm/db/state/pin.hpp>
#include <lsm/io/copy_range.hpp>
#include <lsm/io/file.hpp>
#include <lsm/memtable/memtable.hpp>
#include <lsm/merge/merging_iterator.hpp>
#include <lsm/sstable/table_file.hpp>

namespace lsm::detail {

/// Gives a table's file a second name in `to`, or copies it where that is not possible. The name is not durable yet.
/// Errors: stale if the file has lost its name, or another file has it.
inline result<void> link_or_copy(const table_file& from, const db_directory& to, const std::string& name) {
    const std::string path = to.path_of(name);
    if (to.fs().link(from.path(), path)) {
        // Only the new name shows which file was linked: the old one may have been given to another file meanwhile.
        const auto linked = to.open_to_read(name);
        if (!linked) return linked.error();
        return from.check_same(*linked);
    }
    const auto source = from.reopen();
    if (!source) return source.error();
    auto target = to.create(name);
    if (!target) return std::move(target).error();
    if (auto copied = io::copy_range(*source, 0, from.size(), *target); !copied) return copied;
    if (auto synced = target->sync(); !synced) return synced;
    return target->close();
}

/// Makes a database of a pinned version in the directory `to`. Its tables get a second name there (on another file
/// system, a copy), its memtables become a table, and MANIFEST comes last, so that a crash leaves no incomplete
/// database. Errors: exists if `to` has files of a database; stale if a file of the version has not kept its name;
/// no_space, io. After an error the files that were made stay, without a MANIFEST.
template <class Alloc>
result<void> write_checkpoint(const pinned_version<Alloc>& from, const db_directory& to, const options& opts,
                              const Alloc& alloc) {
    if (auto made = to.make(); !made) return made;
    if (auto synced = to.sync_own_name(); !synced) return synced;
    const auto contents = directory_contents::read(to);
    if (!contents) return contents.error();
    if (contents->has_database() || !contents->temporaries.empty())
        return failure(errc::exists, "there are files of a database already").in(to.path());

    std::vector<manifest_line> lines = from->tables->lines();
    std::uint64_t next_id = 1;
    for (const auto& level : from->tables->levels) {
        for (const auto& t : level) {
            if (auto made = link_or_copy(t->file().file(), to, table_name(t->id())); !made) return made;
            next_id = std::max(next_id, t->id() + 1);
        }
    }

    // The memtables are newer than all tables, so the table made of them is the first of level 0.
    vector_of<memtable_cursor<Alloc>, Alloc> memtables(alloc);
    for (const auto& m : from->memtables) memtables.push_back(cursor_of(*m, from.at()));
    merging_iterator<memtable_cursor<Alloc>, Alloc> entries(std::move(memtables), merge_options{}, alloc);
    if (entries.valid()) {
        if (next_id > largest_id) return failure(errc::too_large, "no id is left for another table").in(to.path());
        if (auto written = write_table_file(entries, to, next_id, table_format(opts), alloc); !written) return written;
        lines.insert(lines.begin(), {0, next_id});
    }
    // All files must be durable before MANIFEST says that there is a database.
    if (auto synced = to.sync(); !synced) return synced;
    progress reached{};
    return replace_manifest(to, lines, reached);
}

}  // namespace lsm::detail
