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

/// The memtable over bytes: a skip_list, the length its dump would have, and for whoever looks for keys that are often
/// not there a filter of `filter_bytes`; three or more for each entry spare nearly all of these searches.
/// One thread may write while any number read.
template <class Alloc>
class memtable_core {
public:
    using node = typename skip_list<Alloc>::node;
    using version = typename skip_list<Alloc>::version;

    explicit memtable_core(const Alloc& alloc, std::size_t filter_bytes = 0)
        : alloc_(alloc), entries_(alloc), filter_(filter_bytes, alloc) {}

    /// Requires a key and value of at most max_length bytes, and `at` not below any sequence used before. If Alloc
    /// throws, nothing has changed.
    void add(bytes_view key, entry_view entry, sequence at) {
        const std::uint64_t fetched = filter_.fetch(key);
        const version* const hidden = entries_.add(key, entry, at);
        filter_.add(fetched);
        count(key, entry, hidden, at);
    }
    /// The same in steps, as skip_list::prepare() and link_in(). Before link_in() add_to_filter() is given what fetch()
    /// returned for the key, best some other work earlier.
    node* prepare(bytes_view key, entry_view entry, sequence at) { return entries_.prepare(key, entry, at); }
    [[nodiscard]] std::uint64_t fetch(bytes_view key) const noexcept { return filter_.fetch(key); }
    void add_to_filter(std::uint64_t fetched) noexcept { filter_.add(fetched); }
    void link_in(node* prepared, std::uint64_t number) {
        const version* const only = prepared->newest();
        const version* const hidden = entries_.link_in(prepared, number);
        count(prepared->key(), only->entry(), hidden, std::max(newest(), only->written));
    }
    /// As skip_list::expect().
    void expect(bytes_view prefix) { entries_.expect(prefix); }
    /// What all keys begin with; nothing if there are none. The writer only.
    [[nodiscard]] bytes_view common_prefix() const noexcept {
        if (entries_.first() == nullptr) return {};
        const bytes_view first = entries_.first()->key();
        return first.substr(0, shared_prefix(first, entries_.last()->key()));
    }
    /// As skip_list::reserve().
    void reserve(std::size_t entries, std::size_t bytes) { entries_.reserve(entries, bytes); }
    /// The newest sequence that was added; 0 before the first.
    [[nodiscard]] sequence newest() const noexcept { return newest_.load(std::memory_order_acquire); }

    /// The entry of `key` as a reader at `at` sees it; null if it sees none. Lives as long as the memtable.
    [[nodiscard]] const version* find(bytes_view key, sequence at) const noexcept {
        const node* const found = entries_.not_below(key);
        return found != nullptr && found->key() == key ? found->seen(at) : nullptr;
    }

    /// False for most keys that find() does not find, and for no other. `hash` is the key's xxh64().
    [[nodiscard]] bool may_contain(std::uint64_t hash) const noexcept { return filter_.may_contain(hash); }

    [[nodiscard]] std::size_t len() const noexcept { return len_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t size_bytes() const noexcept { return size_bytes_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::size_t memory_bytes() const noexcept { return entries_.memory_bytes() + filter_.memory_bytes(); }
    /// Of these, what is not left for more entries. The writer only.
    [[nodiscard]] std::size_t used_bytes() const noexcept { return entries_.used_bytes(); }
    [[nodiscard]] const skip_list<Alloc>& entries() const noexcept { return entries_; }
    [[nodiscard]] const Alloc& allocator() const noexcept { return alloc_; }

private:
    void count(bytes_view key, entry_view entry, const version* hidden, sequence at) noexcept {
        std::uint64_t bytes = size_bytes() + entry.value.size();
        if (hidden != nullptr) {
            bytes -= hidden->value_length;
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

/// Walks what a reader at one sequence sees. Shares the memtable's ownership. next() is O(1), the rest O(log n).
template <class Alloc>
class memtable_cursor {
public:
    memtable_cursor(std::shared_ptr<const memtable_core<Alloc>> table, sequence at)
        : table_(std::move(table)), at_(at) {}

    [[nodiscard]] bool valid() const noexcept { return node_ != nullptr; }
    [[nodiscard]] bytes_view key() const noexcept { return node_->key(); }
    [[nodiscard]] entry_view entry() const noexcept { return version_->entry(); }
    [[nodiscard]] result<void> status() const noexcept { return {}; }

    void next() noexcept { forwards(node_->next(0)); }
    void prev() noexcept { backwards(table_->entries().last_below(node_->key())); }
    void seek_to_first() noexcept { forwards(table_->entries().first()); }
    void seek_to_last() noexcept { backwards(table_->entries().last()); }
    void seek(bytes_view key) noexcept { forwards(table_->entries().not_below(key)); }

private:
    using node = typename skip_list<Alloc>::node;

    // Keys written after at_ are passed over.
    void forwards(const node* to) noexcept {
        while (!stand_on(to)) to = to->next(0);
    }
    void backwards(const node* to) noexcept {
        while (!stand_on(to)) to = table_->entries().last_below(to->key());
    }
    bool stand_on(const node* to) noexcept {
        node_ = to;
        version_ = to == nullptr ? nullptr : to->seen(at_);
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
/// One thread may write while others read. Views and cursors into it stay valid, and cursors keep it alive; a cursor
/// sees the entries of the moment it was made. Overwritten values keep their memory until the memtable goes. Move-only;
/// a moved-from memtable can only be assigned to or destroyed.
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

    /// Sets the value of `key`. Requires both to take at most max_length bytes. Expected O(log n); O(1) for keys in
    /// order. If the allocator throws, nothing has changed.
    void put(typename Policies::key_argument key, typename Policies::value_argument value) {
        const detail::encoded_value<Policies> stored(value, core_->allocator());
        add(key, {entry_type::value, stored.view()});
    }

    /// Writes a tombstone for `key`, also if it was never there. Otherwise as put().
    void del(typename Policies::key_argument key) { add(key, {entry_type::tombstone, {}}); }

    /// What is known of `key`. Expected O(log n). A view of bytes lives as long as the memtable.
    [[nodiscard]] lookup get(typename Policies::key_argument key) const {
        const detail::encoded_key<Policies> target(key, core_->allocator());
        const auto* const seen = core_->find(target.view(), detail::newest_sequence);
        if (seen == nullptr) return lookup();
        if (seen->type == entry_type::tombstone) return lookup(lookup::outcome::tombstone);
        return lookup(*detail::decode_value<Policies>(seen->entry().value));
    }

    /// All entries, tombstones included, in key order.
    [[nodiscard]] cursor iter() const {
        return cursor({{core_, core_->newest()}, detail::key_range(core_->allocator())}, core_->allocator());
    }

    /// Keys, those with a tombstone included.
    [[nodiscard]] std::size_t len() const noexcept { return core_->len(); }
    /// The length of the dump, which is not the memory that is held: encode().size(), as long as nobody writes. O(1).
    [[nodiscard]] std::uint64_t size_bytes() const noexcept { return core_->size_bytes(); }
    /// Bytes held from the allocator for entries. O(1).
    [[nodiscard]] std::size_t memory_bytes() const noexcept { return core_->memory_bytes(); }

    /// The dump of the entries of this moment. O(n).
    [[nodiscard]] bytes encode() const {
        bytes out;
        out.reserve(static_cast<std::size_t>(size_bytes()));
        io::string_sink to(out);
        static_cast<void>(encode(to));
        return out;
    }

    /// Writes the dump to `out`, whose errors it returns; too_large for more than 2^32-1 entries.
    result<void> encode(io::sink& out) const {
        detail::memtable_cursor<alloc> entries(core_, core_->newest());
        std::size_t count = 0;
        for (entries.seek_to_first(); entries.valid(); entries.next()) ++count;
        entries.seek_to_first();
        return detail::write_dump(entries, count, out);
    }

    /// The memtable of a dump. Errors, each with its offset: short_input, bad_magic, bad_type, bad_tombstone, unsorted,
    /// trailing_bytes; bad_key and bad_value for bytes that the policies' codecs refuse. Memory in proportion to
    /// `dump`, whatever it claims.
    static result<basic_memtable> decode(bytes_view dump, const alloc& allocator = {}) {
        return decode(io::input<alloc>(dump, allocator), allocator);
    }

    /// The same from a file; its errors too.
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
