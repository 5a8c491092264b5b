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
#include <lsm/db/disk/db_directory.hpp>
#include <lsm/db/disk/directory_contents.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/db/disk/manifest.hpp>
#include <lsm/db/repair_report.hpp>
#include <lsm/io/file.hpp>

namespace lsm::detail {

/// Returns the lines of a damaged MANIFEST before the first one that breaks a rule.
[[nodiscard]] inline std::vector<manifest_line> intact_lines(std::string_view text) {
    std::vector<std::size_t> ends;
    for (auto at = text.find('\n'); at != std::string_view::npos; at = text.find('\n', at + 1)) ends.push_back(at + 1);
    // A text that breaks a rule breaks it with more lines, too, so that the longest intact part can be searched for.
    const auto parse = [&](std::size_t end) { return parse_manifest(text.substr(0, end)); };
    const auto bad = std::ranges::partition_point(ends, [&](std::size_t end) { return parse(end).has_value(); });
    return bad == ends.begin() ? std::vector<manifest_line>() : *parse(*std::prev(bad));
}

/// One run of repair(), under the lock: looks at everything, and only then changes anything.
class repairer {
public:
    repairer(const db_directory& directory, const repair_options& options) : directory_(directory), options_(options) {}

    result<repair_report> run() {
        if (auto read = read_manifest_lines(); !read) return std::move(read).error();
        if (auto checked = check_tables(); !checked) return std::move(checked).error();
        repair_order order(directory_, std::move(tables_), options_.newer_by_id);
        if (auto found = order.find(report_); !found) return std::move(found).error();
        report_.needed = report_.manifest_defect || !report_.lost.empty();
        if (!report_.needed) return std::move(report_);
        if (auto named = name_kept_files(); !named) return std::move(named).error();
        if (!options_.dry_run)
            if (auto changed = change_directory(); !changed) return std::move(changed).error();
        return std::move(report_);
    }

private:
    result<void> read_manifest_lines() {
        auto text = read_manifest_text(directory_);
        if (!text && text.error().code == errc::not_found) {
            report_.manifest_defect = std::move(text).error();
            return {};
        }
        if (!text) return std::move(text).error();
        manifest_ = *std::move(text);
        auto lines = parse_manifest(*manifest_);
        lines_ = lines ? *std::move(lines) : intact_lines(*manifest_);
        if (!lines) report_.manifest_defect = std::move(lines).error().in(directory_.path_of(manifest_name));
        return {};
    }

    // Checks the listed tables in their order, then the others from the highest id to the lowest.
    result<void> check_tables() {
        const auto contents = directory_contents::read(directory_);
        if (!contents) return contents.error();
        std::set<std::uint64_t, std::greater<>> others(contents->tables.begin(), contents->tables.end());
        // A MANIFEST that lists what does not exist is damaged, too: what it does not list may be what it meant.
        bool intact = !report_.manifest_defect;
        for (const manifest_line& line : lines_) {
            if (others.erase(line.id) == 0) {
                const std::string path = directory_.path_of(table_name(line.id));
                report_.lost.push_back({line.id, system_failure("open", ENOENT).in(path), {}});
                intact = false;
            } else if (auto checked = check_table(line, true); !checked) {
                return checked;
            }
        }
        for (const std::uint64_t id : others) {
            if (intact)
                report_.orphans.push_back(id);
            else if (auto checked = check_table({0, id}, false); !checked)
                return checked;
        }
        return {};
    }

    result<void> check_table(manifest_line line, bool listed) {
        auto table = sound_table::read(directory_, line, listed);
        if (table) {
            tables_.push_back(*std::move(table));
            return {};
        }
        // An error of the system does not mean that this table is damaged, unless the disk fails.
        if (table.error().sys != 0 && table.error().sys != EIO) return std::move(table).error();
        report_.lost.push_back({line.id, std::move(table).error(), {}});
        return {};
    }

    result<void> name_kept_files() {
        std::set<std::string, std::less<>> taken;
        auto listed = directory_.fs().list(directory_.path(), [&](std::string_view name) { taken.emplace(name); });
        if (!listed) return std::move(listed).error().in(directory_.path());
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

    // The new MANIFEST comes last: the database opens with it, and opening removes what is not listed and still has a
    // table's name.
    result<void> change_directory() {
        if (manifest_) {
            const auto write = [&](io::file& to) { return to.append(*manifest_); };
            if (auto kept = directory_.create_with(report_.manifest_kept_as, write); !kept) return kept;
        }
        for (const auto& lost : report_.lost) {
            if (lost.kept_as.empty()) continue;
            const std::string path = directory_.path_of(table_name(lost.id));
            auto renamed = directory_.fs().rename(path, directory_.path_of(lost.kept_as));
            if (!renamed) return std::move(renamed).error().in(path);
        }
        if (auto synced = directory_.sync(); !synced) return synced;
        std::vector<manifest_line> lines;
        for (const auto& table : report_.tables) lines.push_back({table.level, table.id});
        progress reached{};
        return replace_manifest(directory_, lines, reached);
    }

    const db_directory& directory_;
    repair_options options_;
    std::optional<std::string> manifest_;  // the old one, if there is one
    std::vector<manifest_line> lines_;     // its lines, as far as they are intact
    std::vector<sound_table> tables_;
    repair_report report_;
};

}  // namespace lsm::detail
