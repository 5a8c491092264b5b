#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "dataset.hpp"
#include "engine.hpp"

namespace bench {

/// The database that a workload starts with. Its entries were put in random order.
enum class start {
    empty,
    filled,     ///< and all background work is done
    compacted,  ///< filled, then compacted manually
    killed,     ///< everything is in the log, because the process was killed
};

/// The values that the database holds after a workload.
enum class contents {
    filled,       ///< the first value of every key
    overwritten,  ///< the second value of every key
    mixed,        ///< the first value of some keys, the second of others
    none,         ///< no keys
};

/// The results of a run. Times in seconds.
struct report {
    double run = 0;
    /// The time until the background work is done and the database closed.
    double settled = 0;
    /// The bytes of keys and values; those passed to write calls; those written to the disk; and those of the files.
    double user_bytes = 0, write_call_bytes = 0, disk_write_bytes = 0, file_bytes = 0;
    double peak_memory_bytes = 0;
    /// Writes by another thread, which do not count as operations.
    double writes_beside = 0;
    std::uint64_t inserted_entries = 0;
    /// The start of the measured time. A run that prepares something first sets it anew.
    double begin = 0;
};

struct workload {
    std::string name;
    /// "write", "read" or "mixed".
    std::string group;
    start from = start::empty;
    /// Number of entries and size of values in the database; 0 for the usual ones.
    std::uint64_t entries = 0;
    std::size_t value_bytes = 0;
    /// The number of operations, which the result counts per second; 0 for one operation per entry.
    std::uint64_t operations = 0;
    /// Runs the workload, and checks what it reads. Sets report::run if the measured time is not that of the whole
    /// call. If empty, opening the database is measured.
    std::function<void(engine&, const dataset&, report&)> run = {};
    contents after = contents::filled;
    bool sync = false;
    /// Whether to report bytes written, peak memory and disk space too.
    bool details = false;

    [[nodiscard]] bool is(const std::string& asked) const { return asked == name || asked == group; }
};

/// Returns all workloads. The usual database has `entries` entries with values of `value_bytes` bytes.
std::vector<workload> all_workloads(std::uint64_t entries, std::size_t value_bytes);
/// Returns the workloads of YCSB, which all_workloads() includes.
std::vector<workload> ycsb_workloads(std::uint64_t entries);

/// Makes a database in the state `from`. For start::compacted, requires that settings.directory holds a filled
/// database. For start::killed, leaves the database open: the process must end without closing it.
void prepare(engine& to, const config& settings, start from, const dataset& data);

/// Opens the database that the workload starts with, runs the workload and, if `readable`, checks what it left.
/// Requires a process of its own, because the memory and writes of the whole process are reported.
report measure(engine& under_test, bool readable, const config& settings, const workload& w, const dataset& data);

}  // namespace bench
