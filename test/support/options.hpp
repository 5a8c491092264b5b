#pragma once

#include <lsm/db/options.hpp>
#include <lsm/io/executor.hpp>

/// Options for tests; each function changes some of the options it is given and leaves the others.
namespace lsm::test {

/// Flushes and compacts inside the call that makes it necessary, and writes logs without preallocated space: the same
/// calls always give the same files.
inline options at_once(options opts = {}) {
    static io::inline_executor in_the_call;
    opts.executor = &in_the_call;
    opts.log_preallocation_bytes = 0;
    return opts;
}

/// Like at_once(), and compacts only when compact() is called.
inline options plain(options opts = {}) {
    opts.compaction.style = compaction_style::none;
    return at_once(opts);
}

/// Like at_once(), with sizes so small that a few dozen writes cause flushes, compactions and several levels. Writes
/// are never delayed.
inline options tiny(compaction_style style, options opts = {}) {
    opts.write_buffer_bytes = 4096;
    opts.block_bytes = 256;
    opts.block_cache_bytes = 16384;
    opts.compaction.style = style;
    opts.compaction.level0_trigger = 3;
    opts.compaction.level0_slowdown = opts.compaction.level0_stop = 1000;
    opts.compaction.level_factor = 3;
    opts.compaction.level1_bytes = 4096;
    opts.compaction.target_table_bytes = 1024;
    return at_once(opts);
}

}  // namespace lsm::test
