#pragma once

#include <map>
#include <optional>
#include <utility>

#include <lsm/db/db.hpp>
#include <lsm/io/executor.hpp>

/// Databases for tests, with Catch and without.
namespace lsm::test {

/// The options, for a database that does everything inside the calls that make it necessary, and whose files hold
/// nothing but what was written.
inline options at_once(options given = {}) {
    static io::inline_executor in_the_call;
    given.executor = &in_the_call;
    given.log_preallocation_bytes = 0;
    return given;
}

/// The same, for one that does nothing by itself but what its calls do.
inline options plain(options given = {}) {
    given.compaction.style = compaction_style::none;
    return at_once(given);
}

/// Sizes so small that some dozen writes flush, compact and fill levels.
inline options tiny(compaction_style style, options given = {}) {
    given.write_buffer_bytes = 4096;
    given.block_bytes = 256;
    given.block_cache_bytes = 16384;
    given.compaction.style = style;
    given.compaction.level0_trigger = 3;
    given.compaction.level0_slowdown = given.compaction.level0_stop = 1000;  // no delays
    given.compaction.level_factor = 3;
    given.compaction.level1_bytes = 4096;
    given.compaction.target_table_bytes = 1024;
    return at_once(given);
}

/// All keys with a value, by a scan.
inline result<std::map<bytes, std::optional<bytes>>> scanned(const db& from) {
    std::map<bytes, std::optional<bytes>> out;
    auto at = from.scan();
    for (const auto& [key, value] : at) out.emplace_hint(out.end(), key, bytes(value));
    if (auto status = at.status(); !status) return std::move(status).error();
    return out;
}

}  // namespace lsm::test
