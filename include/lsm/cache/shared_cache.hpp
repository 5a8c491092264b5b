#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include <lsm/core/cache_item.hpp>
#include <lsm/core/reader_slots.hpp>

namespace lsm::detail {

/// The owner's handle on a cached item. There is one slot for each item that could be cached, so a lookup needs neither
/// a hash table nor a lock.
///
/// A slot is one word. 0 stands for no item, another even number is a pointer to the item, and an odd number is the
/// time at which the item was last missed or evicted: what the cache's count of missed bytes was then.
class cache_slot {
public:
    /// Returns the item, or null. Requires that the reader has entered the cache's reader_slots. The item is valid
    /// until the reader leaves them; call hold() before that to keep it.
    template <class Item>
    [[nodiscard]] Item* find() const noexcept {
        const std::uintptr_t word = word_.load(std::memory_order_seq_cst);
        return is_item(word) ? static_cast<Item*>(reinterpret_cast<cache_item*>(word)) : nullptr;
    }

private:
    template <class Item>
    friend class shared_cache;

    [[nodiscard]] static bool is_item(std::uintptr_t word) noexcept { return (word & 1) == 0; }

    std::atomic<std::uintptr_t> word_ = 0;
};

/// A queue of items, oldest first. An intrusive list: it does not own or hold its items.
template <class Item>
class item_queue {
public:
    [[nodiscard]] Item* oldest() const noexcept { return static_cast<Item*>(oldest_); }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

    void push(cache_item& item) noexcept {
        item.older_ = newest_;
        item.newer_ = nullptr;
        if (newest_ != nullptr)
            newest_->newer_ = &item;
        else
            oldest_ = &item;
        newest_ = &item;
        bytes_ += item.charge_;
    }
    void remove(cache_item& item) noexcept {
        if (item.newer_ != nullptr)
            item.newer_->older_ = item.older_;
        else
            newest_ = item.older_;
        if (item.older_ != nullptr)
            item.older_->newer_ = item.newer_;
        else
            oldest_ = item.newer_;
        bytes_ -= item.charge_;
    }

private:
    cache_item* newest_ = nullptr;
    cache_item* oldest_ = nullptr;
    std::size_t bytes_ = 0;
};

/// A cache of recently used items, up to a capacity in bytes. Any number of threads may use it. A hit is one load from
/// the item's slot: no lock, no allocation, and no write except for the first uses of an item.
///
/// Admission: once the cache is full, an item is admitted when it is missed twice within as many missed bytes as the
/// cache has capacity. So a scan over all items evicts nothing.
///
/// Eviction: CLOCK (F. Corbató, 1968). The oldest item is evicted, unless it was used since its last turn; then it
/// loses one of its counted uses and becomes the newest.
///
/// Reclamation: a reader must enter the cache's reader_slots before it looks into a slot. An evicted item is released
/// only when all readers that may have found it have left.
///
/// The capacity is divided among up to 16 shards, each with a lock of its own; the address of a slot selects its shard.
/// Requires that `Item` derives from cache_item and has a static destroy(Item*).
template <class Item>
class shared_cache {
    static constexpr std::size_t most_shards = 16;
    static constexpr std::size_t smallest_shard = std::size_t{512} << 10;

public:
    shared_cache(std::size_t capacity, std::shared_ptr<reader_slots> readers)
        : shards_used_(std::bit_floor(std::clamp<std::size_t>(capacity / smallest_shard, 1, most_shards))),
          readers_(std::move(readers)) {
        set_capacity(capacity);
    }
    shared_cache(const shared_cache&) = delete;
    shared_cache& operator=(const shared_cache&) = delete;
    /// Requires that every slot was cleared.
    ~shared_cache() {
        for (shard& s : shards_)
            while (Item* const item = s.retired.oldest()) release_retired(s, *item);
    }

    [[nodiscard]] reader_slots& readers() const noexcept { return *readers_; }

    /// Notes that an item of about `bytes` bytes was missed in `slot`. Returns whether insert() should be called for
    /// it.
    [[nodiscard]] bool admits(cache_slot& slot, std::size_t bytes) noexcept {
        shard& s = of(slot);
        const std::size_t capacity = s.capacity.load(std::memory_order_relaxed);
        if (bytes + s.used.load(std::memory_order_relaxed) <= capacity) return true;
        // The shard is full. The count of missed bytes serves as its clock; the slot keeps the time of its last miss.
        const std::uintptr_t now = s.missed.fetch_add(2 * bytes, std::memory_order_relaxed);
        std::uintptr_t word = slot.word_.load(std::memory_order_relaxed);
        if (word != 0 && cache_slot::is_item(word)) return false;  // another thread has inserted it
        slot.word_.compare_exchange_strong(word, now, std::memory_order_relaxed);
        return word != 0 && (now - word) / 2 <= capacity;
    }

    /// Puts `item`, which takes `charge` bytes, into `slot`, and evicts other items until all fit. Does nothing if the
    /// slot has an item, if `charge` exceeds the capacity of a shard, or if a slow reader keeps too many evicted items
    /// alive.
    void insert(cache_slot& slot, Item& item, std::size_t charge) {
        shard& s = of(slot);
        const std::lock_guard guard(s.mutex);
        const std::size_t capacity = s.capacity.load(std::memory_order_relaxed);
        if (charge > capacity || slot.find<Item>() != nullptr) return;
        reclaim(s);
        // A slow reader keeps evicted items alive. More evictions would let the cache grow far beyond its capacity.
        if (s.retired.bytes() > capacity / 4 + smallest_shard / 4) return;
        while (s.kept.bytes() > capacity - charge) evict_one(s);
        item.hold();
        item.slot_ = &slot;
        item.charge_ = charge;
        s.kept.push(item);
        s.used.store(s.kept.bytes(), std::memory_order_relaxed);
        slot.word_.store(reinterpret_cast<std::uintptr_t>(static_cast<cache_item*>(&item)), std::memory_order_seq_cst);
    }

    /// Empties `slot`. Requires that no reader can look into it any more.
    void clear(cache_slot& slot) {
        if (slot.word_.load(std::memory_order_relaxed) == 0) return;
        shard& s = of(slot);
        const std::lock_guard guard(s.mutex);
        if (Item* const item = slot.find<Item>()) {
            s.kept.remove(*item);
            s.used.store(s.kept.bytes(), std::memory_order_relaxed);
            item_pointer<Item>::release(item);
        }
        slot.word_.store(0, std::memory_order_relaxed);
    }

    /// Changes the capacity, and evicts items until all fit.
    void set_capacity(std::size_t capacity) {
        for (std::size_t i = 0; i < shards_used_; ++i) {
            shard& s = shards_[i];
            const std::lock_guard guard(s.mutex);
            s.capacity.store(capacity / shards_used_, std::memory_order_relaxed);
            while (s.kept.bytes() > capacity / shards_used_) evict_one(s);
            s.used.store(s.kept.bytes(), std::memory_order_relaxed);
            reclaim(s);
        }
    }

    /// Returns the bytes of all items, including those that are evicted but not released yet.
    [[nodiscard]] std::uint64_t used() const {
        std::uint64_t out = 0;
        for (const shard& s : shards_) {
            const std::lock_guard guard(s.mutex);
            out += s.kept.bytes() + s.retired.bytes();
        }
        return out;
    }

private:
    struct shard {
        mutable std::mutex mutex;
        item_queue<Item> kept;
        item_queue<Item> retired;  // evicted: in no slot, but a reader may still use them
        std::atomic<std::size_t> capacity = 0;
        std::atomic<std::size_t> used = 0;  // kept.bytes(), readable without the lock
        // Twice the bytes missed while the shard was full, plus 1: always odd, so that a slot can hold it.
        std::atomic<std::uintptr_t> missed = 1;
        char apart[64];  // keeps the shards in different cache lines
    };

    [[nodiscard]] shard& of(const cache_slot& slot) noexcept {
        return shards_[reinterpret_cast<std::uintptr_t>(&slot) / sizeof slot & (shards_used_ - 1)];
    }

    // Requires the lock, and at least one item.
    void evict_one(shard& s) noexcept {
        for (;;) {
            Item& item = *s.kept.oldest();
            s.kept.remove(item);
            const std::uint8_t uses = item.uses_.load(std::memory_order_relaxed);
            if (uses == 0) {
                // The epoch is recorded only after the slot has changed: a reader that enters later cannot find the
                // item.
                item.slot_->word_.store(s.missed.load(std::memory_order_relaxed), std::memory_order_seq_cst);
                item.retired_at_ = readers_->epoch();
                s.retired.push(item);
                return;
            }
            item.uses_.store(static_cast<std::uint8_t>(uses - 1), std::memory_order_relaxed);
            s.kept.push(item);
        }
    }

    // Releases the evicted items that no reader can still use. Requires the lock. Advancing the epoch looks at all
    // reader slots, so it is done only when a 32nd of the capacity has been evicted.
    void reclaim(shard& s) noexcept {
        if (s.retired.bytes() > s.capacity.load(std::memory_order_relaxed) / 32 &&
            !readers_->safe(s.retired.oldest()->retired_at_))
            readers_->try_advance();
        while (Item* const item = s.retired.oldest()) {
            if (!readers_->safe(item->retired_at_)) return;
            release_retired(s, *item);
        }
    }
    void release_retired(shard& s, Item& item) noexcept {
        s.retired.remove(item);
        item_pointer<Item>::release(&item);
    }

    const std::size_t shards_used_;  // a power of two
    std::shared_ptr<reader_slots> readers_;
    std::array<shard, most_shards> shards_;
};

}  // namespace lsm::detail
