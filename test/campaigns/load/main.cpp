// A long random load on a database with everything on, and then: are the contents those of a std::map, did memory keep
// to its budget, how much was written, how long did the longest put take. scripts/load.sh runs it.

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

namespace {

struct load {
    std::string directory;
    std::uint64_t puts;
    std::uint64_t seed;
    std::size_t budget_bytes;
    std::size_t write_buffer_bytes;
};

/// The same puts for whoever asks: one in ten is a delete.
class operations {
public:
    explicit operations(const load& what) : keys_(what.puts), state_(what.seed * 2 + 1) {}

    std::uint32_t next_key() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return static_cast<std::uint32_t>(state_ % keys_);
    }
    [[nodiscard]] bool deletes() const { return (state_ >> 40) % 10 == 0; }

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

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "load: %s\n", what.c_str());
    std::exit(1);
}
template <class T>
T must(lsm::result<T> outcome) {
    if (!outcome) fail(outcome.error().what);
    if constexpr (!std::is_void_v<T>) return *std::move(outcome);
}

void run(const load& what) {
    auto db = must(lsm::db::open(what.directory, {.error_if_exists = true,
                                                  .write_buffer_bytes = what.write_buffer_bytes,
                                                  .block_cache_bytes = what.budget_bytes,
                                                  .memory_budget_bytes = what.budget_bytes,
                                                  .sync = false}));
    operations all(what);
    const auto begun = std::chrono::steady_clock::now();
    for (std::uint64_t i = 0; i < what.puts; ++i) {
        const auto key = key_of(all.next_key());
        must(all.deletes() ? db.del(key) : db.put(key, value_of(i)));
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    must(db.settle());
    const auto s = db.stats();
    std::printf("%.0f operations/s; write amplification %.2f; %" PRIu64 " flushes, %" PRIu64 " compactions, %" PRIu64
                " moves\n",
                static_cast<double>(what.puts) / took.count(), s.write_amplification(), s.flushes, s.compactions,
                s.moves);
    std::printf(
        "puts: p50 %.1f us, p99 %.1f us, longest %.1f ms; %" PRIu64 " delayed, %.2f s in all, longest %.1f ms\n",
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
                peak / static_cast<double>(what.budget_bytes));
    std::fflush(stdout);
    if (peak > 1.25 * static_cast<double>(what.budget_bytes)) fail("memory is over its budget by more than a quarter");
}

void compare(const load& what) {
    std::map<std::uint32_t, std::uint64_t> model;
    operations all(what);
    for (std::uint64_t i = 0; i < what.puts; ++i) {
        const auto key = all.next_key();
        if (all.deletes())
            model.erase(key);
        else
            model[key] = i;
    }
    auto db = must(lsm::db::open(what.directory, {.create_if_missing = false}));
    auto at = db.scan();
    for (const auto& [key, put] : model) {
        if (!at.valid()) fail("the database ends before key " + key_of(key));
        if (at.key() != key_of(key) || at.value() != value_of(put)) fail("differs at key " + key_of(key));
        at.next();
    }
    must(at.status());
    if (at.valid()) fail("the database has more than it should");
    const auto report = must(db.verify());
    if (!report.damage.empty()) fail(report.damage.front().what);
    std::printf("contents equal to the map's: %zu keys; %" PRIu64 " blocks verified\n", model.size(), report.blocks);
}

}  // namespace

int main(int argc, char** argv) {
    cxxopts::Options known("load", "A long random load, checked against a std::map");
    known.add_options()("dir", "an empty directory", cxxopts::value<std::string>())(
        "num", "operations", cxxopts::value<std::uint64_t>()->default_value("10000000"))(
        "seed", "of the operations", cxxopts::value<std::uint64_t>()->default_value("1"))(
        "budget", "memory, in MiB", cxxopts::value<std::size_t>()->default_value("64"))(
        "write-buffer", "in MiB", cxxopts::value<std::size_t>()->default_value("8"));
    const auto given = lsm::test::parsed(std::move(known), argc, argv);
    if (given.count("dir") == 0) fail("--dir is needed");
    const load what{given["dir"].as<std::string>(), given["num"].as<std::uint64_t>(), given["seed"].as<std::uint64_t>(),
                    given["budget"].as<std::size_t>() << 20, given["write-buffer"].as<std::size_t>() << 20};
    // Its memory is to be the database's alone, not the map's too.
    const pid_t child = ::fork();
    if (child == 0) {
        run(what);
        std::exit(0);
    }
    int status = 0;
    if (::waitpid(child, &status, 0) != child || status != 0) fail("the load failed");
    compare(what);
    std::puts("=== OK ===");
}
