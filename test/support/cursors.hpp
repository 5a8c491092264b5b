#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <lsm/core/cursor.hpp>

#include "support/entry_list.hpp"
#include "support/results.hpp"

/// Reading cursors to their end, and cursors over entries in memory.
namespace lsm::test {

/// The entries from the one that `at` stands on to the end of its walk. Does not look at its status().
template <class Cursor>
entry_list rest_of(Cursor&& at) {
    entry_list out;
    for (; at.valid(); at.next()) out.emplace_back(at.key(), value_of(at.entry()));
    return out;
}

/// The same; requires that the walk does not end with an error.
template <class Cursor>
entry_list walk(Cursor& at) {
    auto out = rest_of(at);
    must(at.status());
    return out;
}

/// A cursor over a list, which must ascend by key. Standing on entry number `damaged_at` is like meeting damage in a
/// file: the cursor is not valid, and status() is bad_block with the text `damage`. Copies share the list.
class listed_cursor {
public:
    static constexpr std::size_t nowhere = SIZE_MAX;

    explicit listed_cursor(entry_list entries, std::size_t damaged_at = nowhere, std::string damage = {})
        : entries_(std::make_shared<const entry_list>(std::move(entries))),
          damaged_at_(damaged_at),
          damage_(std::move(damage)),
          at_(entries_->size()) {}

    [[nodiscard]] bool valid() const { return at_ < entries_->size() && at_ != damaged_at_; }
    [[nodiscard]] bytes_view key() const { return entries_->at(at_).first; }
    [[nodiscard]] entry_view entry() const { return view_of(entries_->at(at_).second); }
    [[nodiscard]] result<void> status() const {
        if (at_ == damaged_at_) return error{errc::bad_block, 0, damage_};
        return {};
    }
    void next() { ++at_; }
    void prev() { at_ = at_ == 0 ? entries_->size() : at_ - 1; }
    void seek_to_first() { at_ = 0; }
    void seek_to_last() { at_ = entries_->empty() ? 0 : entries_->size() - 1; }
    void seek(bytes_view key) {
        const auto found = std::lower_bound(entries_->begin(), entries_->end(), key,
                                            [](const auto& entry, bytes_view target) { return entry.first < target; });
        at_ = static_cast<std::size_t>(found - entries_->begin());
    }

private:
    std::shared_ptr<const entry_list> entries_;
    std::size_t damaged_at_;
    std::string damage_;
    std::size_t at_;
};

/// The same, but moves forward only, and stands on its first entry from the start.
class forward_only_cursor {
public:
    explicit forward_only_cursor(entry_list entries, std::size_t damaged_at = listed_cursor::nowhere,
                                 std::string damage = {})
        : inner_(std::move(entries), damaged_at, std::move(damage)) {
        inner_.seek_to_first();
    }

    [[nodiscard]] bool valid() const { return inner_.valid(); }
    [[nodiscard]] bytes_view key() const { return inner_.key(); }
    [[nodiscard]] entry_view entry() const { return inner_.entry(); }
    [[nodiscard]] result<void> status() const { return inner_.status(); }
    void next() { inner_.next(); }

private:
    listed_cursor inner_;
};

static_assert(cursor<listed_cursor>);
static_assert(forward_cursor<forward_only_cursor> && !cursor<forward_only_cursor>);

/// Holds a cursor of any type, so that one merge can have sources of several types.
class any_cursor {
public:
    template <cursor C>
    requires(!std::same_as<C, any_cursor>) explicit any_cursor(C inner)
        : inner_(std::make_unique<holder<C>>(std::move(inner))) {}

    [[nodiscard]] bool valid() const { return inner_->valid(); }
    [[nodiscard]] bytes_view key() const { return inner_->key(); }
    [[nodiscard]] entry_view entry() const { return inner_->entry(); }
    [[nodiscard]] result<void> status() const { return inner_->status(); }
    void next() { inner_->next(); }
    void prev() { inner_->prev(); }
    void seek_to_first() { inner_->seek_to_first(); }
    void seek_to_last() { inner_->seek_to_last(); }
    void seek(bytes_view key) { inner_->seek(key); }

private:
    struct base {
        virtual ~base() = default;
        virtual bool valid() const = 0;
        virtual bytes_view key() const = 0;
        virtual entry_view entry() const = 0;
        virtual result<void> status() const = 0;
        virtual void next() = 0;
        virtual void prev() = 0;
        virtual void seek_to_first() = 0;
        virtual void seek_to_last() = 0;
        virtual void seek(bytes_view key) = 0;
    };
    template <class C>
    struct holder final : base {
        explicit holder(C from) : at(std::move(from)) {}
        bool valid() const override { return at.valid(); }
        bytes_view key() const override { return at.key(); }
        entry_view entry() const override { return at.entry(); }
        result<void> status() const override { return at.status(); }
        void next() override { at.next(); }
        void prev() override { at.prev(); }
        void seek_to_first() override { at.seek_to_first(); }
        void seek_to_last() override { at.seek_to_last(); }
        void seek(bytes_view key) override { at.seek(key); }
        C at;
    };

    std::unique_ptr<base> inner_;
};

}  // namespace lsm::test
