#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/result.hpp>
#include <lsm/core/vector_of.hpp>
#include <lsm/db/compact.hpp>
#include <lsm/db/disk/directory_contents.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/db/disk/manifest.hpp>
#include <lsm/db/options.hpp>
#include <lsm/db/read/scan_cursor.hpp>
#include <lsm/io/file.hpp>
#include <lsm/io/replacement.hpp>
#include <lsm/memtable/memtable.hpp>
#include <lsm/merge/merging_iterator.hpp>
#include <lsm/sstable/table_file.hpp>

namespace lsm::detail {

/// Copies a table's file, durably, but for its name. stale, if it has lost its own.
inline result<void> copy_file(io::file_system& fs, const table_file& from, const std::string& to) {
    const auto source = from.reopen();
    if (!source) return source.error();
    const std::uint64_t size = from.size();
    auto target = io::file::open(fs, to, io::open_mode::create_exclusive);
    if (!target) return std::move(target).error();
    std::vector<char> piece(std::size_t{256} << 10);
    for (std::uint64_t at = 0; at < size;) {
        const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), size - at));
        if (auto read = source->read_exactly(at, {piece.data(), length}); !read) return read;
        if (auto written = target->append({piece.data(), length}); !written) return written;
        at += length;
    }
    if (auto synced = target->sync(); !synced) return synced;
    return target->close();
}

/// Gives a table's file a second name, or, where that cannot be, makes a copy. stale, if its name is gone or another
/// file's.
inline result<void> link_or_copy(io::file_system& fs, const table_file& from, const std::string& to) {
    if (!fs.link(from.path(), to)) return copy_file(fs, from, to);
    // Which file that was shows at its new name: the old one may be given to another before and after.
    const auto linked = io::file::open(fs, to, io::open_mode::read_no_follow);
    if (!linked) return linked.error();
    return from.check_same(*linked);
}

/// Makes a database of a pinned version in the directory `to`: its tables get a second name there (on another file
/// system, a copy), its memtables become a table, and MANIFEST comes last, so that a crash leaves no database that
/// lacks something. Errors: exists, if files of a database are there already; stale, if a file of the version has not
/// kept its name; no_space, io: what was made stays, without a MANIFEST.
template <class Alloc>
result<void> write_checkpoint(io::file_system& fs, const pinned_version<Alloc>& from, std::string_view to,
                              const options& how, const Alloc& alloc) {
    if (auto made = make_directories(fs, to); !made) return made;
    if (auto synced = sync_name_of_found(fs, to); !synced) return synced;
    const auto contents = directory_contents::read(fs, to);
    if (!contents) return contents.error();
    if (contents->database() || !contents->temporaries.empty())
        return failure(errc::exists, "there are files of a database already").in(to);

    std::vector<manifest_line> lines = from->tables->lines();
    std::uint64_t next_id = 1;
    for (const auto& level : from->tables->levels) {
        for (const auto& t : level) {
            const std::string target = joined(to, table_name(t->id()));
            if (auto made = link_or_copy(fs, t->file().file(), target); !made) return made;
            next_id = std::max(next_id, t->id() + 1);
        }
    }

    vector_of<memtable_cursor<Alloc>, Alloc> memtables(alloc);
    for (const auto& m : from->memtables) memtables.push_back(cursor_of(*m, from.at()));
    merging_iterator<memtable_cursor<Alloc>, Alloc> entries(std::move(memtables), merge_options{}, alloc);
    if (entries.valid()) {
        if (next_id > largest_id) return failure(errc::too_large, "no id is left for another table").in(to);
        const sst_options format{.block_size = how.block_bytes,
                                 .extended = how.extended_tables,
                                 .filter_bits_per_key = how.filter_bits_per_key};
        if (auto written = write_table_file(entries, fs, to, next_id, format, alloc); !written) return written;
        lines.insert(lines.begin(), {0, next_id});
    }
    if (auto synced = io::sync_directory(fs, to); !synced) return synced;
    progress reached{};
    return replace_manifest(fs, to, lines, reached);
}

}  // namespace lsm::detail
