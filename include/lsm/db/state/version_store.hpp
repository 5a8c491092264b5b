#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include <lsm/core/reader_slots.hpp>
#include <lsm/db/state/pin.hpp>
#include <lsm/db/state/version.hpp>
#include <lsm/db/statistics.hpp>

namespace lsm::detail {

/// The current version, and the superseded ones that may still be read.
///
/// A reader takes the version and then the visible sequence, without a lock; both are fixed for it from then on.
/// reclaim() frees a superseded version when no reader can be in it and no pin holds it. So maintenance frees memory
/// and closes files in nearly all cases, and readers do not.
template <class Alloc>
class version_store {
    using version_pointer = std::shared_ptr<const version<Alloc>>;

public:
    version_store(std::shared_ptr<reader_slots> readers, std::shared_ptr<unpin_notifier> notifier, const Alloc& alloc)
        : alloc_(alloc), notifier_(std::move(notifier)), readers_(std::move(readers)) {}
    version_store(const version_store&) = delete;
    version_store& operator=(const version_store&) = delete;
    // Pins may live on: each keeps its own version alive, but not the ones that were linked after it.
    ~version_store() {
        while (retired_) retired_ = std::move(retired_->next_retired);
    }

    /// A look at the current version for the duration of a lookup. Reclaiming waits for it to end.
    class reading {
    public:
        explicit reading(version_store& from) noexcept
            : pass_(from.readers_->enter()),
              version_(from.current_.load(std::memory_order_seq_cst)),
              at_(from.visible_.load(std::memory_order_acquire)) {}

        [[nodiscard]] const version<Alloc>& operator*() const noexcept { return *version_; }
        [[nodiscard]] const version<Alloc>* operator->() const noexcept { return version_; }
        [[nodiscard]] sequence at() const noexcept { return at_; }
        [[nodiscard]] read_counters& counters() const noexcept { return pass_.counters(); }

    private:
        reader_slots::pass pass_;
        const version<Alloc>* version_;
        sequence at_;
    };

    /// Pins the current state.
    [[nodiscard]] pinned_version<Alloc> pin() { return pin(reading(*this)); }
    /// Pins the state that `now` looks at.
    [[nodiscard]] pinned_version<Alloc> pin(const reading& now) const {
        return {now->shared_from_this(), now.at(), notifier_};
    }

    /// Returns the tables of the current version. To use more of the version than the tables, hold a `reading` or a
    /// pin: reclaim() skips a version that is held in another way, and only the release of a pin makes it look again.
    [[nodiscard]] std::shared_ptr<const table_set<Alloc>> tables() { return reading(*this)->tables; }

    /// The newest sequence that readers see.
    [[nodiscard]] sequence visible() const noexcept { return visible_.load(std::memory_order_acquire); }
    void show(sequence up_to) noexcept { visible_.store(up_to, std::memory_order_release); }

    /// Returns an empty version to be passed to publish(), with room for one memtable more than the current one has.
    [[nodiscard]] std::shared_ptr<version<Alloc>> prepare() const {
        auto out = std::allocate_shared<version<Alloc>>(alloc_, alloc_);
        const std::lock_guard guard(mutex_);
        out->memtables.reserve(1 + (owned_ ? owned_->memtables.size() : 0));
        return out;
    }

    /// Makes `next` the current version. `fill(old, next)` completes it first, while no other thread publishes; `old`
    /// is null for the first version. Does not allocate if `fill` does not.
    template <class Fill>
    void publish(std::shared_ptr<version<Alloc>> next, Fill fill) {
        const std::lock_guard guard(mutex_);
        fill(owned_.get(), *next);
        if (owned_) {
            owned_->superseded_at = std::chrono::steady_clock::now();
            owned_->next_retired = std::move(retired_);
            retired_ = std::move(owned_);
        }
        owned_ = std::move(next);
        current_.store(owned_.get(), std::memory_order_seq_cst);
        notifier_->supersede(owned_.get());
    }

    /// Frees the superseded versions that nothing reads any more. Waits for lookups in progress, not for pins, so a
    /// thread must not call it inside a `reading`. Many threads may call it; one of them does the work.
    void reclaim() {
        std::unique_lock guard(mutex_);
        again_ = true;
        if (reclaiming_) return;  // the thread that is reclaiming sees again_
        reclaiming_ = true;
        while (std::exchange(again_, false) && retired_) {
            // A version that retires from here on may be read by a lookup that is not waited for.
            const auto* const newest = retired_.get();
            guard.unlock();
            readers_->wait();
            guard.lock();
            version_pointer* link = &retired_;
            while (link->get() != newest) link = &(*link)->next_retired;
            // Only pins hold these versions now. A pin that is released after its version was counted here notifies.
            notifier_->fence();
            version_pointer free;
            while (*link) {
                if (link->use_count() > 1) {
                    link = &(*link)->next_retired;
                    continue;
                }
                version_pointer unused = std::move(*link);
                *link = std::move(unused->next_retired);
                unused->next_retired = std::move(free);
                free = std::move(unused);
            }
            // Freeing memtables takes long: not under the lock.
            guard.unlock();
            while (free) free = std::move(free->next_retired);
            guard.lock();
        }
        reclaiming_ = false;
    }

    /// Calls `use` with each version that is pinned.
    template <class Use>
    void for_each_pinned(Use use) const {
        const std::lock_guard guard(mutex_);
        if (owned_ && owned_.use_count() > 1) use(*owned_);
        for (auto v = retired_.get(); v != nullptr; v = v->next_retired.get())
            if (v->weak_from_this().use_count() > 1) use(*v);
    }

    /// Returns what pins hold of superseded versions, beyond what newer versions hold too.
    [[nodiscard]] std::vector<statistics::pin> pins() const {
        const std::lock_guard guard(mutex_);
        std::set<const void*> held_by_newer;
        if (owned_) measure(*owned_, held_by_newer);
        std::vector<statistics::pin> out;
        const auto now = std::chrono::steady_clock::now();
        for (auto v = retired_.get(); v != nullptr; v = v->next_retired.get()) {
            const auto holders = static_cast<std::uint64_t>(v->weak_from_this().use_count() - 1);
            if (holders == 0) continue;
            statistics::pin p = measure(*v, held_by_newer);
            p.holders = holders;
            p.age_nanoseconds = static_cast<std::uint64_t>(
                std::chrono::duration_cast<std::chrono::nanoseconds>(now - v->superseded_at).count());
            out.push_back(p);
        }
        return out;
    }

    [[nodiscard]] reader_slots& readers() noexcept { return *readers_; }

private:
    // The memory and disk space of the parts of `v` that are not in `seen`; adds them to it.
    static statistics::pin measure(const version<Alloc>& v, std::set<const void*>& seen) {
        statistics::pin out;
        for (const auto& m : v.memtables)
            if (seen.insert(m.get()).second) out.memory_bytes += m->entries.memory_bytes();
        v.tables->for_each([&](int, const auto& t) {
            if (!seen.insert(t.get()).second) return;
            out.memory_bytes += t->memory_bytes();
            out.disk_bytes += t->file_bytes();
        });
        return out;
    }

    [[no_unique_address]] Alloc alloc_;
    std::shared_ptr<unpin_notifier> notifier_;
    std::shared_ptr<reader_slots> readers_;
    std::atomic<const version<Alloc>*> current_ = nullptr;
    std::atomic<sequence> visible_ = 0;

    mutable std::mutex mutex_;
    version_pointer owned_;    // what current_ points to
    version_pointer retired_;  // a list, newest first, linked by next_retired
    bool reclaiming_ = false;
    bool again_ = false;
};

}  // namespace lsm::detail
