#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/decimal.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/io/file.hpp>
#include <lsm/io/replacement.hpp>

/// MANIFEST: text, one line a live table,
///
///     L<level> <id>\n
///
/// numbers in decimal without sign or padding. Levels ascend. Level 0 stands newest first, the others in key order.
/// Only ever replaced whole.
namespace lsm::detail {

inline constexpr int highest_level = 6;

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

/// Parses the number that is all of `text`, without sign or leading zeros.
[[nodiscard]] inline bool parse_plain_number(std::string_view text, std::uint64_t& out) noexcept {
    const bool padded = text.size() > 1 && text.front() == '0';
    return !padded && parse_decimal(text, out);
}

/// What is wrong with line `number`, counted from 1.
LSM_COLD inline error bad_manifest(std::size_t number, std::string_view why) {
    return failure(errc::bad_manifest, why).in("line " + std::to_string(number));
}

/// Errors: bad_manifest, with the line.
[[nodiscard]] inline result<std::vector<manifest_line>> parse_manifest(std::string_view text) {
    std::vector<manifest_line> out;
    std::vector<std::pair<std::uint64_t, std::size_t>> ids;  // with their lines
    const auto wrong = [&](std::string_view why) { return bad_manifest(out.size() + 1, why); };
    while (!text.empty()) {
        const auto end = text.find('\n');
        if (end == std::string_view::npos) return wrong("the last line is cut off");
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(end + 1);
        const auto space = line.find(' ');
        std::uint64_t level = 0;
        std::uint64_t id = 0;
        if (!line.starts_with('L') || space == std::string_view::npos ||
            !parse_plain_number(line.substr(1, space - 1), level) || !parse_plain_number(line.substr(space + 1), id))
            return wrong("not of the form \"L<level> <id>\"");
        if (level > static_cast<std::uint64_t>(highest_level)) return wrong("a level above 6");
        if (!out.empty() && static_cast<int>(level) < out.back().level) return wrong("a level below the one before it");
        if (id == 0 || id > largest_id) return wrong("an id outside 1 to 2^63-1");
        out.push_back({static_cast<int>(level), id});
        ids.emplace_back(id, out.size());
    }
    std::sort(ids.begin(), ids.end());
    const auto same_id = [](const auto& a, const auto& b) { return a.first == b.first; };
    if (const auto first = std::adjacent_find(ids.begin(), ids.end(), same_id); first != ids.end())
        return bad_manifest(first[1].second, "the id " + std::to_string(first->first) + " stands twice");
    return out;
}

/// A MANIFEST is read into memory whole: a longer one, sparse as it may be, is refused. Ten million tables fit.
inline constexpr std::uint64_t most_manifest_bytes = std::uint64_t{256} << 20;

/// The text of MANIFEST. Errors: not_found, bad_manifest, io.
[[nodiscard]] inline result<std::string> read_manifest_text(io::file_system& fs, std::string_view directory) {
    auto in = io::file::open(fs, joined(directory, manifest_name), io::open_mode::read_no_follow);
    if (!in) return std::move(in).error();
    const auto size = in->size();
    if (!size) return size.error();
    if (*size > most_manifest_bytes)
        return failure(errc::bad_manifest, "of " + std::to_string(*size) + " bytes, more than 256 MiB").in(in->path());
    std::string text(static_cast<std::size_t>(*size), '\0');
    if (auto read = in->read_exactly(0, {text.data(), text.size()}); !read) return std::move(read).error();
    return text;
}

/// The lines of MANIFEST. Errors: not_found, bad_manifest, io.
[[nodiscard]] inline result<std::vector<manifest_line>> read_manifest(io::file_system& fs, std::string_view directory) {
    const auto text = read_manifest_text(fs, directory);
    if (!text) return text.error();
    auto lines = parse_manifest(*text);
    if (!lines) return std::move(lines).error().in(joined(directory, manifest_name));
    return lines;
}

/// How far a replacement came that failed.
enum class progress : unsigned char { nothing_written, not_renamed, renamed };

/// Puts a new MANIFEST in place of the old one. `reached` tells what an error means: once the new one has the name,
/// either can be there after a crash.
[[nodiscard]] inline result<void> replace_manifest(io::file_system& fs, std::string_view directory,
                                                   const std::vector<manifest_line>& lines, progress& reached) {
    reached = progress::nothing_written;
    const std::string text = format_manifest(lines);
    const std::string path = joined(directory, manifest_name);
    const std::string temporary = path + std::string(temporary_suffix);
    if (auto removed = io::remove_if_present(fs, temporary); !removed) return removed;
    auto fresh = io::replacement::create(fs, temporary, path);
    if (!fresh) return std::move(fresh).error();
    reached = progress::not_renamed;
    if (auto written = fresh->file().append(text); !written) return written;
    auto done = fresh->commit();
    if (fresh->renamed()) reached = progress::renamed;
    return done;
}

}  // namespace lsm::detail
