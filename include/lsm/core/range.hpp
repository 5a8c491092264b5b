#pragma once

#include <utility>

#include <lsm/core/bytes.hpp>
#include <lsm/core/cursor.hpp>

namespace lsm::detail {

/// One end of a range of keys. Open, that is, without a key, until set.
template <class Alloc>
class key_bound {
public:
    explicit key_bound(const Alloc& alloc = {}) : key_(alloc) {}

    void set(bytes_view key) {
        key_.assign(key);
        set_ = true;
    }
    /// Sets the smallest key that is greater than all keys with `prefix`. Open if there is none.
    void set_after_prefix(bytes_view prefix) {
        set_ = false;
        // The last byte that can be incremented; the bytes after it are dropped.
        while (!prefix.empty() && prefix.back() == '\xff') prefix.remove_suffix(1);
        if (prefix.empty()) return;
        set(prefix);
        key_.back() = static_cast<char>(static_cast<unsigned char>(key_.back()) + 1);
    }

    [[nodiscard]] auto allocator() const noexcept { return key_.get_allocator(); }
    [[nodiscard]] explicit operator bool() const noexcept { return set_; }
    /// The key. Requires that the bound is set.
    [[nodiscard]] bytes_view operator*() const noexcept { return key_; }

private:
    basic_bytes<Alloc> key_;
    bool set_ = false;
};

/// The keys from `from` (inclusive) to `to` (exclusive). An open bound means the first or last key of all. With
/// `reverse`, the keys descend.
template <class Alloc>
struct key_range {
    explicit key_range(const Alloc& alloc = {}) : from(alloc), to(alloc) {}

    key_bound<Alloc> from;
    key_bound<Alloc> to;
    bool reverse = false;
};

/// A cursor over the part of `C` that lies in a range. If the range is reversed, so is the cursor: its first entry is
/// the one with the greatest key, and next() moves to a smaller one. Initially on the first entry.
template <cursor C, class Alloc>
class range_cursor {
public:
    range_cursor(C inner, key_range<Alloc> range)
        : inner_(std::move(inner)), range_(std::move(range)), target_(range_.from.allocator()) {
        seek_to_first();
    }

    [[nodiscard]] bool valid() const { return inner_.valid() && in_range(); }
    [[nodiscard]] bytes_view key() const { return inner_.key(); }
    [[nodiscard]] entry_view entry() const { return inner_.entry(); }
    [[nodiscard]] result<void> status() const { return inner_.status(); }

    void next() { range_.reverse ? inner_.prev() : inner_.next(); }
    void prev() { range_.reverse ? inner_.next() : inner_.prev(); }
    void seek_to_first() { range_.reverse ? to_high_end() : to_low_end(); }
    void seek_to_last() { range_.reverse ? to_low_end() : to_high_end(); }

    /// Moves to the first entry, in the direction of the range, that is not before `key`.
    void seek(bytes_view key) {
        target_.assign(key);  // a copy, since moving may free the bytes of `key`
        if (range_.reverse) {
            if (range_.to && key >= *range_.to) return to_high_end();
            seek_not_above(inner_, target_);
        } else {
            if (range_.from && key < *range_.from) return to_low_end();
            inner_.seek(target_);
        }
    }

private:
    [[nodiscard]] bool in_range() const {
        const bytes_view at = inner_.key();
        return (!range_.from || at >= *range_.from) && (!range_.to || at < *range_.to);
    }
    void to_low_end() { range_.from ? inner_.seek(*range_.from) : inner_.seek_to_first(); }
    void to_high_end() { range_.to ? seek_below(inner_, *range_.to) : inner_.seek_to_last(); }

    C inner_;
    key_range<Alloc> range_;
    basic_bytes<Alloc> target_;
};

}  // namespace lsm::detail
