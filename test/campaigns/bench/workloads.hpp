#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "dataset.hpp"
#include "engine.hpp"

namespace bench {

/// The database that a workload begins with; its entries were put in random order.
enum class start {
    empty,
    filled,     ///< nothing is left to do in the background
    compacted,  ///< by hand
    killed,     ///< all is in the log, since the process was killed
};

/// What there is afterwards.
enum class contents {
    filled,       ///< the values that were first put
    overwritten,  ///< their second ones
    mixed,        ///< of some the one, of some the other
    none,
};

/// What came of a run. Times in seconds.
struct report {
    double run = 0;
    /// With the work in the background done, and the database closed.
    double settled = 0;
    /// Bytes of keys and values; those that the process gave to the system to write, and those that went to the disk
    /// of them; of the files.
    double user_bytes = 0, write_call_bytes = 0, disk_write_bytes = 0, file_bytes = 0;
    double peak_memory_bytes = 0;
    /// Writes meanwhile, which are not counted among the operations.
    double writes_beside = 0;
    std::uint64_t inserted_entries = 0;
    /// Of the time that counts. Moved by a run that has to prepare something.
    double begin = 0;
};

struct workload {
    std::string name;
    /// "write", "read" or "mixed".
    std::string group;
    start from = start::empty;
    /// Of the database; 0 for the usual number and size.
    std::uint64_t entries = 0;
    std::size_t value_bytes = 0;
    /// What is counted per second; 0 for one an entry.
    std::uint64_t operations = 0;
    /// Checks what it reads. Sets the report's time if the call does not end with what counts. Without it, the time of
    /// opening counts.
    std::function<void(engine&, const dataset&, report&)> run = {};
    contents after = contents::filled;
    bool sync = false;
    /// Whether to tell what was written, and what memory and space it took.
    bool details = false;

    [[nodiscard]] bool is(const std::string& asked) const { return asked == name || asked == group; }
};

/// `entries` of `value_bytes` are the usual database.
std::vector<workload> all_workloads(std::uint64_t entries, std::size_t value_bytes);
/// Of them, YCSB's.
std::vector<workload> ycsb_workloads(std::uint64_t entries);

/// Makes a database to begin with, a compacted one of the filled one that is there. One to be killed is left open, for
/// the process to end with.
void prepare(engine& to, const config& settings, start what, const dataset& data);

/// Opens the database that `what` begins with, runs it, and looks at the outcome if `readable`. For a process of its
/// own, whose memory and writes are then those of the run.
report measure(engine& under_test, bool readable, const config& settings, const workload& what, const dataset& data);

}  // namespace bench
