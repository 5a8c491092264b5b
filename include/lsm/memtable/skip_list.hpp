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

/// The order in which writes happened; a memtable's alone, never in a file.
using sequence = std::uint64_t;
inline constexpr sequence newest_sequence = ~sequence{0};

/// An ordered map from key to the versions of its entry, newest first:
///
///     head ----------> node "b" --------------------------------> end       level 2
///     head ----------> node "b" -----------> node "d" ----------> end       level 1
///     head -> node "a" node "b" -> node "c"  node "d" -> node "e" end       level 0
///                         |
///                      version 7 -> version 3                               older behind newer
///
/// One thread may write while any number read, without locks: a node or version is complete before the one store that
/// links it in (release; readers load with acquire), and nothing is taken out or moved until the whole list goes. A
/// reader that asks for sequence s sees the newest version written at s or before.
///
/// After W. Pugh, "Skip Lists: A Probabilistic Alternative to Balanced Trees" (1990). Nodes carry eight bytes of their
/// key as a number, which decides most comparisons without a look at the key: those behind what all keys are expected
/// to begin with.
template <class Alloc>
class skip_list {
public:
    struct version {
        const version* older;
        sequence written;
        std::uint32_t value_length;
        entry_type type;

        [[nodiscard]] entry_view entry() const noexcept {
            return {type, {reinterpret_cast<const char*>(this + 1), value_length}};
        }
    };

    class node;
    using link = std::atomic<node*>;

    // Behind a node lie its links, `height` of them, and then its key.
    class alignas(alignof(link)) node {
    public:
        node(bytes_view key, std::uint64_t number, unsigned height, const version* only) noexcept
            : number_(number), newest_(only), key_length_(static_cast<std::uint32_t>(key.size())), height_(height) {
            for (unsigned level = 0; level < height; ++level) ::new (static_cast<void*>(links() + level)) link(nullptr);
            key.copy(reinterpret_cast<char*>(links() + height), key.size());
        }

        [[nodiscard]] static std::size_t bytes(bytes_view key, unsigned height) noexcept {
            return sizeof(node) + height * sizeof(link) + key.size();
        }
        [[nodiscard]] bytes_view key() const noexcept {
            return {reinterpret_cast<const char*>(const_cast<node*>(this)->links() + height_), key_length_};
        }
        [[nodiscard]] unsigned height() const noexcept { return height_; }
        /// Before it is linked in.
        void set_number(std::uint64_t number) noexcept { number_ = number; }
        [[nodiscard]] bool below(bytes_view key, std::uint64_t number) const noexcept {
            return number_ != number ? number_ < number : this->key() < key;
        }
        [[nodiscard]] bool equals(bytes_view key, std::uint64_t number) const noexcept {
            return number_ == number && this->key() == key;
        }

        [[nodiscard]] node* next(unsigned level) const noexcept {
            return const_cast<node*>(this)->links()[level].load(std::memory_order_acquire);
        }
        void set_next(unsigned level, node* to) noexcept { links()[level].store(to, std::memory_order_release); }

        [[nodiscard]] const version* newest() const noexcept { return newest_.load(std::memory_order_acquire); }
        void set_newest(const version* to) noexcept { newest_.store(to, std::memory_order_release); }

        /// The version that a reader at `at` sees; null if the key came later.
        [[nodiscard]] const version* seen(sequence at) const noexcept {
            const version* v = newest();
            while (v != nullptr && v->written > at) v = v->older;
            return v;
        }

    private:
        [[nodiscard]] link* links() noexcept { return reinterpret_cast<link*>(this + 1); }

        std::uint64_t number_;
        std::atomic<const version*> newest_;
        std::uint32_t key_length_;
        std::uint32_t height_;
    };

    explicit skip_list(const Alloc& alloc)
        : memory_(alloc), expected_(alloc), head_(make_node({}, 0, most_levels, nullptr)) {
        path_.fill(head_);
    }
    skip_list(const skip_list&) = delete;
    skip_list& operator=(const skip_list&) = delete;

    /// Most keys will begin with these bytes; a guess that is wrong costs time. Requires that the list is empty, and
    /// that nobody reads it yet. If Alloc throws, nothing has changed.
    void expect(bytes_view prefix) { expected_.assign(prefix); }

    /// Adds a version of `key` and returns the one it hides, if any. Expected O(log n); O(1) when the key lies next to
    /// the one written before. If Alloc throws, nothing has changed. The writer only.
    const version* add(bytes_view key, entry_view entry, sequence at) {
        const std::uint64_t number = number_of(key);
        if (node* const found = locate(key, number)) return hide_newest(found, entry, at);
        link_behind_path(make_node(key, number, random_height(), make_version(entry, nullptr, at)));
        return nullptr;
    }

    /// The same in two steps, for who brings many keys into order in between: what prepare() returns is part of the
    /// list after link_in(). `number` is the number_of() its key, which expect() may have changed in between.
    node* prepare(bytes_view key, entry_view entry, sequence at) {
        return make_node(key, 0, random_height(), make_version(entry, nullptr, at));
    }
    const version* link_in(node* prepared, std::uint64_t number) {
        const version* const only = prepared->newest();
        if (node* const found = locate(prepared->key(), number))
            return hide_newest(found, only->entry(), only->written);
        prepared->set_number(number);
        link_behind_path(prepared);
        return nullptr;
    }

    /// Tells keys apart without a look at them: in their order, equal numbers aside. A key that does not begin as
    /// expected is below or above all that do.
    [[nodiscard]] std::uint64_t number_of(bytes_view key) const noexcept {
        const int order = key.substr(0, expected_.size()).compare(expected_);
        if (order != 0) return order < 0 ? 0 : ~std::uint64_t{0};
        return leading_number(key.substr(expected_.size()));
    }

    /// Sees to it that add() of so many entries, whose keys and values have `bytes` together, does not throw. The
    /// writer only. Throws what Alloc throws; then nothing has changed.
    void reserve(std::size_t entries, std::size_t bytes) {
        memory_.reserve(bytes +
                        entries * (node::bytes({}, most_levels) + alignof(node) + sizeof(version) + alignof(version)));
    }

    [[nodiscard]] const node* first() const noexcept { return head_->next(0); }

    /// The first node whose key is not below `key`; null if there is none. Expected O(log n).
    [[nodiscard]] const node* not_below(bytes_view key) const noexcept {
        return descend([&, number = number_of(key)](const node* n) { return n->below(key, number); }).behind;
    }
    /// The last node whose key is below `key`; null if there is none. Expected O(log n).
    [[nodiscard]] const node* last_below(bytes_view key) const noexcept {
        return unless_head(descend([&, number = number_of(key)](const node* n) { return n->below(key, number); }).at);
    }
    [[nodiscard]] const node* last() const noexcept {
        return unless_head(descend([](const node*) { return true; }).at);
    }

    [[nodiscard]] std::size_t used_bytes() const noexcept { return memory_.used_bytes(); }
    [[nodiscard]] std::size_t memory_bytes() const noexcept { return memory_.memory_bytes(); }

private:
    static constexpr unsigned most_levels = 14;  // 4^14 keys before searches begin to lengthen

    const version* make_version(entry_view entry, const version* older, sequence at) {
        void* const raw = memory_.allocate(sizeof(version) + entry.value.size(), alignof(version));
        auto* const out = ::new (raw) version{older, at, static_cast<std::uint32_t>(entry.value.size()), entry.type};
        entry.value.copy(reinterpret_cast<char*>(out + 1), entry.value.size());
        return out;
    }
    node* make_node(bytes_view key, std::uint64_t number, unsigned height, const version* only) {
        void* const raw = memory_.allocate(node::bytes(key, height), alignof(node));
        return ::new (raw) node(key, number, height, only);
    }

    struct place {
        const node* at;
        const node* behind;  // not to be loaded again: a writer may have put another one in between
    };

    // Walks right while `go_on` says so, then down, to the last node for which it did and the first for which it did
    // not.
    template <class GoOn>
    [[nodiscard]] place descend(GoOn go_on) const noexcept {
        const node* at = head_;
        const node* stop = nullptr;  // the node that ended the level above ends this one too
        for (unsigned level = most_levels; level-- > 0;) {
            const node* next = at->next(level);
            while (next != stop && go_on(next)) {
                at = next;
                next = at->next(level);
            }
            stop = next;
        }
        return {at, stop};
    }
    [[nodiscard]] const node* unless_head(const node* at) const noexcept { return at == head_ ? nullptr : at; }

    // The node of `key`, or null; then path_ holds, for each level, the last node below `key`. The path of the write
    // before serves again if `key` lies between the node it ends in and the next one: so keys in order are not searched
    // for.
    [[nodiscard]] node* locate(bytes_view key, std::uint64_t number) noexcept {
        node* const last = path_[0];
        if (last == head_ || last->below(key, number)) {
            node* const next = last->next(0);
            if (next == nullptr || !next->below(key, number))
                return next != nullptr && next->equals(key, number) ? next : nullptr;
        }
        node* at = head_;
        node* stop = nullptr;
        for (unsigned level = most_levels; level-- > 0;) {
            node* next = at->next(level);
            while (next != stop && next->below(key, number)) {
                at = next;
                next = at->next(level);
            }
            path_[level] = at;
            stop = next;
        }
        return stop != nullptr && stop->equals(key, number) ? stop : nullptr;
    }

    const version* hide_newest(node* found, entry_view by, sequence at) {
        const version* const hidden = found->newest();
        found->set_newest(make_version(by, hidden, at));
        return hidden;
    }
    // Where locate() has found the key to be missing.
    void link_behind_path(node* fresh) noexcept {
        for (unsigned level = 0; level < fresh->height(); ++level) {
            fresh->set_next(level, path_[level]->next(level));
            path_[level]->set_next(level, fresh);
            path_[level] = fresh;
        }
    }

    [[nodiscard]] unsigned random_height() noexcept {
        random_ ^= random_ << 13;
        random_ ^= random_ >> 7;
        random_ ^= random_ << 17;
        unsigned height = 1;
        for (std::uint64_t bits = random_; height < most_levels && (bits & 3) == 0; bits >>= 2) ++height;
        return height;
    }

    basic_arena<Alloc> memory_;
    basic_bytes<Alloc> expected_;
    node* const head_;
    std::array<node*, most_levels> path_;
    std::uint64_t random_ = 0x9e3779b97f4a7c15;
};

}  // namespace lsm::detail
