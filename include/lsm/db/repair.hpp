#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/result.hpp>
#include <lsm/db/admin/repair_order.hpp>
#include <lsm/db/disk/directory_contents.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/db/disk/manifest.hpp>
#include <lsm/db/repair_report.hpp>
#include <lsm/io/file.hpp>
#include <lsm/io/posix_file_system.hpp>

namespace lsm::detail {

/// The lines of a damaged MANIFEST in front of the first that breaks a rule.
[[nodiscard]] inline std::vector<manifest_line> sound_lines(std::string_view text) {
    std::vector<std::size_t> ends;
    for (auto at = text.find('\n'); at != std::string_view::npos; at = text.find('\n', at + 1)) ends.push_back(at + 1);
    const auto parse = [&](std::size_t end) { return parse_manifest(text.substr(0, end)); };
    const auto bad = std::ranges::partition_point(ends, [&](std::size_t end) { return parse(end).has_value(); });
    return bad == ends.begin() ? std::vector<manifest_line>() : *parse(*std::prev(bad));
}

/// One run of repair(), under the lock: looks at everything, and only then changes anything.
class repairer {
public:
    repairer(io::file_system& fs, std::string_view directory, const repair_options& options)
        : fs_(fs), directory_(directory), options_(options) {}

    result<repair_report> run() {
        if (auto read = read_manifest_lines(); !read) return std::move(read).error();
        if (auto checked = check_tables(); !checked) return std::move(checked).error();
        repair_order order(fs_, directory_, std::move(tables_), options_.newer_by_id);
        if (auto settled = order.settle(report_); !settled) return std::move(settled).error();
        report_.needed = report_.manifest_defect || !report_.lost.empty();
        if (!report_.needed) return std::move(report_);
        if (auto named = name_what_is_kept(); !named) return std::move(named).error();
        if (!options_.dry_run)
            if (auto changed = change_directory(); !changed) return std::move(changed).error();
        return std::move(report_);
    }

private:
    [[nodiscard]] std::string path_of(std::string_view name) const { return joined(directory_, name); }

    result<void> read_manifest_lines() {
        auto text = read_manifest_text(fs_, directory_);
        if (!text && text.error().code == errc::not_found) {
            report_.manifest_defect = std::move(text).error();
            return {};
        }
        if (!text) return std::move(text).error();
        manifest_ = *std::move(text);
        auto lines = parse_manifest(*manifest_);
        lines_ = lines ? *std::move(lines) : sound_lines(*manifest_);
        if (!lines) report_.manifest_defect = std::move(lines).error().in(path_of(manifest_name));
        return {};
    }

    // Finds what is listed, in that order, then the others from the highest id to the lowest.
    result<void> check_tables() {
        const auto contents = directory_contents::read(fs_, directory_);
        if (!contents) return contents.error();
        std::set<std::uint64_t, std::greater<>> others(contents->tables.begin(), contents->tables.end());
        for (const manifest_line& line : lines_) {
            if (others.erase(line.id) == 0)
                report_.lost.push_back({line.id, system_failure("open", ENOENT).in(path_of(table_name(line.id))), {}});
            else if (auto checked = check_table(line, true); !checked)
                return checked;
        }
        for (const std::uint64_t id : others) {
            if (!report_.manifest_defect)
                report_.orphans.push_back(id);
            else if (auto checked = check_table({0, id}, false); !checked)
                return checked;
        }
        return {};
    }

    result<void> check_table(manifest_line line, bool listed) {
        auto table = sound_table::read(fs_, directory_, line, listed);
        if (table) {
            tables_.push_back(*std::move(table));
            return {};
        }
        // What the system refuses is no damage of this table, unless it is the disk that fails.
        if (table.error().sys != 0 && table.error().sys != EIO) return std::move(table).error();
        report_.lost.push_back({line.id, std::move(table).error(), {}});
        return {};
    }

    result<void> name_what_is_kept() {
        std::set<std::string, std::less<>> taken;
        auto listed = fs_.list(directory_, [&](std::string_view name) { taken.emplace(name); });
        if (!listed) return std::move(listed).error().in(directory_);
        const auto new_name = [&](const std::string& wanted) {
            std::string name = wanted;
            for (int more = 1; !taken.insert(name).second; ++more) name = wanted + "." + std::to_string(more);
            return name;
        };
        if (manifest_) report_.manifest_kept_as = new_name("MANIFEST.bak");
        for (auto& lost : report_.lost)
            if (lost.why.code != errc::not_found) lost.kept_as = new_name(numbered_name("damaged-", lost.id, ".sst"));
        return {};
    }

    // Before there is a MANIFEST with which the database opens, nothing may be left that opening would remove.
    result<void> change_directory() {
        if (manifest_)
            if (auto kept = keep_manifest(); !kept) return kept;
        for (const auto& lost : report_.lost) {
            if (lost.kept_as.empty()) continue;
            const std::string path = path_of(table_name(lost.id));
            auto renamed = fs_.rename(path, path_of(lost.kept_as));
            if (!renamed) return std::move(renamed).error().in(path);
        }
        if (auto synced = io::sync_directory(fs_, directory_); !synced) return synced;
        std::vector<manifest_line> lines;
        for (const auto& table : report_.tables) lines.push_back({table.level, table.id});
        progress reached{};
        return replace_manifest(fs_, directory_, lines, reached);
    }

    result<void> keep_manifest() const {
        const std::string path = path_of(report_.manifest_kept_as);
        auto copy = io::file::open(fs_, path, io::open_mode::create_exclusive);
        if (!copy) return std::move(copy).error();
        auto done = copy->append(*manifest_);
        if (done) done = copy->sync();
        if (done) done = copy->close();
        if (!done) static_cast<void>(fs_.remove(path));
        return done;
    }

    io::file_system& fs_;
    std::string directory_;
    repair_options options_;
    std::optional<std::string> manifest_;  // the old one, if there is one
    std::vector<manifest_line> lines_;     // what is known of it
    std::vector<sound_table> tables_;
    repair_report report_;
};

}  // namespace lsm::detail

namespace lsm {

/// Makes a database open again that lost its MANIFEST, or tables: writes a new MANIFEST of the tables without a defect,
/// all of which it reads. Nothing is removed: damaged tables are renamed to damaged-NNNNNN.sst and the old MANIFEST is
/// copied to MANIFEST.bak (with a number behind it if that is taken), where they are left alone; logs are for the next
/// open to replay. Of temporary files only MANIFEST.tmp is touched. A database that is whole is left as it is. What a
/// lost table had overwritten or deleted shows again.
///
/// Order. Lines of the old MANIFEST, of a damaged one those in front of the first bad line, keep order and level.
/// Tables that a whole MANIFEST does not list are orphans; one that lost all behind the end of a line cannot be told
/// from a whole one, so move such a one away first. Tables that a missing or damaged one does not list are of unknown
/// order. They go to level 0, from the highest id to the lowest, each in front of the first listed table there that has
/// a lower one. (Among them can be one that a crash had left over.)
///
/// Conflicts. Where one of them differs on a key from another of them, or from the newest listed table that has the
/// key, it is an error; or, with newer_by_id, the higher id is the newer. For that a listed table above level 0 that
/// has to be in front of one of them goes to level 0, with all that is listed before it. What the old MANIFEST says of
/// the order of two tables stands, whatever their ids.
///
/// Errors: not_found (no database), locked (it is open), corruption (a conflict), bad_manifest (listed tables above
/// level 0 overlap, or a MANIFEST beyond any size: move it away first), no_space, io. Can be called again after any of
/// them. Memory for two keys of each table, and, while they are compared, for block, index and filter of the tables
/// that overlap.
inline result<repair_report> repair(std::string_view directory, const repair_options& how = {}) {
    io::file_system& fs = how.file_system != nullptr ? *how.file_system : io::default_file_system();
    const auto contents = detail::directory_contents::read(fs, directory);
    if (!contents) return contents.error();
    if (!contents->database()) return detail::failure(errc::not_found, "there is no database").in(directory);
    const auto lock = io::file::lock(fs, detail::joined(directory, detail::lock_name));
    if (!lock) return lock.error();
    return detail::repairer(fs, directory, how).run();
}

}  // namespace lsm
