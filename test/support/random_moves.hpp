#pragma once

#include <algorithm>
#include <cstddef>
#include <random>

#include <lsm/core/bytes.hpp>

#include "support/catch.hpp"
#include "support/cursors.hpp"
#include "support/entry_list.hpp"
#include "support/random_keys.hpp"
#include "support/results.hpp"

namespace lsm::test {

/// Moves a cursor at random, starting with a seek, and requires after each move that it stands where `expected` says.
/// `expected` has all entries of the cursor in its order: by descending key if `reverse`.
template <class Cursor>
void check_random_moves(Cursor& at, const entry_list& expected, std::mt19937_64& random, std::size_t moves,
                        bool reverse = false) {
    const auto before = [&](bytes_view a, bytes_view b) { return reverse ? b < a : a < b; };
    const auto end = expected.end();
    auto place = end;  // where `at` has to stand; after the last entry and before the first it is not valid
    for (std::size_t i = 0; i < moves; ++i) {
        const auto choice = random() % 10;
        if (place != end && choice < 4) {
            at.next();
            ++place;
        } else if (place != end && choice < 7) {
            at.prev();
            place = place == expected.begin() ? end : place - 1;
        } else if (choice == 7) {
            at.seek_to_first();
            place = expected.begin();
        } else if (choice == 8) {
            at.seek_to_last();
            place = expected.empty() ? end : end - 1;
        } else {
            const bool known = !expected.empty() && random() % 2 == 0;
            const bytes key =
                known ? expected[static_cast<std::size_t>(random() % expected.size())].first : random_key(random);
            at.seek(key);
            place = std::lower_bound(expected.begin(), end, key,
                                     [&](const auto& entry, bytes_view target) { return before(entry.first, target); });
        }
        must(at.status());
        REQUIRE(at.valid() == (place != end));
        if (place == end) continue;
        REQUIRE(at.key() == place->first);
        REQUIRE(value_of(at.entry()) == place->second);
    }
}
template <class Cursor>
void check_random_moves(Cursor& at, const entry_map& expected, std::mt19937_64& random, std::size_t moves) {
    check_random_moves(at, list_of(expected), random, moves);
}

}  // namespace lsm::test
