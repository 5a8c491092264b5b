#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <lsm/core/hex.hpp>
#include <lsm/policy/policies.hpp>

#include "support/catch.hpp"

namespace lsm::test {

template <class Key>
bytes key_bytes(const Key& key) {
    bytes out;
    key_codec<Key>::encode(key, out);
    return out;
}

template <class Value>
bytes value_bytes(const Value& value) {
    bytes out;
    value_codec<Value>::encode(value, out);
    return out;
}

/// Requires of every pair of `keys` that the encodings have the order of the keys, and are equal only if the keys are.
/// Checks the neighbours of the sorted keys, which is enough.
template <class Key>
void require_same_order(std::vector<Key> keys) {
    std::sort(keys.begin(), keys.end());
    for (std::size_t i = 1; i < keys.size(); ++i) {
        const bytes left = key_bytes(keys[i - 1]);
        const bytes right = key_bytes(keys[i]);
        INFO(hex(left) << " and " << hex(right));
        REQUIRE((keys[i - 1] < keys[i]) == (left < right));
        REQUIRE((keys[i - 1] == keys[i]) == (left == right));
    }
}

template <class Key>
void require_round_trip(const std::vector<Key>& keys) {
    for (const Key& key : keys) {
        const bytes encoded = key_bytes(key);
        INFO(hex(encoded));
        const std::optional<Key> decoded = key_codec<Key>::decode(encoded);
        REQUIRE(decoded.has_value());
        REQUIRE(*decoded == key);
        if constexpr (detail::fixed_size_codec<key_codec<Key>>) REQUIRE(encoded.size() == key_codec<Key>::size);
    }
}

/// Bytes that are hard on a decoder of tuples: many zeros, end marks and escapes.
inline bytes random_garbage(std::mt19937_64& random, std::size_t longest) {
    bytes out(random() % (longest + 1), '\0');
    for (char& c : out) {
        static constexpr char hard[] = {'\0', '\1', '\xff', '\xfe', 'a'};
        c = random() % 4 == 0 ? static_cast<char>(random()) : hard[random() % sizeof hard];
    }
    return out;
}

/// Decodes garbage, and requires that a key it decodes to encodes to the same bytes. Returns how many were keys.
template <class Key>
int require_garbage_refused_or_kept(std::mt19937_64& random, std::size_t longest, int rounds) {
    int accepted = 0;
    for (int i = 0; i < rounds; ++i) {
        const bytes garbage = random_garbage(random, longest);
        const auto decoded = key_codec<Key>::decode(garbage);
        if (!decoded) continue;
        ++accepted;
        INFO(hex(garbage));
        REQUIRE(key_bytes(*decoded) == garbage);
    }
    return accepted;
}

}  // namespace lsm::test
