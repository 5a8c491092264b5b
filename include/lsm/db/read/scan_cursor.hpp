#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/cursor.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/reader_slots.hpp>
#include <lsm/core/result.hpp>
#include <lsm/core/vector_of.hpp>
#include <lsm/db/state/version.hpp>
#include <lsm/memtable/memtable.hpp>
#include <lsm/merge/merging_iterator.hpp>

namespace lsm::detail {

/// How pins tell the database that a piece of its history may have become free. Outlives the database, to which the
/// connection is cut when it closes.
class unpin_notifier {
public:
    class listener {
    public:
        virtual void pin_released() noexcept = 0;

    protected:
        ~listener() = default;
    };

    explicit unpin_notifier(listener* who) noexcept : who_(who) {}

    /// From now on `current` is the one version that nobody waits to be let go.
    void supersede(const void* current) noexcept { current_.store(current, std::memory_order_release); }
    /// To be called between superseding a version and looking whether anybody holds it.
    void fence() noexcept { meetings_.fetch_add(1, std::memory_order_acq_rel); }
    /// To be called after letting go of a version; whether to ring for it. Of fence() and this one comes second, and
    /// knows what was before the other: that the version is free, or that it was superseded.
    [[nodiscard]] bool was_superseded(const void* version) noexcept {
        fence();
        return current_.load(std::memory_order_acquire) != version;
    }
    void notify() noexcept {
        const std::lock_guard guard(mutex_);
        if (who_ != nullptr) who_->pin_released();
    }
    void disconnect() noexcept {
        const std::lock_guard guard(mutex_);
        who_ = nullptr;
    }

private:
    std::atomic<const void*> current_ = nullptr;
    std::atomic<unsigned> meetings_ = 0;
    std::recursive_mutex mutex_;  // work that begins with a release may release more
    listener* who_;
};

/// Keeps a version, and remembers up to which sequence it is seen. What snapshots and cursors hold; may outlive the
/// database.
template <class Alloc>
class pinned_version {
public:
    pinned_version(std::shared_ptr<const version<Alloc>> held, sequence at,
                   std::shared_ptr<unpin_notifier> bell) noexcept
        : held_(std::move(held)), at_(at), bell_(std::move(bell)) {}
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
        bell_ = std::move(other.bell_);
        return *this;
    }
    ~pinned_version() { release(); }

    [[nodiscard]] const version<Alloc>& operator*() const noexcept { return *held_; }
    [[nodiscard]] const version<Alloc>* operator->() const noexcept { return held_.get(); }
    [[nodiscard]] sequence at() const noexcept { return at_; }
    /// Whether it was taken of the database with this bell.
    [[nodiscard]] bool of(const unpin_notifier* bell) const noexcept { return bell_.get() == bell; }

private:
    void release() noexcept {
        if (!held_) return;
        const void* const was = held_.get();
        held_.reset();
        if (bell_->was_superseded(was)) bell_->notify();
    }

    std::shared_ptr<const version<Alloc>> held_;
    sequence at_;
    std::shared_ptr<unpin_notifier> bell_;
};

/// What keeps the bytes of an entry where they are: the block that they are in, or the state of the database.
template <class Alloc>
struct entry_keeper {
    item_pointer<block_contents<Alloc>> block = {};
    std::optional<pinned_version<Alloc>> state = {};
};

/// A cursor over a memtable, or over tables in key order.
template <class Alloc>
class source_cursor {
public:
    source_cursor(memtable_cursor<Alloc> inner) : inner_(std::move(inner)) {}
    source_cursor(run_cursor<Alloc> inner) : inner_(std::move(inner)) {}

    [[nodiscard]] bool valid() const {
        return visit([](const auto& at) { return at.valid(); });
    }
    [[nodiscard]] bytes_view key() const {
        return visit([](const auto& at) { return at.key(); });
    }
    [[nodiscard]] entry_view entry() const {
        return visit([](const auto& at) { return at.entry(); });
    }
    [[nodiscard]] result<void> status() const {
        return visit([](const auto& at) { return at.status(); });
    }
    void next() {
        visit([](auto& at) { at.next(); });
    }
    void prev() {
        visit([](auto& at) { at.prev(); });
    }
    void seek_to_first() {
        visit([](auto& at) { at.seek_to_first(); });
    }
    void seek_to_last() {
        visit([](auto& at) { at.seek_to_last(); });
    }
    void seek(bytes_view key) {
        visit([key](auto& at) { at.seek(key); });
    }

private:
    // Two alternatives, so a branch; std::visit would go through a table of functions.
    template <class F>
    decltype(auto) visit(F f) {
        if (auto* const at = std::get_if<0>(&inner_)) return f(*at);
        return f(*std::get_if<1>(&inner_));
    }
    template <class F>
    decltype(auto) visit(F f) const {
        if (const auto* const at = std::get_if<0>(&inner_)) return f(*at);
        return f(*std::get_if<1>(&inner_));
    }

    std::variant<memtable_cursor<Alloc>, run_cursor<Alloc>> inner_;
};

/// The merge of all that a pinned version holds, which it keeps. Stands nowhere until it is told to seek.
template <class Alloc>
class scan_cursor {
    using source = source_cursor<Alloc>;
    using merge = merging_iterator<source, Alloc>;

public:
    scan_cursor(pinned_version<Alloc> from, std::shared_ptr<reader_slots> readers, merge_options how,
                block_options blocks, const Alloc& alloc)
        : from_(std::move(from)),
          readers_(std::move(readers)),
          merged_(sources(**from_, blocks, alloc), how, alloc, not_positioned) {}
    /// One that has nothing to show but an error.
    scan_cursor(error why, const Alloc& alloc)
        : merged_(std::vector<source>(), merge_options{}, alloc, not_positioned), refused_(std::move(why)) {}

    [[nodiscard]] bool valid() const noexcept { return merged_.valid(); }
    [[nodiscard]] bytes_view key() const { return merged_.key(); }
    [[nodiscard]] entry_view entry() const { return merged_.entry(); }
    [[nodiscard]] result<void> status() const {
        if (refused_) return *refused_;
        return merged_.status();
    }
    void next() {
        merged_.next();
        count();
    }
    void prev() {
        merged_.prev();
        count();
    }
    void seek_to_first() {
        merged_.seek_to_first();
        count();
    }
    void seek_to_last() {
        merged_.seek_to_last();
        count();
    }
    void seek(bytes_view key) {
        merged_.seek(key);
        count();
    }

private:
    // Tells the statistics of tombstones, if there were any on the way.
    void count() {
        const std::uint64_t more = merged_.tombstones_dropped() - counted_;
        if (more == 0) return;
        counted_ += more;
        readers_->enter().counters().tombstones_skipped.fetch_add(more, std::memory_order_relaxed);
    }

    // They do not own what they read: from_ does.
    [[nodiscard]] auto sources(const version<Alloc>& all, block_options blocks, const Alloc& alloc) const {
        vector_of<source, Alloc> out(alloc);
        const auto& levels = all.tables->levels;
        out.reserve(all.memtables.size() + levels[0].size() + level_count - 1);
        for (const auto& m : all.memtables)
            if (m->entries.len() != 0) out.emplace_back(cursor_of(*m, from_->at()));
        for (const auto& t : levels[0]) out.emplace_back(run_cursor<Alloc>(&t, 1, blocks));
        for (std::size_t level = 1; level < level_count; ++level)
            if (!levels[level].empty())
                out.emplace_back(run_cursor<Alloc>(levels[level].data(), levels[level].size(), blocks));
        return out;
    }

    std::optional<pinned_version<Alloc>> from_;  // before merged_, which reads it
    std::shared_ptr<reader_slots> readers_;
    merge merged_;
    std::uint64_t counted_ = 0;
    std::optional<error> refused_;
};

}  // namespace lsm::detail
