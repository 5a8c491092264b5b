#pragma once

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/entry.hpp>

/// Entries as tests write them.
namespace lsm::test {

/// A value, or nothing for a tombstone.
using optional_value = std::optional<bytes>;
inline constexpr std::nullopt_t deleted = std::nullopt;
using entry_map = std::map<bytes, optional_value>;
using entry_list = std::vector<std::pair<bytes, optional_value>>;

inline entry_list list_of(const entry_map& entries) { return {entries.begin(), entries.end()}; }

/// A view of `value`, which must outlive it.
inline entry_view view_of(const optional_value& value) {
    return value ? entry_view{entry_type::value, *value} : entry_view{entry_type::tombstone, {}};
}
inline optional_value value_of(entry_view entry) {
    return entry.tombstone() ? std::nullopt : optional_value(entry.value);
}

/// Applies puts and deletes in order to the keys and values of a database.
inline void apply_operations(const entry_list& operations, entry_map& contents) {
    for (const auto& [key, value] : operations) value ? void(contents[key] = value) : void(contents.erase(key));
}

}  // namespace lsm::test
