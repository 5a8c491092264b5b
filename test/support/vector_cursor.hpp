#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <lsm/core/cursor.hpp>

namespace lsm::test {

/// An entry that owns its bytes.
struct owned_entry {
    bytes key;
    bytes value = {};
    entry_type type = entry_type::value;

    [[nodiscard]] entry_view view() const { return {type, value}; }
    friend bool operator==(const owned_entry&, const owned_entry&) = default;
};

/// A cursor over entries in a vector, which must ascend by key. Standing on entry number `damaged` is what meeting
/// damage in a file is: not valid, with an error in status().
class vector_cursor {
public:
    explicit vector_cursor(std::vector<owned_entry> entries, std::size_t damaged = SIZE_MAX)
        : entries_(std::move(entries)), damaged_(damaged), at_(entries_.size()) {}

    [[nodiscard]] bool valid() const { return at_ < entries_.size() && at_ != damaged_; }
    [[nodiscard]] bytes_view key() const { return entries_.at(at_).key; }
    [[nodiscard]] entry_view entry() const { return entries_.at(at_).view(); }
    [[nodiscard]] result<void> status() const {
        if (at_ < entries_.size() && at_ == damaged_) return detail::failure(errc::bad_block, "damaged by the test");
        return {};
    }

    void next() { ++at_; }
    void prev() { at_ = at_ == 0 ? entries_.size() : at_ - 1; }
    void seek_to_first() { at_ = 0; }
    void seek_to_last() { at_ = entries_.empty() ? 0 : entries_.size() - 1; }
    void seek(bytes_view key) {
        const auto found = std::lower_bound(entries_.begin(), entries_.end(), key,
                                            [](const owned_entry& e, bytes_view target) { return e.key < target; });
        at_ = static_cast<std::size_t>(found - entries_.begin());
    }

private:
    std::vector<owned_entry> entries_;
    std::size_t damaged_;
    std::size_t at_;
};

static_assert(cursor<vector_cursor>);

}  // namespace lsm::test
