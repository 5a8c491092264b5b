#pragma once

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include <lsm/core/bytes.hpp>
#include <lsm/core/cursor.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/hex.hpp>
#include <lsm/core/prefix_search.hpp>
#include <lsm/core/range.hpp>
#include <lsm/core/result.hpp>
#include <lsm/fwd.hpp>
#include <lsm/io/input.hpp>
#include <lsm/io/sink.hpp>
#include <lsm/memtable/dump.hpp>
#include <lsm/memtable/key_filter.hpp>
#include <lsm/memtable/skip_list.hpp>
#include <lsm/policy/policies.hpp>
#include <lsm/policy/typed_cursor.hpp>

namespace lsm::detail {

/// A memtable over bytes: a skip_list, the length of its dump, and a filter of `filter_bytes` that spares searches for
/// absent keys; three or more bytes for each entry spare nearly all of them. One thread may write while any number
/// read.
template <class Alloc>
class memtable_core {
public:
    using node = typename skip_list<Alloc>::node;
    using version = typename skip_list<Alloc>::version;

    explicit memtable_core(const Alloc& alloc, std::size_t filter_bytes = 0)
        : alloc_(alloc), entries_(alloc), filter_(filter_bytes, alloc) {}

    /// Adds an entry. Writer only. Requires a key and value of at most max_length bytes, and that `at` is not below any
    /// sequence used before. If Alloc throws, nothing has changed.
    void add(bytes_view key, entry_view entry, sequence at) {
        const std::uint64_t prefetched = filter_.prefetch(key);
        const version* const superseded = entries_.add(key, entry, at);
        filter_.add(prefetched);
        account(key, entry, superseded, at);
    }
    /// add() in steps, as skip_list::prepare() and link_in(). add_to_filter() must come before link_in(). It takes the
    /// value that prefetch_filter() returned for the key, and is fast if other work was done in between. Writer only.
    node* prepare(bytes_view key, entry_view entry, sequence at) { return entries_.prepare(key, entry, at); }
    [[nodiscard]] std::uint64_t prefetch_filter(bytes_view key) const noexcept { return filter_.prefetch(key); }
    void add_to_filter(std::uint64_t prefetched) noexcept { filter_.add(prefetched); }
    void link_in(node* prepared, std::uint64_t number) {
        const version* const added = prepared->newest();
        const version* const superseded = entries_.link_in(prepared, number);
        account(prepared->key(), added->entry(), superseded, std::max(newest(), added->written_at));
    }
    /// As skip_list::expect_prefix().
    void expect_prefix(bytes_view prefix) { entries_.expect_prefix(prefix); }
    /// The longest prefix that all keys share; empty if there are no keys. Writer only.
    [[nodiscard]] bytes_view common_prefix() const noexcept {
        if (entries_.first() == nullptr) return {};
        const bytes_view first = entries_.first()->key();
        return first.substr(0, shared_prefix(first, entries_.last()->key()));
    }
    /// As skip_list::reserve().
    void reserve(std::size_t entries, std::size_t bytes) { entries_.reserve(entries, bytes); }
    /// The newest sequence that was added; 0 before the first. A thread that reads it sees the add() that stored it,
    /// and every add() before that one.
    // Acquire: pairs with the release in account().
    [[nodiscard]] sequence newest() const noexcept { return newest_.load(std::memory_order_acquire); }

    /// The entry of `key` as a reader at `at` sees it; null if it sees none. Valid as long as the memtable. Expected
    /// O(log n).
    [[nodiscard]] const version* find(bytes_view key, sequence at) const noexcept {
        const node* const found = entries_.find_greater_or_equal(key);
        return found != nullptr && found->key() == key ? found->visible_at(at) : nullptr;
    }

    /// False for most keys that the memtable does not have, and never for one that it has. `hash` is the key's xxh64().
    [[nodiscard]] bool may_contain(std::uint64_t hash) const noexcept { return filter_.may_contain(hash); }

    // Relaxed: these are statistics, and no reader concludes from them what else it may read. A reader that has called
    // newest() sees values at least as recent.
    [[nodiscard]] std::size_t len() const noexcept { return len_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t size_bytes() const noexcept { return size_bytes_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::size_t memory_bytes() const noexcept { return entries_.memory_bytes() + filter_.memory_bytes(); }
    /// The part of memory_bytes() that holds entries, without the filter and the room left for more. Writer only.
    [[nodiscard]] std::size_t used_bytes() const noexcept { return entries_.used_bytes(); }
    [[nodiscard]] const skip_list<Alloc>& entries() const noexcept { return entries_; }
    [[nodiscard]] const Alloc& allocator() const noexcept { return alloc_; }

private:
    // Updates the counters after an entry was linked. The release comes last, so that a reader that acquires `at` sees
    // the links, the filter's bits and the counters. Only the writer stores any of them, so load and store need not be
    // one operation.
    void account(bytes_view key, entry_view entry, const version* superseded, sequence at) noexcept {
        std::uint64_t bytes = size_bytes() + entry.value.size();
        if (superseded != nullptr) {
            bytes -= superseded->value_length;
        } else {
            bytes += record_header_bytes + key.size();
            len_.store(len() + 1, std::memory_order_relaxed);
        }
        size_bytes_.store(bytes, std::memory_order_relaxed);
        newest_.store(at, std::memory_order_release);
    }

    [[no_unique_address]] Alloc alloc_;
    skip_list<Alloc> entries_;
    key_filter<Alloc> filter_;
    std::atomic<std::size_t> len_ = 0;
    std::atomic<std::uint64_t> size_bytes_ = dump_header_bytes;
    std::atomic<sequence> newest_ = 0;
};

/// A cursor over what a reader at one sequence sees. Shares ownership of the memtable. Initially on no entry. next() is
/// O(1) and every other move expected O(log n), and as much again for each key that is skipped because it is too new.
template <class Alloc>
class memtable_cursor {
public:
    memtable_cursor(std::shared_ptr<const memtable_core<Alloc>> table, sequence at)
        : table_(std::move(table)), at_(at) {}

    [[nodiscard]] bool valid() const noexcept { return node_ != nullptr; }
    [[nodiscard]] bytes_view key() const noexcept { return node_->key(); }
    [[nodiscard]] entry_view entry() const noexcept { return version_->entry(); }
    [[nodiscard]] result<void> status() const noexcept { return {}; }

    void next() noexcept { move_forward(node_->next(0)); }
    void prev() noexcept { move_backward(table_->entries().find_less_than(node_->key())); }
    void seek_to_first() noexcept { move_forward(table_->entries().first()); }
    void seek_to_last() noexcept { move_backward(table_->entries().last()); }
    void seek(bytes_view key) noexcept { move_forward(table_->entries().find_greater_or_equal(key)); }

private:
    using node = typename skip_list<Alloc>::node;

    // Both skip keys that were first written after at_.
    void move_forward(const node* to) noexcept {
        while (!settle_on(to)) to = to->next(0);
    }
    void move_backward(const node* to) noexcept {
        while (!settle_on(to)) to = table_->entries().find_less_than(to->key());
    }
    // Moves to `to`, a node or null for the end. False if a reader at at_ sees no version of the node.
    bool settle_on(const node* to) noexcept {
        node_ = to;
        version_ = to == nullptr ? nullptr : to->visible_at(at_);
        return to == nullptr || version_ != nullptr;
    }

    std::shared_ptr<const memtable_core<Alloc>> table_;
    sequence at_;
    const node* node_ = nullptr;
    const typename skip_list<Alloc>::version* version_ = nullptr;
};

}  // namespace lsm::detail

namespace lsm {

/// An ordered table in memory: the newest entry (value or tombstone) of each key.
///
/// One thread may write while others read. Writes invalidate no view and no cursor. A cursor shows the entries as they
/// were when it was made. Memory is freed when the memtable and its last cursor are gone; until then overwritten values
/// keep theirs. Move-only; a moved-from memtable can only be assigned to or destroyed.
template <class Policies>
class basic_memtable {
    using alloc = typename Policies::allocator_type;
    using core = detail::memtable_core<alloc>;

public:
    using policies_type = Policies;
    using lookup = basic_lookup<typename Policies::value_view>;
    using cursor = typed_cursor<Policies, detail::range_cursor<detail::memtable_cursor<alloc>, alloc>, true>;

    basic_memtable() requires std::default_initializable<alloc> : basic_memtable(alloc()) {}
    explicit basic_memtable(const alloc& allocator) : core_(std::allocate_shared<core>(allocator, allocator)) {}
    basic_memtable(basic_memtable&&) noexcept = default;
    basic_memtable& operator=(basic_memtable&&) noexcept = default;

    /// Sets the value of `key`. Requires that each takes at most max_length bytes. If the allocator throws, nothing has
    /// changed. Expected O(log n); O(1) for keys in ascending order.
    void put(typename Policies::key_argument key, typename Policies::value_argument value) {
        const detail::encoded_value<Policies> stored(value, core_->allocator());
        add(key, {entry_type::value, stored.view()});
    }

    /// Writes a tombstone for `key`, even if the key was never written. Otherwise as put().
    void del(typename Policies::key_argument key) { add(key, {entry_type::tombstone, {}}); }

    /// Looks up `key`. Expected O(log n). A view of bytes in the result is valid as long as the memtable or one of its
    /// cursors.
    [[nodiscard]] lookup get(typename Policies::key_argument key) const {
        const detail::encoded_key<Policies> target(key, core_->allocator());
        const auto* const seen = core_->find(target.view(), detail::newest_sequence);
        if (seen == nullptr) return lookup();
        if (seen->type == entry_type::tombstone) return lookup(lookup::outcome::tombstone);
        return lookup(*detail::decode_value<Policies>(seen->entry().value));
    }

    /// A cursor over all entries in key order, tombstones included, on the first of them.
    [[nodiscard]] cursor iter() const {
        return cursor({{core_, core_->newest()}, detail::key_range(core_->allocator())}, core_->allocator());
    }

    /// The number of keys, those with a tombstone included. O(1).
    [[nodiscard]] std::size_t len() const noexcept { return core_->len(); }
    /// The length of the dump in bytes: encode().size(), unless a thread writes meanwhile. Not the memory held. O(1).
    [[nodiscard]] std::uint64_t size_bytes() const noexcept { return core_->size_bytes(); }
    /// Bytes held from the allocator for entries. O(1).
    [[nodiscard]] std::size_t memory_bytes() const noexcept { return core_->memory_bytes(); }

    /// Returns the dump of the entries as they are now. O(n).
    [[nodiscard]] bytes encode() const {
        bytes out;
        out.reserve(static_cast<std::size_t>(size_bytes()));
        io::string_sink to(out);
        static_cast<void>(encode(to));
        return out;
    }

    /// Writes the dump of the entries as they are now to `out`. Errors: those of `out`; too_large for more than 2^32-1
    /// entries. O(n).
    result<void> encode(io::sink& out) const {
        detail::memtable_cursor<alloc> entries(core_, core_->newest());
        // Not len(): another thread may have added keys that this cursor does not show.
        std::size_t count = 0;
        for (entries.seek_to_first(); entries.valid(); entries.next()) ++count;
        entries.seek_to_first();
        return detail::write_dump(entries, count, out);
    }

    /// Reads a dump. Errors: short_input, bad_magic, bad_type, bad_tombstone, unsorted and trailing_bytes, each with
    /// its offset; bad_key and bad_value, with the key, for bytes that the policies' codecs refuse. Takes memory in
    /// proportion to the size of `dump`, whatever lengths it claims.
    static result<basic_memtable> decode(bytes_view dump, const alloc& allocator = {}) {
        return decode(io::input<alloc>(dump, allocator), allocator);
    }

    /// The same for an input, whose read errors it returns too.
    static result<basic_memtable> decode(io::input<alloc> in, const alloc& allocator = {}) {
        basic_memtable out(allocator);
        basic_dump_reader<alloc> entries(std::move(in), allocator);
        for (; entries.valid(); entries.next()) {
            if (!detail::decode_key<Policies>(entries.key()))
                return detail::failure(errc::bad_key, "at key " + hex(entries.key()));
            if (!entries.entry().tombstone() && !detail::decode_value<Policies>(entries.entry().value))
                return detail::failure(errc::bad_value, "at key " + hex(entries.key()));
            out.core_->add(entries.key(), entries.entry(), out.core_->newest() + 1);
        }
        if (auto status = entries.status(); !status) return std::move(status).error();
        return out;
    }

private:
    void add(typename Policies::key_argument key, entry_view entry) {
        const detail::encoded_key<Policies> stored(key, core_->allocator());
        core_->add(stored.view(), entry, core_->newest() + 1);
    }

    std::shared_ptr<core> core_;
};

}  // namespace lsm
