// Puts a long random load on a database that flushes and compacts in the background, under a memory budget. Reports
// speed, write amplification, latencies and peak memory, and fails if the peak exceeds the budget by more than a
// quarter or if the contents differ from a std::map's. scripts/load.sh runs it.

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>

#include <cxxopts.hpp>

#include <lsm/db/db.hpp>

#include "support/flags.hpp"
#include "support/results.hpp"

namespace {

using lsm::test::must;

struct load_options {
    std::string directory;
    std::uint64_t operations;
    std::uint64_t seed;
    std::size_t budget_bytes;
    std::size_t write_buffer_bytes;
};

/// The sequence of random operations, the same for equal options: one in ten is a delete, the others are puts.
class operations {
public:
    explicit operations(const load_options& options) : keys_(options.operations), state_(options.seed * 2 + 1) {}

    std::uint32_t next_key() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return static_cast<std::uint32_t>(state_ % keys_);
    }
    /// Whether the operation on the key that next_key() returned last is a delete.
    [[nodiscard]] bool is_delete() const { return (state_ >> 40) % 10 == 0; }

private:
    std::uint64_t keys_;
    std::uint64_t state_;
};

std::string key_of(std::uint32_t number) {
    char out[17];
    std::snprintf(out, sizeof out, "%016" PRIu32, number);
    return out;
}
std::string value_of(std::uint64_t put) {
    std::string out = std::to_string(put);
    return out.append(100 - out.size(), static_cast<char>('a' + put % 26));
}

[[noreturn]] void fail(const std::string& message) {
    std::fprintf(stderr, "load: %s\n", message.c_str());
    std::exit(1);
}

void run(const load_options& options) {
    auto db = must(lsm::db::open(options.directory, {.error_if_exists = true,
                                                     .write_buffer_bytes = options.write_buffer_bytes,
                                                     .block_cache_bytes = options.budget_bytes,
                                                     .memory_budget_bytes = options.budget_bytes,
                                                     .sync = false}));
    operations random(options);
    const auto begun = std::chrono::steady_clock::now();
    for (std::uint64_t i = 0; i < options.operations; ++i) {
        const auto key = key_of(random.next_key());
        must(random.is_delete() ? db.del(key) : db.put(key, value_of(i)));
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    must(db.settle());  // the background work that is still due counts as written too
    const auto s = db.stats();
    std::printf("%.0f operations/s; write amplification %.2f; %" PRIu64 " flushes, %" PRIu64 " compactions, %" PRIu64
                " moves\n",
                static_cast<double>(options.operations) / took.count(), s.write_amplification(), s.flushes,
                s.compactions, s.moves);
    std::printf(
        "writes: p50 %.1f us, p99 %.1f us, longest %.1f ms; %" PRIu64 " delayed, %.2f s in all, longest %.1f ms\n",
        static_cast<double>(s.write_latency.p50) * 1e-3, static_cast<double>(s.write_latency.p99) * 1e-3,
        static_cast<double>(s.write_latency.longest) * 1e-6, s.stalls, static_cast<double>(s.stall_nanoseconds) * 1e-9,
        static_cast<double>(s.longest_stall_nanoseconds) * 1e-6);
    for (std::size_t level = 0; level < s.levels.size(); ++level)
        if (s.levels[level].tables != 0)
            std::printf("level %zu: %" PRIu64 " tables, %" PRIu64 " MiB\n", level, s.levels[level].tables,
                        s.levels[level].bytes >> 20);
    must(db.close());
    rusage used;
    ::getrusage(RUSAGE_SELF, &used);
    const double peak = static_cast<double>(used.ru_maxrss) * 1024;
    std::printf("peak memory %.1f MiB, %.2f of the budget\n", peak / (1 << 20),
                peak / static_cast<double>(options.budget_bytes));
    std::fflush(stdout);
    if (peak > 1.25 * static_cast<double>(options.budget_bytes)) fail("peak memory exceeds 1.25 times the budget");
}

void compare(const load_options& options) {
    std::map<std::uint32_t, std::uint64_t> model;
    operations random(options);
    for (std::uint64_t i = 0; i < options.operations; ++i) {
        const auto key = random.next_key();
        if (random.is_delete())
            model.erase(key);
        else
            model[key] = i;
    }
    auto db = must(lsm::db::open(options.directory, {.create_if_missing = false}));
    auto at = db.scan();
    for (const auto& [key, put] : model) {
        if (!at.valid()) fail("the scan ends before key " + key_of(key));
        if (at.key() != key_of(key) || at.value() != value_of(put))
            fail("the database and the map differ at key " + key_of(key));
        at.next();
    }
    must(at.status());
    if (at.valid()) fail("the database has keys after the last key of the map");
    const auto report = must(db.verify());
    if (!report.damage.empty()) fail(report.damage.front().what);
    std::printf("contents equal to the map: %zu keys; %" PRIu64 " blocks verified\n", model.size(), report.blocks);
}

}  // namespace

int main(int argc, char** argv) try {
    cxxopts::Options flags("load", "A long random load on a database, checked against a std::map");
    flags.add_options()("dir", "the database's directory, which must not hold one", cxxopts::value<std::string>())(
        "num", "number of operations", cxxopts::value<std::uint64_t>()->default_value("10000000"))(
        "seed", "seed of the operations", cxxopts::value<std::uint64_t>()->default_value("1"))(
        "budget", "memory budget in MiB", cxxopts::value<std::size_t>()->default_value("64"))(
        "write-buffer", "write buffer in MiB", cxxopts::value<std::size_t>()->default_value("8"));
    const auto given = lsm::test::parsed(std::move(flags), argc, argv);
    if (given.count("dir") == 0) fail("--dir is required");
    const load_options options{given["dir"].as<std::string>(), given["num"].as<std::uint64_t>(),
                               given["seed"].as<std::uint64_t>(), given["budget"].as<std::size_t>() << 20,
                               given["write-buffer"].as<std::size_t>() << 20};
    // The database runs in a process of its own, so that the peak memory does not include the map.
    const pid_t child = ::fork();
    if (child == 0) {
        run(options);
        std::exit(0);
    }
    int status = 0;
    if (::waitpid(child, &status, 0) != child || status != 0) fail("the load failed");
    compare(options);
    std::puts("=== OK ===");
} catch (const lsm::test::failed_check& problem) {  // in the child too
    fail(problem.what());
}
