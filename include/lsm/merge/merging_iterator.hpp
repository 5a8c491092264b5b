#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/cursor.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/result.hpp>
#include <lsm/fwd.hpp>

namespace lsm {

struct merge_options {
    /// Leave out the keys whose newest entry is a tombstone.
    bool drop_tombstones = false;
};

/// Asks for a merge that stands nowhere until it is told to seek.
struct not_positioned_t {};
inline constexpr not_positioned_t not_positioned;

/// The merge of k cursors, the newest first, as one cursor: each key once, with the entry of the first source that has
/// it.
///
/// Memory is O(k). A step costs one key comparison while the same source goes on, O(log k) when another takes over, and
/// an older source is moved past every key that it loses. The first damage in any source ends the walk with that
/// source's status. With sources that are forward_cursors only, the merge begins where they stand and goes forward
/// only; else it stands on the first entry when made.
template <class Cursor, class Alloc>
class merging_iterator {
public:
    template <class SourceAlloc>
    explicit merging_iterator(std::vector<Cursor, SourceAlloc> newest_first, merge_options options = {},
                              const Alloc& alloc = {})
        : merging_iterator(std::move(newest_first), options, alloc, not_positioned) {
        if constexpr (cursor<Cursor>)
            seek_to_first();
        else
            collect(direction::forward);
    }
    template <class SourceAlloc>
    merging_iterator(std::vector<Cursor, SourceAlloc> newest_first, merge_options options, const Alloc& alloc,
                     not_positioned_t)
        : sources_(alloc), heap_(alloc), options_(options) {
        sources_.reserve(newest_first.size());
        for (Cursor& source : newest_first) sources_.push_back(std::move(source));
        heap_.reserve(sources_.size());
    }

    [[nodiscard]] bool valid() const noexcept { return valid_; }
    [[nodiscard]] bytes_view key() const { return sources_[winner_].key(); }
    [[nodiscard]] entry_view entry() const { return sources_[winner_].entry(); }
    [[nodiscard]] result<void> status() const {
        if (defect_) return *defect_;
        return {};
    }

    void next() {
        if constexpr (cursor<Cursor>)
            if (direction_ == direction::backward) return turn_forward();
        step();
    }

    void prev()
        requires cursor<Cursor>
    {
        if (direction_ == direction::forward) return turn_backward();
        step();
    }

    void seek_to_first()
        requires cursor<Cursor>
    {
        for (Cursor& source : sources_) source.seek_to_first();
        collect(direction::forward);
    }
    void seek_to_last()
        requires cursor<Cursor>
    {
        for (Cursor& source : sources_) source.seek_to_last();
        collect(direction::backward);
    }
    void seek(bytes_view key)
        requires cursor<Cursor>
    {
        for (Cursor& source : sources_) source.seek(key);
        collect(direction::forward);
    }

private:
    template <class T>
    using rebound = typename std::allocator_traits<Alloc>::template rebind_alloc<T>;
    enum class direction : bool { forward, backward };

    // All sources stand on their next key in the new direction: makes the first of them the winner.
    void collect(direction towards) {
        direction_ = towards;
        defect_.reset();
        valid_ = false;
        heap_.clear();
        for (std::size_t i = 0; i < sources_.size(); ++i)
            if (alive(i)) heap_.push_back(i);
        if (defect_) return;
        for (std::size_t i = heap_.size() / 2; i-- > 0;) sift_down(i);
        if (heap_.empty()) return;
        winner_ = pop_top();
        settle();
    }

    // The winner has been shown: moves on to the next entry to show.
    void step() {
        valid_ = false;
        advance(winner_);
        if (alive(winner_)) {
            // The same source again is the common case: one comparison, and the heap stays as it is.
            if (!heap_.empty() && before(heap_.front(), winner_)) {
                std::swap(winner_, heap_.front());
                sift_down(0);
            }
        } else {
            if (defect_ || heap_.empty()) return;
            winner_ = pop_top();
        }
        settle();
    }

    // The winner has the smallest key: moves the older sources past it, and past it, too, if it is not to be shown.
    void settle() {
        for (;;) {
            if (!drain_losers()) return;
            if (!options_.drop_tombstones || !sources_[winner_].entry().tombstone()) break;
            advance(winner_);
            if (alive(winner_)) {
                heap_.push_back(winner_);
                sift_up(heap_.size() - 1);
            }
            if (defect_ || heap_.empty()) return;
            winner_ = pop_top();
        }
        valid_ = true;
    }

    bool drain_losers() {
        while (!heap_.empty() && sources_[heap_.front()].key() == sources_[winner_].key()) {
            const std::size_t loser = heap_.front();
            advance(loser);
            if (alive(loser))
                sift_down(0);
            else if (defect_)
                return false;
            else
                pop_top();
        }
        return true;
    }

    // Whether source i still stands on an entry; a source that met damage sets defect_.
    bool alive(std::size_t i) {
        if (sources_[i].valid()) return true;
        if (auto status = sources_[i].status(); !status && !defect_) defect_ = std::move(status).error();
        return false;
    }

    void advance(std::size_t i) {
        if constexpr (cursor<Cursor>) {
            if (direction_ == direction::backward) return sources_[i].prev();
        }
        sources_[i].next();
    }

    // Every source but the winner stands beyond the winner's key in the old direction, or at an end.
    void turn_forward()
        requires cursor<Cursor>
    {
        const bytes_view from = key();
        for (std::size_t i = 0; i < sources_.size(); ++i) {
            if (i == winner_) continue;
            sources_[i].seek(from);
            if (sources_[i].valid() && sources_[i].key() == from) sources_[i].next();
        }
        sources_[winner_].next();
        collect(direction::forward);
    }
    void turn_backward()
        requires cursor<Cursor>
    {
        const bytes_view from = key();
        for (std::size_t i = 0; i < sources_.size(); ++i)
            if (i != winner_) detail::seek_below(sources_[i], from);
        sources_[winner_].prev();
        collect(direction::backward);
    }

    // Whether source a's entry comes before source b's; of the same key, the newer source's.
    [[nodiscard]] bool before(std::size_t a, std::size_t b) const {
        const int order = sources_[a].key().compare(sources_[b].key());
        if (order == 0) return a < b;
        return direction_ == direction::forward ? order < 0 : order > 0;
    }

    std::size_t pop_top() {
        const std::size_t top = heap_.front();
        heap_.front() = heap_.back();
        heap_.pop_back();
        if (!heap_.empty()) sift_down(0);
        return top;
    }
    void sift_down(std::size_t at) {
        const std::size_t moving = heap_[at];
        for (;;) {
            std::size_t child = 2 * at + 1;
            if (child >= heap_.size()) break;
            if (child + 1 < heap_.size() && before(heap_[child + 1], heap_[child])) ++child;
            if (!before(heap_[child], moving)) break;
            heap_[at] = heap_[child];
            at = child;
        }
        heap_[at] = moving;
    }
    void sift_up(std::size_t at) {
        const std::size_t moving = heap_[at];
        while (at > 0 && before(moving, heap_[(at - 1) / 2])) {
            heap_[at] = heap_[(at - 1) / 2];
            at = (at - 1) / 2;
        }
        heap_[at] = moving;
    }

    std::vector<Cursor, rebound<Cursor>> sources_;
    std::vector<std::size_t, rebound<std::size_t>> heap_;  // the sources, but for the winner, that have entries left
    std::size_t winner_ = 0;
    merge_options options_;
    direction direction_ = direction::forward;
    bool valid_ = false;
    std::optional<error> defect_;
};

}  // namespace lsm
