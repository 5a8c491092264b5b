#pragma once

#include <cstdint>
#include <vector>

#include <lsm/core/error.hpp>

namespace lsm {

struct flush_event {
    std::uint64_t table_id;
    std::uint64_t file_bytes;
    std::uint64_t nanoseconds;
};

struct compaction_event {
    std::vector<std::uint64_t> inputs;
    std::vector<std::uint64_t> outputs;
    int output_level;
    std::uint64_t bytes_read;
    std::uint64_t bytes_written;  ///< 0 if tables were only moved
    std::uint64_t nanoseconds;
};

struct stall_event {
    std::uint64_t nanoseconds;
};

/// Receives what a database does in the background. Every function does nothing unless overridden.
///
/// The thread that did the work makes the call and waits for it: be fast. Several threads may call at once, and some
/// before open() has returned. A listener may read the database, but must not write to it, flush, compact, settle or
/// close it. Must outlive the database.
class event_listener {
public:
    virtual ~event_listener() = default;
    virtual void flushed(const flush_event&) noexcept {}
    virtual void compacted(const compaction_event&) noexcept {}
    virtual void stalled(const stall_event&) noexcept {}
    /// Maintenance failed and pauses, or writes are refused from now on.
    virtual void failed(const error&) noexcept {}
};

}  // namespace lsm
