#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string_view>

#include "dataset.hpp"
#include "engine.hpp"
#include "workloads.hpp"

namespace bench {

/// What orders of the same numbers are told apart by.
enum order : std::uint64_t { by_key, filling, overwriting, deleting, looking, inserting };

inline double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline void expect(bool good, const char* what) {
    if (!good) throw failure(what);
}

inline bool is_value(std::string_view value, const dataset& data, std::uint64_t i, contents of) {
    return (of != contents::overwritten && value == data.value(i, 0)) ||
           (of != contents::filled && value == data.value(i, 1));
}

/// Reads entry i, which must be there. The check costs some 20 ns, the same for all engines.
inline void read(engine& from, const dataset& data, std::uint64_t i, contents of) {
    const bool there = from.get(data.key(i), [&](std::string_view value) {
        expect(is_value(value, data, i, of), "a value is not the one that was put");
    });
    expect(there, "a key is missing");
}

/// Reads `most` entries upward from entry i. There may be keys between, that were put later.
inline void read_range(engine& from, const dataset& data, std::uint64_t i, std::uint64_t most) {
    const auto found = from.walk_up(data.key(i), most).entries;
    expect(found <= most && found >= std::min(most, data.entries() - i), "a walk has not come past what follows a key");
}

}  // namespace bench
