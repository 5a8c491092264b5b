#pragma once

#include <concepts>

#include <lsm/core/bytes.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/result.hpp>

/// A cursor walks entries in key order, tombstones included. Every stage provides one, and the merge takes them.
///
/// A cursor either stands on an entry or is not valid(). In the latter case it has moved past an end, or it has met
/// damage, and then status() is that error. next(), prev(), key() and entry() require valid(). The views that key() and
/// entry() return are valid until the cursor moves, so do not pass them to its own seek(). A new cursor need not stand
/// on an entry: seek first.
namespace lsm {

/// A cursor that moves forward only.
template <class C>
concept forward_cursor = requires(C& moving, const C& standing) {
    { standing.valid() } -> std::same_as<bool>;
    { standing.key() } -> std::convertible_to<bytes_view>;
    { standing.entry() } -> std::convertible_to<entry_view>;
    { standing.status() } -> std::convertible_to<result<void>>;
    moving.next();
};

/// A cursor that moves in both directions.
template <class C>
concept cursor = forward_cursor<C> && requires(C& moving, bytes_view key) {
    moving.seek_to_first();
    moving.seek_to_last();
    moving.seek(key);  // moves to the first entry whose key is not less than `key`
    moving.prev();
};

}  // namespace lsm

namespace lsm::detail {

// Moves from where a seek() ended to the entry before. A seek that ended at damage stays there.
template <cursor C>
void step_back_from_seek(C& at) {
    if (at.valid())
        at.prev();
    else if (at.status())
        at.seek_to_last();
}

/// Moves to the last entry whose key is less than `key`.
template <cursor C>
void seek_below(C& at, bytes_view key) {
    at.seek(key);
    step_back_from_seek(at);
}

/// Moves to the last entry whose key is not greater than `key`.
template <cursor C>
void seek_not_above(C& at, bytes_view key) {
    at.seek(key);
    if (!at.valid() || at.key() != key) step_back_from_seek(at);
}

}  // namespace lsm::detail
