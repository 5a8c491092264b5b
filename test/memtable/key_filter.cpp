#include <lsm/memtable/key_filter.hpp>

#include <cstddef>
#include <memory>
#include <string>

#include <lsm/core/hash.hpp>
#include <lsm/memtable/memtable.hpp>

#include "support/catch.hpp"

namespace {

using filter = lsm::detail::key_filter<std::allocator<std::byte>>;
using core = lsm::detail::memtable_core<std::allocator<std::byte>>;

// Adds `keys` keys to a filter of `bytes` bytes and checks that it denies none of them. Returns the fraction of as many
// other keys for which it says that it may contain them.
double false_positives(std::size_t bytes, std::size_t keys) {
    filter f(bytes, {});
    const auto key = [](std::size_t i) { return "key" + std::to_string(i); };
    for (std::size_t i = 0; i < keys; ++i) f.add(f.prefetch(key(i)));
    std::size_t denied = 0, passed = 0;
    for (std::size_t i = 0; i < keys; ++i) denied += !f.may_contain(lsm::detail::xxh64(key(i)));
    for (std::size_t i = keys; i < 2 * keys; ++i) passed += f.may_contain(lsm::detail::xxh64(key(i)));
    CHECK(denied == 0);
    return static_cast<double>(passed) / static_cast<double>(keys);
}

}  // namespace

TEST_CASE("memtable filter: a filter of three bytes a key passes every key and few others") {
    CHECK(false_positives(3 * 20'000, 20'000) < 0.01);
    CHECK(false_positives(2 * 20'000, 20'000) < 0.03);
}

TEST_CASE("memtable filter: a filter that is far too small passes everything") {
    CHECK(false_positives(64, 10'000) == 1);
    CHECK(false_positives(8, 1000) == 1);
}

TEST_CASE("memtable filter: a filter without a word passes everything") {
    CHECK(false_positives(0, 100) == 1);
    CHECK(false_positives(7, 100) == 1);
    CHECK(filter(7, {}).memory_bytes() == 0);
}

TEST_CASE("memtable filter: a memtable with a filter denies only keys that it does not have") {
    core table({}, 4096);
    for (int i = 0; i < 1000; i += 2)
        table.add(std::to_string(i), {i % 3 == 0 ? lsm::entry_type::tombstone : lsm::entry_type::value, ""}, 1);
    int denied = 0;
    for (int i = 0; i < 1000; ++i) {
        const auto key = std::to_string(i);
        const bool may = table.may_contain(lsm::detail::xxh64(key));
        if (i % 2 == 0) CHECK(may);
        denied += !may;
    }
    CHECK(denied > 450);
    CHECK(table.memory_bytes() >= 4096);
}
