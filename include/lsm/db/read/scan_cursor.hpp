#pragma once

#include <cstdint>
#include <memory>
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
#include <lsm/db/levels.hpp>
#include <lsm/db/state/pin.hpp>
#include <lsm/db/state/run_cursor.hpp>
#include <lsm/db/state/version.hpp>
#include <lsm/memtable/memtable.hpp>
#include <lsm/merge/merging_iterator.hpp>

namespace lsm::detail {

/// A cursor over a memtable, or over tables in key order that do not overlap.
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
    // One branch for two alternatives, where std::visit would call through a table of functions.
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

/// A cursor over all that a pinned version holds, which it keeps alive. Has no position until the first seek.
template <class Alloc>
class scan_cursor {
    using source = source_cursor<Alloc>;
    using merge = merging_iterator<source, Alloc>;

public:
    scan_cursor(pinned_version<Alloc> from, std::shared_ptr<reader_slots> readers, merge_options options,
                block_options blocks, const Alloc& alloc)
        : from_(std::move(from)),
          readers_(std::move(readers)),
          merged_(sources(**from_, blocks, alloc), options, alloc, not_positioned) {}
    /// A cursor without entries, whose status is an error.
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
    // Counts the tombstones that the last step skipped, if any.
    void count() {
        const std::uint64_t more = merged_.tombstones_dropped() - counted_;
        if (more == 0) return;
        counted_ += more;
        readers_->enter().counters().tombstones_skipped.fetch_add(more, std::memory_order_relaxed);
    }

    // The sources do not keep what they read alive: from_ does.
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

    std::optional<pinned_version<Alloc>> from_;  // declared before merged_, which reads it
    std::shared_ptr<reader_slots> readers_;
    merge merged_;
    std::uint64_t counted_ = 0;
    std::optional<error> refused_;
};

}  // namespace lsm::detail
