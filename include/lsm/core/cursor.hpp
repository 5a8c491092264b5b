#pragma once

#include <concepts>

#include <lsm/core/bytes.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/result.hpp>

/// Cursors walk entries in key order, tombstones included. They are what every stage offers and what the merge takes.
///
/// A cursor stands on an entry, or is not valid(): then it ran off an end, or met damage, which status() tells. next(),
/// prev(), key() and entry() require valid(). The views that key() and entry() give last until the cursor moves, and
/// are no keys to seek it with. A freshly made cursor need not stand anywhere: seek first.
namespace lsm {

template <class C>
concept forward_cursor = requires(C& moving, const C& standing) {
    { standing.valid() } -> std::same_as<bool>;
    { standing.key() } -> std::convertible_to<bytes_view>;
    { standing.entry() } -> std::convertible_to<entry_view>;
    { standing.status() } -> std::convertible_to<result<void>>;
    moving.next();
};

template <class C>
concept cursor = forward_cursor<C> && requires(C& moving, bytes_view key) {
    moving.seek_to_first();
    moving.seek_to_last();
    moving.seek(key);  // to the first entry whose key is not below `key`
    moving.prev();
};

}  // namespace lsm

namespace lsm::detail {

/// To the last entry whose key is below `key`.
template <cursor C>
void seek_below(C& at, bytes_view key) {
    at.seek(key);
    if (at.valid())
        at.prev();
    else if (at.status())
        at.seek_to_last();
}

/// To the last entry whose key is not above `key`.
template <cursor C>
void seek_not_above(C& at, bytes_view key) {
    at.seek(key);
    if (at.valid() && at.key() == key) return;
    if (at.valid())
        at.prev();
    else if (at.status())
        at.seek_to_last();
}

}  // namespace lsm::detail
