// Runs lsm and other stores over the same workloads with equal settings, in turn, and prints medians and their ratios.

#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <cxxopts.hpp>

#include "child.hpp"
#include "dataset.hpp"
#include "engine.hpp"
#include "workloads.hpp"

namespace {

using namespace bench;

/// Which workloads mean something for an engine: a tree has no log to replay; a disk only takes synced appends.
enum class family { log_structured, tree, disk };

struct engine_kind {
    std::string name;
    family kind;
    std::unique_ptr<engine> (*make)();
    /// What becomes of checksums when it reads.
    std::string reads = "";
    std::string build = "";

    [[nodiscard]] bool suits(const workload& what) const {
        return kind == family::log_structured || (kind == family::tree && what.from != start::killed) ||
               what.name == "syncput1";
    }
    [[nodiscard]] bool is(const std::string& asked) const { return asked == name; }
};

std::vector<engine_kind> all_engines(bool lsm_mapped, [[maybe_unused]] bool leveldb_verified) {
    return {
        {"lsm", family::log_structured, lsm_mapped ? make_mapped_lsm : make_lsm,
         lsm_mapped ? "maps its tables into memory, as LevelDB does, and verifies what comes into its cache"
                    : "verifies reads"},
#ifdef LSM_BENCH_LEVELDB
        {"leveldb", family::log_structured, make_leveldb,
         leveldb_verified ? "verifies reads, which is not its default" : "does not verify reads, its default",
         LSM_BENCH_LEVELDB},
#endif
#ifdef LSM_BENCH_ROCKSDB
        {"rocksdb", family::log_structured, make_rocksdb, "verifies reads", LSM_BENCH_ROCKSDB},
#endif
#ifdef LSM_BENCH_LMDB
        {"lmdb", family::tree, make_lmdb, "has no checksums", LSM_BENCH_LMDB},
#endif
        {"disk", family::disk, make_disk, "reads nothing"},
    };
}

struct plan {
    std::vector<engine_kind> engines;
    std::vector<workload> workloads;
    config settings;
    unsigned long long rounds, entries, value_bytes, seed;
    bool binary_keys;
};

// --- runs ---

/// A copy that its files' owner cannot tell from the original. Tables are never changed, so they can be shared.
void copy_database(const std::filesystem::path& from, const std::filesystem::path& to) {
    std::filesystem::create_directory(to);
    for (const auto& file : std::filesystem::directory_iterator(from)) {
        const auto& path = file.path();
        if (path.extension() == ".sst" || path.extension() == ".ldb")
            std::filesystem::create_hard_link(path, to / path.filename());
        else
            std::filesystem::copy_file(path, to / path.filename());
    }
}

/// Databases to begin with, made when they are first asked for: one of each kind for all workloads of a round.
class stock {
public:
    explicit stock(std::filesystem::path place) : place_(std::move(place)) {}

    /// Puts one where `settings` say.
    void serve(const engine_kind& e, const config& settings, start what, const dataset& data) const {
        if (what == start::empty) return;
        const auto kept = place_ / (e.name + std::to_string(int(what)) + "-" + std::to_string(data.entries()));
        if (!std::filesystem::exists(kept)) {
            if (what == start::compacted) serve(e, settings, start::filled, data);
            in_child([&, under_test = e.make()] { return prepare(*under_test, settings, what, data), 0; });
            std::filesystem::rename(settings.directory, kept);
        }
        copy_database(kept, settings.directory);
    }
    void clear() const {
        std::filesystem::remove_all(place_);
        std::filesystem::create_directories(place_);
    }

private:
    std::filesystem::path place_;
};

report run(const plan& all, const stock& databases, const engine_kind& e, const workload& w) {
    const dataset data(w.entries, w.value_bytes, all.seed, all.binary_keys);
    databases.serve(e, all.settings, w.from, data);
    ::sync();  // or what is in memory by now would be written during the run
    return in_child(
        [&, under_test = e.make()] { return measure(*under_test, e.kind != family::disk, all.settings, w, data); });
}

// --- figures ---

/// What the table has a line of.
struct figure {
    /// A workload's, or "cost": the less the better.
    std::string group;
    std::string label, unit;
    double (*of)(const workload&, const report&);
};

std::vector<figure> figures_of(const workload& what) {
    const std::string& name = what.name;
    const std::string& group = what.group;
    if (what.from == start::killed)
        return {{group, name, "MB/s", [](auto&, auto& r) { return r.user_bytes / r.run / 1e6; }}};
    std::vector<figure> out{{group, name, "/s", [](auto& w, auto& r) { return double(w.operations) / r.run; }}};
    if (name == "readwhilewriting")
        out.push_back({group, name + ", writer", "/s", [](auto&, auto& r) { return r.writes_beside / r.run; }});
    if (group == "write" && !what.sync)
        out.push_back(
            {group, name + ", settled", "/s", [](auto& w, auto& r) { return double(w.operations) / r.settled; }});
    if (!what.details) return out;
    const auto cost = [&](const char* label, const char* unit, double (*of)(const workload&, const report&)) {
        out.push_back({"cost", name + ", " + label, unit, of});
    };
    cost("write calls / user bytes", "", [](auto&, auto& r) { return r.write_call_bytes / r.user_bytes; });
    cost("disk writes / user bytes", "", [](auto&, auto& r) { return r.disk_write_bytes / r.user_bytes; });
    cost("files / user bytes", "", [](auto&, auto& r) { return r.file_bytes / r.user_bytes; });
    cost("peak memory", "MiB", [](auto&, auto& r) { return r.peak_memory_bytes / (1 << 20); });
    return out;
}

/// Of workload and engine.
using results = std::map<std::pair<std::string, std::string>, std::vector<report>>;

/// All runs, into `found` and the `csv` file. Whether all came off.
bool run(const plan& all, const stock& databases, results& found, std::ostream& csv) {
    csv << "group,row,unit,engine,round,value\n";
    bool good = true;
    for (unsigned round = 1; round <= all.rounds; ++round) {
        databases.clear();
        for (const auto& w : all.workloads)
            for (const auto& e : all.engines) {
                if (!e.suits(w)) continue;
                try {
                    const report r = run(all, databases, e, w);
                    found[{w.name, e.name}].push_back(r);
                    for (const auto& f : figures_of(w))
                        csv << f.group << ",\"" << f.label << "\"," << f.unit << ',' << e.name << ',' << round << ','
                            << f.of(w, r) << std::endl;
                    std::fprintf(stderr, "round %u  %-23s %-8s %8.3f s\n", round, w.name.c_str(), e.name.c_str(),
                                 r.run);
                } catch (const failure& broken) {
                    good = false;
                    std::fprintf(stderr, "BROKEN: %s of %s: %s\n", w.name.c_str(), e.name.c_str(), broken.what());
                }
                std::filesystem::remove_all(all.settings.directory);
            }
    }
    return good;
}

// --- the table ---

struct summary {
    double median;
    /// How far the rounds were from each other: half of that, in parts of the median.
    double noise;
};

std::optional<summary> summary_of(const figure& what, const workload& of, const std::vector<report>& runs) {
    if (runs.empty()) return {};
    std::vector<double> values;
    for (const auto& r : runs) values.push_back(what.of(of, r));
    std::sort(values.begin(), values.end());
    const double median = (values[values.size() / 2] + values[(values.size() - 1) / 2]) / 2;
    return summary{median, (values.back() - values.front()) / 2 / median};
}

void print_number(double number) { std::printf("%12.*f", number < 100 ? 2 : 0, number); }

void print_table(const plan& all, results& found) {
    const bool ratios = all.engines.front().name == "lsm";
    std::string titles, rules;
    const auto add_column = [&](const std::string& title, std::size_t width) {
        titles += std::string(width + 1 - std::min(width, title.size()), ' ') + title + " |";
        rules += "---:|";
    };
    for (const auto& e : all.engines) add_column(e.name, 18);
    for (const auto& e : all.engines)
        if (ratios && e.name != "lsm") add_column("lsm/" + e.name, 12);
    std::printf("| %-36s |      |%s\n|---|---|%s\n", "", titles.c_str(), rules.c_str());
    for (const auto& w : all.workloads)
        for (const auto& f : figures_of(w)) {
            std::printf("| %-36s | %-4s |", f.label.c_str(), f.unit.c_str());
            std::vector<std::optional<summary>> cells;
            for (const auto& e : all.engines) {
                const auto& cell = cells.emplace_back(summary_of(f, w, found[{w.name, e.name}]));
                std::printf(" ");
                cell ? print_number(cell->median) : void(std::printf("%12s", ""));
                cell&& all.rounds > 1 ? std::printf(" ±%3.0f%% |", 100 * cell->noise) : std::printf("%6s |", "");
            }
            for (std::size_t e = 1; ratios && e < cells.size(); ++e) {
                std::printf(" ");
                cells[0] && cells[e] ? print_number(cells[0]->median / cells[e]->median)
                                     : void(std::printf("%12s", ""));
                std::printf(" |");
            }
            std::puts("");
        }
}

/// Two lines, and one on the engines.
std::string circumstances(const plan& all) {
    std::string processor = "processor unknown";
    std::ifstream lines("/proc/cpuinfo");
    for (std::string line; std::getline(lines, line);)
        if (line.starts_with("model name")) processor = line.substr(line.find(':') + 2);
    char date[16];
    const std::time_t now = std::time(nullptr);
    std::strftime(date, sizeof date, "%F", std::localtime(&now));
    utsname system{};
    ::uname(&system);
    const auto& how = all.settings;
    std::ostringstream out;
    out << date << ", " << std::thread::hardware_concurrency() << " cores, " << processor << ", " << system.sysname
        << ' ' << system.release << ". Medians of " << all.rounds << " rounds, engine after engine in each.\n"
        << all.entries << " entries, " << (all.binary_keys ? "binary" : "decimal") << " keys of " << key_text::bytes
        << " bytes, values of " << all.value_bytes << ", seed " << all.seed << "; write buffer "
        << (how.write_buffer_bytes >> 20) << " MiB, cache " << (how.cache_bytes >> 20) << " MiB, "
        << how.filter_bits_per_key << " filter bits a key, no compression.\n";
    for (const auto& e : all.engines)
        out << e.name << ' ' << e.make()->version() << e.build << ": " << e.reads
            << (&e == &all.engines.back() ? ".\n" : "; ");
    return std::move(out).str();
}

// --- the command line ---

cxxopts::Options known_flags() {
    const char* temporary = std::getenv("TMPDIR");
    cxxopts::Options out(
        "lsm_bench",
        "Runs lsm and other stores over the same workloads, in turn\n\n"
        "What the names do not tell:\n"
        "- /compacted: of the database after a compaction by hand; else as random puts left it.\n"
        "- readrandom2: two threads. readhot: the first hundredth of the keys.\n"
        "- seekrandom10, seekrandom100: a walk of so many entries is one operation.\n"
        "- readwhilewriting: one thread reads, which is what is measured, and one overwrites.\n"
        "- bulkload: entries in their order, in batches of 1000, each of which survives the end of\n"
        "  the process when its call returns. LMDB appends (MDB_APPEND), the others take plain batches\n"
        "  (a table that RocksDB ingests is there only when it is whole).\n"
        "- replay: opening after the process was killed with 64 MiB in the log.\n"
        "- ycsb-a to f: the core workloads of YCSB, in one thread.\n");
    const auto text = [](std::string by_default) { return cxxopts::value<std::string>()->default_value(by_default); };
    const auto number = [](const char* by_default) {
        return cxxopts::value<unsigned long long>()->default_value(by_default);
    };
    out.add_options()("lsm-mapped", "lsm reads through memory maps, as LevelDB and LMDB do");
    out.add_options()("leveldb-verified", "LevelDB verifies what it reads, too");
    out.add_options()("engines", "Only these, as in lsm,lmdb", cxxopts::value<std::vector<std::string>>());
    out.add_options()("workloads", "Only these, or these groups: write, read, mixed",
                      cxxopts::value<std::vector<std::string>>());
    out.add_options()("num", "Entries of the usual database", number("1000000"));
    out.add_options()("value-size", "Bytes of its values", number("100"));
    out.add_options()("rounds", "Runs of each", number("3"));
    out.add_options()("settings", "small: write buffer 4 MiB, cache 8 MiB; big: 64 MiB and 1 GiB", text("small"));
    out.add_options()("binary-keys", "Big-endian numbers, not decimal ones with leading zeros");
    out.add_options()("seed", "Of values and orders", number("1"));
    out.add_options()("dir", "For the databases, on the disk that is meant", text(temporary ? temporary : "/var/tmp"));
    out.add_options()("csv", "A file for the figures of every run, for scripts/chart.py", text(""));
    out.add_options()("list", "Tells what --engines and --workloads can be");
    out.add_options()("help", "This");
    return out;
}

/// Those of `known` that the flag names, or all.
template <class T>
std::vector<T> chosen(const std::vector<T>& known, const cxxopts::ParseResult& flags, const std::string& flag) {
    if (flags.count(flag) == 0) return known;
    std::vector<T> out;
    for (const auto& name : flags[flag].as<std::vector<std::string>>()) {
        const auto before = out.size();
        std::copy_if(known.begin(), known.end(), std::back_inserter(out), [&](const T& k) { return k.is(name); });
        if (out.size() == before) throw failure("--" + flag + " has no " + name + ", or was built without it");
    }
    return out;
}

plan plan_of(const cxxopts::ParseResult& flags) {
    const auto number = [&](const char* name) { return std::max(1ULL, flags[name].as<unsigned long long>()); };
    const auto settings = flags["settings"].as<std::string>();
    const bool big = settings == "big";
    const bool leveldb_verified = flags.count("leveldb-verified") != 0;
    if (!big && settings != "small") throw failure("--settings are small or big");
    return {
        .engines = chosen(all_engines(flags.count("lsm-mapped") != 0, leveldb_verified), flags, "engines"),
        .workloads = chosen(all_workloads(number("num"), number("value-size")), flags, "workloads"),
        .settings = {.directory = {},
                     .write_buffer_bytes = std::size_t{big ? 64u : 4u} << 20,
                     .cache_bytes = std::size_t{big ? 1024u : 8u} << 20,
                     .filter_bits_per_key = 10,
                     .check_reads = leveldb_verified,
                     .sync = false},
        .rounds = number("rounds"),
        .entries = number("num"),
        .value_bytes = number("value-size"),
        .seed = number("seed"),
        .binary_keys = flags.count("binary-keys") != 0,
    };
}

}  // namespace

int main(int argc, char** argv) {
    try {
        auto known = known_flags();
        const auto flags = known.parse(argc, argv);
        if (flags.count("help") != 0) return std::puts(known.help().c_str()), 0;
        auto all = plan_of(flags);
        if (flags.count("list") != 0) {
            for (const auto& e : all.engines) std::printf("%s ", e.name.c_str());
            std::puts("\n");
            for (const auto& w : all.workloads) std::puts(w.name.c_str());
            return 0;
        }
        const auto csv_path = flags["csv"].as<std::string>();
        std::ofstream csv(csv_path);
        if (!csv_path.empty() && !csv) throw failure(csv_path + ": cannot be written");
        std::string place = flags["dir"].as<std::string>() + "/lsm-bench-XXXXXX";
        if (::mkdtemp(place.data()) == nullptr) throw failure(place + ": cannot be made");
        all.settings.directory = place + "/db";
        const auto where_when_what = circumstances(all);
        std::istringstream lines(where_when_what);
        for (std::string line; std::getline(lines, line);) csv << "# " << line << '\n';
        results found;
        const bool good = run(all, stock(place + "/stock"), found, csv);
        std::filesystem::remove_all(place);
        std::puts(where_when_what.c_str());
        print_table(all, found);
        return good ? 0 : 1;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "lsm_bench: %s\n", e.what());
        return 2;
    }
}
