#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <lsm/core/result.hpp>
#include <lsm/io/file.hpp>

namespace lsm::io {

/// Appends to `to` the `size` bytes of `from` that start at `offset`. Does not sync. Errors: those of
/// file::read_exactly() and file::append(); after one, a part of the range may have been appended.
inline result<void> copy_range(const file& from, std::uint64_t offset, std::uint64_t size, file& to) {
    char buffer[std::size_t{8} << 10];  // a thread's stack may be small
    for (std::uint64_t done = 0; done < size;) {
        const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(sizeof buffer, size - done));
        if (auto read = from.read_exactly(offset + done, {buffer, length}); !read) return read;
        if (auto written = to.append({buffer, length}); !written) return written;
        done += length;
    }
    return {};
}

/// Whether `size` bytes of two files, from these offsets on, are equal. Errors: those of file::read_exactly().
inline result<bool> same_range(const file& a, std::uint64_t offset_a, const file& b, std::uint64_t offset_b,
                               std::uint64_t size) {
    char from_a[std::size_t{4} << 10];
    char from_b[sizeof from_a];
    for (std::uint64_t done = 0; done < size;) {
        const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(sizeof from_a, size - done));
        if (auto read = a.read_exactly(offset_a + done, {from_a, length}); !read) return std::move(read).error();
        if (auto read = b.read_exactly(offset_b + done, {from_b, length}); !read) return std::move(read).error();
        if (!std::equal(from_a, from_a + length, from_b)) return false;
        done += length;
    }
    return true;
}

}  // namespace lsm::io
