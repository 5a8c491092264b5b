#pragma once

#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include <lsm/core/abandon.hpp>
#include <lsm/core/cache_item.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/db/state/version.hpp>
#include <lsm/sstable/block.hpp>

namespace lsm::detail {

/// Tells the database that a superseded version may have become free, so that maintenance frees it. Shared by the
/// database and its pins; outlives the database, which disconnects from it when it closes.
class unpin_notifier {
public:
    class listener {
    public:
        virtual void pin_released() noexcept = 0;

    protected:
        ~listener() = default;
    };

    explicit unpin_notifier(listener* to) noexcept : listener_(to) {}

    /// Makes `current` the live version; releasing it needs no notification.
    void supersede(const void* current) noexcept { current_.store(current, std::memory_order_release); }

    /// To be called after a version was superseded and before its holders are counted.
    ///
    /// This and was_superseded() modify one counter, so one of them comes first and the other sees what preceded it:
    /// either reclaiming sees that the version was released, or the releasing thread sees that it was superseded.
    void fence() noexcept { fences_.fetch_add(1, std::memory_order_acq_rel); }

    /// To be called after `version` was released: whether notify() is needed.
    [[nodiscard]] bool was_superseded(const void* version) noexcept {
        fence();
        return current_.load(std::memory_order_acquire) != version;
    }
    /// Does nothing in a child of fork(), where no thread of the database runs and a lock may be held for ever.
    void notify() noexcept {
        if (!in_opening_process()) return;
        const std::lock_guard guard(mutex_);
        if (listener_ != nullptr) listener_->pin_released();
    }
    /// Whether this is the process that opened the database, and not a child of it.
    [[nodiscard]] bool in_opening_process() const noexcept { return opener_ == ::getpid(); }
    void disconnect() noexcept {
        const std::lock_guard guard(mutex_);
        listener_ = nullptr;
    }

private:
    const pid_t opener_ = ::getpid();
    std::atomic<const void*> current_ = nullptr;
    std::atomic<unsigned> fences_ = 0;
    std::recursive_mutex mutex_;  // maintenance that runs inside notify() may release further pins
    listener* listener_;
};

/// Keeps a version, and remembers the sequence up to which it is seen. Held by snapshots and cursors; may outlive the
/// database.
template <class Alloc>
class pinned_version {
public:
    pinned_version(std::shared_ptr<const version<Alloc>> held, sequence at,
                   std::shared_ptr<unpin_notifier> notifier) noexcept
        : held_(std::move(held)), at_(at), notifier_(std::move(notifier)) {}
    pinned_version(const pinned_version&) = default;
    pinned_version(pinned_version&&) noexcept = default;
    pinned_version& operator=(const pinned_version& other) {
        pinned_version copy(other);
        return *this = std::move(copy);
    }
    pinned_version& operator=(pinned_version&& other) noexcept {
        release();
        held_ = std::move(other.held_);
        at_ = other.at_;
        notifier_ = std::move(other.notifier_);
        return *this;
    }
    ~pinned_version() { release(); }

    [[nodiscard]] const version<Alloc>& operator*() const noexcept { return *held_; }
    [[nodiscard]] const version<Alloc>* operator->() const noexcept { return held_.get(); }
    [[nodiscard]] sequence at() const noexcept { return at_; }
    /// Whether the pin was taken of the database with this notifier.
    [[nodiscard]] bool belongs_to(const unpin_notifier& notifier) const noexcept {
        return notifier_.get() == &notifier;
    }

private:
    void release() noexcept {
        if (!held_) return;
        // To destroy a version takes locks, which in a child of fork() may be held for ever.
        if (held_.use_count() == 1 && !notifier_->in_opening_process()) return abandon(std::move(held_));
        const void* const released = held_.get();
        held_.reset();
        if (notifier_->was_superseded(released)) notifier_->notify();
    }

    std::shared_ptr<const version<Alloc>> held_;
    sequence at_;
    std::shared_ptr<unpin_notifier> notifier_;
};

/// Keeps the bytes of an entry valid: by the block that they lie in, or else by the version.
template <class Alloc>
struct entry_keeper {
    item_pointer<block_contents<Alloc>> block = {};
    std::optional<pinned_version<Alloc>> state = {};
};

}  // namespace lsm::detail
