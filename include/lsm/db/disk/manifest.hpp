#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/decimal.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/disk/db_directory.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/db/levels.hpp>
#include <lsm/io/replacement.hpp>

/// MANIFEST: text, one line for each live table,
///
///     L<level> <id>\n
///
/// with the numbers in decimal, without sign or padding. Levels ascend; level 0 is ordered newest first, the others by
/// key. The file is only ever replaced whole.
namespace lsm::detail {

struct manifest_line {
    int level;
    std::uint64_t id;

    friend bool operator==(const manifest_line&, const manifest_line&) = default;
};

[[nodiscard]] inline std::string format_manifest(const std::vector<manifest_line>& lines) {
    std::string out;
    for (const auto& line : lines)
        out.append("L").append(std::to_string(line.level)).append(" ").append(std::to_string(line.id)).append("\n");
    return out;
}

/// An error in line `number`, counted from 1.
LSM_COLD inline error bad_manifest(std::size_t number, std::string_view why) {
    return failure(errc::bad_manifest, why).in("line " + std::to_string(number));
}

/// Parses one line, without its newline. Returns false if it does not have the form "L<level> <id>".
[[nodiscard]] inline bool parse_manifest_line(std::string_view line, std::uint64_t& level, std::uint64_t& id) noexcept {
    const auto space = line.find(' ');
    if (!line.starts_with('L') || space == std::string_view::npos) return false;
    const auto parse = [](std::string_view digits, std::uint64_t& out) {
        const bool padded = digits.size() > 1 && digits.front() == '0';
        return !padded && parse_decimal(digits, out);
    };
    return parse(line.substr(1, space - 1), level) && parse(line.substr(space + 1), id);
}

/// Errors: bad_manifest, with the line.
[[nodiscard]] inline result<std::vector<manifest_line>> parse_manifest(std::string_view text) {
    std::vector<manifest_line> out;
    const auto wrong = [&](std::string_view why) { return bad_manifest(out.size() + 1, why); };
    while (!text.empty()) {
        const auto end = text.find('\n');
        if (end == std::string_view::npos) return wrong("the last line is cut off");
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(end + 1);
        std::uint64_t level = 0;
        std::uint64_t id = 0;
        if (!parse_manifest_line(line, level, id)) return wrong("not of the form \"L<level> <id>\"");
        if (level > static_cast<std::uint64_t>(highest_level)) return wrong("a level above 6");
        if (!out.empty() && static_cast<int>(level) < out.back().level) return wrong("a level below the one before it");
        if (id == 0 || id > largest_id) return wrong("an id outside 1 to 2^63-1");
        out.push_back({static_cast<int>(level), id});
    }

    // Sorted, equal ids are neighbours; the error names the second line of the first such pair.
    std::vector<std::pair<std::uint64_t, std::size_t>> ids;
    for (std::size_t i = 0; i < out.size(); ++i) ids.emplace_back(out[i].id, i + 1);
    std::sort(ids.begin(), ids.end());
    const auto same_id = [](const auto& a, const auto& b) { return a.first == b.first; };
    if (const auto first = std::adjacent_find(ids.begin(), ids.end(), same_id); first != ids.end())
        return bad_manifest(first[1].second, "id " + std::to_string(first->first) + " is listed twice");
    return out;
}

/// A MANIFEST is read into memory whole, so a longer one is refused, even if it is sparse. Ten million tables fit.
inline constexpr std::uint64_t max_manifest_bytes = std::uint64_t{256} << 20;

/// Returns the text of MANIFEST. Errors: not_found, bad_manifest, io.
[[nodiscard]] inline result<std::string> read_manifest_text(const db_directory& directory) {
    auto in = directory.open_to_read(manifest_name);
    if (!in) return std::move(in).error();
    const auto size = in->size();
    if (!size) return size.error();
    if (*size > max_manifest_bytes)
        return failure(errc::bad_manifest, "of " + std::to_string(*size) + " bytes, more than 256 MiB").in(in->path());
    std::string text(static_cast<std::size_t>(*size), '\0');
    if (auto read = in->read_exactly(0, {text.data(), text.size()}); !read) return std::move(read).error();
    return text;
}

/// Returns the lines of MANIFEST. Errors: not_found, bad_manifest, io.
[[nodiscard]] inline result<std::vector<manifest_line>> read_manifest(const db_directory& directory) {
    const auto text = read_manifest_text(directory);
    if (!text) return text.error();
    auto lines = parse_manifest(*text);
    if (!lines) return std::move(lines).error().in(directory.path_of(manifest_name));
    return lines;
}

/// How far a replacement of MANIFEST came before it failed.
enum class progress : unsigned char { nothing_written, not_renamed, renamed };

/// Replaces MANIFEST, durably. `reached` tells what an error means: once the new file has the name, either of the two
/// may be there after a crash.
[[nodiscard]] inline result<void> replace_manifest(const db_directory& directory,
                                                   const std::vector<manifest_line>& lines, progress& reached) {
    reached = progress::nothing_written;
    const std::string text = format_manifest(lines);
    const std::string path = directory.path_of(manifest_name);
    const std::string temporary = path + std::string(temporary_suffix);
    if (auto removed = io::remove_if_present(directory.fs(), temporary); !removed) return removed;
    auto fresh = io::replacement::create(directory.fs(), temporary, path);
    if (!fresh) return std::move(fresh).error();
    reached = progress::not_renamed;
    if (auto written = fresh->file().append(text); !written) return written;
    auto done = fresh->commit();
    if (fresh->renamed()) reached = progress::renamed;
    return done;
}

}  // namespace lsm::detail
