// Every file-system operation of programs that use a database fails: with EIO, with ENOSPC, with EINTR, by reading or
// writing half, once or from then on. Each time the program is told, or it does no harm; and what is there afterwards,
// after a power cut too, is what was acknowledged. scripts/crash.sh runs it with many seeds.

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

/// A program's run, which goes on as far as it can and remembers whether it was told of a failure.
class run : private lsm::event_listener, public program {
public:
    run(simulated_file_system& disk, lsm::options how, std::uint64_t seed)
        : program(disk, listened(how, *this), data, seed) {}

    [[nodiscard]] bool told() const noexcept { return told_; }
    bool expects_all = true;

    [[nodiscard]] bool possible(const contents& found) const { return !expects_all || expected.possible(found); }

    template <class T>
    bool note(const lsm::result<T>& outcome) {
        told_ = told_ || !outcome;
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
        if (note(found)) expect(expected.possible_value(key, *found), "get returns what is not there: " + key);
    }
    void look(const lsm::db& at) {
        for (const bool reverse : {false, true}) {
            contents found;
            auto entries = at.scan({.reverse = reverse});
            for (; entries.valid(); entries.next()) found.emplace(entries.key(), bytes(entries.value()));
            if (note(entries.status())) expect(possible(found), "a scan shows what is not there");
        }
    }
    template <class Step>
    void on(Step step) {
        if (database() != nullptr) step(*database());
    }
    void end() { note(close()); }

private:
    static lsm::options listened(lsm::options how, lsm::event_listener& by) {
        how.listener = &by;
        return how;
    }
    void failed(const lsm::error&) noexcept override { told_ = true; }

    bool told_ = false;
};

struct scenario {
    const char* name;
    lsm::options how;
    std::function<void(run&)> prepare;  // without faults
    std::function<void(run&)> act;      // with them
    bool repairs = false;
    unsigned runs = 1;      // with other seeds
    bool has_links = true;  // whether a file can have a second name
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
// What a program leaves that is killed in the middle of a flush: a frozen log, tables that nothing lists, temporary
// files.
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
// The same with tables above level 0, and one of level 0.
void fill_levels(run& p) {
    fill(p);
    p.start();
    must(p.compact(), "compact");
    p.put(5);
    must(p.flush(), "flush");
    p.end();
}
void replace_file(run& p, const std::string& name, lsm::bytes_view by) {
    must(p.disk().remove(data + "/" + name), "remove");
    write_durably(p.disk(), data + "/" + name, by);
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
// What is lost then is not to be expected any more.
void lose_tables(run& p) {
    fill(p);
    replace_file(p, "sst-000001.sst", "no table");
    must(p.disk().remove(data + "/sst-000002.sst"), "remove");
    must(p.disk().sync_directory(data), "sync");
    auto copy = p.disk().after_power_loss({power_loss::kind::everything});
    must(lsm::repair(data, {.file_system = &copy}), "repair");
    auto how = p.how();
    how.file_system = &copy;
    p.expected = history(contents_of(must(lsm::db::open(data, how), "open a copy")));
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
// Keys and values beyond every buffer.
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
        p.look(db);
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
    p.on([&](auto& db) { p.look(db); });
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
        p.look(db);
        for (int i = 0; i < 6; ++i) p.get("key" + std::to_string(7 * i));
        if (const auto there = db.contains("key3"); p.note(there))
            expect(p.expected.possible_value("key3", std::nullopt) != *there, "contains is wrong");
        if (const auto view = db.get_view("key30"); p.note(view))
            expect(p.expected.possible_value("key30", *view ? std::optional(bytes(***view)) : std::nullopt),
                   "get_view shows what is not there");
        const std::vector<bytes> keys{"key1", "key20", "key40", "none"};
        if (const auto found = db.multi_get(keys); p.note(found))
            for (std::size_t i = 0; i < keys.size(); ++i)
                expect(p.expected.possible_value(keys[i], (*found)[i]), "multi_get returns what is not there");
        if (const auto report = db.verify(); p.note(report) && !report->damage.empty())
            p.note(lsm::result<void>(report->damage.front()));
        bytes view;
        lsm::io::string_sink out(view);
        const bool viewed = p.note(db.serialize_view(out));
        const auto digest = db.digest();
        if (p.note(digest) && viewed) {
            lsm::detail::sha256 hash;
            hash.update(view);
            expect(hash.finish() == *digest, "the digest is not that of the view");
        }
    });
    p.end();
}
// The stages without a database. What has failed says so again.
void stages(run& p) {
    auto& fs = p.disk();
    const auto create = [&](const char* path) {
        return lsm::io::file::open(fs, path, lsm::io::open_mode::create_exclusive);
    };
    for (int i = 0; i < 2; ++i) {
        auto log = lsm::wal::writer::open(fs, "data/log");
        if (!p.note(log)) continue;
        for (int n = 0; n < 2; ++n) {
            p.note(log->append(encoded(p.some(2)).encode()));
            p.note(log->append_record());
            p.note(log->sync());
        }
        if (i == 1) p.note(log->rotate("data/log of before"));
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
// A reader has the tables that go meanwhile.
void read_on(run& p) {
    p.start();
    p.on([&](lsm::db& db) {
        contents found;
        auto entries = db.scan();
        p.note(p.compact());
        for (; entries.valid(); entries.next()) found.emplace(entries.key(), bytes(entries.value()));
        if (p.note(entries.status())) expect(p.possible(found), "a scan shows what is not there");
    });
    p.end();
}
void recover(run& p) {
    p.start();
    p.on([&](auto& db) { p.look(db); });
    p.end();
    p.start();
    p.put();
    p.end();
}
void repair(run& p) {
    const auto report = lsm::repair(data, {.newer_by_id = true, .file_system = &p.disk()});
    // A table on which the disk fails is put aside, and what only it has is not to be expected any more.
    if (p.note(report))
        for (const auto& lost : report->lost) {
            if (lost.why.sys != EIO) continue;
            p.note(lsm::result<void>(lost.why));
            p.expects_all = false;
        }
    p.start();
    p.on([&](auto& db) { p.look(db); });
    p.end();
}
void read_only(run& p) {
    auto how = p.how();
    how.read_only = true;
    how.listener = nullptr;
    auto beside = lsm::db::open(data, how);
    if (p.note(beside)) p.look(*beside);
    p.start();
    p.put();
    p.put();
    if (beside && p.note(beside->refresh())) p.look(*beside);
    p.on([&](auto&) { p.note(p.flush()); });
    if (beside && p.note(beside->refresh())) p.look(*beside);
    if (beside) p.note(beside->close());
    p.end();
}

std::vector<scenario> all_scenarios() {
    auto how = tiny(compaction_style::none);
    how.log_preallocation_bytes = 300;
    how.wal_recovery = lsm::wal::recovery::point_in_time;
    auto strict = how;
    strict.wal_recovery = lsm::wal::recovery::strict_tail;
    auto compacting = strict;
    compacting.compaction = tiny(compaction_style::leveled).compaction;
    compacting.write_buffer_bytes = 2048;
    auto salvaging = how, exact = how;
    salvaging.wal_recovery = lsm::wal::recovery::salvage;
    exact.wal_recovery = lsm::wal::recovery::absolute;
    auto mapped = how;
    mapped.map_log = true;
    auto uncached = strict;
    uncached.block_cache_bytes = 0;
    auto canonical = uncached;
    canonical.extended_tables = false;
    canonical.max_open_files = 1;
    return {
        {"create", strict, [](run&) {}, create},
        {"write", how, fill, write},
        {"flush", strict, fill, flush},
        {"compaction", compacting, fill, compaction},
        {"unsynced", how, fill, unsynced},
        {"unsynced_mapped", mapped, fill, unsynced},
        {"large", strict, large, large},
        {"stages", strict, fill, stages},
        {"checkpoint", compacting, fill, checkpoint},
        {.name = "copies", .how = strict, .prepare = fill, .act = checkpoint, .has_links = false},
        {"read", uncached, fill, read},
        {"canonical", canonical, fill_levels, read},
        {"read_on", canonical, fill_levels, read_on},
        {"recovery", how, leave_in_a_flush, recover},
        {"point_in_time", how, leave_damage, recover, false, 4},
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
    std::uint64_t told = 0;
};

struct selection {
    std::optional<std::string> scenario;
    std::optional<std::uint64_t> operation;
    std::optional<std::string> fault;
};

class trial {
public:
    explicit trial(selection only) : only_(std::move(only)) {}

    [[nodiscard]] std::uint64_t failures() const { return failures_; }
    std::map<operation, tally> kinds;
    std::uint64_t states = 0;

    void all(const scenario& what, std::uint64_t seed) {
        if (only_.scenario && *only_.scenario != what.name) return;
        simulated_file_system disk(seed);
        run prepared(disk, what.how, seed);
        what.prepare(prepared);
        auto copy = disk.after_power_loss({power_loss::kind::everything});
        if (what.repairs) must(lsm::repair(data, {.newer_by_id = true, .file_system = &copy}), "repair");
        auto how = what.how;
        how.file_system = &copy;
        const auto found = contents_of(must(lsm::db::open(data, how), "open a copy"));
        expect(prepared.expected.possible(found), "a preparation failed");
        prepared.expected = history(found);
        for (std::uint64_t k = 0;; ++k) {
            bool reached = false;
            for (const injection& fault : injections) reached = one(what, seed, prepared, k, fault) || reached;
            if (!reached) break;
        }
    }

private:
    // Whether there is an operation k.
    bool one(const scenario& what, std::uint64_t seed, run& prepared, std::uint64_t k, const injection& fault) {
        auto disk = prepared.disk().after_power_loss({power_loss::kind::everything});
        std::optional<operation> kind;
        std::uint64_t links = 0;  // that were refused
        disk.before_each([&](const auto& next) {
            if (next.number == k) kind = next.what;
            if (!what.has_links && next.what == operation::link) ++links;
        });
        if (!what.has_links) disk.inject({.sys = EXDEV, .lasting = true, .of = operation::link});
        const bool chosen = (!only_.operation || *only_.operation == k) && (!only_.fault || *only_.fault == fault.name);
        if (chosen) disk.inject({.after = k, .sys = fault.sys, .lasting = fault.lasting});
        try {
            run p(disk, what.how, seed + 1);
            p.expected = prepared.expected;
            what.act(p);
            disk.before_each(nullptr);
            disk.clear_faults();
            if (kind && &fault == &injections[0]) ++kinds[*kind].operations;
            if (chosen && disk.faults_met() > links) {
                ++kinds[*kind].faults;
                kinds[*kind].told += p.told();
                for (const power_loss loss : {power_loss{power_loss::kind::nothing}, power_loss{.seed = 2 * k},
                                              power_loss{.seed = 2 * k + 1}}) {
                    auto left = disk.after_power_loss(loss);
                    check(what, p, left, true);
                }
                go_on(p);
            } else {
                expect(!p.told(), "a failure without a fault");
            }
            check(what, p, disk, false);
        } catch (const std::exception& problem) {
            ++failures_;
            std::printf("FAILED: %s\n  --seed %" PRIu64 " --scenario %s --operation %" PRIu64 " --fault %s\n",
                        problem.what(), seed, what.name, k, fault.name);
            std::fflush(stdout);
        }
        return kind.has_value();
    }

    // The disk is well again: what the program has open shows all there is.
    static void go_on(run& p) {
        p.on([&](lsm::db& db) {
            expect(p.possible(contents_of(db)), "after the fault something is missing");
            static_cast<void>(p.write(p.some(2)));
        });
        static_cast<void>(p.close());
    }

    void check(const scenario& what, run& p, simulated_file_system& disk, bool power_was_lost) {
        ++states;
        if (what.repairs) must(lsm::repair(data, {.newer_by_id = true, .file_system = &disk}), "repair");
        for (const auto& copy : p.checkpoints) check_copy(p.how(), disk, copy);
        check_recovered(p.how(), disk, data, [&](const contents& found) {
            return !p.expects_all ||
                   (power_was_lost ? p.expected.possible_after_power_loss(found) : p.expected.possible(found));
        });
    }

    selection only_;
    std::uint64_t failures_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    cxxopts::Options known("faults", "Every file-system operation of programs that use a database fails in turn");
    known.add_options()("length", "so many seeds", cxxopts::value<std::uint64_t>()->default_value("1"))(
        "seed", "the first", cxxopts::value<std::uint64_t>()->default_value("1"))(
        "scenario", "only this one", cxxopts::value<std::string>())("operation", "only this one fails",
                                                                    cxxopts::value<std::uint64_t>())(
        "fault", "only this one, as in \"EIO\", or \"EIO+\" for good", cxxopts::value<std::string>());
    const auto given = parsed(std::move(known), argc, argv);
    selection only;
    if (given.count("scenario") != 0) only.scenario = given["scenario"].as<std::string>();
    if (given.count("operation") != 0) only.operation = given["operation"].as<std::uint64_t>();
    if (given.count("fault") != 0) only.fault = given["fault"].as<std::string>();
    const auto first = given["seed"].as<std::uint64_t>();
    const auto length = given["length"].as<std::uint64_t>();

    trial faults(only);
    for (std::uint64_t seed = first; seed < first + length && faults.failures() < 20; ++seed)
        for (const scenario& what : all_scenarios())
            for (unsigned i = 0; i < what.runs; ++i) faults.all(what, seed + i * seeds_apart);
    tally sum;
    std::printf("%-15s %10s %10s %10s %10s\n", "operation", "of them", "faults", "told", "harmless");
    const auto line = [](const std::string& name, const tally& of) {
        std::printf("%-15s %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 "\n", name.c_str(), of.operations,
                    of.faults, of.told, of.faults - of.told);
    };
    for (const auto& [kind, of] : faults.kinds) {
        line(std::string(to_string(kind)), of);
        sum.operations += of.operations;
        sum.faults += of.faults;
        sum.told += of.told;
    }
    line("all", sum);
    std::printf("%" PRIu64 " states looked at, %" PRIu64 " failures\n", faults.states, faults.failures());
    if (faults.failures() != 0 || sum.faults == 0) return 1;
    std::puts("=== OK ===");
}
