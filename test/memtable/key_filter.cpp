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

/// How many of as many other keys a filter lets through that has `keys` of them, and whether it knows all of these.
double let_through(std::size_t bytes, std::size_t keys) {
    filter f(bytes, {});
    const auto key = [](std::size_t i) { return "key" + std::to_string(i); };
    for (std::size_t i = 0; i < keys; ++i) f.add(f.fetch(key(i)));
    std::size_t missing = 0, through = 0;
    for (std::size_t i = 0; i < keys; ++i) missing += !f.may_contain(lsm::detail::xxh64(key(i)));
    for (std::size_t i = keys; i < 2 * keys; ++i) through += f.may_contain(lsm::detail::xxh64(key(i)));
    CHECK(missing == 0);
    return static_cast<double>(through) / static_cast<double>(keys);
}

}  // namespace

TEST_CASE("memtable filter: knows every key, and few others if it has three bytes for each") {
    CHECK(let_through(3 * 20'000, 20'000) < 0.01);
    CHECK(let_through(2 * 20'000, 20'000) < 0.03);
}

TEST_CASE("memtable filter: one that is too small knows every key, and nearly every other") {
    CHECK(let_through(64, 10'000) == 1);
    CHECK(let_through(8, 1000) == 1);
}

TEST_CASE("memtable filter: one without a word lets all through") {
    CHECK(let_through(0, 100) == 1);
    CHECK(let_through(7, 100) == 1);
    CHECK(filter(7, {}).memory_bytes() == 0);
}

TEST_CASE("memtable filter: a memtable that was given one denies only what it has not") {
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
