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
    /// Leaves out the keys whose newest entry is a tombstone.
    bool drop_tombstones = false;
};

/// Selects the constructor of a merge that has no position until it is asked to seek.
struct not_positioned_t {};
inline constexpr not_positioned_t not_positioned;

/// Merges k cursors, the newest first, into one cursor: each key once, with the entry of the newest source that has it.
///
/// A merge of cursors stands on its first entry when made. A merge of sources that are only forward_cursors starts at
/// their positions and moves only forward. The first error of any source ends the walk, and is the merge's status()
/// until the next seek.
///
/// Memory is O(k). A step takes two comparisons while the next entry is from the same source, and about log2 k when it
/// is from another; each older source with an equal key is moved past that key. Most comparisons are of numbers that
/// represent the keys.
///
/// The source of the current entry is the winner. The others that have entries left are in a binary heap. Each is a
/// contender: its key, and as a number the eight bytes of the key after a prefix that all contenders share. Whole keys
/// are compared only if the numbers are equal.
template <class Cursor, class Alloc>
class merging_iterator {
public:
    /// Takes over the sources and moves to the first entry.
    template <class SourceAlloc>
    explicit merging_iterator(std::vector<Cursor, SourceAlloc> newest_first, merge_options options = {},
                              const Alloc& alloc = {})
        : merging_iterator(std::move(newest_first), options, alloc, not_positioned) {
        if constexpr (cursor<Cursor>)
            seek_to_first();
        else
            collect(direction::forward);
    }
    /// Takes over the sources and leaves them where they are. The merge is not valid() until it is asked to seek.
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

    /// Returns how many tombstones merge_options::drop_tombstones has left out so far.
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

    // A source, the key that it stands on, and the leading_number() of that key after shared_.
    struct contender {
        std::size_t source;
        bytes_view key;
        std::uint64_t number;
    };

    // Builds the heap anew, for a walk in the given direction. Requires that each source stands on the first entry that
    // it contributes, or at its end.
    void collect(direction towards) {
        direction_ = towards;
        defect_.reset();
        valid_ = false;
        heap_.clear();
        for (std::size_t i = 0; i < sources_.size(); ++i)
            if (has_entry(i)) heap_.push_back({i, sources_[i].key(), 0});
        if (defect_ || heap_.empty()) return;
        winner_ = heap_.front();  // number_all() requires one
        number_all();
        for (std::size_t i = heap_.size() / 2; i-- > 0;) sift_down(i);
        pop_winner();
        show_winner();
    }

    // Moves the winner on, and makes the source with the next key the winner.
    void step() {
        valid_ = false;
        const std::size_t last = winner_.source;
        advance(last);
        if (!has_entry(last)) {
            if (defect_ || heap_.empty()) return;
            pop_winner();
        } else if (update_key(winner_); !heap_.empty() && before(heap_.front(), winner_)) {
            // Otherwise the same source has the next key too, which is the common case: the heap does not change.
            std::swap(winner_, heap_.front());
            sift_down(0);
        }
        show_winner();
    }

    // Makes the winner's entry the current one: moves the other sources with its key past it, since they are older. If
    // the entry is a tombstone to leave out, goes on with the next winner.
    void show_winner() {
        for (;;) {
            if (!skip_older()) return;
            if (!options_.drop_tombstones || !entry().tombstone()) break;
            ++tombstones_dropped_;
            advance(winner_.source);
            if (has_entry(winner_.source)) {
                update_key(winner_);
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

    // Moves every source that stands on the winner's key past it. Returns false at an error.
    bool skip_older() {
        while (!heap_.empty() && heap_.front().number == winner_.number && heap_.front().key == winner_.key) {
            const std::size_t older = heap_.front().source;
            advance(older);
            if (has_entry(older)) {
                update_key(heap_.front());
                sift_down(0);
            } else if (defect_) {
                return false;
            } else {
                pop_top();
            }
        }
        return true;
    }

    // Returns whether source i stands on an entry. If it has met an error, stores that in defect_.
    bool has_entry(std::size_t i) {
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

    // To turn round, every source must be placed anew around the winner's key: all but the winner stand beyond it in
    // the old direction, or at an end.
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

    // Updates the key and the number of `moved`, the winner or an element of the heap, after its source has moved.
    void update_key(contender& moved) {
        moved.key = sources_[moved.source].key();
        if (heap_.empty()) return;  // a single source is compared with none, and needs no number
        if (moved.key.starts_with(shared_))
            moved.number = number(moved.key);
        else
            number_all();
    }
    // Determines anew the prefix that all keys share, and the numbers of all contenders. Takes a shorter prefix than
    // the keys share now, so that it remains shared for a while.
    void number_all() {
        constexpr std::size_t slack = 4;
        std::size_t same = winner_.key.size();
        for (const contender& c : heap_) same = std::min(same, detail::shared_prefix(winner_.key, c.key));
        shared_.assign(winner_.key.substr(0, same - std::min(same, slack)));
        winner_.number = number(winner_.key);
        for (contender& c : heap_) c.number = number(c.key);
    }
    [[nodiscard]] std::uint64_t number(bytes_view key) const noexcept {
        return detail::leading_number(key.substr(shared_.size()));
    }

    // Returns whether a comes before b in the current direction; of two with the same key, the newer source does.
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
    // Restores the heap below `from`. Moves the smaller child up at each level down to a leaf, then finds the place of
    // the element upwards from there: it usually belongs far down, so this saves about half of the comparisons.
    void sift_down(std::size_t from) {
        const contender moving = heap_[from];
        std::size_t at = from;
        for (std::size_t child = 2 * at + 1; child < heap_.size(); child = 2 * at + 1) {
            if (child + 1 < heap_.size() && before(heap_[child + 1], heap_[child])) ++child;
            heap_[at] = heap_[child];
            at = child;
        }
        for (; at > from && before(moving, heap_[(at - 1) / 2]); at = (at - 1) / 2) heap_[at] = heap_[(at - 1) / 2];
        heap_[at] = moving;
    }

    detail::vector_of<Cursor, Alloc> sources_;
    detail::vector_of<contender, Alloc> heap_;  // the sources with entries left, except the winner
    contender winner_{};
    basic_bytes<Alloc> shared_;  // a prefix of all contenders' keys
    merge_options options_;
    direction direction_ = direction::forward;
    bool valid_ = false;
    std::uint64_t tombstones_dropped_ = 0;
    std::optional<error> defect_;
};

}  // namespace lsm
