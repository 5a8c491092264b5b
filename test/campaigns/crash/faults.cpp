// Makes every file-system operation of programs that use a database fail in turn: with EIO, ENOSPC or EINTR, or by
// transferring only half of the bytes, once or from then on. Each fault must be reported to the program or be harmless.
// Afterwards, also after a power cut, the database must hold what was acknowledged. scripts/crash.sh runs many seeds.

#include <cerrno>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <cxxopts.hpp>

#include <lsm/core/sha256.hpp>
#include <lsm/db/db.hpp>
#include <lsm/db/repair.hpp>
#include <lsm/io/simulated_file_system.hpp>
#include <lsm/memtable/memtable.hpp>
#include <lsm/sstable/writer.hpp>
#include <lsm/wal/writer.hpp>

#include "campaigns/crash/program.hpp"
#include "support/flags.hpp"

namespace {

using namespace lsm::test;
using lsm::bytes;
using lsm::compaction_style;
using lsm::io::operation;
using lsm::io::power_loss;
using lsm::io::simulated_file_system;

const std::string data = "data/db";

/// A program's run, which goes on after failures as far as it can and remembers whether one was reported.
class run : private lsm::event_listener, public program {
public:
    run(simulated_file_system& disk, lsm::options opts, std::uint64_t seed)
        : program(disk, with_listener(opts, *this), data, seed) {}

    [[nodiscard]] bool reported() const noexcept { return reported_; }
    bool expects_all = true;  // false after a reported loss: any contents are then possible

    [[nodiscard]] bool possible(const entry_map& found) const { return !expects_all || expected.possible(found); }

    /// Notes whether an operation reported a failure. Returns whether it succeeded.
    template <class T>
    bool note(const lsm::result<T>& outcome) {
        reported_ = reported_ || !outcome;
        return outcome.has_value();
    }

    void start() { note(open()); }
    void put(std::size_t operations_each = 2, bool sync = true, std::size_t longest = 150) {
        const auto batch = some(operations_each, longest);
        if (database() == nullptr || !note(write(batch, sync))) return;
        for (const auto& [key, value] : batch) get(key);
    }
    void get(const bytes& key) {
        const auto found = database()->get(key);
        if (note(found)) require(expected.possible_value(key, *found), "get() returns an impossible value: " + key);
    }
    void scan_both_ways(const lsm::db& at) {
        for (const bool reverse : {false, true}) {
            entry_map found;
            auto entries = at.scan({.reverse = reverse});
            for (; entries.valid(); entries.next()) found.emplace(entries.key(), bytes(entries.value()));
            if (note(entries.status())) require(possible(found), "a scan shows impossible contents");
        }
    }
    /// Calls `step` with the database, if it is open.
    template <class Step>
    void on(Step step) {
        if (database() != nullptr) step(*database());
    }
    void end() { note(close()); }

private:
    static lsm::options with_listener(lsm::options opts, lsm::event_listener& listener) {
        opts.listener = &listener;
        return opts;
    }
    void failed(const lsm::error&) noexcept override { reported_ = true; }

    bool reported_ = false;
};

struct scenario {
    const char* name;
    lsm::options opts;
    std::function<void(run&)> prepare;  // runs without faults
    std::function<void(run&)> act;      // runs with faults
    bool repairs = false;               // whether the database must be repaired before it opens
    unsigned runs = 1;                  // the number of runs, each with its own seed
    bool has_links = true;              // whether the file system supports hard links
};

void write_some(run& p, int batches) {
    p.start();
    for (; batches > 0; --batches) p.put();
}
void fill(run& p) {
    write_some(p, 6);
    must(p.flush(), "flush");
    for (int i = 0; i < 4; ++i) p.put();
    must(p.flush(), "flush");
    for (int i = 0; i < 3; ++i) p.put();
    p.end();
}
// Leaves what a program that is killed during a flush leaves: a frozen log, unlisted tables and temporary files.
void leave_in_a_flush(run& p) {
    fill(p);
    p.start();
    p.disk().before_each([&](const auto& next) {
        if (next.what == operation::create && next.path.ends_with("MANIFEST.tmp")) p.disk().lose_power();
    });
    for (int i = 0; p.database() != nullptr && i < 3; ++i) p.put();
    static_cast<void>(p.flush());
    p.drop();
    p.disk().before_each(nullptr);
    p.disk().restart_program();
}
// Fills a database with tables above level 0 and one table in level 0.
void fill_levels(run& p) {
    fill(p);
    p.start();
    must(p.compact(), "compact");
    p.put(5);
    must(p.flush(), "flush");
    p.end();
}
void replace_file(run& p, const std::string& name, lsm::bytes_view contents) {
    must(p.disk().remove(data + "/" + name), "remove");
    write_durably(p.disk(), data + "/" + name, contents);
}
void damage_manifest(run& p) {
    fill(p);
    replace_file(p, "MANIFEST", "L0 2\nL");
}
void lose_manifest(run& p) {
    fill(p);
    must(p.disk().remove(data + "/MANIFEST"), "remove");
    must(p.disk().sync_directory(data), "sync");
}
// Loses two tables. The program then expects only what a repair of a copy of the disk recovers.
void lose_tables(run& p) {
    fill(p);
    replace_file(p, "sst-000001.sst", "no table");
    must(p.disk().remove(data + "/sst-000002.sst"), "remove");
    must(p.disk().sync_directory(data), "sync");
    auto copy = p.disk().after_power_loss({power_loss::kind::everything});
    must(lsm::repair(data, {.file_system = &copy}), "repair");
    auto opts = p.opts();
    opts.file_system = &copy;
    p.expected = history(contents_of(must(lsm::db::open(data, opts), "open a copy")));
}

void leave_damage(run& p) { leave_logs(p); }

void create(run& p) {
    p.start();
    p.put();
    p.end();
}
void write(run& p) {
    p.start();
    p.put();
    p.put(5);
    p.put(2, false);
    p.put(1, false, 2000);
    p.put(1, true, 2000);
    p.on([&](lsm::db& db) {
        if (auto trouble = db.stats().trouble) p.note(lsm::result<void>(*std::move(trouble)));
    });
    p.end();
}
void flush(run& p) {
    p.start();
    for (int i = 0; i < 3; ++i) {
        p.put();
        p.on([&](auto&) { p.note(p.flush()); });
    }
    p.put();
    p.end();
}
void unsynced(run& p) {
    p.start();
    p.put(2, false);
    p.on([&](auto&) { p.note(p.flush()); });
    p.put(2, false);
    p.end();
}
// Writes keys and values larger than every buffer.
void large(run& p) {
    const auto put = [&](char letter) {
        p.on([&](auto&) {
            p.note(p.write({{bytes(70'000, letter), bytes(70'000, 'v')}, {"key1", bytes(300, letter)}}));
        });
    };
    p.start();
    for (const char letter : {'a', 'b'}) {
        put(letter);
        p.on([&](auto&) { p.note(p.flush()); });
    }
    p.on([&](lsm::db& db) {
        p.note(p.compact());
        p.scan_both_ways(db);
        auto file = lsm::io::file::open(p.disk(), "data/view", lsm::io::open_mode::create_exclusive);
        if (!p.note(file)) return;
        lsm::io::file_sink out(*file);
        p.note(db.serialize_view(out));
        p.note(p.disk().remove(file->path()));
    });
    put('c');
    p.end();
}
void compaction(run& p) {
    p.start();
    for (int i = 0; i < 5; ++i) {
        for (int n = 0; n < 6; ++n) p.put(4);
        p.on([&](auto& db) { p.note(db.settle()); });
    }
    p.on([&](auto&) { p.note(p.compact()); });
    p.on([&](auto& db) { p.scan_both_ways(db); });
    p.end();
}
void checkpoint(run& p) {
    p.start();
    p.put();
    p.on([&](auto&) { p.note(p.checkpoint("copies/1")); });
    p.put();
    p.end();
}
void read(run& p) {
    p.start();
    p.on([&](lsm::db& db) {
        p.scan_both_ways(db);
        for (int i = 0; i < 6; ++i) p.get("key" + std::to_string(7 * i));
        if (const auto found = db.contains("key3"); p.note(found))
            require(p.expected.possible_value("key3", std::nullopt) != *found, "contains() is wrong");
        if (const auto view = db.get_view("key30"); p.note(view))
            require(p.expected.possible_value("key30", *view ? std::optional(bytes(***view)) : std::nullopt),
                    "get_view() shows an impossible value");
        const std::vector<bytes> keys{"key1", "key20", "key40", "none"};
        if (const auto found = db.multi_get(keys); p.note(found))
            for (std::size_t i = 0; i < keys.size(); ++i)
                require(p.expected.possible_value(keys[i], (*found)[i]), "multi_get() returns an impossible value");
        if (const auto report = db.verify(); p.note(report) && !report->damage.empty())
            p.note(lsm::result<void>(report->damage.front()));
        bytes view;
        lsm::io::string_sink out(view);
        const bool viewed = p.note(db.serialize_view(out));
        const auto digest = db.digest();
        if (p.note(digest) && viewed) {
            lsm::detail::sha256 hash;
            hash.update(view);
            require(hash.finish() == *digest, "digest() is not the hash of the serialized view");
        }
    });
    p.end();
}
// Uses logs, dumps and tables without a database. Goes on after a failure: the next calls report it again.
void stages(run& p) {
    auto& fs = p.disk();
    const auto create = [&](const char* path) {
        return lsm::io::file::open(fs, path, lsm::io::open_mode::create_exclusive);
    };
    for (int i = 0; i < 2; ++i) {
        auto log = lsm::wal::writer::open(fs, "data/log");
        if (!p.note(log)) continue;
        for (int n = 0; n < 2; ++n) {
            p.note(log->append(batch_of(p.some(2)).encode()));
            p.note(log->append_record());
            p.note(log->sync());
        }
        if (i == 1) p.note(log->rotate("data/rotated log"));
        p.note(log->close());
    }
    lsm::memtable table;
    for (const char letter : {'a', 'b', 'c'}) table.put(bytes(40'000, letter), "value");
    if (auto file = create("data/dump"); p.note(file)) {
        lsm::io::file_sink out(*file);
        p.note(table.encode(out));
        p.note(file->close());
    }
    if (auto file = create("data/table"); p.note(file)) {
        lsm::io::file_sink out(*file);
        lsm::sst_writer writer(out, {.block_size = 256});
        for (auto at = table.iter(); at.valid(); at.next()) p.note(writer.add(at.key(), at.value()));
        p.note(writer.finish());
        p.note(file->close());
    }
}
// A cursor reads tables that a compaction has removed meanwhile.
void read_on(run& p) {
    p.start();
    p.on([&](lsm::db& db) {
        entry_map found;
        auto entries = db.scan();
        p.note(p.compact());
        for (; entries.valid(); entries.next()) found.emplace(entries.key(), bytes(entries.value()));
        if (p.note(entries.status())) require(p.possible(found), "a scan shows impossible contents");
    });
    p.end();
}
void recover(run& p) {
    p.start();
    p.on([&](auto& db) { p.scan_both_ways(db); });
    p.end();
    p.start();
    p.put();
    p.end();
}
void repair(run& p) {
    const auto report = lsm::repair(data, {.newer_by_id = true, .file_system = &p.disk()});
    // repair() sets aside a table that the disk fails to read. The keys that only that table holds are then lost.
    if (p.note(report))
        for (const auto& lost : report->lost) {
            if (lost.why.sys != EIO) continue;
            p.note(lsm::result<void>(lost.why));
            p.expects_all = false;
        }
    p.start();
    p.on([&](auto& db) { p.scan_both_ways(db); });
    p.end();
}
// A read-only database beside the one that writes.
void read_only(run& p) {
    auto opts = p.opts();
    opts.read_only = true;
    opts.listener = nullptr;
    auto reader = lsm::db::open(data, opts);
    if (p.note(reader)) p.scan_both_ways(*reader);
    p.start();
    p.put();
    p.put();
    if (reader && p.note(reader->refresh())) p.scan_both_ways(*reader);
    p.on([&](auto&) { p.note(p.flush()); });
    if (reader && p.note(reader->refresh())) p.scan_both_ways(*reader);
    if (reader) p.note(reader->close());
    p.end();
}

std::vector<scenario> all_scenarios() {
    auto cutting = tiny(compaction_style::none);
    cutting.log_preallocation_bytes = 300;
    cutting.wal_recovery = lsm::wal::recovery::point_in_time;
    auto strict = cutting;
    strict.wal_recovery = lsm::wal::recovery::strict_tail;
    auto compacting = strict;
    compacting.compaction = tiny(compaction_style::leveled).compaction;
    compacting.write_buffer_bytes = 2048;
    auto salvaging = cutting, exact = cutting;
    salvaging.wal_recovery = lsm::wal::recovery::salvage;
    exact.wal_recovery = lsm::wal::recovery::absolute;
    auto mapped = cutting;
    mapped.map_log = true;
    auto uncached = strict;
    uncached.block_cache_bytes = 0;
    auto canonical = uncached;
    canonical.extended_tables = false;
    canonical.max_open_files = 1;
    return {
        {"create", strict, [](run&) {}, create},
        {"write", cutting, fill, write},
        {"flush", strict, fill, flush},
        {"compaction", compacting, fill, compaction},
        {"unsynced", cutting, fill, unsynced},
        {"unsynced_mapped", mapped, fill, unsynced},
        {"large", strict, large, large},
        {"stages", strict, fill, stages},
        {"checkpoint", compacting, fill, checkpoint},
        {.name = "copies", .opts = strict, .prepare = fill, .act = checkpoint, .has_links = false},
        {"read", uncached, fill, read},
        {"canonical", canonical, fill_levels, read},
        {"read_on", canonical, fill_levels, read_on},
        {"recovery", cutting, leave_in_a_flush, recover},
        {"point_in_time", cutting, leave_damage, recover, false, 4},
        {"salvage", salvaging, leave_damage, recover, false, 2},
        {"absolute", exact, leave_damage, [](run& p) { p.start(), p.end(); }},
        {"repair", strict, damage_manifest, repair, true},
        {"repair_orphans", strict, lose_manifest, repair, true},
        {"repair_tables", strict, lose_tables, repair, true},
        {"read_only", strict, fill, read_only},
    };
}

constexpr std::uint64_t seeds_apart = 1'000'000'000;

struct injection {
    const char* name;
    int sys;
    bool lasting;
};
constexpr injection injections[] = {
    {"EIO", EIO, false},     {"EIO+", EIO, true},     {"ENOSPC", ENOSPC, false}, {"ENOSPC+", ENOSPC, true},
    {"EINTR", EINTR, false}, {"EINTR+", EINTR, true}, {"short", 0, false},       {"short+", 0, true},
};

struct tally {
    std::uint64_t operations = 0;
    std::uint64_t faults = 0;
    std::uint64_t reported = 0;
};

/// What to run: everything, or only what is set.
struct selection {
    std::optional<std::string> scenario;
    std::optional<std::uint64_t> operation;
    std::optional<std::string> fault;
};

/// Injects every fault into every operation, and counts what happens.
class trial {
public:
    explicit trial(selection only) : only_(std::move(only)) {}

    [[nodiscard]] std::uint64_t failures() const { return failures_; }
    std::map<operation, tally> kinds;
    std::uint64_t states = 0;

    /// Runs a scenario once for each of its operations and each kind of fault.
    void all(const scenario& scene, std::uint64_t seed) {
        if (only_.scenario && *only_.scenario != scene.name) return;
        simulated_file_system disk(seed);
        run prepared(disk, scene.opts, seed);
        scene.prepare(prepared);
        // Settle what the preparation left in doubt, on a copy of the disk.
        auto copy = disk.after_power_loss({power_loss::kind::everything});
        if (scene.repairs) must(lsm::repair(data, {.newer_by_id = true, .file_system = &copy}), "repair");
        auto opts = scene.opts;
        opts.file_system = &copy;
        const auto found = contents_of(must(lsm::db::open(data, opts), "open a copy"));
        require(prepared.expected.possible(found), "the preparation left impossible contents");
        prepared.expected = history(found);
        for (std::uint64_t k = 0;; ++k) {
            bool reached = false;
            for (const injection& fault : injections) reached = one(scene, seed, prepared, k, fault) || reached;
            if (!reached) break;
        }
    }

private:
    // Runs a scenario with one fault at operation k. Returns whether the run had an operation k.
    bool one(const scenario& scene, std::uint64_t seed, run& prepared, std::uint64_t k, const injection& fault) {
        auto disk = prepared.disk().after_power_loss({power_loss::kind::everything});
        std::optional<operation> kind;
        std::uint64_t refused_links = 0;  // faults that are part of the scenario
        disk.before_each([&](const auto& next) {
            if (next.number == k) kind = next.what;
            if (!scene.has_links && next.what == operation::link) ++refused_links;
        });
        if (!scene.has_links) disk.inject({.sys = EXDEV, .lasting = true, .of = operation::link});
        // An operation that is not selected runs without a fault, so that the operations are counted all the same.
        const bool chosen = (!only_.operation || *only_.operation == k) && (!only_.fault || *only_.fault == fault.name);
        if (chosen) disk.inject({.after = k, .sys = fault.sys, .lasting = fault.lasting});
        try {
            run p(disk, scene.opts, seed + 1);
            p.expected = prepared.expected;
            scene.act(p);
            disk.before_each(nullptr);
            disk.clear_faults();
            if (kind && &fault == &injections[0]) ++kinds[*kind].operations;
            if (chosen && disk.faults_met() > refused_links) {
                ++kinds[*kind].faults;
                kinds[*kind].reported += p.reported();
                for (const power_loss loss : {power_loss{power_loss::kind::nothing}, power_loss{.seed = 2 * k},
                                              power_loss{.seed = 2 * k + 1}}) {
                    auto left = disk.after_power_loss(loss);
                    check(scene, p, left, true);
                }
                go_on(p);
            } else {
                require(!p.reported(), "a failure is reported without a fault");
            }
            check(scene, p, disk, false);
        } catch (const std::exception& problem) {
            ++failures_;
            std::printf("FAILED: %s\n  --seed %" PRIu64 " --scenario %s --operation %" PRIu64 " --fault %s\n",
                        problem.what(), seed, scene.name, k, fault.name);
            std::fflush(stdout);
        }
        return kind.has_value();
    }

    // After the fault is cleared, a database that is still open must show everything acknowledged.
    static void go_on(run& p) {
        p.on([&](lsm::db& db) {
            require(p.possible(contents_of(db)), "the open database has impossible contents after the fault");
            static_cast<void>(p.write(p.some(2)));
        });
        static_cast<void>(p.close());
    }

    // Recovers the database on `disk` and requires that its contents are possible.
    void check(const scenario& scene, run& p, simulated_file_system& disk, bool power_was_lost) {
        ++states;
        if (scene.repairs) must(lsm::repair(data, {.newer_by_id = true, .file_system = &disk}), "repair");
        for (const auto& copy : p.checkpoints) check_copy(p.opts(), disk, copy);
        check_recovered(p.opts(), disk, data, [&](const entry_map& found) {
            return !p.expects_all ||
                   (power_was_lost ? p.expected.possible_after_power_loss(found) : p.expected.possible(found));
        });
    }

    selection only_;
    std::uint64_t failures_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    cxxopts::Options flags("faults", "Makes every file-system operation of programs that use a database fail in turn");
    flags.add_options()("length", "number of seeds", cxxopts::value<std::uint64_t>()->default_value("1"))(
        "seed", "first seed", cxxopts::value<std::uint64_t>()->default_value("1"))("scenario", "run only this scenario",
                                                                                   cxxopts::value<std::string>())(
        "operation", "make only this operation fail", cxxopts::value<std::uint64_t>())(
        "fault", "inject only this fault, such as \"EIO\", or \"EIO+\" from then on", cxxopts::value<std::string>());
    const auto given = parsed(std::move(flags), argc, argv);
    selection only;
    if (given.count("scenario") != 0) only.scenario = given["scenario"].as<std::string>();
    if (given.count("operation") != 0) only.operation = given["operation"].as<std::uint64_t>();
    if (given.count("fault") != 0) only.fault = given["fault"].as<std::string>();
    const auto first = given["seed"].as<std::uint64_t>();
    const auto length = given["length"].as<std::uint64_t>();

    trial faults(only);
    for (std::uint64_t seed = first; seed < first + length && faults.failures() < 20; ++seed)
        for (const scenario& scene : all_scenarios())
            for (unsigned i = 0; i < scene.runs; ++i) faults.all(scene, seed + i * seeds_apart);
    tally sum;
    std::printf("%-15s %10s %10s %10s %10s\n", "operation", "count", "faults", "reported", "harmless");
    const auto line = [](const std::string& name, const tally& row) {
        std::printf("%-15s %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 "\n", name.c_str(), row.operations,
                    row.faults, row.reported, row.faults - row.reported);
    };
    for (const auto& [kind, row] : faults.kinds) {
        line(std::string(to_string(kind)), row);
        sum.operations += row.operations;
        sum.faults += row.faults;
        sum.reported += row.reported;
    }
    line("all", sum);
    std::printf("%" PRIu64 " states checked, %" PRIu64 " failures\n", faults.states, faults.failures());
    if (faults.failures() != 0 || sum.faults == 0) return 1;
    std::puts("=== OK ===");
}
