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
#include <lsm/db/statistics.hpp>

namespace lsm::detail {

/// Shares options::memory_budget_bytes out: what indexes and pins take is taken; the write buffers get what the options
/// say, and the block cache what is left of it. When that is nothing, the write buffers shrink too, to a floor. Any
/// thread.
template <class Alloc>
class memory_budget {
public:
    memory_budget(const options& how, std::shared_ptr<table_resources<Alloc>> shared)
        : budget_(how.memory_budget_bytes),
          wanted_buffer_(how.write_buffer_bytes),
          buffers_(std::max(how.max_write_buffers, 2u)),
          wanted_cache_(how.block_cache_bytes),
          shared_(std::move(shared)),
          write_buffer_(how.write_buffer_bytes) {}

    /// The memory a memtable may take now.
    [[nodiscard]] std::size_t write_buffer_bytes() const noexcept {
        return write_buffer_.load(std::memory_order_relaxed);
    }
    /// Whether another pin would be one too many.
    [[nodiscard]] bool exceeded() const noexcept { return exceeded_.load(std::memory_order_relaxed); }

    /// To be called when tables, memtables or pins have changed. Where memory is short even for that, nothing changes.
    void update(version_store<Alloc>& versions) noexcept {
        if (budget_ == 0) return;
        const std::lock_guard guard(updating_);
        static_cast<void>(or_out_of_memory({}, [&]() -> result<void> {
            share_out(versions);
            return {};
        }));
    }

private:
    static constexpr std::size_t smallest_buffer = std::size_t{256} << 10;

    void share_out(version_store<Alloc>& versions) {
        std::size_t pins = 0;
        for (const auto& pin : versions.pins()) pins += pin.memory_bytes;
        const std::size_t fixed = versions.tables()->memory_bytes() + pins;
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
    std::shared_ptr<table_resources<Alloc>> shared_;
    std::atomic<std::size_t> write_buffer_;
    std::atomic<bool> exceeded_ = false;
    std::mutex updating_;  // by one at a time, who knows the latest
};

}  // namespace lsm::detail
