#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include <lsm/core/or_out_of_memory.hpp>
#include <lsm/db/options.hpp>
#include <lsm/db/state/db_table.hpp>
#include <lsm/db/state/version_store.hpp>

namespace lsm::detail {

/// Divides options::memory_budget_bytes. Indexes and pins take what they need, the write buffers get what the options
/// ask for, and the block cache what is left. When nothing is left for the cache, the write buffers shrink, down to a
/// floor. Any thread.
template <class Alloc>
class memory_budget {
public:
    memory_budget(const options& opts, version_store<Alloc>& versions, std::shared_ptr<table_resources<Alloc>> shared)
        : budget_(opts.memory_budget_bytes),
          wanted_buffer_(opts.write_buffer_bytes),
          buffers_(std::max(opts.max_write_buffers, 2u)),
          wanted_cache_(opts.block_cache_bytes),
          versions_(versions),
          shared_(std::move(shared)),
          write_buffer_(opts.write_buffer_bytes) {}

    /// The memory that a memtable may take now.
    [[nodiscard]] std::size_t write_buffer_bytes() const noexcept {
        return write_buffer_.load(std::memory_order_relaxed);
    }
    /// Whether another pin would be one too many.
    [[nodiscard]] bool exceeded() const noexcept { return exceeded_.load(std::memory_order_relaxed); }

    /// Frees the versions that nothing reads any more, and divides the budget anew. To be called after tables or
    /// memtables have changed, or pins were released. Waits for lookups in progress: not inside a `reading`. If there
    /// is no memory even for this, the division stays as it was.
    void rebalance() {
        versions_.reclaim();
        if (budget_ == 0) return;
        const std::lock_guard guard(dividing_);
        unless_out_of_memory([this] { divide(); });
    }

private:
    static constexpr std::size_t smallest_buffer = std::size_t{256} << 10;

    void divide() {
        std::size_t pins = 0;
        for (const auto& pin : versions_.pins()) pins += pin.memory_bytes;
        const std::size_t fixed = versions_.tables()->memory_bytes() + pins;
        const std::size_t rest = budget_ - std::min(budget_, fixed);
        const std::size_t floor = std::min(wanted_buffer_, smallest_buffer);
        const std::size_t buffer = std::clamp(rest / buffers_, floor, std::max(floor, wanted_buffer_));
        const std::size_t left = rest - std::min(rest, buffer * buffers_);
        write_buffer_.store(buffer, std::memory_order_relaxed);
        shared_->cache.set_capacity(std::min(left, wanted_cache_));
        exceeded_.store(pins != 0 && fixed + floor * buffers_ > budget_, std::memory_order_relaxed);
    }

    const std::size_t budget_;
    const std::size_t wanted_buffer_;
    const std::size_t buffers_;
    const std::size_t wanted_cache_;
    version_store<Alloc>& versions_;
    std::shared_ptr<table_resources<Alloc>> shared_;
    std::atomic<std::size_t> write_buffer_;
    std::atomic<bool> exceeded_ = false;
    std::mutex dividing_;  // one thread at a time, so that the last one has seen the latest state
};

}  // namespace lsm::detail
