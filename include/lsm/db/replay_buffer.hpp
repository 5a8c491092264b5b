#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <lsm/core/batch_coding.hpp>
#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/prefix_search.hpp>
#include <lsm/memtable/memtable.hpp>
#include <lsm/policy/arena.hpp>

namespace lsm::detail {

/// Gathers the operations of many write batches and puts them into a memtable in the order of their keys: a sorted
/// insertion costs a fraction of one somewhere in a table that is much larger than the processor's cache. Of several
/// operations on a key only the last counts.
template <class Alloc>
class replay_buffer {
public:
    explicit replay_buffer(const Alloc& alloc) : alloc_(alloc), items_(alloc) { memory_ = new_arena(); }

    /// Requires a well-formed batch.
    void add(bytes_view batch) {
        const bytes_view operations = batch.substr(std::min(batch.size(), batch_header_bytes));
        if (operations.empty()) return;
        char* const copy = static_cast<char*>(memory_->allocate(operations.size(), 1));
        operations.copy(copy, operations.size());
        batch_reader reader({copy, operations.size()}, load_le<std::uint32_t>(batch.data()));
        bytes_view key;
        entry_view entry;
        while (reader.next(key, entry)) {
            common_ = items_.empty() ? key : common_.substr(0, shared_prefix(common_, key));
            items_.push_back(
                {0, key.data(), static_cast<std::uint32_t>(key.size()), static_cast<std::uint32_t>(items_.size())});
        }
    }

    [[nodiscard]] std::size_t memory_bytes() const noexcept {
        return memory_->memory_bytes() + items_.capacity() * sizeof(item);
    }

    /// Puts everything into `to`, at one sequence, and is empty again.
    void drain(memtable_core<Alloc>& to, sequence at) {
        // What all keys begin with tells nothing: the eight bytes behind it decide most comparisons without a look at
        // the keys.
        if (to.len() == 0) to.expect(common_);
        for (item& i : items_) i.prefix = leading_number(i.key().substr(common_.size()));
        std::sort(items_.begin(), items_.end(), [](const item& a, const item& b) {
            if (a.prefix != b.prefix) return a.prefix < b.prefix;
            const int order = a.key().compare(b.key());
            return order != 0 ? order < 0 : a.number < b.number;
        });
        for (std::size_t n = 0; n < items_.size(); ++n) {
            if (n + ahead < items_.size()) __builtin_prefetch(items_[n + ahead].bytes);
            if (n + 1 < items_.size() && items_[n].prefix == items_[n + 1].prefix &&
                items_[n].key() == items_[n + 1].key())
                continue;
            to.add(items_[n].key(), items_[n].entry(), at);
        }
        items_.clear();
        common_ = {};
        memory_ = new_arena();
    }

private:
    static constexpr std::size_t ahead = 8;
    struct item {
        std::uint64_t prefix;
        const char* bytes;  // of the key, in its operation: behind a type and the key's length
        std::uint32_t key_length;
        std::uint32_t number;  // in the order they came

        [[nodiscard]] bytes_view key() const noexcept { return {bytes, key_length}; }
        [[nodiscard]] entry_view entry() const noexcept {
            const auto type = static_cast<entry_type>(bytes[-5]);
            if (type == entry_type::tombstone) return {type, {}};
            const char* const length = bytes + key_length;
            return {type, {length + 4, load_le<std::uint32_t>(length)}};
        }
    };

    [[nodiscard]] auto new_arena() const { return std::allocate_shared<basic_arena<Alloc>>(alloc_, alloc_); }

    [[no_unique_address]] Alloc alloc_;
    std::shared_ptr<basic_arena<Alloc>> memory_;  // copies of the operations
    std::vector<item, typename std::allocator_traits<Alloc>::template rebind_alloc<item>> items_;
    bytes_view common_;  // what all keys begin with
};

}  // namespace lsm::detail
