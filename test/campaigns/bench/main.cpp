// Runs lsm and other stores in turn over the same workloads with equal settings. Prints medians and their ratios.

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

/// Decides which workloads suit an engine: a tree has no log to replay, and the disk takes only synced appends.
enum class family { log_structured, tree, disk };

struct engine_kind {
    std::string name;
    family kind;
    std::unique_ptr<engine> (*make)();
    /// How its reads treat checksums, for the report.
    std::string reads = "";
    std::string build = "";

    [[nodiscard]] bool suits(const workload& w) const {
        return kind == family::log_structured || (kind == family::tree && w.from != start::killed) ||
               w.name == "syncput1";
    }
    [[nodiscard]] bool is(const std::string& asked) const { return asked == name; }
};

std::vector<engine_kind> all_engines(bool lsm_mapped, [[maybe_unused]] bool leveldb_verified) {
    return {
        {"lsm", family::log_structured, lsm_mapped ? make_mapped_lsm : make_lsm,
         lsm_mapped ? "maps its tables into memory, as LevelDB does, and verifies blocks that enter its cache"
                    : "verifies reads"},
#ifdef LSM_BENCH_LEVELDB
        {"leveldb", family::log_structured, make_leveldb,
         leveldb_verified ? "verifies reads, which is not its default" : "does not verify reads, which is its default",
         LSM_BENCH_LEVELDB},
#endif
#ifdef LSM_BENCH_ROCKSDB
        {"rocksdb", family::log_structured, make_rocksdb, "verifies reads", LSM_BENCH_ROCKSDB},
#endif
#ifdef LSM_BENCH_LMDB
        {"lmdb", family::tree, make_lmdb, "has no checksums", LSM_BENCH_LMDB},
#endif
        {"disk", family::disk, make_disk, "does not read"},
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

/// Copies a database. Tables are linked instead of copied: an engine never changes them.
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

/// The databases that workloads start with. Makes each when it is first needed, and keeps it for the whole round.
class stock {
public:
    explicit stock(std::filesystem::path place) : place_(std::move(place)) {}

    /// Puts a database in the state `from` into settings.directory.
    void serve(const engine_kind& e, const config& settings, start from, const dataset& data) const {
        if (from == start::empty) return;
        const auto kept = place_ / (e.name + std::to_string(int(from)) + "-" + std::to_string(data.entries()));
        if (!std::filesystem::exists(kept)) {
            if (from == start::compacted) serve(e, settings, start::filled, data);
            in_child([&, under_test = e.make()] { return prepare(*under_test, settings, from, data), 0; });
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
    ::sync();  // otherwise the dirty pages of the copy would be written to the disk during the run
    return in_child(
        [&, under_test = e.make()] { return measure(*under_test, e.kind != family::disk, all.settings, w, data); });
}

// --- figures ---

/// A row of the table.
struct figure {
    /// The workload's group, or "cost" if less is better.
    std::string group;
    std::string label, unit;
    double (*of)(const workload&, const report&);
};

std::vector<figure> figures_of(const workload& measured) {
    const std::string& name = measured.name;
    const std::string& group = measured.group;
    if (measured.from == start::killed)
        return {{group, name, "MB/s", [](auto&, auto& r) { return r.user_bytes / r.run / 1e6; }}};
    std::vector<figure> out{{group, name, "/s", [](auto& w, auto& r) { return double(w.operations) / r.run; }}};
    if (name == "readwhilewriting")
        out.push_back({group, name + ", writer", "/s", [](auto&, auto& r) { return r.writes_beside / r.run; }});
    if (group == "write" && !measured.sync)
        out.push_back(
            {group, name + ", settled", "/s", [](auto& w, auto& r) { return double(w.operations) / r.settled; }});
    if (!measured.details) return out;
    const auto cost = [&](const char* label, const char* unit, double (*of)(const workload&, const report&)) {
        out.push_back({"cost", name + ", " + label, unit, of});
    };
    cost("write calls / user bytes", "", [](auto&, auto& r) { return r.write_call_bytes / r.user_bytes; });
    cost("disk writes / user bytes", "", [](auto&, auto& r) { return r.disk_write_bytes / r.user_bytes; });
    cost("files / user bytes", "", [](auto&, auto& r) { return r.file_bytes / r.user_bytes; });
    cost("peak memory", "MiB", [](auto&, auto& r) { return r.peak_memory_bytes / (1 << 20); });
    return out;
}

/// The reports of all rounds, by the names of workload and engine.
using results = std::map<std::pair<std::string, std::string>, std::vector<report>>;

/// Runs everything, and adds the reports to `found` and the figures to `csv`. Returns whether all runs succeeded.
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
                    std::fprintf(stderr, "BROKEN: workload %s on %s: %s\n", w.name.c_str(), e.name.c_str(),
                                 broken.what());
                }
                std::filesystem::remove_all(all.settings.directory);
            }
    }
    return good;
}

// --- the table ---

struct summary {
    double median;
    /// Half of the range of the rounds, relative to the median.
    double noise;
};

std::optional<summary> summary_of(const figure& row, const workload& w, const std::vector<report>& runs) {
    if (runs.empty()) return {};
    std::vector<double> values;
    for (const auto& r : runs) values.push_back(row.of(w, r));
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

/// Describes the machine, the settings and the engines, in a line each.
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
    const auto& settings = all.settings;
    std::ostringstream out;
    out << date << ", " << std::thread::hardware_concurrency() << " cores, " << processor << ", " << system.sysname
        << ' ' << system.release << ". Medians of " << all.rounds << " rounds; the engines take turns in each.\n"
        << all.entries << " entries, " << (all.binary_keys ? "binary" : "decimal") << " keys of " << key_text::bytes
        << " bytes, values of " << all.value_bytes << " bytes, seed " << all.seed << "; write buffer "
        << (settings.write_buffer_bytes >> 20) << " MiB, cache " << (settings.cache_bytes >> 20) << " MiB, "
        << settings.filter_bits_per_key << " filter bits per key, no compression.\n";
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
        "Runs lsm and other stores in turn over the same workloads\n\n"
        "Some of the workloads:\n"
        "- NAME/compacted reads the database after a manual compaction, NAME as random puts left it.\n"
        "- readrandom2 reads from two threads. readhot reads only the first hundredth of the keys.\n"
        "- seekrandom10 and seekrandom100 count a scan of 10 or 100 entries as one operation.\n"
        "- readwhilewriting measures a thread that reads while another one overwrites.\n"
        "- bulkload puts entries in key order, in batches of 1000. Each batch survives the end of the\n"
        "  process when its call returns. LMDB appends (MDB_APPEND), the others take plain batches\n"
        "  (a table that RocksDB ingests would survive only as a whole).\n"
        "- replay opens the database after the process was killed with 64 MiB in the log.\n"
        "- ycsb-a to ycsb-f are the core workloads of YCSB, in one thread.\n");
    const auto text = [](std::string by_default) { return cxxopts::value<std::string>()->default_value(by_default); };
    const auto number = [](const char* by_default) {
        return cxxopts::value<unsigned long long>()->default_value(by_default);
    };
    out.add_options()("lsm-mapped", "Let lsm read through memory maps, as LevelDB and LMDB do");
    out.add_options()("leveldb-verified", "Let LevelDB verify checksums when it reads, as the others do");
    out.add_options()("engines", "Run only these engines, for example lsm,lmdb",
                      cxxopts::value<std::vector<std::string>>());
    out.add_options()("workloads", "Run only these workloads, or these groups: write, read, mixed",
                      cxxopts::value<std::vector<std::string>>());
    out.add_options()("num", "Number of entries in the usual database", number("1000000"));
    out.add_options()("value-size", "Size of its values in bytes", number("100"));
    out.add_options()("rounds", "Number of runs of each workload on each engine", number("3"));
    out.add_options()("settings", "small: write buffer 4 MiB, cache 8 MiB; big: 64 MiB and 1 GiB", text("small"));
    out.add_options()("binary-keys", "Use big-endian numbers as keys instead of decimal ones with leading zeros");
    out.add_options()("seed", "Seed of the values and orders", number("1"));
    out.add_options()("dir", "Directory for the databases, on the disk to measure",
                      text(temporary ? temporary : "/var/tmp"));
    out.add_options()("csv", "Write the figures of every run to this file, for scripts/chart.py", text(""));
    out.add_options()("list", "List the engines and workloads");
    out.add_options()("help", "Print this help");
    return out;
}

/// Returns the elements of `known` that the flag names, or all if the flag is not given.
template <class T>
std::vector<T> chosen(const std::vector<T>& known, const cxxopts::ParseResult& flags, const std::string& flag) {
    if (flags.count(flag) == 0) return known;
    std::vector<T> out;
    for (const auto& name : flags[flag].as<std::vector<std::string>>()) {
        const auto before = out.size();
        std::copy_if(known.begin(), known.end(), std::back_inserter(out), [&](const T& k) { return k.is(name); });
        if (out.size() == before) throw failure("--" + flag + ": " + name + " is unknown, or not in this build");
    }
    return out;
}

plan plan_of(const cxxopts::ParseResult& flags) {
    const auto number = [&](const char* name) { return std::max(1ULL, flags[name].as<unsigned long long>()); };
    const auto settings = flags["settings"].as<std::string>();
    const bool big = settings == "big";
    const bool leveldb_verified = flags.count("leveldb-verified") != 0;
    if (!big && settings != "small") throw failure("--settings must be small or big");
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
        if (!csv_path.empty() && !csv) throw failure(csv_path + ": cannot open the file for writing");
        std::string place = flags["dir"].as<std::string>() + "/lsm-bench-XXXXXX";
        if (::mkdtemp(place.data()) == nullptr) throw failure(place + ": cannot make the directory");
        all.settings.directory = place + "/db";
        const auto header = circumstances(all);
        std::istringstream lines(header);
        for (std::string line; std::getline(lines, line);) csv << "# " << line << '\n';
        results found;
        const bool good = run(all, stock(place + "/stock"), found, csv);
        std::filesystem::remove_all(place);
        std::puts(header.c_str());
        print_table(all, found);
        return good ? 0 : 1;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "lsm_bench: %s\n", e.what());
        return 2;
    }
}
