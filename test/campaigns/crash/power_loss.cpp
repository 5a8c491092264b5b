// Simulates power cuts before every operation of programs that use a database. At each, unsynced changes are lost in
// several patterns. The database must then open with everything that was acknowledged as durable and a prefix of the
// writes since then, and must go on working. scripts/crash.sh runs it with many seeds.

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include <cxxopts.hpp>

#include <lsm/db/db.hpp>
#include <lsm/db/repair.hpp>
#include <lsm/io/simulated_file_system.hpp>

#include "campaigns/crash/program.hpp"
#include "support/flags.hpp"

namespace {

using namespace lsm::test;
using lsm::compaction_style;
using lsm::io::power_loss;
using lsm::io::simulated_file_system;

const std::string directory = "some/where/db";

/// What to check of a run: all states, or only those that are selected.
struct selection {
    std::optional<std::uint64_t> point;
    std::optional<power_loss> pattern;
};

std::string name_of(power_loss pattern) {
    constexpr const char* kinds[] = {"nothing", "everything", "prefix", "some"};
    return std::string(kinds[static_cast<int>(pattern.survivors)]) + ":" + std::to_string(pattern.seed);
}

/// Checks the states that power cuts leave, each distinct state once, and counts them and the failures.
class trial {
public:
    explicit trial(selection only) : only_(only) {}

    [[nodiscard]] std::uint64_t states() const { return seen_.size(); }
    [[nodiscard]] std::uint64_t failures() const { return failures_; }
    /// Whether to print every operation: when one failure is being repeated.
    [[nodiscard]] bool traces() const { return only_.point.has_value(); }
    [[nodiscard]] bool failed_too_often() const { return failures_ >= 20; }

    void begin(const std::string& workload, std::uint64_t seed) {
        workload_ = workload;
        seed_ = seed;
        phase_ = phase::running;
        kept_.clear();
    }
    /// Checks no states until resume(): the test is damaging the disk.
    void pause() { phase_ = phase::paused; }
    /// Checks states again. If `kept` is not empty, a recovery of each must keep a file that holds `kept` and whose
    /// name begins with `kept_as`.
    void resume(std::string kept_as, std::string kept) {
        phase_ = phase::running;
        kept_as_ = std::move(kept_as);
        kept_ = std::move(kept);
    }
    /// Like resume(), but each state must be repaired before it is opened.
    void resume_with_repair(std::string kept_as, std::string kept) {
        resume(std::move(kept_as), std::move(kept));
        phase_ = phase::repairing;
    }

    /// Checks the states that power cuts before operation `point` can leave.
    void cut_power(program& running, std::uint64_t point) {
        if (failed_too_often() || phase_ == phase::paused || (only_.point && *only_.point != point)) return;
        using kind = power_loss::kind;
        if (only_.pattern) return check(running, point, *only_.pattern);
        check(running, point, {kind::nothing});
        check(running, point, {kind::everything});
        for (std::uint64_t i = 0; i < 3; ++i) check(running, point, {kind::prefix, point * 16 + i});
        for (std::uint64_t i = 0; i < 5; ++i) check(running, point, {kind::some, point * 16 + i});
    }

    /// Counts and prints a failure, with the flags that repeat it.
    void failed(const std::string& flags, const std::string& message) {
        ++failures_;
        std::printf("FAILED: %s\n  %s\n", message.c_str(), flags.c_str());
        std::fflush(stdout);
    }
    /// The flags that repeat the current run.
    [[nodiscard]] std::string run_flags() const {
        return "--workload " + workload_ + " --seed " + std::to_string(seed_) + " --states 1";
    }

    /// The number of states of each workload.
    std::map<std::string, std::uint64_t> counts;

private:
    enum class phase : unsigned char { running, paused, repairing };

    void check(program& running, std::uint64_t point, power_loss pattern) {
        auto left = running.disk().after_power_loss(pattern);
        // A state is distinct if the disk, or what is expected of it, is distinct.
        const auto [durable, steps] = running.expected.place();
        const std::string key = workload_ + " " + std::to_string(left.fingerprint()) + " " + std::to_string(durable) +
                                " " + std::to_string(steps) + " " + std::to_string(running.checkpoints.size());
        if (!seen_.insert(lsm::detail::xxh64(key)).second) return;
        ++counts[workload_];
        try {
            if (phase_ == phase::repairing)
                must(lsm::repair(directory, {.newer_by_id = true, .file_system = &left}), "repair");
            check_recovered(running.opts(), left, directory,
                            [&](const entry_map& found) { return running.expected.possible_after_power_loss(found); });
            for (const auto& copy : running.checkpoints) check_copy(running.opts(), left, copy);
            if (!kept_.empty()) check_kept(left);
        } catch (const std::exception& problem) {
            failed(run_flags() + " --point " + std::to_string(point) + " --pattern " + name_of(pattern),
                   problem.what());
        }
    }

    void check_kept(simulated_file_system& left) const {
        bool found = false;
        must(left.list(directory,
                       [&](std::string_view name) {
                           found = found || (name.starts_with(kept_as_) &&
                                             read_file(left, lsm::detail::joined(directory, name)) == kept_);
                       }),
             "list");
        require(found, "no file keeps what was taken out of use: " + kept_as_);
    }

    selection only_;
    std::string workload_;
    std::uint64_t seed_ = 0;
    phase phase_ = phase::running;
    std::string kept_as_, kept_;
    std::unordered_set<std::uint64_t> seen_;
    std::uint64_t failures_ = 0;
};

// --- The workloads. Each runs once with a power cut simulated before each of its operations.

// Writes `batches` batches, of which about `synced_in_4` in four are synced.
void write_some(program& p, std::size_t batches, std::size_t operations_each, std::size_t longest,
                int synced_in_4 = 4) {
    for (; batches > 0; --batches)
        must(p.write(p.some(1 + p.below(operations_each), longest), p.below(4) < static_cast<unsigned>(synced_in_4)),
             "write");
}
void reopen(program& p) {
    must(p.close(), "close");
    must(p.open(), "open");
}

void create(program& p) {
    p.disk().lose_power(p.below(20));
    static_cast<void>(p.open());
    p.drop();
    p.disk().restart_program();
    must(p.open(), "open");
    if (p.below(2) == 0) must(p.write(p.some(1)), "write");
    reopen(p);
    write_some(p, p.below(3), 2, 50);
    must(p.close(), "close");
}
void put(program& p) {
    must(p.open(), "open");
    write_some(p, 10, 1, 200);
    write_some(p, 3, 1, 3000);
    if (p.below(2) == 0) reopen(p);
    write_some(p, 10, 1, 200);
    must(p.close(), "close");
}
void batch(program& p) {
    must(p.open(), "open");
    write_some(p, 8, 20, 200);
    reopen(p);
    write_some(p, 4, 40, 100);
    must(p.close(), "close");
}
void unsynced(program& p) {
    must(p.open(), "open");
    write_some(p, 25, 3, 300, 0);
    if (p.below(2) == 0) reopen(p);
    write_some(p, 25, 3, 300, 0);
    must(p.close(), "close");
}
void mixed(program& p) {
    must(p.open(), "open");
    write_some(p, 25, 3, 300, 1);
    if (p.below(2) == 0) must(p.flush(), "flush");
    write_some(p, 15, 3, 300, 2);
    must(p.close(), "close");
}
void rotation(program& p) {
    must(p.open(), "open");
    write_some(p, 30, 3, 600, 2);
    must(p.close(), "close");
}
void flush(program& p) {
    must(p.open(), "open");
    for (int i = 0; i < 4; ++i) {
        write_some(p, 1 + p.below(4), 3, 200);
        must(p.flush(), "flush");
    }
    reopen(p);
    write_some(p, 2, 3, 200);
    must(p.flush(), "flush");
    must(p.close(), "close");
}
// The disk fills up in the middle of a log record or of a table, and then has room again.
void full_disk(program& p) {
    must(p.open(), "open");
    for (int i = 0; i < 4; ++i) {
        write_some(p, 1 + p.below(4), 2, 200);
        p.disk().set_capacity(p.disk().used() + p.below(150));
        for (auto writes = 1 + p.below(2); writes > 0; --writes) static_cast<void>(p.write(p.some(1, 400)));
        if (p.below(4) != 0) static_cast<void>(p.flush());
        p.disk().set_capacity(UINT64_MAX);
        write_some(p, p.below(3), 2, 200);
        if (p.below(3) == 0) must(p.flush(), "flush");
        if (p.below(3) == 0) reopen(p);
    }
    must(p.close(), "close");
}
void compaction(program& p) {
    must(p.open(), "open");
    for (int i = 0; i < 12; ++i) {
        write_some(p, 6, 4, 150);
        must(p.flush(), "flush");
    }
    must(p.compact(), "compact");
    reopen(p);
    write_some(p, 4, 4, 150);
    must(p.close(), "close");
}
void checkpoint(program& p) {
    must(p.open(), "open");
    write_some(p, 5, 3, 200);
    if (p.below(2) == 0) must(p.flush(), "flush");
    write_some(p, 2, 3, 200);
    must(p.checkpoint("copies/1"), "checkpoint");
    write_some(p, 3, 3, 200);
    must(p.compact(), "compact");
    must(p.checkpoint("copies/2"), "checkpoint");
    must(p.close(), "close");
}

// Returns the contents after a recovery of a copy of the disk. The workloads from here on go through several crashes in
// a run; this tells them what each crash has left, without touching their own disk.
entry_map recovered_copy(program& p, bool repairs) {
    auto copy = p.disk().after_power_loss({power_loss::kind::everything});
    if (repairs) must(lsm::repair(directory, {.newer_by_id = true, .file_system = &copy}), "repair");
    auto opts = p.opts();
    opts.file_system = &copy;
    return contents_of(must(lsm::db::open(directory, opts), "open a copy"));
}

// Opens and writes over and over. Each time the program is killed or loses power, sometimes during recovery.
void recovery(program& p) {
    for (int ends = 0; ends < 12; ++ends) {
        p.disk().lose_power(p.below(4) == 0 ? p.below(40) : 20 + p.below(80));
        bool alive = p.open().has_value();
        while (alive) {
            const bool flushes = p.below(8) == 0;
            alive = (flushes ? p.flush() : p.write(p.some(1 + p.below(4), 400), p.below(3) != 0)).has_value();
        }
        p.drop();
        if (p.below(2) == 0) {
            p.disk().restart_program();
            const auto found = recovered_copy(p, false);
            require(p.expected.possible(found), "a killed program left impossible contents");
            p.expected.seen(found);
        } else {
            p.disk().reboot({.seed = p.below(UINT64_MAX)});
            const auto found = recovered_copy(p, false);
            require(p.expected.possible_after_power_loss(found), "a power cut left impossible contents");
            p.expected = history(found);
        }
    }
}

constexpr const char* bad_manifest = "L0 4\nL0 3\nL";
constexpr const char* no_table = "no table";

void repair(program& p, trial& states) {
    auto& disk = p.disk();
    must(p.open(), "open");
    for (int i = 0; i < 4; ++i) {
        write_some(p, 3, 3, 100);
        must(p.flush(), "flush");
    }
    write_some(p, 2, 3, 100);
    const auto tables = p.database()->live_tables();
    must(p.close(), "close");
    // Lose MANIFEST, damage it, or damage a table.
    states.pause();
    const auto damage = p.below(3);
    const std::string victim = damage == 2 ? lsm::detail::table_name(tables[p.below(tables.size())].id) : "MANIFEST";
    const std::string path = lsm::detail::joined(directory, victim);
    must(disk.remove(path), "remove");
    if (damage != 0) write_durably(disk, path, damage == 1 ? bad_manifest : no_table);
    must(lsm::io::sync_directory(disk, directory), "sync");
    const auto left = recovered_copy(p, true);
    if (damage != 2) require(left == p.expected.now(), "repair() of a MANIFEST lost keys");
    p.expected = history(left);
    if (damage == 0) states.resume_with_repair({}, {});
    if (damage == 1) states.resume_with_repair("MANIFEST.bak", bad_manifest);
    if (damage == 2) states.resume_with_repair("damaged-", no_table);
    must(lsm::repair(directory, {.newer_by_id = true, .file_system = &disk}), "repair");
    must(p.open(), "open");
    must(p.close(), "close");
}

// Recovers from logs, which are damaged if the recovery mode accepts damage. The recovery is killed up to two times.
void logs(program& p, trial& states) {
    states.pause();
    auto kept = leave_logs(p);
    const bool damaged = !kept.empty();
    require(p.expected.possible(recovered_copy(p, false)), "recovery leaves contents that its mode does not allow");
    states.resume("cut-", std::move(kept));
    if (damaged) {
        // A mode that refuses damage must refuse these logs, and change nothing.
        const auto state = [&] { return p.disk().after_power_loss({power_loss::kind::everything}).fingerprint(); };
        const auto before = state();
        auto exact = p.opts();
        exact.wal_recovery = lsm::wal::recovery::absolute;
        const auto refused = lsm::db::open(directory, exact);
        require(!refused && refused.error().code == lsm::errc::corruption, "recovery::absolute accepts damage");
        require(state() == before, "an open that was refused has changed the disk");
    }
    for (auto kills = p.below(3); kills > 0; --kills) {
        p.disk().lose_power(p.below(40));
        static_cast<void>(p.open());
        p.drop();
        p.disk().restart_program();
    }
    must(p.open(), "open");
    // Only a mode that accepts damage may write here: a power cut can tear such a record, which is a defect.
    if (damaged) write_some(p, p.below(4), 3, 100);
    must(p.flush(), "flush");
    reopen(p);
    must(p.close(), "close");
}

struct workload {
    const char* name;
    std::function<void(program&, trial&)> run;
    lsm::options opts;
    unsigned runs = 1;  // the number of runs for each seed; more for workloads that are short
};

std::vector<workload> all_workloads() {
    const auto none = tiny(compaction_style::none);
    auto unsynced_options = none, mixed_options = none, leveled = tiny(compaction_style::leveled);
    unsynced_options.sync = false;
    mixed_options.wal_recovery = lsm::wal::recovery::point_in_time;
    auto preallocating = none;
    preallocating.log_preallocation_bytes = 2000;
    auto rotating = mixed_options;
    rotating.log_preallocation_bytes = 700;
    auto mapping = rotating, mapping_unsynced = unsynced_options;
    mapping.map_log = mapping_unsynced.map_log = true;
    mapping_unsynced.log_preallocation_bytes = 2000;
    auto recovering = mixed_options;
    recovering.compaction = leveled.compaction;
    auto recovering_mapped = recovering;
    recovering_mapped.map_log = true;
    recovering_mapped.log_preallocation_bytes = 2000;
    auto salvaging = none, exact = none;
    salvaging.wal_recovery = lsm::wal::recovery::salvage;
    exact.wal_recovery = lsm::wal::recovery::absolute;
    const auto alone = [](void (*run)(program&)) { return [run](program& p, trial&) { run(p); }; };
    return {
        {"create", alone(create), none, 12},
        {"put", alone(put), none},
        {"put_preallocated", alone(put), preallocating},
        {"batch", alone(batch), none},
        {"unsynced", alone(unsynced), unsynced_options},
        {"unsynced_mapped", alone(unsynced), mapping_unsynced},
        {"mixed", alone(mixed), mixed_options},
        {"rotation", alone(rotation), rotating},
        {"rotation_mapped", alone(rotation), mapping},
        {"flush", alone(flush), none},
        {"full_disk", alone(full_disk), none, 2},
        {"full_disk_cut", alone(full_disk), mixed_options},
        {"full_disk_preallocated", alone(full_disk), preallocating},
        {"leveled", alone(compaction), leveled},
        {"tiered", alone(compaction), tiny(compaction_style::size_tiered)},
        {"checkpoint", alone(checkpoint), leveled},
        {"recovery", alone(recovery), recovering, 3},
        {"recovery_mapped", alone(recovery), recovering_mapped, 3},
        {"repair", repair, none, 4},
        {"point_in_time", logs, mixed_options, 4},
        {"salvage", logs, salvaging, 4},
        {"absolute", logs, exact, 2},
    };
}

constexpr std::uint64_t seeds_apart = 1'000'000'000;

void run(const workload& work, std::uint64_t seed, trial& states) {
    states.begin(work.name, seed);
    simulated_file_system disk(seed);
    program p(disk, work.opts, directory, seed);
    disk.before_each([&](const auto& next) {
        if (states.traces())
            std::printf("%6" PRIu64 " %s %s\n", next.number, std::string(to_string(next.what)).c_str(),
                        std::string(next.path).c_str());
        // Before an operation that changes nothing, the state is that before the next one that does.
        if (changes_disk(next.what)) states.cut_power(p, next.number);
    });
    try {
        work.run(p, states);
        states.cut_power(p, disk.operations());
    } catch (const std::exception& problem) {
        states.failed(states.run_flags(), problem.what());
    }
}

power_loss pattern_of(const std::string& name) {
    for (const auto kind :
         {power_loss::kind::nothing, power_loss::kind::everything, power_loss::kind::prefix, power_loss::kind::some}) {
        const power_loss pattern{kind, std::strtoull(name.c_str() + name.find(':') + 1, nullptr, 10)};
        if (name_of(pattern) == name) return pattern;
    }
    std::fprintf(stderr, "power_loss: unknown pattern: %s\n", name.c_str());
    std::exit(2);
}

}  // namespace

int main(int argc, char** argv) {
    cxxopts::Options flags("power_loss", "Simulates power cuts before every operation of programs that use a database");
    flags.add_options()("states", "least number of distinct states to check",
                        cxxopts::value<std::uint64_t>()->default_value("20000"))(
        "seed", "seed of the first run of each workload", cxxopts::value<std::uint64_t>()->default_value("1"))(
        "workload", "run only this workload", cxxopts::value<std::string>())(
        "point", "cut power only before this operation", cxxopts::value<std::uint64_t>())(
        "pattern", "lose only this pattern of unsynced changes, such as \"some:17\"", cxxopts::value<std::string>());
    const auto given = parsed(std::move(flags), argc, argv);
    selection only;
    if (given.count("point") != 0) only.point = given["point"].as<std::uint64_t>();
    if (given.count("pattern") != 0) only.pattern = pattern_of(given["pattern"].as<std::string>());
    const auto wanted = given["states"].as<std::uint64_t>();
    const auto first_seed = given["seed"].as<std::uint64_t>();

    trial states(only);
    std::uint64_t seed = first_seed;
    for (; states.states() < wanted && !states.failed_too_often(); ++seed) {
        const auto before = states.states();
        for (const workload& work : all_workloads())
            if (given.count("workload") == 0 || given["workload"].as<std::string>() == work.name)
                for (unsigned i = 0; i < work.runs; ++i) run(work, seed + i * seeds_apart, states);
        if (states.states() == before) break;  // the flags select no state
    }
    for (const auto& [name, count] : states.counts) std::printf("%-22s %9" PRIu64 " states\n", name.c_str(), count);
    std::printf("%" PRIu64 " distinct states, seeds %" PRIu64 " to %" PRIu64 ", %" PRIu64 " failures\n",
                states.states(), first_seed, seed - 1, states.failures());
    if (states.failures() != 0 || states.states() == 0) return 1;
    std::puts("=== OK ===");
}
