#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <utility>

#include <lsm/core/or_out_of_memory.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/event_listener.hpp>

namespace lsm::detail {

/// Whether a database takes writes, and if not, why. The first reason stays until the database is closed. Any thread.
class health {
public:
    explicit health(event_listener* listener) noexcept : listener_(listener) {}

    /// Returns ok, or why writes are refused.
    [[nodiscard]] result<void> check() const {
        if (good_.load(std::memory_order_acquire)) return {};
        const std::lock_guard guard(mutex_);
        return *trouble_;
    }
    [[nodiscard]] bool good() const noexcept { return good_.load(std::memory_order_acquire); }
    [[nodiscard]] bool closed() const {
        const std::lock_guard guard(mutex_);
        return closed_;
    }

    /// Refuses writes from now on, because the disk may not hold what memory says it does. Returns the reason that
    /// writers get. Works without memory.
    LSM_COLD error poison(error why) {
        // no_space would mean that the write may be tried again.
        if (why.code == errc::no_space) why.code = errc::io;
        unless_out_of_memory([&] { why.what += " (the database takes no more writes until it is opened again)"; });
        {
            const std::lock_guard guard(mutex_);
            if (trouble_) return copy_of(*trouble_);
            trouble_ = copy_of(why);
            good_.store(false, std::memory_order_release);
        }
        if (listener_ != nullptr) listener_->failed(why);
        return why;
    }
    /// Refuses writes from now on, though nothing is wrong.
    void refuse(error why) {
        const std::lock_guard guard(mutex_);
        if (closed_) return;
        trouble_ = std::move(why);
        good_.store(false, std::memory_order_release);
    }
    /// Refuses writes for good.
    void close(error why) noexcept {
        const std::lock_guard guard(mutex_);
        closed_ = true;
        trouble_ = std::move(why);
        good_.store(false, std::memory_order_release);
    }

private:
    event_listener* listener_;
    std::atomic<bool> good_ = true;
    mutable std::mutex mutex_;
    std::optional<error> trouble_;
    bool closed_ = false;
};

}  // namespace lsm::detail
