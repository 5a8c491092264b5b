#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>
#include <lsm/core/cursor.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/prefix_search.hpp>
#include <lsm/core/result.hpp>
#include <lsm/core/vector_of.hpp>
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
/// Memory is O(k). A step costs two comparisons while the same source goes on, about log2 k when another takes over,
/// and an older source is moved past every key that it loses. Most comparisons are of numbers that stand for the keys.
/// The first damage in any source ends the walk with that source's status. With sources that are forward_cursors only,
/// the merge begins where they stand and goes forward only; else it stands on the first entry when made.
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
        : sources_(alloc), heap_(alloc), shared_(alloc), options_(options) {
        if constexpr (std::is_same_v<std::vector<Cursor, SourceAlloc>, decltype(sources_)>) {
            sources_ = std::move(newest_first);
        } else {
            sources_.reserve(newest_first.size());
            for (Cursor& source : newest_first) sources_.push_back(std::move(source));
        }
        heap_.reserve(sources_.size());
    }
    merging_iterator(merging_iterator&&) noexcept = default;
    merging_iterator& operator=(merging_iterator&&) noexcept = default;

    [[nodiscard]] bool valid() const noexcept { return valid_; }
    [[nodiscard]] bytes_view key() const { return winner_.key; }
    [[nodiscard]] entry_view entry() const { return sources_[winner_.source].entry(); }
    [[nodiscard]] result<void> status() const {
        if (defect_) return *defect_;
        return {};
    }

    /// Tombstones that were passed over because of merge_options::drop_tombstones.
    [[nodiscard]] std::uint64_t tombstones_dropped() const noexcept { return tombstones_dropped_; }

    void next() {
        if constexpr (cursor<Cursor>)
            if (direction_ == direction::backward) return turn_forward();
        step();
    }

    void prev() requires cursor<Cursor> {
        if (direction_ == direction::forward) return turn_backward();
        step();
    }

    void seek_to_first() requires cursor<Cursor> {
        for (Cursor& source : sources_) source.seek_to_first();
        collect(direction::forward);
    }
    void seek_to_last() requires cursor<Cursor> {
        for (Cursor& source : sources_) source.seek_to_last();
        collect(direction::backward);
    }
    void seek(bytes_view key) requires cursor<Cursor> {
        for (Cursor& source : sources_) source.seek(key);
        collect(direction::forward);
    }

private:
    enum class direction : bool { forward, backward };

    // A source, the key that it stands on, and the leading_number() of what that has behind the shared bytes.
    struct contender {
        std::size_t source;
        bytes_view key;
        std::uint64_t number;
    };

    // All sources stand on their next key in the new direction: makes the first of them the winner.
    void collect(direction towards) {
        direction_ = towards;
        defect_.reset();
        valid_ = false;
        heap_.clear();
        for (std::size_t i = 0; i < sources_.size(); ++i)
            if (alive(i)) heap_.push_back({i, sources_[i].key(), 0});
        if (defect_ || heap_.empty()) return;
        winner_ = heap_.front();
        number_all();
        for (std::size_t i = heap_.size() / 2; i-- > 0;) sift_down(i);
        pop_winner();
        settle();
    }

    // The winner has been shown: moves on to the next entry to show.
    void step() {
        valid_ = false;
        const std::size_t last = winner_.source;
        advance(last);
        if (!alive(last)) {
            if (defect_ || heap_.empty()) return;
            pop_winner();
        } else if (contend(winner_); !heap_.empty() && before(heap_.front(), winner_)) {
            // Else it is the same source again, the common case: the heap stays as it is.
            std::swap(winner_, heap_.front());
            sift_down(0);
        }
        settle();
    }

    // The winner has the smallest key: moves the older sources past it, and past it, too, if it is not to be shown.
    void settle() {
        for (;;) {
            if (!drain_losers()) return;
            if (!options_.drop_tombstones || !entry().tombstone()) break;
            ++tombstones_dropped_;
            advance(winner_.source);
            if (alive(winner_.source)) {
                contend(winner_);
                if (heap_.empty() || before(winner_, heap_.front())) continue;
                std::swap(winner_, heap_.front());
                sift_down(0);
            } else {
                if (defect_ || heap_.empty()) return;
                pop_winner();
            }
        }
        valid_ = true;
    }

    bool drain_losers() {
        while (!heap_.empty() && heap_.front().number == winner_.number && heap_.front().key == winner_.key) {
            const std::size_t loser = heap_.front().source;
            advance(loser);
            if (alive(loser)) {
                contend(heap_.front());
                sift_down(0);
            } else if (defect_) {
                return false;
            } else {
                pop_top();
            }
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
    void turn_forward() requires cursor<Cursor> {
        const bytes_view from = key();
        for (std::size_t i = 0; i < sources_.size(); ++i) {
            if (i == winner_.source) continue;
            sources_[i].seek(from);
            if (sources_[i].valid() && sources_[i].key() == from) sources_[i].next();
        }
        sources_[winner_.source].next();
        collect(direction::forward);
    }
    void turn_backward() requires cursor<Cursor> {
        const bytes_view from = key();
        for (std::size_t i = 0; i < sources_.size(); ++i)
            if (i != winner_.source) detail::seek_below(sources_[i], from);
        sources_[winner_.source].prev();
        collect(direction::backward);
    }

    // Takes the key that the contender's source stands on now.
    void contend(contender& who) {
        who.key = sources_[who.source].key();
        if (heap_.empty()) return;  // nobody to compare with: whoever is alone has no number
        if (who.key.starts_with(shared_))
            who.number = number(who.key);
        else
            number_all();
    }
    // Finds out anew what all keys share. Some bytes less than that, so that it stays true for a while.
    void number_all() {
        constexpr std::size_t room = 4;
        std::size_t same = winner_.key.size();
        for (const contender& c : heap_) same = std::min(same, detail::shared_prefix(winner_.key, c.key));
        shared_.assign(winner_.key.substr(0, same - std::min(same, room)));
        winner_.number = number(winner_.key);
        for (contender& c : heap_) c.number = number(c.key);
    }
    [[nodiscard]] std::uint64_t number(bytes_view key) const noexcept {
        return detail::leading_number(key.substr(shared_.size()));
    }

    // Whether a's entry comes before b's; of the same key, the newer source's.
    [[nodiscard]] bool before(const contender& a, const contender& b) const noexcept {
        const bool forward = direction_ == direction::forward;
        if (a.number != b.number) return (a.number < b.number) == forward;
        const int order = a.key.compare(b.key);
        if (order == 0) return a.source < b.source;
        return (order < 0) == forward;
    }

    void pop_winner() {
        winner_ = heap_.front();
        pop_top();
    }
    void pop_top() {
        heap_.front() = heap_.back();
        heap_.pop_back();
        if (!heap_.empty()) sift_down(0);
    }
    // Lets all smaller children up on the way to a leaf, and looks for the place from there: what comes in at the top
    // mostly belongs far down, and so half of the comparisons are saved.
    void sift_down(std::size_t from) {
        const contender moving = heap_[from];
        std::size_t at = from;
        for (std::size_t child; (child = 2 * at + 1) < heap_.size(); at = child) {
            if (child + 1 < heap_.size() && before(heap_[child + 1], heap_[child])) ++child;
            heap_[at] = heap_[child];
        }
        for (; at > from && before(moving, heap_[(at - 1) / 2]); at = (at - 1) / 2) heap_[at] = heap_[(at - 1) / 2];
        heap_[at] = moving;
    }

    detail::vector_of<Cursor, Alloc> sources_;
    detail::vector_of<contender, Alloc> heap_;  // those with entries left, but for the winner
    contender winner_{};
    basic_bytes<Alloc> shared_;  // in front of all keys
    merge_options options_;
    direction direction_ = direction::forward;
    bool valid_ = false;
    std::uint64_t tombstones_dropped_ = 0;
    std::optional<error> defect_;
};

}  // namespace lsm
