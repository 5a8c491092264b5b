#pragma once

#include <cstddef>

namespace lsm::detail {

/// Tables lie in levels 0 to 6. Level 0 takes what is flushed; each level below it is older.
inline constexpr int highest_level = 6;
inline constexpr std::size_t level_count = highest_level + 1;

}  // namespace lsm::detail
