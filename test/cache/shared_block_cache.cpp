#include <lsm/cache/shared_block_cache.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "support/allocators.hpp"
#include "support/catch.hpp"

namespace {

using lsm::block_key;
using lsm::test::allocation_log;
using lsm::test::logged_allocator;

/// A block that says where it belongs, and claims to hold some memory.
struct placed_block {
    block_key place{};
    std::size_t size = 1;

    [[nodiscard]] std::size_t memory_bytes() const noexcept { return size; }
};

using allocator = std::allocator<std::byte>;
using byte_cache = lsm::shared_block_cache<placed_block, lsm::capacity_in_bytes, allocator>;

// Places as tables have them: a few files, blocks of about 4 KiB one behind the other.
block_key place(std::uint64_t i) { return {1 + i % 7, i / 7 * 4099}; }

}  // namespace

TEST_CASE("shared block cache: blocks are found under their file and offset") {
    byte_cache cache(1'000'000, allocator());
    for (std::uint64_t i = 0; i < 500; ++i) cache.insert(place(i), {place(i), 10});
    for (std::uint64_t i = 0; i < 500; ++i) {
        const auto found = cache.get(place(i));
        REQUIRE(found);
        REQUIRE(found->place == place(i));
        REQUIRE_FALSE(cache.get({place(i).file_id + 7, place(i).offset}));
    }
    CHECK(cache.hits() == 500);
    CHECK(cache.misses() == 500);
    CHECK(cache.used() == 5000);
}

TEST_CASE("shared block cache: to insert a key again overwrites its block") {
    byte_cache cache(1'000'000, allocator());
    cache.insert({1, 0}, {{1, 0}, 10});
    cache.insert({1, 0}, {{2, 0}, 30});
    CHECK(cache.get({1, 0})->place == block_key{2, 0});
    CHECK(cache.used() == 30);
}

TEST_CASE("shared block cache: places spread over the shards so that most of the capacity is used") {
    constexpr std::size_t capacity = 160'000;
    byte_cache cache(capacity, allocator());
    for (std::uint64_t i = 0; i < 1000; ++i) {
        cache.insert(place(i), {place(i), 100});
        REQUIRE(cache.used() <= capacity);
    }
    CHECK(cache.used() == 100'000);  // no shard has overflown at 62 percent
    for (std::uint64_t i = 1000; i < 5000; ++i) {
        cache.insert(place(i), {place(i), 100});
        REQUIRE(cache.used() <= capacity);
    }
    CHECK(cache.used() >= capacity * 95 / 100);
    CHECK_FALSE(cache.get(place(0)));
    CHECK(cache.get(place(4999)));
}

TEST_CASE("shared block cache: a smaller capacity drops the oldest blocks and a larger one takes more again") {
    byte_cache cache(160'000, allocator());
    for (std::uint64_t i = 0; i < 1000; ++i) cache.insert(place(i), {place(i), 100});
    cache.set_capacity(40'000);
    CHECK(cache.used() <= 40'000);
    CHECK(cache.used() >= 36'000);
    CHECK_FALSE(cache.get(place(0)));
    CHECK(cache.get(place(999)));
    cache.set_capacity(0);
    CHECK(cache.used() == 0);
    cache.insert(place(1), {place(1), 100});
    CHECK_FALSE(cache.get(place(1)));
    cache.set_capacity(160'000);
    cache.insert(place(1), {place(1), 100});
    CHECK(cache.get(place(1)));
}

TEST_CASE("shared block cache: all memory comes from its allocator and goes back") {
    allocation_log log;
    {
        lsm::shared_block_cache<placed_block, lsm::capacity_in_bytes, logged_allocator<std::byte>> cache(1000, log);
        for (std::uint64_t i = 0; i < 100; ++i) cache.insert(place(i), {place(i), 10});
        CHECK(log.live_bytes > 0);
    }
    CHECK(log.live_bytes == 0);
}

// Catch's macros are not for threads, so threads count.
TEST_CASE("shared block cache: many threads get what was inserted") {
    constexpr std::size_t capacity = 30'000;
    byte_cache cache(capacity, allocator());
    std::atomic<std::uint64_t> defects = 0, lookups = 0;
    const auto use = [&](std::uint64_t thread) {
        for (std::uint64_t i = 0; i < 5000; ++i) {
            const auto key = place((i * 31 + thread * 977) % (i % 2 == 0 ? 50 : 700));
            const auto found = cache.get(key);
            ++lookups;
            if (found && !(found->place == key)) ++defects;
            if (!found) cache.insert(key, {key, 60});
            if (i % 500 == 0) cache.set_capacity(i % 1000 == 0 ? capacity : capacity / 2);
            if (i % 64 == 0 && cache.used() > capacity) ++defects;
        }
    };
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < 4; ++t) threads.emplace_back(use, t);
    for (auto& t : threads) t.join();
    CHECK(defects == 0);
    CHECK(cache.hits() + cache.misses() == lookups);
    CHECK(cache.hits() > 0);
}
