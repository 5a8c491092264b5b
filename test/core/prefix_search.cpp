#include <lsm/core/prefix_search.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/random_keys.hpp"
#include "support/seed.hpp"

using lsm::bytes;
using lsm::bytes_view;
using lsm::detail::leading_number;
using lsm::detail::search_by_number;
using lsm::detail::shared_prefix;

namespace {

std::size_t shared_prefix_by_bytes(bytes_view a, bytes_view b) {
    std::size_t shared = 0;
    while (shared < a.size() && shared < b.size() && a[shared] == b[shared]) ++shared;
    return shared;
}

// Made of few different bytes, so that many suffixes agree in their first eight bytes and not in the others. Trailing
// zeros are frequent: a suffix with and without them has the same number.
bytes random_suffix(std::mt19937_64& random) {
    static constexpr char letters[] = {'\0', 'a', '\xff'};
    bytes out(random() % 3 == 0 ? 8 : 0, 'a');
    for (auto left = random() % 5; left > 0; --left) out.push_back(letters[random() % 3]);
    return out;
}

// Searches `keys`, whose common prefix is `shared` bytes long, for `target` with numbers of which `dropped_bits` lower
// bits are not stored. Requires the results of the standard library, and that only keys with the target's number are
// compared.
void check_search(const std::vector<bytes>& keys, std::size_t shared, bytes_view target, int dropped_bits) {
    const auto stored_bits = [&](std::uint64_t number) { return number >> dropped_bits; };
    const auto number_of = [&](std::size_t i) {
        return stored_bits(leading_number(bytes_view(keys.at(i)).substr(shared)));
    };
    const auto key_at = [&](std::size_t i) {
        // The first key also represents the shared bytes.
        if (i != 0) REQUIRE(number_of(i) == stored_bits(leading_number(target.substr(shared))));
        return bytes_view(keys.at(i));
    };
    const auto lower = std::lower_bound(keys.begin(), keys.end(), target) - keys.begin();
    const auto upper = std::upper_bound(keys.begin(), keys.end(), target) - keys.begin();
    using lsm::detail::bound;
    REQUIRE(search_by_number<bound::lower>(keys.size(), shared, target, number_of, stored_bits, key_at) ==
            static_cast<std::size_t>(lower));
    REQUIRE(search_by_number<bound::upper>(keys.size(), shared, target, number_of, stored_bits, key_at) ==
            static_cast<std::size_t>(upper));
}

}  // namespace

TEST_CASE("prefix search: shared_prefix finds the first difference at every length") {
    for (std::size_t size = 0; size <= 40; ++size) {
        const bytes text(size, 'x');
        CHECK(shared_prefix(text, text) == size);
        CHECK(shared_prefix(text, text + "y") == size);
        CHECK(shared_prefix(text + "y", text) == size);
        for (std::size_t place = 0; place < size; ++place) {
            bytes other = text;
            other[place] = 'y';
            INFO("size " << size << " place " << place);
            REQUIRE(shared_prefix(text, other) == place);
            REQUIRE(shared_prefix(other + "z", text) == place);
        }
    }
}

TEST_CASE("prefix search: shared_prefix of random keys equals a comparison byte by byte") {
    const auto seed = lsm::test::seed_or(61);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    for (int i = 0; i < 20000; ++i) {
        const bytes a = lsm::test::random_key(random);
        const bytes b = lsm::test::random_key(random);
        REQUIRE(shared_prefix(a, b) == shared_prefix_by_bytes(a, b));
    }
}

TEST_CASE("prefix search: partition_point finds every border in logarithmic time") {
    for (std::size_t count = 0; count <= 130; ++count)
        for (std::size_t border = 0; border <= count; ++border) {
            INFO("count " << count << " border " << border);
            std::size_t asked = 0;
            const auto before = [&](std::size_t i) {
                REQUIRE(i < count);
                ++asked;
                return i < border;
            };
            REQUIRE(lsm::detail::partition_point(count, before) == border);
            REQUIRE(asked <= static_cast<std::size_t>(std::bit_width(count)) + 1);
        }
}

TEST_CASE("prefix search: a search by numbers equals a search by keys") {
    const auto seed = lsm::test::seed_or(62);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 3000; ++round) {
        const bytes prefix = random() % 2 == 0 ? "" : lsm::test::random_key(random);
        std::set<bytes> distinct;
        for (auto left = random() % 40; left > 0; --left) distinct.insert(prefix + random_suffix(random));
        const std::vector<bytes> keys(distinct.begin(), distinct.end());
        // Fewer shared bytes than the keys really share are allowed too.
        const std::size_t shared = prefix.empty() ? 0 : random() % (prefix.size() + 1);
        const int dropped_bits = random() % 2 == 0 ? 0 : 32;
        for (int i = 0; i < 10; ++i) check_search(keys, shared, prefix + random_suffix(random), dropped_bits);
        // Targets that need not begin with the shared bytes, or are shorter.
        for (int i = 0; i < 5; ++i) {
            const bytes target = lsm::test::random_key(random);
            check_search(keys, shared, target, dropped_bits);
            check_search(keys, shared, bytes_view(prefix).substr(0, random() % (prefix.size() + 1)), dropped_bits);
        }
        for (const auto& key : keys) check_search(keys, shared, key, dropped_bits);
    }
}

TEST_CASE("prefix search: equal numbers are decided by the keys") {
    // All have the same first eight bytes after "key/".
    const std::vector<bytes> keys = {"key/12345678", bytes("key/12345678\0", 13), "key/12345678a", "key/12345678b"};
    for (const auto& key : keys) check_search(keys, 4, key, 0);
    check_search(keys, 4, "key/12345678aa", 0);
    check_search(keys, 4, "key/1234567", 0);
    check_search(keys, 4, "key/12345679", 0);
    // And all of these have the same number, 0.
    const std::vector<bytes> zeros = {"", bytes(1, '\0'), bytes(2, '\0'), bytes(9, '\0')};
    for (const auto& key : zeros) check_search(zeros, 0, key, 0);
    check_search(zeros, 0, bytes(5, '\0'), 0);
}
