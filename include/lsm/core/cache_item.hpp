#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace lsm::detail {

class cache_slot;

/// The base of objects that a shared_cache keeps. It counts the holders of the object, initially one, and has the
/// fields that the cache needs.
class cache_item {
public:
    cache_item() = default;
    cache_item(const cache_item&) = delete;
    cache_item& operator=(const cache_item&) = delete;

    /// Adds a holder. Requires that there is one.
    void hold() noexcept { holders_.fetch_add(1, std::memory_order_relaxed); }
    /// Removes a holder. Returns whether it was the last one.
    [[nodiscard]] bool release() noexcept { return holders_.fetch_sub(1, std::memory_order_acq_rel) == 1; }

    /// Counts a use, up to three. The cache evicts items without recent uses first.
    void mark_used() noexcept {
        const std::uint8_t uses = uses_.load(std::memory_order_relaxed);
        if (uses < 3) uses_.store(uses + 1, std::memory_order_relaxed);
    }

private:
    template <class Item>
    friend class item_queue;
    template <class Item>
    friend class shared_cache;

    std::atomic<std::uint32_t> holders_ = 1;
    std::atomic<std::uint8_t> uses_ = 0;

    // Accessed only by the cache, under its lock.
    cache_item* newer_ = nullptr;
    cache_item* older_ = nullptr;
    cache_slot* slot_ = nullptr;
    std::size_t charge_ = 0;
    std::uint64_t retired_at_ = 0;
};

/// A smart pointer that is a holder of an item. Null by default.
template <class Item>
class item_pointer {
public:
    item_pointer() = default;
    /// Takes over a holder that `item` has counted already.
    explicit item_pointer(Item* item) noexcept : item_(item) {}
    item_pointer(const item_pointer& other) noexcept : item_(other.item_) {
        if (item_ != nullptr) item_->hold();
    }
    item_pointer(item_pointer&& other) noexcept : item_(std::exchange(other.item_, nullptr)) {}
    item_pointer& operator=(item_pointer other) noexcept {
        std::swap(item_, other.item_);
        return *this;
    }
    ~item_pointer() { release(item_); }

    [[nodiscard]] explicit operator bool() const noexcept { return item_ != nullptr; }
    [[nodiscard]] Item* get() const noexcept { return item_; }
    [[nodiscard]] Item* operator->() const noexcept { return item_; }

    /// Removes a holder of `item`, and destroys the item if it was the last one. A null `item` is ignored.
    static void release(Item* item) noexcept {
        if (item != nullptr && item->release()) Item::destroy(item);
    }

private:
    Item* item_ = nullptr;
};

}  // namespace lsm::detail
