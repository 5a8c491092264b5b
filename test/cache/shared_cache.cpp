#include <lsm/cache/shared_cache.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "support/catch.hpp"
#include "support/threads.hpp"

namespace {

using lsm::detail::cache_slot;
using lsm::detail::reader_slots;
using lsm::test::thread_group;

/// An item with a number. Counts the living items.
struct numbered_item : lsm::detail::cache_item {
    explicit numbered_item(std::uint64_t n) : number(n) { ++living; }
    ~numbered_item() { --living; }
    static void destroy(numbered_item* gone) { delete gone; }

    std::uint64_t number;
    static inline std::atomic<int> living = 0;
};
using pointer = lsm::detail::item_pointer<numbered_item>;

/// A cache and the slots of `count` items, all of the same size.
struct cached_numbers {
    static constexpr std::size_t item_bytes = 1000;

    cached_numbers(std::size_t capacity, std::size_t count) : cache(capacity, readers), slots(count) {}
    cached_numbers(const cached_numbers&) = delete;
    ~cached_numbers() {
        for (cache_slot& slot : slots) cache.clear(slot);
    }

    /// Looks up item `i`. If it is missed and admitted, makes and inserts it. Returns whether it was found.
    bool use(std::size_t i) {
        const auto pass = readers->enter();
        if (auto* const found = slots[i].find<numbered_item>()) {
            if (found->number != i) wrong.fetch_add(1);
            found->mark_used();
            return true;
        }
        if (!cache.admits(slots[i], item_bytes)) return false;
        const pointer made(new numbered_item(i));
        cache.insert(slots[i], *made.get(), item_bytes);
        return false;
    }
    [[nodiscard]] bool has(std::size_t i) {
        const auto pass = readers->enter();
        return slots[i].find<numbered_item>() != nullptr;
    }
    [[nodiscard]] std::size_t count() {
        std::size_t out = 0;
        for (std::size_t i = 0; i < slots.size(); ++i) out += has(i);
        return out;
    }

    std::shared_ptr<reader_slots> readers = std::make_shared<reader_slots>();
    lsm::detail::shared_cache<numbered_item> cache;
    std::vector<cache_slot> slots;
    std::atomic<int> wrong = 0;
};

}  // namespace

TEST_CASE("shared cache: keeps all items while there is room") {
    cached_numbers all(100'000, 100);
    for (std::size_t i = 0; i < 100; ++i) REQUIRE_FALSE(all.use(i));
    for (std::size_t i = 0; i < 100; ++i) REQUIRE(all.use(i));
    CHECK(all.cache.used() == 100'000);
    CHECK(all.wrong == 0);
}

TEST_CASE("shared cache: a full cache admits an item missed twice in a short time and evicts unused items for it") {
    cached_numbers all(10'000, 100);
    for (std::size_t i = 0; i < 10; ++i) all.use(i);
    for (std::size_t i = 0; i < 10; i += 2) all.use(i);
    all.use(50);
    CHECK_FALSE(all.has(50));
    all.use(50);
    CHECK(all.has(50));
    CHECK_FALSE(all.has(1));
    for (std::size_t i = 0; i < 10; i += 2) CHECK(all.has(i));

    for (std::size_t i = 60; i < 80; ++i) all.use(i);  // twice the capacity
    all.use(60);
    CHECK_FALSE(all.has(60));
}

TEST_CASE("shared cache: a scan over all items evicts nothing") {
    cached_numbers all(100'000, 10'000);
    for (std::size_t i = 0; i < 100; ++i) all.use(i);
    for (int twice = 0; twice < 2; ++twice)
        for (std::size_t i = 100; i < 10'000; ++i) all.use(i);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < 100; ++i) kept += all.has(i);
    CHECK(kept == 100);
}

TEST_CASE("shared cache: frequently used items are admitted and kept among many others") {
    cached_numbers all(200'000, 10'000);
    for (std::size_t i = 5000; i < 5200; ++i) all.use(i);
    std::size_t hits = 0;
    for (std::size_t round = 0; round < 200; ++round) {
        for (std::size_t i = 0; i < 100; ++i) hits += all.use(i);
        for (std::size_t i = 0; i < 50; ++i) all.use(1000 + (round * 50 + i) % 4000);
    }
    CHECK(hits > 100 * 190);
}

TEST_CASE("shared cache: stays within its capacity and releases evicted items") {
    numbered_item::living = 0;
    {
        cached_numbers all(50'000, 1000);
        for (int round = 0; round < 20; ++round)
            for (std::size_t i = 0; i < 1000; ++i)
                for (int twice = 0; twice < 2; ++twice) {
                    all.use(i);
                    REQUIRE(all.cache.used() <= 50'000 + 50'000 / 4);
                }
        CHECK(all.count() <= 50);
        CHECK(all.count() >= 45);
        CHECK(numbered_item::living <= 63);
    }
    CHECK(numbered_item::living == 0);
}

TEST_CASE("shared cache: an item lives until the reader that found it leaves and as long as it is held") {
    cached_numbers all(3'000, 10);
    numbered_item::living = 0;
    for (std::size_t i = 0; i < 3; ++i) all.use(i);
    {
        const auto pass = all.readers->enter();
        const auto* const found = all.slots[0].find<numbered_item>();
        REQUIRE(found != nullptr);
        for (std::size_t i = 3; i < 10; ++i)
            for (int times = 0; times < 3; ++times) all.use(i);
        CHECK_FALSE(all.has(0));
        CHECK(found->number == 0);
    }
    pointer held;
    {
        const auto pass = all.readers->enter();
        for (std::size_t i = 0; i < 10 && !held; ++i)
            if (auto* const found = all.slots[i].find<numbered_item>()) {
                found->hold();
                held = pointer(found);
            }
    }
    REQUIRE(held);
    all.cache.set_capacity(0);
    for (int i = 0; i < 4; ++i) all.readers->try_advance();
    all.cache.set_capacity(0);
    CHECK(all.cache.used() == 0);
    CHECK(numbered_item::living == 1);
    CHECK(held->number < 10);
    held = {};
    CHECK(numbered_item::living == 0);
}

TEST_CASE("shared cache: keeps nothing without capacity and adapts to a new capacity") {
    cached_numbers all(0, 100);
    for (int twice = 0; twice < 2; ++twice) all.use(1);
    CHECK(all.count() == 0);
    all.cache.set_capacity(50'000);
    for (std::size_t i = 0; i < 100; ++i) all.use(i);
    CHECK(all.count() == 50);
    all.cache.set_capacity(20'000);
    CHECK(all.count() == 20);
}

// Catch's macros are not thread-safe, so the threads only count.
TEST_CASE("shared cache: many threads find the item of a slot or nothing") {
    numbered_item::living = 0;
    {
        cached_numbers all(100'000, 1000);
        std::atomic<std::uint64_t> hits = 0;
        {
            thread_group threads;
            for (std::uint64_t t = 0; t < 4; ++t)
                threads.start([&, t] {
                    for (std::uint64_t i = 0; i < 30'000; ++i) {
                        const std::uint64_t n = (i * 2654435761u + t * 977) % (i % 2 == 0 ? 80 : 1000);
                        if (all.use(static_cast<std::size_t>(n))) hits.fetch_add(1);
                        if (i % 5000 == 0) all.cache.set_capacity(i % 10'000 == 0 ? 50'000 : 100'000);
                    }
                });
        }
        CHECK(all.wrong == 0);
        CHECK(hits > 10'000);
    }
    CHECK(numbered_item::living == 0);
}
