#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>

namespace lsm::detail {

/// How many bytes `a` and `b` have in common in front.
[[nodiscard]] inline std::size_t shared_prefix(bytes_view a, bytes_view b) noexcept {
    const std::size_t most = std::min(a.size(), b.size());
    std::size_t same = 0;
    while (same + 8 <= most && load_le<std::uint64_t>(a.data() + same) == load_le<std::uint64_t>(b.data() + same))
        same += 8;
    while (same < most && a[same] == b[same]) ++same;
    return same;
}

/// The first of `count` things for which `before` is false; those for which it is true stand in front. No branch
/// depends on the answers, as nobody could predict them.
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

/// Which of the keys that equal the target a search passes over.
enum class bound : bool { lower, upper };

/// Of ascending keys that all begin with the same `shared` bytes, the first that is not below `target` (bound::lower)
/// or that is above it (bound::upper); `count` if there is none. `number(i)` is the leading_number() of what key `i`
/// has behind the shared bytes, or its upper bits, and `part(n)` these bits of another number: whole keys are compared
/// only where these are equal. O(log count).
template <bound Which, class Number, class Part, class Key>
[[nodiscard]] std::size_t search_by_number(std::size_t count, std::size_t shared, bytes_view target, Number number,
                                           Part part, Key key) {
    if (count == 0) return 0;
    if (shared != 0) {
        const int order = target.substr(0, shared).compare(key(0).substr(0, shared));
        if (order != 0) return order < 0 ? 0 : count;
    }
    const std::uint64_t wanted = part(leading_number(target.substr(shared)));
    const std::size_t from = partition_point(count, [&](std::size_t i) { return number(i) < wanted; });
    if (from == count || number(from) != wanted) return from;
    const std::size_t alike = partition_point(count - from, [&](std::size_t i) { return number(from + i) == wanted; });
    return from + partition_point(alike, [&](std::size_t i) {
               return Which == bound::lower ? key(from + i) < target : key(from + i) <= target;
           });
}

}  // namespace lsm::detail
