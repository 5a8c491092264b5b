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
#include <map>
#include <memory>
#include <optional>
#include <ostream>
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
    std::string build = "";

    [[nodiscard]] bool suits(const workload& what) const {
        return kind == family::log_structured || (kind == family::tree && what.from != start::killed) ||
               what.name == "syncput1";
    }
};

std::vector<engine_kind> all_engines() {
    return {
        {"lsm", family::log_structured, make_lsm},
#ifdef LSM_BENCH_LEVELDB
        {"leveldb", family::log_structured, make_leveldb, LSM_BENCH_LEVELDB},
#endif
#ifdef LSM_BENCH_ROCKSDB
        {"rocksdb", family::log_structured, make_rocksdb, LSM_BENCH_ROCKSDB},
#endif
#ifdef LSM_BENCH_LMDB
        {"lmdb", family::tree, make_lmdb, LSM_BENCH_LMDB},
#endif
        {"disk", family::disk, make_disk},
    };
}

struct plan {
    std::vector<engine_kind> engines;
    std::vector<workload> workloads;
    config settings;
    unsigned long long rounds, entries, value_bytes, seed;
    bool binary_keys;
};

/// Of workload and engine.
using results = std::map<std::pair<std::string, std::string>, std::vector<report>>;

report run(const plan& all, const engine_kind& e, const workload& w) {
    const dataset data(w.entries, w.value_bytes, all.seed, all.binary_keys);
    const auto under_test = e.make();
    if (w.from != start::empty) in_child([&] { return prepare(*under_test, all.settings, w, data), 0; });
    ::sync();  // or what is in memory by now would be written during the run
    return in_child([&] { return measure(*under_test, e.kind != family::disk, all.settings, w, data); });
}

/// All runs, into `found` and the `csv` file. Whether all came off.
bool run(const plan& all, results& found, std::ostream& csv) {
    csv << "round,workload,engine,operations,seconds,settled_seconds,user_bytes,write_call_bytes,disk_write_bytes,"
           "file_bytes,peak_memory_bytes\n";
    csv.precision(12);
    bool good = true;
    for (unsigned round = 1; round <= all.rounds; ++round)
        for (const auto& w : all.workloads)
            for (const auto& e : all.engines) {
                if (!e.suits(w)) continue;
                try {
                    const report r = run(all, e, w);
                    found[{w.name, e.name}].push_back(r);
                    csv << round << ',' << w.name << ',' << e.name << ',' << w.operations << ',' << r.run << ','
                        << r.settled << ',' << r.user_bytes << ',' << r.write_call_bytes << ',' << r.disk_write_bytes
                        << ',' << r.file_bytes << ',' << r.peak_memory_bytes << std::endl;
                    std::fprintf(stderr, "round %u  %-22s %-8s %8.3f s\n", round, w.name.c_str(), e.name.c_str(),
                                 r.run);
                } catch (const failure& broken) {
                    good = false;
                    std::fprintf(stderr, "BROKEN: %s of %s: %s\n", w.name.c_str(), e.name.c_str(), broken.what());
                }
                std::filesystem::remove_all(all.settings.directory);
            }
    return good;
}

// --- the table ---

/// A line of it.
struct figure {
    std::string label, unit;
    double (*of)(const workload&, const report&);
};

std::vector<figure> figures_of(const workload& what) {
    if (what.from == start::killed)
        return {{what.name, "MB/s", [](auto&, auto& r) { return r.user_bytes / r.run / 1e6; }}};
    std::vector<figure> out{{what.name, "/s", [](auto& w, auto& r) { return double(w.operations) / r.run; }}};
    if (what.writes && !what.sync)
        out.push_back(
            {what.name + ", settled", "/s", [](auto& w, auto& r) { return double(w.operations) / r.settled; }});
    if (!what.details) return out;
    out.push_back({"- write calls / user bytes", "", [](auto&, auto& r) { return r.write_call_bytes / r.user_bytes; }});
    out.push_back({"- disk writes / user bytes", "", [](auto&, auto& r) { return r.disk_write_bytes / r.user_bytes; }});
    out.push_back({"- files / user bytes", "", [](auto&, auto& r) { return r.file_bytes / r.user_bytes; }});
    out.push_back({"- peak memory", "MiB", [](auto&, auto& r) { return r.peak_memory_bytes / (1 << 20); }});
    return out;
}

std::optional<double> median(const figure& what, const workload& of, const std::vector<report>& runs) {
    if (runs.empty()) return {};
    std::vector<double> values;
    for (const auto& r : runs) values.push_back(what.of(of, r));
    std::sort(values.begin(), values.end());
    return (values[values.size() / 2] + values[(values.size() - 1) / 2]) / 2;
}

void print_table(const plan& all, results& found) {
    const bool ratios = all.engines.front().name == "lsm";
    std::string titles, rules;
    const auto add_column = [&](const std::string& title) {
        titles += std::string(13 - std::min<std::size_t>(12, title.size()), ' ') + title + " |";
        rules += "---:|";
    };
    for (const auto& e : all.engines) add_column(e.name);
    for (const auto& e : all.engines)
        if (ratios && e.name != "lsm") add_column("lsm/" + e.name);
    std::printf("| %-26s |      |%s\n|---|---|%s\n", "", titles.c_str(), rules.c_str());
    for (const auto& w : all.workloads)
        for (const auto& f : figures_of(w)) {
            std::vector<std::optional<double>> cells;
            for (const auto& e : all.engines) cells.push_back(median(f, w, found[{w.name, e.name}]));
            for (std::size_t e = 1; ratios && e < all.engines.size(); ++e)
                cells.push_back(cells[0] && cells[e] ? std::optional(*cells[0] / *cells[e]) : std::nullopt);
            std::printf("| %-26s | %-4s |", f.label.c_str(), f.unit.c_str());
            for (const auto& cell : cells)
                cell ? std::printf(" %12.*f |", *cell < 100 ? 2 : 0, *cell) : std::printf(" %12s |", "");
            std::puts("");
        }
}

void print_circumstances(const plan& all) {
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
    std::printf("%s, %u cores, %s, %s %s. Medians of %llu rounds, engine after engine in each.\n", date,
                std::thread::hardware_concurrency(), processor.c_str(), system.sysname, system.release, all.rounds);
    std::printf(
        "%llu entries, %s keys of %zu bytes, values of %llu, seed %llu; write buffer %zu MiB, cache %zu MiB, "
        "%u filter bits a key, no compression.\n",
        all.entries, all.binary_keys ? "binary" : "decimal", key_text::bytes, all.value_bytes, all.seed,
        how.write_buffer_bytes >> 20, how.cache_bytes >> 20, how.filter_bits_per_key);
    for (const auto& e : all.engines)
        std::printf("%s %s%s. ", e.name.c_str(), e.make()->version().c_str(), e.build.c_str());
    std::puts("\n");
}

// --- the command line ---

cxxopts::Options known_flags() {
    const char* temporary = std::getenv("TMPDIR");
    cxxopts::Options out("lsm_bench", "Runs lsm and other stores over the same workloads, in turn\n");
    const auto text = [](std::string by_default) { return cxxopts::value<std::string>()->default_value(by_default); };
    const auto number = [](const char* by_default) {
        return cxxopts::value<unsigned long long>()->default_value(by_default);
    };
    out.add_options()("engines", "Only these, as in lsm,lmdb", cxxopts::value<std::vector<std::string>>());
    out.add_options()("workloads", "Only these", cxxopts::value<std::vector<std::string>>());
    out.add_options()("num", "Entries of the usual database", number("1000000"));
    out.add_options()("value-size", "Bytes of its values", number("100"));
    out.add_options()("rounds", "Runs of each", number("3"));
    out.add_options()("settings", "small: write buffer 4 MiB, cache 8 MiB; big: 64 MiB and 1 GiB", text("small"));
    out.add_options()("binary-keys", "Big-endian numbers, not decimal ones with leading zeros");
    out.add_options()("seed", "Of values and orders", number("1"));
    out.add_options()("dir", "For the databases, on the disk that is meant", text(temporary ? temporary : "/var/tmp"));
    out.add_options()("csv", "A file for the figures of every run", text(""));
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
        const auto at = std::find_if(known.begin(), known.end(), [&](const T& k) { return k.name == name; });
        if (at == known.end()) throw failure("--" + flag + " has no " + name + ", or was built without it");
        out.push_back(*at);
    }
    return out;
}

plan plan_of(const cxxopts::ParseResult& flags) {
    const auto number = [&](const char* name) { return std::max(1ULL, flags[name].as<unsigned long long>()); };
    const auto settings = flags["settings"].as<std::string>();
    const bool big = settings == "big";
    if (!big && settings != "small") throw failure("--settings are small or big");
    return {
        .engines = chosen(all_engines(), flags, "engines"),
        .workloads = chosen(all_workloads(number("num"), number("value-size")), flags, "workloads"),
        .settings = {.directory = {},
                     .write_buffer_bytes = std::size_t{big ? 64u : 4u} << 20,
                     .cache_bytes = std::size_t{big ? 1024u : 8u} << 20,
                     .filter_bits_per_key = 10,
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
        results found;
        const bool good = run(all, found, csv);
        std::filesystem::remove_all(place);
        print_circumstances(all);
        print_table(all, found);
        return good ? 0 : 1;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "lsm_bench: %s\n", e.what());
        return 2;
    }
}
