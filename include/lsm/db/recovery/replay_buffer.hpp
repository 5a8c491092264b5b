#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <lsm/core/batch_coding.hpp>
#include <lsm/core/bytes.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/prefix_search.hpp>
#include <lsm/core/radix_sort.hpp>
#include <lsm/core/vector_of.hpp>
#include <lsm/memtable/memtable.hpp>

namespace lsm::detail {

/// Inserts the operations of many write batches into a memtable in the order of their keys. A sorted insertion costs a
/// fraction of one at a random place of a memtable that is much larger than the processor's cache. add() makes the
/// nodes in the memtable, in the order of the operations; finish() sorts and links them. The last operation on a key
/// wins.
template <class Alloc>
class replay_buffer {
    using node = typename memtable_core<Alloc>::node;

public:
    /// `to` must outlive the buffer. No other thread may write to it meanwhile.
    replay_buffer(memtable_core<Alloc>& to, const Alloc& alloc) : to_(to), items_(alloc) {}

    /// Requires a well-formed batch, and that `at` is not below that of the batch before it.
    void add(bytes_view batch, sequence at) {
        batch_reader operations(batch);
        bytes_view key;
        entry_view entry;
        while (operations.next(key, entry)) {
            items_.push_back({0, to_.prepare(key, entry, at)});
            const bytes_view kept = items_.back().entry->key();
            common_ = items_.size() == 1 ? kept : common_.substr(0, shared_prefix(common_, kept));
        }
    }

    /// Makes all operations visible to readers.
    void finish() {
        add_to_filter();
        sort_by_number();
        for (std::size_t begin = 0, end = 0; begin < items_.size(); begin = end) {
            // Sorted nodes lie far apart in memory: each is fetched some steps before it is linked.
            for (; end < items_.size() && items_[end].number == items_[begin].number; ++end)
                if (end + ahead < items_.size()) __builtin_prefetch(items_[end + ahead].entry, 1);
            link_in(std::span(items_).subspan(begin, end - begin));
        }
        items_.clear();
    }

private:
    static constexpr std::size_t ahead = 8;
    struct item {
        std::uint64_t number;  // first the place in the filter, then the leading bytes of the key
        node* entry;
    };
    using items = vector_of<item, Alloc>;

    // The words of the filter lie far apart: each is fetched some entries before it is written.
    void add_to_filter() {
        for (std::size_t n = 0; n < items_.size() + ahead; ++n) {
            if (n < items_.size()) items_[n].number = to_.prefetch_filter(items_[n].entry->key());
            if (n >= ahead) to_.add_to_filter(items_[n - ahead].number);
        }
    }
    void sort_by_number() {
        // The eight bytes after the prefix that all keys share decide most comparisons without a look at the keys.
        if (to_.len() == 0) to_.expect_prefix(common_);
        for (item& i : items_) i.number = to_.entries().number_of(i.entry->key());
        items spare(items_.get_allocator());
        radix_sort(items_, spare);
    }
    // Links entries that have the same number and are in the order of their operations.
    void link_in(std::span<item> alike) {
        const auto below = [](const item& a, const item& b) { return a.entry->key() < b.entry->key(); };
        if (!std::is_sorted(alike.begin(), alike.end(), below)) std::stable_sort(alike.begin(), alike.end(), below);
        // Of equal keys the last one counts.
        for (std::size_t n = 0; n < alike.size(); ++n)
            if (n + 1 == alike.size() || below(alike[n], alike[n + 1])) to_.link_in(alike[n].entry, alike[n].number);
    }

    memtable_core<Alloc>& to_;
    items items_;
    bytes_view common_;  // the prefix that all keys share
};

}  // namespace lsm::detail
