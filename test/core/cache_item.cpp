#include <lsm/core/cache_item.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include <lsm/cache/shared_cache.hpp>

#include "support/catch.hpp"
#include "support/threads.hpp"

namespace {

struct watched_item : lsm::detail::cache_item {
    static void destroy(watched_item* item) {
        ++destroyed;
        delete item;
    }

    static inline std::atomic<int> destroyed = 0;
};
using watched_pointer = lsm::detail::item_pointer<watched_item>;

}  // namespace

TEST_CASE("cache item: a new item has one holder") {
    watched_item item;
    CHECK(item.release());
}

TEST_CASE("cache item: release reports the last holder only") {
    watched_item item;
    item.hold();
    item.hold();
    CHECK_FALSE(item.release());
    CHECK_FALSE(item.release());
    CHECK(item.release());
}

TEST_CASE("cache item: of many threads exactly one releases the last holder") {
    for (int round = 0; round < 2; ++round) {
        watched_item item;
        std::atomic<int> last = 0;
        lsm::test::in_threads(4, [&](int) {
            for (int i = 0; i < 300'000; ++i) {
                item.hold();
                if (item.release()) ++last;
            }
        });
        CHECK(last == 0);
        CHECK(item.release());
    }
}

TEST_CASE("cache item: three uses are counted and more are not") {
    // The cache has room for two items. Each insertion evicts the other one, until the first has lost its uses.
    constexpr std::size_t item_bytes = 1000;
    for (int uses = 0; uses < 8; ++uses) {
        INFO(uses << " uses");
        lsm::detail::shared_cache<watched_item> cache(2 * item_bytes, std::make_shared<lsm::detail::reader_slots>());
        lsm::detail::cache_slot slots[8];
        const auto insert = [&](std::size_t slot) {
            const watched_pointer item(new watched_item);
            cache.insert(slots[slot], *item.get(), item_bytes);
        };
        const auto first_is_cached = [&] {
            const auto pass = cache.readers().enter();
            return slots[0].find<watched_item>() != nullptr;
        };
        insert(0);
        for (int i = 0; i < uses; ++i) slots[0].find<watched_item>()->mark_used();
        insert(1);
        int survived = 0;
        for (std::size_t slot = 2; slot < 8; ++slot) {
            insert(slot);
            survived += first_is_cached() ? 1 : 0;
        }
        CHECK(survived == (uses < 3 ? uses : 3));
        for (auto& slot : slots) cache.clear(slot);
    }
}

TEST_CASE("item pointer: takes over the holder of a new item and destroys the item with it") {
    watched_item::destroyed = 0;
    {
        const watched_pointer pointer(new watched_item);
        CHECK(pointer);
        CHECK(watched_item::destroyed == 0);
    }
    CHECK(watched_item::destroyed == 1);
}

TEST_CASE("item pointer: an item lives until its last pointer is gone") {
    watched_item::destroyed = 0;
    watched_pointer first(new watched_item);
    watched_pointer second = first;
    CHECK(second.get() == first.get());
    first = {};
    CHECK_FALSE(first);
    CHECK(watched_item::destroyed == 0);
    second = {};
    CHECK(watched_item::destroyed == 1);
}

TEST_CASE("item pointer: a move hands the item over") {
    watched_item::destroyed = 0;
    watched_pointer first(new watched_item);
    watched_item* const item = first.get();
    watched_pointer second = std::move(first);
    CHECK_FALSE(first);
    CHECK(second.get() == item);
    first = std::move(second);
    CHECK(first.get() == item);
    CHECK(watched_item::destroyed == 0);
    first = {};
    CHECK(watched_item::destroyed == 1);
}

TEST_CASE("item pointer: assignment releases the item that was held before") {
    watched_item::destroyed = 0;
    watched_pointer pointer(new watched_item);
    pointer = watched_pointer(new watched_item);
    CHECK(watched_item::destroyed == 1);
    const watched_pointer& same = pointer;
    pointer = same;
    CHECK(pointer);
    CHECK(watched_item::destroyed == 1);
    pointer = {};
    CHECK(watched_item::destroyed == 2);
}

TEST_CASE("item pointer: a null pointer holds nothing") {
    watched_item::destroyed = 0;
    {
        const watched_pointer null;
        const watched_pointer copy = null;
        CHECK_FALSE(null);
        CHECK(copy.get() == nullptr);
        watched_pointer::release(nullptr);
    }
    CHECK(watched_item::destroyed == 0);
}
