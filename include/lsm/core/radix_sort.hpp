#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace lsm::detail {

/// Sorts by the member `number`, of 64 bits; equal ones stay in their order. `spare` is a vector of any size to work
/// in, and of no use afterwards. O(items) for each byte in which the numbers differ. Throws what the vector does.
template <class Items>
void radix_sort(Items& items, Items& spare) {
    std::uint64_t differ = 0;
    for (const auto& i : items) differ |= i.number ^ items.front().number;
    spare.resize(items.size());
    for (unsigned shift = 0; shift < 64; shift += 8) {
        if ((differ >> shift & 0xff) == 0) continue;
        std::array<std::size_t, 256> place{};
        for (const auto& i : items) ++place[i.number >> shift & 0xff];
        std::size_t sum = 0;
        for (std::size_t& of_digit : place) sum += std::exchange(of_digit, sum);
        for (const auto& i : items) spare[place[i.number >> shift & 0xff]++] = i;
        items.swap(spare);
    }
}

}  // namespace lsm::detail
