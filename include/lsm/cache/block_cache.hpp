#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include <lsm/core/vector_of.hpp>
#include <lsm/fwd.hpp>

namespace lsm {

/// Identifies a block by its file and its offset in the file.
struct block_key {
    std::uint64_t file_id;
    std::uint64_t offset;

    friend bool operator==(const block_key&, const block_key&) = default;
};

/// A Capacity policy: every block counts as one, so the capacity is a number of blocks.
struct capacity_in_entries {
    template <class Block>
    static std::size_t charge(const Block&) noexcept {
        return 1;
    }
};

/// A Capacity policy: a block counts as the memory it holds, so the capacity is a number of bytes.
struct capacity_in_bytes {
    template <class Block>
    static std::size_t charge(const Block& held) noexcept {
        return held.memory_bytes();
    }
};

/// Keeps the most recently used blocks (LRU), up to a capacity in the unit of the Capacity policy.
///
/// Block is any copyable type that is cheap to copy; block_cache is for the blocks of tables, in sstable/block.hpp.
/// What get() returns remains valid after the cache has dropped the block. get() and insert() are O(1) on average. One
/// thread at a time.
template <class Block, class Capacity, class Alloc>
class basic_block_cache {
    static_assert(
        requires { sizeof(Block); }, "lsm: include <lsm/sstable/block.hpp> for a cache of tables' blocks");

public:
    explicit basic_block_cache(std::size_t capacity, const Alloc& alloc = {})
        : capacity_(capacity), order_(alloc), places_(0, hash{}, equal{}, alloc) {}
    basic_block_cache(const basic_block_cache&) = delete;
    basic_block_cache& operator=(const basic_block_cache&) = delete;

    /// Returns the block and makes it the newest, or returns nothing. Counts a hit or a miss.
    [[nodiscard]] std::optional<Block> get(block_key key) {
        const auto found = places_.find(key);
        if (found == places_.end()) {
            ++misses_;
            return std::nullopt;
        }
        ++hits_;
        order_.splice(order_.begin(), order_, found->second);
        return found->second->block;
    }

    /// Inserts `fresh` as the newest block, in place of any block with this key, and drops the oldest blocks until all
    /// fit. A block that alone exceeds the capacity is not kept, and neither is the one it was to replace. If Alloc
    /// throws, `fresh` is not in the cache, and the block with this key and some of the oldest may have been dropped.
    void insert(block_key key, Block fresh) {
        erase(key);
        const std::size_t charge = Capacity::charge(fresh);
        if (charge > capacity_) return;
        while (used_ > capacity_ - charge) erase(order_.back().key);
        // Made in a list of its own, because splicing it in cannot throw.
        order alone(order_.get_allocator());
        alone.push_front({key, std::move(fresh), charge});
        places_.emplace(key, alone.begin());
        order_.splice(order_.begin(), alone);
        used_ += charge;
    }

    /// Changes the capacity, and drops the oldest blocks until all fit.
    void set_capacity(std::size_t capacity) {
        capacity_ = capacity;
        while (used_ > capacity_) erase(order_.back().key);
    }

    /// Drops the block, if the cache has it.
    void erase(block_key key) {
        const auto found = places_.find(key);
        if (found == places_.end()) return;
        used_ -= found->second->charge;
        order_.erase(found->second);
        places_.erase(found);
    }

    [[nodiscard]] std::uint64_t hits() const noexcept { return hits_; }
    [[nodiscard]] std::uint64_t misses() const noexcept { return misses_; }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
    /// Returns how much of the capacity is in use, in its unit.
    [[nodiscard]] std::size_t used() const noexcept { return used_; }

    /// Returns the keys, newest first. O(n).
    [[nodiscard]] auto keys() const {
        detail::vector_of<block_key, Alloc> out(order_.get_allocator());
        out.reserve(places_.size());
        for (const place& p : order_) out.push_back(p.key);
        return out;
    }

private:
    template <class T>
    using rebound = typename std::allocator_traits<Alloc>::template rebind_alloc<T>;

    struct place {
        block_key key;
        Block block;
        std::size_t charge;
    };
    using order = std::list<place, rebound<place>>;

    struct hash {
        std::size_t operator()(block_key key) const noexcept {
            // Offsets and ids are small numbers. The multiplication spreads them over the upper bits.
            const std::uint64_t mixed = (key.offset ^ key.file_id << 40) * 0x9e3779b97f4a7c15u;
            return static_cast<std::size_t>(mixed ^ mixed >> 32);
        }
    };

    struct equal {
        bool operator()(block_key a, block_key b) const noexcept { return a == b; }
    };

    std::size_t capacity_;
    std::size_t used_ = 0;
    std::uint64_t hits_ = 0;
    std::uint64_t misses_ = 0;
    order order_;
    std::unordered_map<block_key, typename order::iterator, hash, equal,
                       rebound<std::pair<const block_key, typename order::iterator>>>
        places_;
};

}  // namespace lsm
