#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>

namespace lsm::detail {

/// Returns the length of the longest common prefix of `a` and `b`.
[[nodiscard]] inline std::size_t shared_prefix(bytes_view a, bytes_view b) noexcept {
    const std::size_t most = std::min(a.size(), b.size());
    std::size_t shared = 0;
    while (shared + 8 <= most && load_le<std::uint64_t>(a.data() + shared) == load_le<std::uint64_t>(b.data() + shared))
        shared += 8;
    while (shared < most && a[shared] == b[shared]) ++shared;
    return shared;
}

/// Returns the first of the numbers below `count` for which `before` is false, or `count` if there is none. Requires
/// that `before` is true for all numbers below that one and false from there on. O(log count). No branch depends on the
/// result of `before`, which no branch predictor could predict.
template <class Before>
[[nodiscard]] std::size_t partition_point(std::size_t count, Before before) {
    if (count == 0) return 0;
    std::size_t base = 0;
    while (count > 1) {
        const std::size_t half = count / 2;
        base += before(base + half - 1) ? half : 0;
        count -= half;
    }
    return base + (before(base) ? 1 : 0);
}

/// The entry that a search finds: the first one not below the target, or the first one above it.
enum class bound : bool { lower, upper };

/// Searches `count` keys in ascending order that all begin with the same `shared` bytes. Returns the first key that is
/// not below `target` (bound::lower) or that is above it (bound::upper), or `count` if there is none. O(log count).
///
/// Most comparisons are of numbers instead of keys. `number_of(i)` is `stored_bits` of the leading_number() of key i
/// after the shared bytes. `stored_bits(n)` is n or its upper bits, the same for all keys. `key_at(i)` is key i; it is
/// compared only if its number equals that of the target.
template <bound Bound, class NumberOf, class StoredBits, class KeyAt>
[[nodiscard]] std::size_t search_by_number(std::size_t count, std::size_t shared, bytes_view target, NumberOf number_of,
                                           StoredBits stored_bits, KeyAt key_at) {
    if (count == 0) return 0;
    if (shared != 0) {
        const int order = target.substr(0, shared).compare(key_at(0).substr(0, shared));
        if (order != 0) return order < 0 ? 0 : count;
    }
    // The target begins with the shared bytes, so the numbers of the rests decide, except among equal numbers.
    const std::uint64_t wanted = stored_bits(leading_number(target.substr(shared)));
    const std::size_t first = partition_point(count, [&](std::size_t i) { return number_of(i) < wanted; });
    if (first == count || number_of(first) != wanted) return first;
    const std::size_t equal =
        partition_point(count - first, [&](std::size_t i) { return number_of(first + i) == wanted; });
    return first + partition_point(equal, [&](std::size_t i) {
               return Bound == bound::lower ? key_at(first + i) < target : key_at(first + i) <= target;
           });
}

}  // namespace lsm::detail
