#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include <lsm/cache/block_cache.hpp>

namespace lsm {

/// A block cache for many threads: several caches, the more the larger it is, each with a lock that is held for a
/// lookup alone and the blocks whose places hash to it. Capacities are shared out evenly.
template <class Block, class Capacity, class Alloc>
class shared_block_cache {
    static constexpr std::size_t most_shards = 16;
    static constexpr std::size_t smallest_shard = std::size_t{256} << 10;

public:
    explicit shared_block_cache(std::size_t capacity, const Alloc& alloc)
        : shards_used_(std::bit_floor(std::clamp<std::size_t>(capacity / smallest_shard, 1, most_shards))) {
        for (std::size_t i = 0; i < shards_used_; ++i) shards_[i].emplace(capacity / shards_used_, alloc);
    }

    [[nodiscard]] std::optional<Block> get(block_key key) {
        shard& s = of(key);
        const std::lock_guard guard(s.mutex);
        return s.blocks.get(key);
    }
    /// As basic_block_cache::insert().
    void insert(block_key key, Block fresh) {
        shard& s = of(key);
        const std::lock_guard guard(s.mutex);
        s.blocks.insert(key, std::move(fresh));
    }
    /// Drops the oldest blocks until all fit again.
    void set_capacity(std::size_t capacity) {
        for (std::size_t i = 0; i < shards_used_; ++i) {
            const std::lock_guard guard(shards_[i]->mutex);
            shards_[i]->blocks.set_capacity(capacity / shards_used_);
        }
    }

    [[nodiscard]] std::uint64_t hits() const {
        return sum([](const cache& c) { return c.hits(); });
    }
    [[nodiscard]] std::uint64_t misses() const {
        return sum([](const cache& c) { return c.misses(); });
    }
    [[nodiscard]] std::uint64_t used() const {
        return sum([](const cache& c) { return c.used(); });
    }

private:
    using cache = basic_block_cache<Block, Capacity, Alloc>;
    struct shard {
        shard(std::size_t capacity, const Alloc& alloc) : blocks(capacity, alloc) {}
        mutable std::mutex mutex;
        cache blocks;
    };

    [[nodiscard]] shard& of(block_key key) noexcept {
        const std::uint64_t mixed = (key.offset + (key.file_id << 32)) * 0x9e3779b97f4a7c15u;
        return *shards_[static_cast<std::size_t>(mixed >> 60) & (shards_used_ - 1)];
    }
    template <class Get>
    [[nodiscard]] std::uint64_t sum(Get get) const {
        std::uint64_t out = 0;
        for (std::size_t i = 0; i < shards_used_; ++i) {
            const std::lock_guard guard(shards_[i]->mutex);
            out += get(shards_[i]->blocks);
        }
        return out;
    }

    const std::size_t shards_used_;  // a power of two
    std::array<std::optional<shard>, most_shards> shards_;
};

}  // namespace lsm
