#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string_view>

#include "dataset.hpp"
#include "engine.hpp"
#include "workloads.hpp"

namespace bench {

/// The salts of dataset::shuffled(): each workload visits the entries in its own order.
enum order : std::uint64_t { by_key, filling, overwriting, deleting, looking, inserting };

inline double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline void expect(bool good, const char* message) {
    if (!good) throw failure(message);
}

inline bool is_value(std::string_view value, const dataset& data, std::uint64_t i, contents expected) {
    return (expected != contents::overwritten && value == data.value(i, 0)) ||
           (expected != contents::filled && value == data.value(i, 1));
}

/// Reads entry i, which must exist, and checks its value. The check costs about 20 ns, the same for all engines.
inline void read(engine& from, const dataset& data, std::uint64_t i, contents expected) {
    const bool found = from.get(data.key(i), [&](std::string_view value) {
        expect(is_value(value, data, i, expected), "a value differs from the one that was put");
    });
    expect(found, "a key is missing");
}

/// Reads `most` entries in ascending order from entry i. Keys that were inserted later may lie between them.
inline void read_range(engine& from, const dataset& data, std::uint64_t i, std::uint64_t most) {
    const auto found = from.walk_up(data.key(i), most).entries;
    expect(found <= most && found >= std::min(most, data.entries() - i), "a scan from a key misses entries");
}

}  // namespace bench
