#include "workloads.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <limits>
#include <utility>

namespace bench {
namespace {

constexpr std::uint64_t all = std::numeric_limits<std::uint64_t>::max();
constexpr std::size_t replayed_bytes = std::size_t{64} << 20;
constexpr std::size_t replay_buffer_bytes = 4 * replayed_bytes;

enum order : std::uint64_t { by_key, filling, overwriting, deleting, looking };

void expect(bool good, const char* what) {
    if (!good) throw failure(what);
}

template <class Body>
void each(const dataset& data, order in, std::uint64_t most, Body body) {
    for (std::uint64_t n = 0; n < std::min(most, data.entries()); ++n) body(in == by_key ? n : data.shuffled(n, in));
}

auto fill(order in, unsigned generation = 0) {
    return [=](engine& to, const dataset& data) {
        each(data, in, all, [&](auto i) { to.put(data.key(i), data.value(i, generation)); });
    };
}

void fill_in_batches(engine& to, const dataset& data) {
    constexpr std::size_t batch = 100;
    std::vector<key_text> keys;
    std::vector<entry> entries;
    keys.reserve(batch);
    const auto put = [&] {
        to.put_batch(entries);
        keys.clear();
        entries.clear();
    };
    each(data, filling, all, [&](auto i) {
        entries.push_back({keys.emplace_back(data.key(i)), data.value(i, 0)});
        if (entries.size() == batch) put();
    });
    put();
}

void delete_at_random(engine& to, const dataset& data) {
    each(data, deleting, all, [&](auto i) { to.del(data.key(i)); });
}

auto fill_from_threads(unsigned count) {
    return [=](engine& to, const dataset& data) {
        std::vector<std::future<void>> threads;
        for (unsigned t = 0; t < count; ++t)
            threads.push_back(std::async(std::launch::async, [&, t] {
                for (std::uint64_t n = t; n < data.entries(); n += count) to.put(data.key(n), data.value(n, 0));
            }));
        for (auto& t : threads) t.get();
    };
}

// Everything is there, or nothing.
auto read_at_random(std::uint64_t most, unsigned generation, bool there) {
    return [=](engine& from, const dataset& data) {
        std::string value;
        each(data, looking, most, [&](auto i) {
            expect(from.get(data.key(i), value) == there, there ? "a key is missing" : "a deleted key is there");
            expect(!there || value == data.value(i, generation), "a value is not the one that was put");
        });
    };
}

void read_missing(engine& from, const dataset& data) {
    std::string value;
    each(data, looking, all, [&](auto i) { expect(!from.get(data.missing_key(i), value), "a key that nobody put"); });
}

auto seek_at_random(std::uint64_t most) {
    return [=](engine& from, const dataset& data) {
        each(data, looking, most, [&](auto i) {
            const auto behind = std::min<std::uint64_t>(10, data.entries() - i);
            expect(from.walk_up(data.key(i), 10).entries == behind, "a walk has not come past what follows a key");
        });
    };
}

void expect_all(const seen& found, const dataset& data, std::uint64_t entries) {
    expect(found.entries == entries, "a walk has not come past as many entries as there are");
    expect(found.bytes == entries * (key_text::bytes + data.value_bytes()), "a walk has come past other lengths");
}

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

config fitting(config how, const workload& what) {
    how.sync = what.sync;
    if (what.from == start::killed) how.write_buffer_bytes = replay_buffer_bytes;
    return how;
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

std::vector<workload> all_workloads(std::uint64_t entries, std::size_t value_bytes) {
    std::vector<workload> out;
    const auto part = [&](std::uint64_t of) { return std::max<std::uint64_t>(entries / of, 10); };
    const auto add = [&](workload what) {
        if (what.entries == 0) what.entries = entries;
        if (what.value_bytes == 0) what.value_bytes = value_bytes;
        if (what.operations == 0) what.operations = what.entries;
        out.push_back(std::move(what));
    };
    add({.name = "fillseq", .run = fill(by_key), .writes = true});
    add({.name = "fillrandom", .run = fill(filling), .writes = true, .details = true});
    add({.name = "fillbatch", .run = fill_in_batches, .writes = true});
    add({.name = "overwrite", .from = start::filled, .run = fill(overwriting, 1), .writes = true, .generation = 1});
    add({.name = "deleterandom", .from = start::filled, .run = delete_at_random, .writes = true, .deletes = true});
    add({.name = "fill1k", .entries = part(10), .value_bytes = 1 << 10, .run = fill(filling), .writes = true});
    add({.name = "fill100k", .entries = part(1000), .value_bytes = 100 << 10, .run = fill(filling), .writes = true});
    for (const unsigned n : {1u, 4u, 8u}) {
        const auto name = "syncput" + std::to_string(n);
        add({.name = name, .entries = n * part(500), .run = fill_from_threads(n), .sync = true, .writes = true});
    }
    const auto replayed = replayed_bytes / (key_text::bytes + value_bytes);
    add({.name = "replay", .from = start::killed, .entries = replayed, .writes = true});
    for (const auto from : {start::filled, start::compacted}) {
        const std::string state = from == start::compacted ? "/compacted" : "";
        add({.name = "readrandom" + state, .from = from, .run = read_at_random(all, 0, true)});
        add({.name = "readmissing" + state, .from = from, .run = read_missing});
        add({.name = "seekrandom10" + state, .from = from, .operations = part(10), .run = seek_at_random(part(10))});
        add({.name = "readseq" + state, .from = from, .run = [](engine& in, const dataset& data) {
                 expect_all(in.walk_up({}, all), data, data.entries());
             }});
        add({.name = "readreverse" + state, .from = from, .run = [](engine& in, const dataset& data) {
                 expect_all(in.walk_down(all), data, data.entries());
             }});
    }
    return out;
}

void prepare(engine& to, const config& settings, const workload& what, const dataset& data) {
    to.open(fitting(settings, what));
    fill(filling)(to, data);
    if (what.from == start::killed) return;
    if (what.from == start::compacted) to.compact();
    to.settle();
    to.close();
}

report measure(engine& under_test, bool readable, const config& settings, const workload& what, const dataset& data) {
    const config how = fitting(settings, what);
    double begin = now();
    under_test.open(how);
    if (what.run) {
        under_test.settle();
        begin = now();
    }
    if (what.run) what.run(under_test, data);
    report out;
    out.run = now() - begin;
    under_test.settle();
    under_test.close();
    out.settled = now() - begin;

    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    out.peak_memory_bytes = static_cast<double>(usage.ru_maxrss) * 1024;
    out.user_bytes = static_cast<double>(what.operations * (key_text::bytes + what.value_bytes));
    out.write_call_bytes = written("wchar:");
    out.disk_write_bytes = written("write_bytes:");
    out.file_bytes = file_bytes(how.directory);
    if (!what.writes || !readable) return out;
    under_test.open(how);
    expect_all(under_test.walk_up({}, all), data, what.deletes ? 0 : data.entries());
    read_at_random(1000, what.generation, !what.deletes)(under_test, data);
    under_test.close();
    return out;
}

}  // namespace bench
