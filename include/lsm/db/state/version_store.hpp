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
#include <lsm/db/read/scan_cursor.hpp>
#include <lsm/db/state/version.hpp>
#include <lsm/db/statistics.hpp>

namespace lsm::detail {

/// The current version, and those that are history but may still be read.
///
/// A reader takes the version and then the visible sequence, without a lock; what it sees is then fixed. Old versions
/// go in reclaim(), when no reader can be in them and no pin holds them, so that it is mostly maintenance and not a
/// reader that frees memory and closes files.
template <class Alloc>
class version_store {
    using version_pointer = std::shared_ptr<const version<Alloc>>;

public:
    version_store(std::shared_ptr<reader_slots> readers, std::shared_ptr<unpin_notifier> bell, const Alloc& alloc)
        : alloc_(alloc), bell_(std::move(bell)), slots_(std::move(readers)) {}
    version_store(const version_store&) = delete;
    version_store& operator=(const version_store&) = delete;
    // Pins may live on: they keep their own version, and nothing behind it.
    ~version_store() {
        while (retired_) retired_ = std::move(retired_->next_retired);
    }

    /// A look at the current version, for the time of a lookup.
    class reading {
    public:
        explicit reading(version_store& from) noexcept
            : pass_(from.slots_->enter()),
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

    /// The current state, for as long as the pin lives.
    [[nodiscard]] pinned_version<Alloc> pin() { return pin(reading(*this)); }
    /// The state that somebody looks at.
    [[nodiscard]] pinned_version<Alloc> pin(const reading& now) const {
        return {now->shared_from_this(), now.at(), bell_};
    }

    /// The tables of the current version. Whoever needs more of it reads, or has a pin: a version that somebody else
    /// holds when it is to be reclaimed is left alone, and only a pin tells when it lets go.
    [[nodiscard]] std::shared_ptr<const table_set<Alloc>> tables() { return reading(*this)->tables; }

    /// The newest sequence that readers see.
    [[nodiscard]] sequence visible() const noexcept { return visible_.load(std::memory_order_acquire); }
    void show(sequence up_to) noexcept { visible_.store(up_to, std::memory_order_release); }

    /// A version to be filled and published, with room for one memtable more than now.
    [[nodiscard]] std::shared_ptr<version<Alloc>> prepare() const {
        auto out = std::allocate_shared<version<Alloc>>(alloc_, alloc_);
        const std::lock_guard guard(mutex_);
        out->memtables.reserve(1 + (owned_ ? owned_->memtables.size() : 0));
        return out;
    }

    /// Makes `next` the current version; `fill(old, next)` completes it, with nobody changing anything meanwhile. Does
    /// not allocate if `fill` does not.
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
        bell_->supersede(owned_.get());
    }

    /// Frees what nobody reads any more. Waits for lookups that are under way, not for pins. Many threads may call it;
    /// one does it.
    void reclaim() {
        std::unique_lock guard(mutex_);
        again_ = true;
        if (reclaiming_) return;
        reclaiming_ = true;
        while (std::exchange(again_, false) && retired_) {
            const auto* const newest = retired_.get();  // those that retire meanwhile were not waited for
            guard.unlock();
            slots_->wait();
            guard.lock();
            version_pointer* link = &retired_;
            while (link->get() != newest) link = &(*link)->next_retired;
            bell_->fence();
            version_pointer free;
            while (*link) {
                if (link->use_count() > 1) {
                    link = &(*link)->next_retired;
                    continue;
                }
                version_pointer gone = std::move(*link);
                *link = std::move(gone->next_retired);
                gone->next_retired = std::move(free);
                free = std::move(gone);
            }
            guard.unlock();
            while (free) free = std::move(free->next_retired);
            guard.lock();
        }
        reclaiming_ = false;
    }

    /// Calls `use` with the versions that are pinned.
    template <class Use>
    void for_each_pinned(Use use) const {
        const std::lock_guard guard(mutex_);
        if (owned_ && owned_.use_count() > 1) use(*owned_);
        for (auto v = retired_.get(); v != nullptr; v = v->next_retired.get())
            if (v->weak_from_this().use_count() > 1) use(*v);
    }

    /// What pins hold of the history.
    [[nodiscard]] std::vector<statistics::pin> pins() const {
        const std::lock_guard guard(mutex_);
        std::set<const void*> counted;  // by something newer
        if (owned_) count_parts(*owned_, counted);
        std::vector<statistics::pin> out;
        const auto now = std::chrono::steady_clock::now();
        for (auto v = retired_.get(); v != nullptr; v = v->next_retired.get()) {
            const auto holders = static_cast<std::uint64_t>(v->weak_from_this().use_count() - 1);
            if (holders == 0) continue;
            statistics::pin p = count_parts(*v, counted);
            p.holders = holders;
            p.age_nanoseconds = static_cast<std::uint64_t>(
                std::chrono::duration_cast<std::chrono::nanoseconds>(now - v->superseded_at).count());
            out.push_back(p);
        }
        return out;
    }

    [[nodiscard]] reader_slots& slots() noexcept { return *slots_; }

private:
    static statistics::pin count_parts(const version<Alloc>& v, std::set<const void*>& counted) {
        statistics::pin out;
        for (const auto& m : v.memtables)
            if (counted.insert(m.get()).second) out.memory_bytes += m->entries.memory_bytes();
        v.tables->for_each([&](int, const auto& t) {
            if (!counted.insert(t.get()).second) return;
            out.memory_bytes += t->memory_bytes();
            out.disk_bytes += t->file_bytes();
        });
        return out;
    }

    [[no_unique_address]] Alloc alloc_;
    std::shared_ptr<unpin_notifier> bell_;
    std::shared_ptr<reader_slots> slots_;
    std::atomic<const version<Alloc>*> current_ = nullptr;
    std::atomic<sequence> visible_ = 0;

    mutable std::mutex mutex_;
    version_pointer owned_;    // what current_ points to
    version_pointer retired_;  // linked by next_retired
    bool reclaiming_ = false;
    bool again_ = false;
};

}  // namespace lsm::detail
