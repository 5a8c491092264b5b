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

/// Puts the operations of many write batches into a memtable in the order of their keys: a sorted insertion costs a
/// fraction of one somewhere in a table that is much larger than the processor's cache. The memtable has the operations
/// from the first, in the order they came, and their links at the end. Of several on a key only the last counts.
template <class Alloc>
class replay_buffer {
    using node = typename memtable_core<Alloc>::node;

public:
    /// Nobody else may write to `to` meanwhile, which must outlive the buffer.
    replay_buffer(memtable_core<Alloc>& to, const Alloc& alloc) : to_(to), items_(alloc) {}

    /// Requires a well-formed batch, and `at` not to be below that of the batch before.
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

    /// Readers see all of it after that.
    void finish() {
        add_to_filter();
        sort_by_number();
        for (std::size_t begin = 0, end = 0; begin < items_.size(); begin = end) {
            for (; end < items_.size() && items_[end].number == items_[begin].number; ++end)
                if (end + ahead < items_.size()) __builtin_prefetch(items_[end + ahead].entry, 1);
            link_in(std::span(items_).subspan(begin, end - begin));
        }
        items_.clear();
    }

private:
    static constexpr std::size_t ahead = 8;
    struct item {
        std::uint64_t number;  // what the filter needs, and then what comes first in the order
        node* entry;
    };
    using items = vector_of<item, Alloc>;

    // Its words lie far apart: each is fetched some entries before it is written to.
    void add_to_filter() {
        for (std::size_t n = 0; n < items_.size() + ahead; ++n) {
            if (n < items_.size()) items_[n].number = to_.fetch(items_[n].entry->key());
            if (n >= ahead) to_.add_to_filter(items_[n - ahead].number);
        }
    }
    void sort_by_number() {
        // What all keys begin with tells nothing: the eight bytes behind it decide most comparisons without a look at
        // the keys.
        if (to_.len() == 0) to_.expect(common_);
        for (item& i : items_) i.number = to_.entries().number_of(i.entry->key());
        items spare(items_.get_allocator());
        radix_sort(items_, spare);
    }
    // Entries with the same number, as they came.
    void link_in(std::span<item> alike) {
        const auto below = [](const item& a, const item& b) { return a.entry->key() < b.entry->key(); };
        if (!std::is_sorted(alike.begin(), alike.end(), below)) std::stable_sort(alike.begin(), alike.end(), below);
        for (std::size_t n = 0; n < alike.size(); ++n)
            if (n + 1 == alike.size() || below(alike[n], alike[n + 1])) to_.link_in(alike[n].entry, alike[n].number);
    }

    memtable_core<Alloc>& to_;
    items items_;
    bytes_view common_;  // what all keys begin with
};

}  // namespace lsm::detail
