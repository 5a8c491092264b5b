// The core workloads of "Benchmarking Cloud Serving Systems with YCSB" (Cooper et al., 2010).

#include <array>
#include <string>
#include <utility>

#include "parts.hpp"
#include "zipfian.hpp"

namespace bench {
namespace {

enum class kind : std::uint8_t { read, update, insert, scan, modify };

struct mix {
    char letter;
    /// The share of each kind.
    std::array<unsigned, 5> percent;
    /// Whether it prefers the entries that were put last to the popular ones.
    bool latest = false;
};

struct operation {
    std::uint64_t entry;
    kind type;
    std::uint8_t length;  // of a scan
};

/// Draws all operations in advance, so that drawing is not measured.
std::vector<operation> drawn(const mix& from, const dataset& data, std::uint64_t count) {
    std::mt19937_64 random(data.seed());
    const scrambled_zipfian popular(data.entries());
    const zipfian age(data.entries());
    std::uint64_t inserted = 0;
    // The entry that was put as the n-th: first come those of the initial database, then those of this run.
    const auto nth_put = [&](std::uint64_t n) {
        const std::uint64_t initial = data.entries();
        return n < initial ? data.shuffled(n, filling) : initial + data.shuffled(n - initial, inserting);
    };
    const auto draw_kind = [&] {
        auto left = static_cast<unsigned>(random() % 100);
        std::uint8_t index = 0;
        for (; left >= from.percent[index]; ++index) left -= from.percent[index];
        return kind{index};
    };
    std::vector<operation> out(count);
    for (auto& [entry, type, length] : out) {
        type = draw_kind();
        length = static_cast<std::uint8_t>(1 + random() % 100);
        if (type == kind::insert)
            entry = nth_put(data.entries() + inserted++);
        else if (from.latest)
            entry = nth_put(data.entries() + inserted - 1 - age(random));
        else
            entry = popular(random);
    }
    return out;
}

void run(engine& on, const dataset& data, const operation& next, report& out) {
    switch (next.type) {
        case kind::read: return read(on, data, next.entry, contents::mixed);
        case kind::scan: return read_range(on, data, next.entry, next.length);
        case kind::modify: read(on, data, next.entry, contents::mixed); [[fallthrough]];
        case kind::update: return on.put(data.key(next.entry), data.value(next.entry, 1));
        case kind::insert: on.put(data.key(next.entry), data.value(next.entry, 0)); ++out.inserted_entries;
    }
}

}  // namespace

std::vector<workload> ycsb_workloads(std::uint64_t entries) {
    std::vector<workload> out;
    for (const mix& m : {mix{'a', {50, 50, 0, 0, 0}}, mix{'b', {95, 5, 0, 0, 0}}, mix{'c', {100, 0, 0, 0, 0}},
                         mix{'d', {95, 0, 5, 0, 0}, true}, mix{'e', {0, 0, 5, 95, 0}}, mix{'f', {50, 0, 0, 0, 50}}}) {
        const bool scans = m.percent[std::size_t(kind::scan)] != 0;
        const std::uint64_t count = scans ? std::max<std::uint64_t>(entries / 10, 10) : entries;
        out.push_back({.name = std::string("ycsb-") + m.letter,
                       .group = "mixed",
                       .from = start::filled,
                       .operations = count,
                       .run =
                           [=](engine& on, const dataset& data, report& result) {
                               const auto operations = drawn(m, data, count);
                               result.begin = now();
                               for (const auto& o : operations) run(on, data, o, result);
                           },
                       .after = contents::mixed});
    }
    return out;
}

}  // namespace bench
