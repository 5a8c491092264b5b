#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/policy/arena.hpp>

namespace lsm::detail {

/// The position of a write in the order of all writes. Sequences exist in memory only and are never stored in a file.
using sequence = std::uint64_t;
inline constexpr sequence newest_sequence = ~sequence{0};

/// An ordered map from keys to versions of their entries, as a skip list:
///
///     head ----------> node "b" --------------------------------> end       level 2
///     head ----------> node "b" -----------> node "d" ----------> end       level 1
///     head -> node "a" node "b" -> node "c"  node "d" -> node "e" end       level 0
///                         |
///                      version 7 -> version 3                               newest first
///
/// Thread safety
/// -------------
/// One thread at a time may write, that is, call add(), prepare(), link_in() or reserve(). Any number of threads may
/// read meanwhile, without locks. Reads require only that the list is not destroyed before they end.
///
/// A reader at sequence s sees, for each key, the newest version written at s or before. If it obtained s from the
/// writer with acquire order, after the writes up to s, it sees all of them. It may also meet nodes that were linked
/// later; node::visible_at(s) is null for these.
///
/// Invariants
/// ----------
/// (1) Nothing is removed or moved. A node or version, once linked, stays where it is until the list is destroyed.
///
/// (2) A linked node or version is immutable, except for a node's links and its pointer to the newest version. Only the
///     writer stores these, with release order, and only pointers to objects that are complete. Readers load them with
///     acquire order. So whatever a reader can reach is complete.
///
/// (3) Each level is sorted and contains every node of the level above, for every reader at every moment: a node is
///     linked from level 0 upwards, and its own link at a level is set before the link that leads to it there. A reader
///     moves only right or down, so it reads a node's link at a level only after it came to that node on this level or
///     a higher one, when the link was set.
///
/// (4) The versions of a key descend by sequence; of two with the same sequence the one written later comes first.
///
/// After W. Pugh, "Skip Lists: A Probabilistic Alternative to Balanced Trees" (1990). Each node carries a number made
/// of eight bytes of its key: the bytes after the prefix that all keys are expected to have. Comparing the numbers
/// decides most comparisons without reading the keys.
template <class Alloc>
class skip_list {
public:
    // In memory, a version is followed by the bytes of its value.
    struct version {
        const version* older;
        sequence written_at;
        std::uint32_t value_length;
        entry_type type;

        [[nodiscard]] entry_view entry() const noexcept {
            return {type, {reinterpret_cast<const char*>(this + 1), value_length}};
        }
    };

    class node;
    using link = std::atomic<node*>;

    // In memory, a node is followed by its links, `height` of them, and then by the bytes of its key.
    class alignas(alignof(link)) node {
    public:
        node(bytes_view key, std::uint64_t number, unsigned height, const version* first_version) noexcept
            : number_(number),
              newest_(first_version),
              key_length_(static_cast<std::uint32_t>(key.size())),
              height_(height) {
            for (unsigned level = 0; level < height; ++level) ::new (static_cast<void*>(links() + level)) link(nullptr);
            key.copy(reinterpret_cast<char*>(links() + height), key.size());
        }

        /// The memory that a node takes, links and key included.
        [[nodiscard]] static std::size_t bytes(bytes_view key, unsigned height) noexcept {
            return sizeof(node) + height * sizeof(link) + key.size();
        }
        [[nodiscard]] bytes_view key() const noexcept {
            return {reinterpret_cast<const char*>(links() + height_), key_length_};
        }
        [[nodiscard]] unsigned height() const noexcept { return height_; }
        /// Requires that the node is not linked yet.
        void set_number(std::uint64_t number) noexcept { number_ = number; }
        [[nodiscard]] bool less_than(bytes_view key, std::uint64_t number) const noexcept {
            return number_ != number ? number_ < number : this->key() < key;
        }
        [[nodiscard]] bool equals(bytes_view key, std::uint64_t number) const noexcept {
            return number_ == number && this->key() == key;
        }

        /// The next node at `level`; null at the end.
        // Acquire: pairs with the release of set_next(), so that the node returned is complete, and so are its links at
        // this level and below.
        [[nodiscard]] node* next(unsigned level) const noexcept {
            return links()[level].load(std::memory_order_acquire);
        }
        // Release: publishes `to` and what was stored in it before. Nothing stronger is needed, since one thread alone
        // stores links, and readers need no order between links that lead to different nodes.
        void set_next(unsigned level, node* to) noexcept { links()[level].store(to, std::memory_order_release); }

        // Acquire: pairs with the release of set_newest(), so that the version is complete. The older versions are
        // complete too: the writer completed them earlier, and their fields never change.
        [[nodiscard]] const version* newest() const noexcept { return newest_.load(std::memory_order_acquire); }
        // Release: publishes `to`. The first version needs no such store; the link that publishes the node covers it.
        void set_newest(const version* to) noexcept { newest_.store(to, std::memory_order_release); }

        /// The version that a reader at `at` sees; null if the key was first written after `at`.
        [[nodiscard]] const version* visible_at(sequence at) const noexcept {
            const version* v = newest();
            while (v != nullptr && v->written_at > at) v = v->older;
            return v;
        }

    private:
        [[nodiscard]] link* links() noexcept { return reinterpret_cast<link*>(this + 1); }
        [[nodiscard]] const link* links() const noexcept { return reinterpret_cast<const link*>(this + 1); }

        std::uint64_t number_;
        std::atomic<const version*> newest_;
        std::uint32_t key_length_;
        std::uint32_t height_;
    };

    explicit skip_list(const Alloc& alloc)
        : memory_(alloc), expected_prefix_(alloc), head_(make_node({}, 0, max_height, nullptr)) {
        path_.fill(head_);
    }
    skip_list(const skip_list&) = delete;
    skip_list& operator=(const skip_list&) = delete;

    /// Announces that most keys will begin with `prefix`. A wrong guess costs only time. Requires that the list is
    /// empty and that no thread reads it yet. If Alloc throws, nothing has changed.
    void expect_prefix(bytes_view prefix) { expected_prefix_.assign(prefix); }

    /// Adds a version of `key` and returns the version it supersedes; null if the key is new. Writer only. Requires
    /// that `at` is not below the sequence of any version of `key`. If Alloc throws, nothing has changed. Expected
    /// O(log n); O(1) when `key` directly follows the last key inserted.
    const version* add(bytes_view key, entry_view entry, sequence at) {
        const std::uint64_t number = number_of(key);
        if (node* const found = locate(key, number)) return add_version(found, entry, at);
        link_after_path(make_node(key, number, random_height(), make_version(entry, nullptr, at)));
        return nullptr;
    }

    /// add() in two steps, for callers that sort many keys before they link them. prepare() returns a node that becomes
    /// part of the list with link_in(). `number` is the number_of() of its key, computed after the last
    /// expect_prefix(). link_in() returns what add() would have returned. Requirements, errors and complexity are those
    /// of add(). Writer only.
    node* prepare(bytes_view key, entry_view entry, sequence at) {
        return make_node(key, 0, random_height(), make_version(entry, nullptr, at));
    }
    const version* link_in(node* prepared, std::uint64_t number) {
        const version* const first_version = prepared->newest();
        if (node* const found = locate(prepared->key(), number))
            return add_version(found, first_version->entry(), first_version->written_at);
        prepared->set_number(number);
        link_after_path(prepared);
        return nullptr;
    }

    /// The number that stands for `key` in comparisons: of two keys, the smaller one never has the larger number. Keys
    /// need to be compared only where their numbers are equal. All keys that sort before those with the expected prefix
    /// have the number 0, and all that sort after them the largest.
    [[nodiscard]] std::uint64_t number_of(bytes_view key) const noexcept {
        const int order = key.substr(0, expected_prefix_.size()).compare(expected_prefix_);
        if (order != 0) return order < 0 ? 0 : ~std::uint64_t{0};
        return leading_number(key.substr(expected_prefix_.size()));
    }

    /// Reserves memory so that the next `entries` calls of add(), with keys and values of `bytes` bytes in total, do
    /// not throw. Writer only. If Alloc throws, nothing has changed.
    void reserve(std::size_t entries, std::size_t bytes) {
        memory_.reserve(bytes +
                        entries * (node::bytes({}, max_height) + alignof(node) + sizeof(version) + alignof(version)));
    }

    /// The first node; null if the list is empty.
    [[nodiscard]] const node* first() const noexcept { return head_->next(0); }
    /// The last node; null if the list is empty. Expected O(log n).
    [[nodiscard]] const node* last() const noexcept {
        return null_if_head(descend([](const node*) { return true; }).before);
    }
    /// The first node whose key is greater than or equal to `key`; null if there is none. Expected O(log n).
    [[nodiscard]] const node* find_greater_or_equal(bytes_view key) const noexcept {
        return descend([&, number = number_of(key)](const node* n) { return n->less_than(key, number); }).after;
    }
    /// The last node whose key is less than `key`; null if there is none. Expected O(log n).
    [[nodiscard]] const node* find_less_than(bytes_view key) const noexcept {
        return null_if_head(
            descend([&, number = number_of(key)](const node* n) { return n->less_than(key, number); }).before);
    }

    /// The part of memory_bytes() that is not left for further entries. Writer only.
    [[nodiscard]] std::size_t used_bytes() const noexcept { return memory_.used_bytes(); }
    /// Bytes held from Alloc. Any thread may ask.
    [[nodiscard]] std::size_t memory_bytes() const noexcept { return memory_.memory_bytes(); }

private:
    static constexpr unsigned max_height = 14;  // enough for 4^14 keys; with more, searches grow longer

    const version* make_version(entry_view entry, const version* older, sequence at) {
        void* const raw = memory_.allocate(sizeof(version) + entry.value.size(), alignof(version));
        auto* const out = ::new (raw) version{older, at, static_cast<std::uint32_t>(entry.value.size()), entry.type};
        entry.value.copy(reinterpret_cast<char*>(out + 1), entry.value.size());
        return out;
    }
    node* make_node(bytes_view key, std::uint64_t number, unsigned height, const version* first_version) {
        void* const raw = memory_.allocate(node::bytes(key, height), alignof(node));
        return ::new (raw) node(key, number, height, first_version);
    }

    // A place between two nodes that were neighbours when the search passed them. Use `after`, not before->next(0): the
    // writer may have inserted another node between them since, and that one is on the wrong side.
    struct position {
        const node* before;
        const node* after;
    };

    // Finds the place between the last node for which `is_before` is true and the first for which it is false. Requires
    // that it is true for a (possibly empty) first part of the list and false for the rest.
    template <class IsBefore>
    [[nodiscard]] position descend(IsBefore is_before) const noexcept {
        const node* before = head_;
        const node* after = nullptr;
        for (unsigned level = max_height; level-- > 0;) {
            const node* next = before->next(level);
            // The level contains `after`, where the level above stopped (invariant 3): no need to test that node again.
            while (next != after && is_before(next)) {
                before = next;
                next = before->next(level);
            }
            after = next;
        }
        return {before, after};
    }
    [[nodiscard]] const node* null_if_head(const node* n) const noexcept { return n == head_ ? nullptr : n; }

    // Returns the node of `key`. Returns null if there is none; then path_ holds, for each level, the last node whose
    // key is less than `key`: the nodes after which it is to be linked.
    [[nodiscard]] node* locate(bytes_view key, std::uint64_t number) noexcept {
        // If `key` belongs directly after the last path's end, that path is the path of `key` too. This makes loading
        // keys in order O(1) each.
        node* const last = path_[0];
        if (last == head_ || last->less_than(key, number)) {
            node* const next = last->next(0);
            if (next == nullptr || !next->less_than(key, number))
                return next != nullptr && next->equals(key, number) ? next : nullptr;
        }
        // Otherwise as descend(), but keeping the path. The acquire order of these loads is not needed, since this
        // thread stored the links itself.
        node* before = head_;
        node* after = nullptr;
        for (unsigned level = max_height; level-- > 0;) {
            node* next = before->next(level);
            while (next != after && next->less_than(key, number)) {
                before = next;
                next = before->next(level);
            }
            path_[level] = before;
            after = next;
        }
        return after != nullptr && after->equals(key, number) ? after : nullptr;
    }

    // Returns the version that was the newest.
    const version* add_version(node* found, entry_view entry, sequence at) {
        const version* const superseded = found->newest();
        found->set_newest(make_version(entry, superseded, at));
        return superseded;
    }
    // Requires that locate() has just returned null for the key of `fresh`. Keeps invariant 3: from level 0 upwards,
    // and at each level first the node's own link, which no reader follows yet, so that any memory order would do for
    // it; then the link to the node, whose release publishes both.
    void link_after_path(node* fresh) noexcept {
        for (unsigned level = 0; level < fresh->height(); ++level) {
            fresh->set_next(level, path_[level]->next(level));
            path_[level]->set_next(level, fresh);
            path_[level] = fresh;
        }
    }

    // From 1 to max_height; each level is reached by a quarter of the nodes of the level below.
    [[nodiscard]] unsigned random_height() noexcept {
        random_ ^= random_ << 13;
        random_ ^= random_ >> 7;
        random_ ^= random_ << 17;
        unsigned height = 1;
        for (std::uint64_t bits = random_; height < max_height && (bits & 3) == 0; bits >>= 2) ++height;
        return height;
    }

    basic_arena<Alloc> memory_;
    basic_bytes<Alloc> expected_prefix_;
    node* const head_;
    std::array<node*, max_height> path_;         // of the last search for a key to write; writer only
    std::uint64_t random_ = 0x9e3779b97f4a7c15;  // the state of a xorshift generator; writer only
};

}  // namespace lsm::detail
