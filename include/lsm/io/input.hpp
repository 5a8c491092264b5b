#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include <lsm/core/bytes.hpp>
#include <lsm/core/result.hpp>
#include <lsm/io/file.hpp>

namespace lsm::io {

/// Bytes read front to back, from memory or from a file. A file is read through a buffer as large as the largest piece
/// that was taken (64 KiB at least); its size is the one it had when reading began.
template <class Alloc = std::allocator<std::byte>>
class input {
public:
    /// Reads `data`, which must outlive the input.
    explicit input(bytes_view data, const Alloc& alloc = {}) : input(data, 0, alloc) {}
    /// The same for a part of something larger, whose offsets begin at `start`.
    input(bytes_view data, std::uint64_t start, const Alloc& alloc)
        : memory_(data), offset_(start), size_(start + data.size()), buffer_(alloc) {}
    /// Reads `from`, which must outlive the input, from `start` up to `size`. Requires start <= size.
    input(const file& from, std::uint64_t size, const Alloc& alloc = {}, std::uint64_t start = 0)
        : file_(&from), offset_(start), size_(size), buffer_(alloc) {}

    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
    [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }
    [[nodiscard]] std::uint64_t left() const noexcept { return size_ - offset_; }

    /// The failure, with the name of the file if there is one.
    [[nodiscard]] LSM_COLD error named(error what) const {
        return file_ == nullptr ? std::move(what) : std::move(what).in(file_->path());
    }

    /// What is in memory of the bytes to come: all of them, for an input from memory. Valid until the next fetch() or
    /// take().
    [[nodiscard]] bytes_view ahead() const noexcept {
        return (file_ == nullptr ? memory_ : bytes_view(buffer_)).substr(taken_);
    }

    /// Brings at least `length` bytes into memory, in one piece. Requires length <= left(). An error is the file's.
    result<void> fetch(std::size_t length) {
        if (file_ == nullptr || buffer_.size() - taken_ >= length) return {};
        const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(std::max(length, smallest_read), left()));
        buffer_.reserve(beyond_small);
        buffer_.erase(0, taken_);
        taken_ = 0;
        const std::size_t kept = buffer_.size();
        buffer_.resize(want);
        auto read = file_->read_exactly(offset_ + kept, {buffer_.data() + kept, want - kept});
        if (!read) buffer_.resize(kept);
        return read;
    }

    /// Moves past the next `length` bytes. Requires length <= ahead().size().
    void skip(std::size_t length) noexcept {
        offset_ += length;
        taken_ += length;
    }

    /// The next `length` bytes, in one piece, valid until the next fetch() or take(). Requires length <= left().
    result<bytes_view> take(std::size_t length) {
        if (auto fetched = fetch(length); !fetched) return std::move(fetched).error();
        const bytes_view out = ahead().substr(0, length);
        skip(length);
        return out;
    }

private:
    static constexpr std::size_t smallest_read = std::size_t{64} << 10;
    static constexpr std::size_t beyond_small = 64;  // what is not in the object itself stays where it is in a move

    const file* file_ = nullptr;
    bytes_view memory_;
    std::uint64_t offset_ = 0;
    std::uint64_t size_;
    basic_bytes<Alloc> buffer_;  // the file's bytes around offset_
    std::size_t taken_ = 0;      // how many bytes of memory_ or buffer_ lie before offset_
};

}  // namespace lsm::io
