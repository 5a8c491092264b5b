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

/// Where a block lies: in which file, and at which offset of it.
struct block_key {
    std::uint64_t file_id;
    std::uint64_t offset;

    friend bool operator==(const block_key&, const block_key&) = default;
};

/// Every block counts as one: a cache holds so many blocks.
struct capacity_in_entries {
    template <class Block>
    static std::size_t charge(const Block&) noexcept {
        return 1;
    }
};

/// A block counts as the memory it holds: a cache holds so many bytes.
struct capacity_in_bytes {
    template <class Block>
    static std::size_t charge(const Block& held) noexcept {
        return held.memory_bytes();
    }
};

/// Keeps the blocks that were used last (LRU), up to a capacity in the unit of the Capacity policy. A block is whatever
/// can be copied; those of tables, which block_cache is for, are in sstable/block.hpp. Blocks are values,
/// cheap to copy; what get() returns outlives its place in the cache. One thread at a time. Get and insert are O(1).
template <class Block, class Capacity, class Alloc>
class basic_block_cache {
    static_assert(
        requires { sizeof(Block); }, "lsm: include <lsm/sstable/block.hpp> for a cache of tables' blocks");

public:
    explicit basic_block_cache(std::size_t capacity, const Alloc& alloc = {})
        : capacity_(capacity), order_(alloc), places_(0, hash{}, equal{}, alloc) {}
    basic_block_cache(const basic_block_cache&) = delete;
    basic_block_cache& operator=(const basic_block_cache&) = delete;

    /// The block, which becomes the newest; nothing if it is not here. Counts a hit or a miss.
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

    /// Makes `fresh` the newest, in place of one with this key, and drops the oldest until all fit. A block that alone
    /// is over the capacity is not kept. If Alloc throws, nothing has changed but that older blocks may be gone.
    void insert(block_key key, Block fresh) {
        erase(key);
        const std::size_t charge = Capacity::charge(fresh);
        if (charge > capacity_) return;
        while (used_ > capacity_ - charge) erase(order_.back().key);
        order alone(order_.get_allocator());
        alone.push_front({key, std::move(fresh), charge});
        places_.emplace(key, alone.begin());
        order_.splice(order_.begin(), alone);
        used_ += charge;
    }

    /// Drops the oldest until all fit.
    void set_capacity(std::size_t capacity) {
        capacity_ = capacity;
        while (used_ > capacity_) erase(order_.back().key);
    }

    /// Drops the block, if it is here.
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
    /// Entries or bytes, as the capacity is counted.
    [[nodiscard]] std::size_t used() const noexcept { return used_; }

    /// The keys, newest first. O(n).
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
            // Offsets and ids are small numbers: a multiplication by an odd constant spreads them over the upper bits.
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
