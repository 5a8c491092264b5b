#pragma once

#include <string_view>

#include <lsm/core/result.hpp>
#include <lsm/db/admin/repairer.hpp>
#include <lsm/db/disk/db_directory.hpp>
#include <lsm/db/disk/directory_contents.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/db/repair_report.hpp>
#include <lsm/io/file.hpp>
#include <lsm/io/posix_file_system.hpp>

namespace lsm {

/// Makes a database that lost its MANIFEST, or tables, open again: writes a new MANIFEST of the tables without a
/// defect, all of which it reads.
///
/// Removes nothing. Damaged tables are renamed to damaged-NNNNNN.sst, and the old MANIFEST is copied to MANIFEST.bak
/// (with a number appended if that name is taken); later opens leave both alone. Logs are left for the next open to
/// replay. Of temporary files only MANIFEST.tmp is touched. A database that is intact is left as it is. What a lost
/// table had overwritten or deleted becomes visible again.
///
/// Order. The lines of the old MANIFEST, and those before the first bad line of a damaged one, keep their order and
/// level. A MANIFEST that lists a missing table counts as damaged. Tables that an intact MANIFEST does not list are
/// orphans. A MANIFEST that was cut at the end of a line cannot be told from an intact one, so move such a MANIFEST
/// away first. Tables that a missing or damaged MANIFEST does not list are of unknown order: they go to level 0, from
/// the highest id to the lowest, each before the first listed table there that has a lower id. (One of them may be left
/// over from a crash.)
///
/// Conflicts. Where a table of unknown order differs on a key from another one, or from the newest listed table that
/// has the key, repair() fails; with newer_by_id, the higher id counts as newer. A listed table above level 0 that must
/// then come before a table of unknown order moves to level 0, together with everything that is listed before it. The
/// order of two tables that are both listed stays, whatever their ids.
///
/// Errors: not_found (no database), locked (it is open), corruption (a conflict), bad_manifest (listed tables above
/// level 0 overlap, or MANIFEST is larger than any real one: move it away first), no_space, io. May be called again
/// after any of them. Takes memory for two keys of each table and, while tables are compared, for block, index and
/// filter of those that overlap.
inline result<repair_report> repair(std::string_view directory, const repair_options& options = {}) {
    io::file_system& fs = options.file_system != nullptr ? *options.file_system : io::default_file_system();
    const detail::db_directory where(fs, directory);
    const auto contents = detail::directory_contents::read(where);
    if (!contents) return contents.error();
    if (!contents->has_database()) return detail::failure(errc::not_found, "there is no database").in(directory);
    const auto lock = io::file::lock(fs, where.path_of(detail::lock_name));
    if (!lock) return lock.error();
    return detail::repairer(where, options).run();
}

}  // namespace lsm
