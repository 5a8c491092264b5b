#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <lsm/core/decimal.hpp>

/// The names of a database's files. Files with other names are never touched.
namespace lsm::detail {

inline constexpr std::string_view manifest_name = "MANIFEST";
inline constexpr std::string_view lock_name = "LOCK";
inline constexpr std::string_view log_name = "wal.log";
inline constexpr std::string_view temporary_suffix = ".tmp";
inline constexpr std::uint64_t largest_id = (std::uint64_t{1} << 63) - 1;

/// Returns "<stem>NNNNNN<extension>", with the number in at least six digits.
[[nodiscard]] inline std::string numbered_name(std::string_view stem, std::uint64_t number,
                                               std::string_view extension) {
    const std::string digits = std::to_string(number);
    std::string out(stem);
    out.append(digits.size() < 6 ? 6 - digits.size() : 0, '0');
    return out.append(digits).append(extension);
}

[[nodiscard]] inline std::string table_name(std::uint64_t id) { return numbered_name("sst-", id, ".sst"); }
[[nodiscard]] inline std::string frozen_log_name(std::uint64_t number) { return numbered_name("wal-", number, ".log"); }
/// The file that keeps the bytes which a recovery cut from logs.
[[nodiscard]] inline std::string cut_log_name(std::uint64_t number) { return numbered_name("cut-", number, ".log"); }

/// Returns the number in a name that numbered_name() makes of a number up to largest_id; nothing for other names.
[[nodiscard]] inline std::optional<std::uint64_t> number_in(std::string_view name, std::string_view stem,
                                                            std::string_view extension) {
    if (!name.starts_with(stem) || !name.ends_with(extension) || name.size() < stem.size() + extension.size())
        return std::nullopt;
    const std::string_view digits = name.substr(stem.size(), name.size() - stem.size() - extension.size());
    std::uint64_t number = 0;
    if (!parse_decimal(digits, number) || number > largest_id) return std::nullopt;
    if (numbered_name(stem, number, extension) != name) return std::nullopt;  // padded otherwise
    return number;
}

/// Ids start at 1, so sst-000000.sst is not a table of ours.
[[nodiscard]] inline std::optional<std::uint64_t> table_id(std::string_view name, std::string_view extension = ".sst") {
    const auto id = number_in(name, "sst-", extension);
    return id == 0 ? std::nullopt : id;
}
[[nodiscard]] inline std::optional<std::uint64_t> frozen_log_number(std::string_view name) {
    return number_in(name, "wal-", ".log");
}
[[nodiscard]] inline std::optional<std::uint64_t> cut_log_number(std::string_view name) {
    return number_in(name, "cut-", ".log");
}
/// The id of a table that was being written.
[[nodiscard]] inline std::optional<std::uint64_t> temporary_table_id(std::string_view name) {
    return table_id(name, ".sst.tmp");
}
[[nodiscard]] inline bool is_temporary(std::string_view name) {
    return name == "MANIFEST.tmp" || name == "wal.log.tmp" || temporary_table_id(name).has_value();
}

}  // namespace lsm::detail
