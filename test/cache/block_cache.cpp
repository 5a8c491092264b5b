#include <lsm/cache/block_cache.hpp>

#include <algorithm>
#include <list>
#include <new>
#include <random>
#include <type_traits>
#include <utility>
#include <vector>

#include <lsm/sstable/reader.hpp>

#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/seed.hpp"

namespace {

using lsm::block_key;
using lsm::test::allocation_log;
using lsm::test::logged_allocator;

/// A block with a number that identifies it and a size of the test's choice.
struct numbered_block {
    int number = 0;
    std::size_t size = 1;

    [[nodiscard]] std::size_t memory_bytes() const noexcept { return size; }
};

using entry_cache = lsm::basic_block_cache<numbered_block>;
using byte_cache = lsm::basic_block_cache<numbered_block, lsm::capacity_in_bytes>;

std::vector<block_key> keys_of(const auto& cache) {
    const auto keys = cache.keys();
    return {keys.begin(), keys.end()};
}

constexpr block_key a{1, 0}, b{1, 4096}, c{2, 0}, d{2, 4096};

}  // namespace

TEST_CASE("block cache: hits and misses are counted") {
    entry_cache cache(2);
    CHECK_FALSE(cache.get(a));
    cache.insert(a, {7});
    REQUIRE(cache.get(a));
    CHECK(cache.get(a)->number == 7);
    CHECK_FALSE(cache.get(b));
    CHECK(cache.hits() == 2);
    CHECK(cache.misses() == 2);
}

TEST_CASE("block cache: the least recently used block is dropped first") {
    entry_cache cache(3);
    cache.insert(a, {1});
    cache.insert(b, {2});
    cache.insert(c, {3});
    REQUIRE(cache.get(a));
    cache.insert(d, {4});
    CHECK_FALSE(cache.get(b));
    CHECK(keys_of(cache) == std::vector<block_key>{d, a, c});
    CHECK(cache.used() == 3);
}

TEST_CASE("block cache: inserting a key again replaces its block and makes it the newest") {
    entry_cache cache(2);
    cache.insert(a, {1});
    cache.insert(b, {2});
    cache.insert(a, {10});
    CHECK(cache.used() == 2);
    CHECK(keys_of(cache) == std::vector<block_key>{a, b});
    cache.insert(c, {3});
    CHECK(cache.get(a)->number == 10);
    CHECK_FALSE(cache.get(b));
}

TEST_CASE("block cache: keys are listed newest first and only get and insert change their order") {
    entry_cache cache(4);
    for (const block_key key : {a, b, c, d}) cache.insert(key, {});
    CHECK(keys_of(cache) == std::vector<block_key>{d, c, b, a});
    REQUIRE(cache.get(b));
    CHECK_FALSE(cache.get({9, 9}));
    CHECK(keys_of(cache) == std::vector<block_key>{b, d, c, a});
    CHECK(keys_of(cache) == keys_of(cache));
}

TEST_CASE("block cache: keys differ in file and in offset") {
    entry_cache cache(8);
    cache.insert({1, 2}, {12});
    cache.insert({2, 1}, {21});
    // These two collide in the hash, which combines the offset with the file id shifted by 40 bits.
    cache.insert({1, std::uint64_t{1} << 41}, {3});
    cache.insert({3, 0}, {4});
    CHECK(cache.get({1, 2})->number == 12);
    CHECK(cache.get({2, 1})->number == 21);
    CHECK(cache.get({1, std::uint64_t{1} << 41})->number == 3);
    CHECK(cache.get({3, 0})->number == 4);
}

TEST_CASE("block cache: a capacity of 0 keeps nothing") {
    entry_cache entries(0);
    byte_cache in_bytes(0);
    entries.insert(a, {1});
    in_bytes.insert(a, {1});
    CHECK_FALSE(entries.get(a));
    CHECK_FALSE(in_bytes.get(a));
    CHECK(entries.used() == 0);
    CHECK(in_bytes.misses() == 1);
    CHECK(in_bytes.capacity() == 0);
}

TEST_CASE("block cache: a capacity in bytes drops as many blocks as the new one needs") {
    byte_cache cache(100);
    cache.insert(a, {1, 40});
    cache.insert(b, {2, 30});
    cache.insert(c, {3, 30});
    CHECK(cache.used() == 100);
    cache.insert(d, {4, 41});
    CHECK(keys_of(cache) == std::vector<block_key>{d, c});
    CHECK(cache.used() == 71);
    cache.insert(c, {5, 59});
    CHECK(keys_of(cache) == std::vector<block_key>{c, d});
    CHECK(cache.used() == 100);
}

TEST_CASE("block cache: a block larger than the capacity is not kept and drops no other") {
    byte_cache cache(100);
    cache.insert(a, {1, 100});
    CHECK(cache.used() == 100);
    cache.insert(b, {2, 101});
    CHECK(keys_of(cache) == std::vector<block_key>{a});
    // The block that it would have replaced is dropped, because it is no longer the block of its key.
    cache.insert(a, {3, 101});
    CHECK(keys_of(cache).empty());
    CHECK(cache.used() == 0);
}

TEST_CASE("block cache: erase drops one block and counts nothing") {
    byte_cache cache(100);
    cache.insert(a, {1, 10});
    cache.insert(b, {2, 20});
    cache.erase(a);
    cache.erase(c);
    CHECK(keys_of(cache) == std::vector<block_key>{b});
    CHECK(cache.used() == 20);
    CHECK(cache.hits() + cache.misses() == 0);
}

TEST_CASE("block cache: it is not copyable") {
    // The hash table of a copy would point into the list of the original.
    CHECK_FALSE(std::is_copy_constructible_v<entry_cache>);
    CHECK_FALSE(std::is_copy_assignable_v<entry_cache>);
}

TEST_CASE("block cache: random operations agree with a naive implementation") {
    const auto seed = lsm::test::seed_or(20240601);
    INFO("LSM_SEED=" << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 40; ++round) {
        const std::size_t capacity = random() % 60;
        byte_cache cache(capacity);
        std::list<std::pair<block_key, numbered_block>> naive;  // newest first
        std::uint64_t hits = 0, misses = 0;
        const auto take = [&](block_key key) {
            const auto found = std::ranges::find(naive, key, &std::pair<block_key, numbered_block>::first);
            std::optional<numbered_block> out;
            if (found != naive.end()) {
                out = found->second;
                naive.erase(found);
            }
            return out;
        };
        const auto used = [&] {
            std::size_t sum = 0;
            for (const auto& [key, held] : naive) sum += held.size;
            return sum;
        };
        for (int i = 0; i < 1000; ++i) {
            const block_key key{random() % 3, random() % 5};
            switch (random() % 5) {
                case 0:
                    cache.erase(key);
                    take(key);
                    break;
                case 1:
                case 2: {
                    const numbered_block fresh{i, random() % 30};
                    cache.insert(key, fresh);
                    take(key);
                    if (fresh.size > capacity) break;
                    while (used() + fresh.size > capacity) naive.pop_back();
                    naive.emplace_front(key, fresh);
                    break;
                }
                default: {
                    const auto expected = take(key);
                    if (expected) naive.emplace_front(key, *expected);
                    ++(expected ? hits : misses);
                    const auto got = cache.get(key);
                    REQUIRE(got.has_value() == expected.has_value());
                    if (got) REQUIRE(got->number == expected->number);
                }
            }
            std::vector<block_key> order;
            for (const auto& [k, held] : naive) order.push_back(k);
            REQUIRE(keys_of(cache) == order);
            REQUIRE(cache.used() == used());
            REQUIRE(cache.hits() == hits);
            REQUIRE(cache.misses() == misses);
        }
    }
}

TEST_CASE("block cache: a failed allocation leaves it consistent and leaks nothing") {
    using failing_cache = lsm::basic_block_cache<numbered_block, lsm::capacity_in_bytes, logged_allocator<std::byte>>;
    allocation_log log;
    for (std::size_t fail_at = 0;; ++fail_at) {
        log.reset();
        log.fail_at = fail_at;
        bool failed = false;
        try {
            failing_cache cache(100, log);
            for (std::uint64_t i = 0; i < 40; ++i) {
                std::vector<block_key> before = keys_of(cache);
                try {
                    cache.insert({i % 7, 0}, {static_cast<int>(i), 1 + i % 40});
                } catch (const std::bad_alloc&) {
                    failed = true;
                    CHECK_FALSE(cache.get({i % 7, 0}));
                    // All blocks are left, except the one with this key and some of the oldest.
                    std::erase(before, block_key{i % 7, 0});
                    const auto left = keys_of(cache);
                    REQUIRE(left.size() <= before.size());
                    CHECK(std::equal(left.begin(), left.end(), before.begin()));
                }
                std::size_t sum = 0;
                for (const block_key key : keys_of(cache)) {
                    const auto held = cache.get(key);
                    REQUIRE(held);
                    sum += held->size;
                }
                REQUIRE(sum == cache.used());
            }
        } catch (const std::bad_alloc&) {
            failed = true;  // in the constructor, or in keys()
        }
        CHECK(log.live_bytes == 0);
        if (!failed) break;
    }
    CHECK(log.allocations > 40);
}

TEST_CASE("block cache: a block returned by get remains valid after it was dropped") {
    lsm::block_cache cache(1);
    const std::string record(
        "\1\0\0\0"
        "\1\0\0\0"
        "\1\0\0\0"
        "\0"
        "k"
        "v",
        15);
    auto decoded = lsm::block::decode(record, "k", 0);
    REQUIRE(decoded);
    cache.insert(a, *decoded);
    const auto held = cache.get(a);
    cache.insert(b, *decoded);
    *decoded = lsm::block();
    cache.erase(b);
    REQUIRE(held);
    CHECK(held->key(0) == "k");
    CHECK(held->entry(0).value == "v");
}
