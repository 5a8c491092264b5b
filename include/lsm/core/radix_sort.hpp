#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>

namespace lsm::detail {

/// Sorts the vector `items` by the member `number`, which has 64 bits; items with equal numbers keep their order.
/// `spare` is a vector of any size to work in; its contents are unspecified afterwards. Throws what resizing `spare`
/// throws, and then `items` is unchanged. O(items) for each byte in which the numbers differ.
template <class Items>
void radix_sort(Items& items, Items& spare) {
    std::uint64_t differing_bits = 0;
    for (const auto& item : items) differing_bits |= item.number ^ items.front().number;
    spare.resize(items.size());
    // A stable counting sort for each byte, from the lowest to the highest.
    for (unsigned shift = 0; shift < 64; shift += 8) {
        if ((differing_bits >> shift & 0xff) == 0) continue;
        std::array<std::size_t, 256> counts{};
        for (const auto& item : items) ++counts[item.number >> shift & 0xff];
        std::array<std::size_t, 256> places;  // where the next item with that byte goes
        std::exclusive_scan(counts.begin(), counts.end(), places.begin(), std::size_t{0});
        for (const auto& item : items) spare[places[item.number >> shift & 0xff]++] = item;
        items.swap(spare);
    }
}

}  // namespace lsm::detail
