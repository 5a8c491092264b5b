#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <lsm/db/compaction_policy.hpp>

/// Layouts and choices as the tests of compaction policies write them.
namespace lsm::test {

using table_summaries = std::vector<table_summary>;

/// A choice as text: the ids in ascending order and the output level.
inline std::string text_of(const std::optional<compaction_choice>& choice) {
    if (!choice) return "nothing";
    auto ids = choice->inputs;
    std::ranges::sort(ids);
    std::string out;
    for (const auto id : ids) out += std::to_string(id) + " ";
    return out + "into " + std::to_string(choice->output_level);
}

/// Tables of level 0 with these sizes, newest first. Their ids are 1, 2, 3 and so on.
inline table_layout level0_of(const std::vector<std::uint64_t>& sizes) {
    table_layout out;
    for (const auto size : sizes) out.levels[0].push_back({out.levels[0].size() + 1, size, "a", "z"});
    return out;
}

}  // namespace lsm::test
