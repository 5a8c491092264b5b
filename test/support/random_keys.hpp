#pragma once

#include <cstdint>
#include <random>

#include <lsm/core/bytes.hpp>

namespace lsm::test {

/// A key that is hard on an ordered store: empty, zeros, runs of 0xff, a shared prefix, and sometimes long. There are
/// few different ones, so that random operations meet the same key again.
inline bytes random_key(std::mt19937_64& random) {
    static constexpr char letters[] = {'\0', '\x01', 'a', 'b', '\x7f', '\x80', '\xfe', '\xff'};
    const auto pick = [&](std::size_t below) { return static_cast<std::size_t>(random() % below); };
    bytes key;
    if (pick(4) == 0) key = "shared/prefix/";
    const std::size_t length = pick(50) == 0 ? 200 : pick(4);
    for (std::size_t i = 0; i < length; ++i) key.push_back(letters[pick(sizeof letters)]);
    return key;
}

inline bytes random_value(std::mt19937_64& random) {
    const std::size_t length = random() % 64 == 0 ? random() % 20000 : random() % 20;
    bytes value(length, '\0');
    for (char& c : value) c = static_cast<char>(random());
    return value;
}

}  // namespace lsm::test
