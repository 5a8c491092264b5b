#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include <lsm/core/bytes.hpp>
#include <lsm/core/result.hpp>
#include <lsm/io/file.hpp>

namespace lsm::io {

/// Reads bytes in order, from memory or from a file. Reads a file through a buffer of 64 KiB, which grows if a larger
/// piece is requested. The size of the input is fixed when it is made.
template <class Alloc = std::allocator<std::byte>>
class input {
public:
    /// Reads `data`, which must outlive the input.
    explicit input(bytes_view data, const Alloc& alloc = {}) : input(data, 0, alloc) {}
    /// Reads `data`, which must outlive the input, as a part of a larger whole in which it starts at offset `start`.
    input(bytes_view data, std::uint64_t start, const Alloc& alloc)
        : memory_(data), offset_(start), size_(start + data.size()), buffer_(alloc) {}
    /// Reads the bytes of `from`, which must outlive the input, from offset `start` up to offset `size`. Requires
    /// start <= size.
    input(const file& from, std::uint64_t size, const Alloc& alloc = {}, std::uint64_t start = 0)
        : file_(&from), offset_(start), size_(size), buffer_(alloc) {}

    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
    [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }
    [[nodiscard]] std::uint64_t left() const noexcept { return size_ - offset_; }

    /// Adds the name of the file, if the input has one, to `failure`.
    [[nodiscard]] LSM_COLD error named(error failure) const {
        return file_ == nullptr ? std::move(failure) : std::move(failure).in(file_->path());
    }

    /// The next bytes, as far as they are in memory: all that are left if the input reads from memory. Valid until the
    /// next fetch() or take().
    [[nodiscard]] bytes_view ahead() const noexcept {
        return (file_ == nullptr ? memory_ : bytes_view(buffer_)).substr(taken_);
    }

    /// Reads ahead until ahead() has at least `length` bytes. Requires length <= left(). Errors: those of
    /// file::read_exactly(); the input has not moved then.
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

    /// Skips the next `length` bytes. Requires length <= ahead().size().
    void skip(std::size_t length) noexcept {
        offset_ += length;
        taken_ += length;
    }

    /// Returns the next `length` bytes and moves past them. They are contiguous, and valid until the next fetch() or
    /// take(). Requires length <= left(). Errors: those of fetch().
    result<bytes_view> take(std::size_t length) {
        if (auto fetched = fetch(length); !fetched) return std::move(fetched).error();
        const bytes_view out = ahead().substr(0, length);
        skip(length);
        return out;
    }

private:
    static constexpr std::size_t smallest_read = std::size_t{64} << 10;
    // More than a string stores inside itself: so the buffer is on the heap, and moving the input does not move it.
    static constexpr std::size_t beyond_small = 64;

    const file* file_ = nullptr;
    bytes_view memory_;
    std::uint64_t offset_ = 0;
    std::uint64_t size_;
    basic_bytes<Alloc> buffer_;  // bytes of the file around offset_
    std::size_t taken_ = 0;      // the number of bytes of memory_ or buffer_ before offset_
};

}  // namespace lsm::io
