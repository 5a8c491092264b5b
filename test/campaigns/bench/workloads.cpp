#include "workloads.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <limits>
#include <utility>

#include "parts.hpp"

namespace bench {
namespace {

constexpr std::uint64_t all = std::numeric_limits<std::uint64_t>::max();
constexpr std::size_t replayed_bytes = std::size_t{64} << 20;
constexpr std::size_t replay_buffer_bytes = 4 * replayed_bytes;

/// Calls `body` with the numbers of the first `most` entries in the given order.
template <class Body>
void each(const dataset& data, order in, std::uint64_t most, Body body) {
    for (std::uint64_t n = 0; n < std::min(most, data.entries()); ++n) body(in == by_key ? n : data.shuffled(n, in));
}

/// Calls `body` with the numbers of all entries, dealt in turn to `count` threads.
template <class Body>
void each_from_threads(unsigned count, const dataset& data, Body body) {
    std::vector<std::future<void>> threads;
    for (unsigned t = 0; t < count; ++t)
        threads.push_back(std::async(std::launch::async, [&, t] {
            for (std::uint64_t n = t; n < data.entries(); n += count) body(n);
        }));
    for (auto& t : threads) t.get();
}

auto fill(order in, unsigned generation = 0) {
    return [=](engine& to, const dataset& data, report&) {
        each(data, in, all, [&](auto i) { to.put(data.key(i), data.value(i, generation)); });
    };
}

auto fill_in_batches(order in, std::size_t batch, void (engine::*put_all)(std::span<const entry>)) {
    return [=](engine& to, const dataset& data, report&) {
        std::vector<key_text> keys;
        std::vector<entry> entries;
        keys.reserve(batch);
        const auto put = [&] {
            (to.*put_all)(entries);
            keys.clear();
            entries.clear();
        };
        each(data, in, all, [&](auto i) {
            entries.push_back({keys.emplace_back(data.key(i)), data.value(i, 0)});
            if (entries.size() == batch) put();
        });
        if (!entries.empty()) put();
    };
}

void delete_at_random(engine& to, const dataset& data, report&) {
    each(data, deleting, all, [&](auto i) { to.del(data.key(i)); });
}

auto fill_from_threads(unsigned count) {
    return [=](engine& to, const dataset& data, report&) {
        each_from_threads(count, data, [&](auto n) { to.put(data.key(n), data.value(n, 0)); });
    };
}

void read_at_random(engine& from, const dataset& data, report&) {
    each(data, looking, all, [&](auto i) { read(from, data, i, contents::filled); });
}

auto read_from_threads(unsigned count) {
    return [=](engine& from, const dataset& data, report&) {
        each_from_threads(count, data, [&](auto n) { read(from, data, data.shuffled(n, looking), contents::filled); });
    };
}

void expect_missing(engine& from, const dataset& data, std::uint64_t i) {
    expect(!from.get(data.key(i), [](std::string_view) {}), "a key is found that was never put, or was deleted");
}

void read_missing(engine& from, const dataset& data, report&) {
    each(data, looking, all, [&](auto i) { expect_missing(from, data, data.entries() + i); });
}

/// Reads the first hundredth of the keys over and over.
void read_hot(engine& from, const dataset& data, report&) {
    const std::uint64_t hot = data.entries() / 100 + 1;
    each(data, looking, all, [&](auto i) { read(from, data, i % hot, contents::filled); });
}

auto seek_at_random(std::uint64_t most, std::uint64_t length) {
    return [=](engine& from, const dataset& data, report&) {
        each(data, looking, most, [&](auto i) { read_range(from, data, i, length); });
    };
}

void read_while_writing(engine& on, const dataset& data, report& out) {
    using namespace std::chrono_literals;
    const auto overwrite = [&](std::uint64_t n) {
        const auto i = data.shuffled(n % data.entries(), overwriting);
        on.put(data.key(i), data.value(i, 1));
    };
    overwrite(0);  // before the clock starts: the first write after opening may take long
    out.begin = now();
    auto reader = std::async(std::launch::async, [&] {
        each(data, looking, all, [&](auto i) { read(on, data, i, contents::mixed); });
        return now() - out.begin;
    });
    for (std::uint64_t n = 1; reader.wait_for(0s) != std::future_status::ready; ++n) {
        overwrite(n);
        ++out.writes_beside;
    }
    out.run = reader.get();
}

void expect_all(const seen& found, const dataset& data, std::uint64_t entries) {
    expect(found.entries == entries, "a scan shows another number of entries than the database has");
    expect(found.bytes == entries * (key_text::bytes + data.value_bytes()),
           "a scan shows keys or values of other sizes");
}

/// Returns a counter of /proc/self/io, or 0 if it is not available.
double written(const char* counter) {
    std::ifstream counters("/proc/self/io");
    std::string name;
    for (double bytes = 0; counters >> name >> bytes;)
        if (name == counter) return bytes;
    return 0;
}

double file_bytes(const std::string& directory) {
    double out = 0;
    for (const auto& file : std::filesystem::recursive_directory_iterator(directory))
        if (file.is_regular_file()) out += static_cast<double>(file.file_size());
    return out;
}

/// Makes the write buffer large enough that a log to be replayed is not flushed before the process is killed.
config fitting(config settings, start from) {
    if (from == start::killed) settings.write_buffer_bytes = replay_buffer_bytes;
    return settings;
}

void expect_outcome(engine& from, const dataset& data, const workload& w, const report& ran) {
    const bool none = w.after == contents::none;
    expect_all(from.walk_up({}, all), data, none ? 0 : data.entries() + ran.inserted_entries);
    each(data, looking, 1000, [&](auto i) { none ? expect_missing(from, data, i) : read(from, data, i, w.after); });
}

}  // namespace

std::vector<workload> all_workloads(std::uint64_t entries, std::size_t value_bytes) {
    std::vector<workload> out;
    const auto fraction = [&](std::uint64_t divisor) { return std::max<std::uint64_t>(entries / divisor, 10); };
    const auto add = [&](workload w) {
        if (w.entries == 0) w.entries = entries;
        if (w.value_bytes == 0) w.value_bytes = value_bytes;
        if (w.operations == 0) w.operations = w.entries;
        out.push_back(std::move(w));
    };
    add({.name = "fillseq", .group = "write", .run = fill(by_key)});
    add({.name = "fillrandom", .group = "write", .run = fill(filling), .details = true});
    add({.name = "fillbatch", .group = "write", .run = fill_in_batches(filling, 100, &engine::put_batch)});
    add({.name = "bulkload", .group = "write", .run = fill_in_batches(by_key, 1000, &engine::append_batch)});
    add({.name = "overwrite",
         .group = "write",
         .from = start::filled,
         .run = fill(overwriting, 1),
         .after = contents::overwritten});
    add({.name = "deleterandom",
         .group = "write",
         .from = start::filled,
         .run = delete_at_random,
         .after = contents::none});
    add({.name = "fill1k", .group = "write", .entries = fraction(10), .value_bytes = 1 << 10, .run = fill(filling)});
    add({.name = "fill100k",
         .group = "write",
         .entries = fraction(1000),
         .value_bytes = 100 << 10,
         .run = fill(filling)});
    for (const unsigned n : {1u, 4u, 8u})
        add({.name = "syncput" + std::to_string(n),
             .group = "write",
             .entries = n * fraction(500),
             .run = fill_from_threads(n),
             .sync = true});
    const auto replayed = replayed_bytes / (key_text::bytes + value_bytes);
    add({.name = "replay", .group = "write", .from = start::killed, .entries = replayed});
    for (const auto from : {start::filled, start::compacted}) {
        const auto add_read = [&](std::string name, auto run, std::uint64_t operations = 0) {
            if (from == start::compacted) name += "/compacted";
            add({.name = name, .group = "read", .from = from, .operations = operations, .run = run});
        };
        add_read("readrandom", read_at_random);
        add_read("readrandom2", read_from_threads(2));
        add_read("readmissing", read_missing);
        add_read("readhot", read_hot);
        add_read("seekrandom10", seek_at_random(fraction(10), 10), fraction(10));
        add_read("seekrandom100", seek_at_random(fraction(20), 100), fraction(20));
        add_read("readseq", [](engine& in, const dataset& data, report&) {
            expect_all(in.walk_up({}, all), data, data.entries());
        });
        add_read("readreverse",
                 [](engine& in, const dataset& data, report&) { expect_all(in.walk_down(all), data, data.entries()); });
    }
    add({.name = "readwhilewriting",
         .group = "mixed",
         .from = start::filled,
         .run = read_while_writing,
         .after = contents::mixed});
    for (auto& w : ycsb_workloads(entries)) add(std::move(w));
    return out;
}

void prepare(engine& to, const config& settings, start from, const dataset& data) {
    to.open(fitting(settings, from));
    if (from == start::compacted) {
        to.compact();
    } else {
        report unused;
        fill(filling)(to, data, unused);
    }
    if (from == start::killed) return;
    to.settle();
    to.close();
}

report measure(engine& under_test, bool readable, const config& settings, const workload& w, const dataset& data) {
    config used = fitting(settings, w.from);
    used.sync = w.sync;
    report out;
    out.begin = now();
    under_test.open(used);
    // Without a run, opening is what is measured. Otherwise the work that opening causes must not count.
    if (w.run) {
        under_test.settle();
        out.begin = now();
        w.run(under_test, data, out);
    }
    if (out.run == 0) out.run = now() - out.begin;
    under_test.settle();
    under_test.close();
    out.settled = now() - out.begin;

    // Read the counters before the outcome is checked, which reads and maps files too.
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    out.peak_memory_bytes = static_cast<double>(usage.ru_maxrss) * 1024;
    out.user_bytes = static_cast<double>(w.operations * (key_text::bytes + w.value_bytes));
    out.write_call_bytes = written("wchar:");
    out.disk_write_bytes = written("write_bytes:");
    out.file_bytes = file_bytes(used.directory);
    if (w.group == "read" || !readable) return out;
    under_test.open(used);
    expect_outcome(under_test, data, w, out);
    under_test.close();
    return out;
}

}  // namespace bench
