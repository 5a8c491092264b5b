#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <random>

#include <lsm/core/bytes.hpp>

#include "support/catch.hpp"
#include "support/random_keys.hpp"
#include "support/raw_bytes.hpp"

namespace lsm::test {

/// What is left in front of a cursor over bytes.
template <class Cursor>
raw_entries rest_of(Cursor&& at) {
    raw_entries out;
    for (; at.valid(); at.next())
        out.emplace_back(at.key(), at.tombstone() ? std::nullopt : std::optional<bytes>(at.value()));
    return out;
}

/// Moves a cursor about at random beside a place in `expected`, the entries in the cursor's own order, and requires
/// that both always stand on the same entry. `reverse` says that the keys descend.
template <class Cursor>
void check_random_walk(Cursor& at, const raw_entries& expected, bool reverse, std::mt19937_64& random, int steps) {
    const auto before = [&](bytes_view a, bytes_view b) { return reverse ? b < a : a < b; };
    const auto last = expected.end();
    auto place = last;
    at.seek_to_first();
    if (!expected.empty()) place = expected.begin();
    for (int step = 0; step < steps; ++step) {
        switch (random() % 8) {
            case 0:
                at.seek_to_first();
                place = expected.begin();
                break;
            case 1:
                at.seek_to_last();
                place = expected.empty() ? last : last - 1;
                break;
            case 2:
            case 3: {
                const bytes key = random() % 2 == 0 || expected.empty()
                                      ? random_key(random)
                                      : expected[static_cast<std::size_t>(random() % expected.size())].first;
                at.seek(key);
                place = std::lower_bound(expected.begin(), last, key,
                                         [&](const raw_entry& e, const bytes& k) { return before(e.first, k); });
                break;
            }
            default:
                if (place == last) continue;
                if (random() % 2 == 0) {
                    at.next();
                    ++place;
                } else {
                    at.prev();
                    place = place == expected.begin() ? last : place - 1;
                }
        }
        REQUIRE(at.status().has_value());
        REQUIRE(at.valid() == (place != last));
        if (place == last) continue;
        REQUIRE(at.key() == place->first);
        REQUIRE(at.tombstone() == !place->second.has_value());
        if (place->second) REQUIRE(at.value() == *place->second);
    }
}

}  // namespace lsm::test
