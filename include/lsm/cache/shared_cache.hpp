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

/// Where the one who owns what is cached finds it: a word that is a pointer to the item, or an odd number that tells
/// when it was last asked for. One for each thing that could be cached, so that a lookup needs no table and no lock.
class cache_slot {
public:
    /// The item, or null. Valid until the reader leaves the reader_slots of the cache; to keep it, hold() it before.
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

/// Items in the order they came. Links only: holds nobody.
template <class Item>
class item_queue {
public:
    [[nodiscard]] Item* oldest() const noexcept { return static_cast<Item*>(oldest_); }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

    void push(cache_item& item) noexcept {
        item.older_ = newest_;
        item.newer_ = nullptr;
        (newest_ != nullptr ? newest_->newer_ : oldest_) = &item;
        newest_ = &item;
        bytes_ += item.charge_;
    }
    void remove(cache_item& item) noexcept {
        (item.newer_ != nullptr ? item.newer_->older_ : newest_) = item.older_;
        (item.older_ != nullptr ? item.older_->newer_ : oldest_) = item.newer_;
        bytes_ -= item.charge_;
    }

private:
    cache_item* newest_ = nullptr;
    cache_item* oldest_ = nullptr;
    std::size_t bytes_ = 0;
};

/// A cache for many threads, of items that were of use lately, up to a capacity in bytes. A hit is one load from the
/// item's slot: no lock, no allocation, no write but of an item's first uses.
///
/// A full cache admits an item when it is missed for the second time within as many missed bytes as the cache has, so
/// that a scan over everything drives nothing out. The oldest item that was not used since its last turn goes (CLOCK,
/// F. Corbató 1968).
///
/// Whoever looks into a slot has entered the cache's reader_slots: an item that is driven out is given up when all have
/// left who might have found it. `Item` derives from cache_item and has a static destroy(Item*).
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
            while (Item* const item = s.retired.oldest()) give_up(s, *item);
    }

    [[nodiscard]] reader_slots& readers() const noexcept { return *readers_; }

    /// Whether an item of about so many bytes that was missed in `slot` is worth an insert().
    [[nodiscard]] bool admits(cache_slot& slot, std::size_t bytes) noexcept {
        shard& s = of(slot);
        const std::size_t capacity = s.capacity.load(std::memory_order_relaxed);
        if (bytes + s.used.load(std::memory_order_relaxed) <= capacity) return true;
        const std::uintptr_t now = s.missed.fetch_add(2 * bytes, std::memory_order_relaxed);
        std::uintptr_t word = slot.word_.load(std::memory_order_relaxed);
        if (word != 0 && cache_slot::is_item(word)) return false;  // somebody was faster
        slot.word_.compare_exchange_strong(word, now, std::memory_order_relaxed);
        return word != 0 && (now - word) / 2 <= capacity;
    }

    /// Puts `item`, which takes `charge` bytes, into its slot, if it fits and the slot is empty. Drives out others.
    void insert(cache_slot& slot, Item& item, std::size_t charge) {
        shard& s = of(slot);
        const std::lock_guard guard(s.mutex);
        const std::size_t capacity = s.capacity.load(std::memory_order_relaxed);
        if (charge > capacity || slot.find<Item>() != nullptr) return;
        reclaim(s);
        if (s.retired.bytes() > capacity / 4 + smallest_shard / 4) return;  // a reader is slow: nothing can be given up
        while (s.kept.bytes() > capacity - charge) drive_out_one(s);
        item.hold();
        item.home_ = &slot;
        item.charge_ = charge;
        s.kept.push(item);
        s.used.store(s.kept.bytes(), std::memory_order_relaxed);
        slot.word_.store(reinterpret_cast<std::uintptr_t>(static_cast<cache_item*>(&item)), std::memory_order_seq_cst);
    }

    /// Empties a slot that no reader can look into any more.
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

    /// Drives out items until all fit.
    void set_capacity(std::size_t capacity) {
        for (std::size_t i = 0; i < shards_used_; ++i) {
            shard& s = shards_[i];
            const std::lock_guard guard(s.mutex);
            s.capacity.store(capacity / shards_used_, std::memory_order_relaxed);
            while (s.kept.bytes() > capacity / shards_used_) drive_out_one(s);
            s.used.store(s.kept.bytes(), std::memory_order_relaxed);
            reclaim(s);
        }
    }

    /// Bytes; what was driven out and is not given up yet is among them.
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
        item_queue<Item> retired;  // in no slot any more
        std::atomic<std::size_t> capacity = 0;
        std::atomic<std::size_t> used = 0;  // kept.bytes()
        // An odd number: twice the bytes that a full shard was asked for in vain.
        std::atomic<std::uintptr_t> missed = 1;
        char apart[64];
    };

    [[nodiscard]] shard& of(const cache_slot& slot) noexcept {
        return shards_[reinterpret_cast<std::uintptr_t>(&slot) / sizeof slot & (shards_used_ - 1)];
    }

    // Requires that there is an item.
    void drive_out_one(shard& s) noexcept {
        for (;;) {
            Item& item = *s.kept.oldest();
            s.kept.remove(item);
            const std::uint8_t uses = item.uses_.load(std::memory_order_relaxed);
            if (uses == 0) {
                item.home_->word_.store(s.missed.load(std::memory_order_relaxed), std::memory_order_seq_cst);
                item.retired_at_ = readers_->epoch();
                s.retired.push(item);
                return;
            }
            item.uses_.store(static_cast<std::uint8_t>(uses - 1), std::memory_order_relaxed);
            s.kept.push(item);
        }
    }

    // Gives up what no reader can have found. To look for readers costs something, so some are let gather first.
    void reclaim(shard& s) noexcept {
        if (s.retired.bytes() > s.capacity.load(std::memory_order_relaxed) / 32 &&
            !readers_->safe(s.retired.oldest()->retired_at_))
            readers_->try_advance();
        while (Item* const item = s.retired.oldest()) {
            if (!readers_->safe(item->retired_at_)) return;
            give_up(s, *item);
        }
    }
    void give_up(shard& s, Item& item) noexcept {
        s.retired.remove(item);
        item_pointer<Item>::release(&item);
    }

    const std::size_t shards_used_;  // a power of two
    std::shared_ptr<reader_slots> readers_;
    std::array<shard, most_shards> shards_;
};

}  // namespace lsm::detail
