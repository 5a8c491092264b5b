#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <lsm/core/batch_coding.hpp>
#include <lsm/core/bytes.hpp>
#include <lsm/core/crc32.hpp>
#include <lsm/core/result.hpp>
#include <lsm/core/vector_of.hpp>
#include <lsm/fwd.hpp>
#include <lsm/io/file.hpp>
#include <lsm/io/input.hpp>
#include <lsm/wal/format.hpp>
#include <lsm/wal/recovery.hpp>

namespace lsm::wal {

/// Reads the records of a log from front to back, with one record in memory until the first defect, and from there on
/// the rest of the file. One thread at a time.
template <class Alloc>
class basic_reader {
public:
    /// A range of bytes that the reader skipped: torn or damaged.
    struct cut {
        std::uint64_t offset;
        std::uint64_t size;
    };
    using cuts = detail::vector_of<cut, Alloc>;

    /// Reads the log up to its present size: bytes appended later are not seen. Errors: those of file::size().
    static result<basic_reader> open(io::file log, recovery mode = recovery::strict_tail, const Alloc& alloc = {}) {
        const auto size = log.size();
        if (!size) return size.error();
        return basic_reader(std::allocate_shared<const io::file>(alloc, std::move(log)), *size, mode, alloc);
    }

    /// Returns the payload of the next intact record, a well-formed write batch; nothing at the end. The view is valid
    /// until the next call. Do not call it again after an error. Errors: corruption, with file and offset, as the
    /// recovery mode defines it; io, which is never taken for the end of the log; short_input if the file has shrunk
    /// since open().
    result<std::optional<bytes_view>> next() {
        for (;;) {
            const std::uint64_t start = in_.offset();
            if (start == size_) return std::nullopt;
            auto payload = take_record(start);
            if (!payload) return std::move(payload).error();
            if (*payload) {
                end_ = in_.offset();
                ++records_;
                return *payload;
            }
            if (auto handled = handle_defect(start); !handled) return std::move(handled).error();
        }
    }

    /// The number of records read so far.
    [[nodiscard]] std::uint64_t records() const noexcept { return records_; }
    /// The offset at which the last record that was read ends; 0 before the first.
    [[nodiscard]] std::uint64_t end() const noexcept { return end_; }
    /// The ranges skipped so far, in file order. Zeros from an intact record to the end of the file are not among them.
    [[nodiscard]] const cuts& cut_ranges() const noexcept { return cuts_; }
    /// Whether intact records lie in these ranges. True also if the search for them gave up.
    [[nodiscard]] bool cut_holds_records() const noexcept { return cut_holds_records_; }
    /// The sum of their sizes. O(ranges).
    [[nodiscard]] std::uint64_t cut_bytes() const noexcept {
        std::uint64_t sum = 0;
        for (const cut& c : cuts_) sum += c.size;
        return sum;
    }

private:
    basic_reader(std::shared_ptr<const io::file> log, std::uint64_t size, recovery mode, const Alloc& alloc)
        : alloc_(alloc),
          log_(std::move(log)),
          size_(size),
          mode_(mode),
          in_(*log_, size, alloc),
          tail_(alloc),
          cuts_(alloc) {}

    // Returns the payload of the record at `start`; nothing if there is no intact record.
    result<std::optional<bytes_view>> take_record(std::uint64_t start) {
        if (in_.left() < detail::log_header_bytes) return std::nullopt;
        const auto raw = in_.take(detail::log_header_bytes);
        if (!raw) return raw.error();
        const auto header = detail::log_record_header::read(raw->data());
        if (header.length == 0 || header.length > in_.left()) return std::nullopt;
        // Salvage goes on after defects, and each of many damaged records may claim all the bytes that follow. The
        // search decides in O(1) and within its bounds; reading each claim would be quadratic.
        if (mode_ == recovery::salvage && search_ && !search_->intact(in_tail(start))) return std::nullopt;
        const auto payload = in_.take(header.length);
        if (!payload) return payload.error();
        if (crc32(*payload) != header.crc) return std::nullopt;
        if (auto checked = detail::check_batch(*payload); !checked) {
            // A torn write does not leave a matching CRC, so this is damage even at the end of the log.
            if (mode_ == recovery::strict_tail || mode_ == recovery::absolute)
                return corrupt(start, "the CRC of the record matches, but its payload is not a write batch");
            return std::nullopt;
        }
        return *payload;
    }

    // There is no intact record at `start`. Decides by the mode what the bytes there are, and moves the reader past
    // those that are to be skipped.
    result<void> handle_defect(std::uint64_t start) {
        const auto clean_end = zeros_from(start);
        if (!clean_end) return clean_end.error();
        if (*clean_end) {
            in_ = io::input<Alloc>(*log_, size_, alloc_, size_);
            return {};
        }
        // A writer that is still appending may have completed the record since it was read. So load the tail first, and
        // look at `start` again in it: only what is not intact there is a defect.
        const bool first_defect = !search_;
        if (auto loaded = load_tail(start); !loaded) return loaded;
        if (first_defect) return {};
        if (mode_ == recovery::absolute) return corrupt(start, "not an intact record");
        if (mode_ == recovery::strict_tail && !detail::torn_tail(in_tail(start), *search_))
            return corrupt(start, "not an intact record, and not a torn write at the end of the log");
        // The rest of the log is skipped, unless salvage goes on at the next intact record in it.
        const auto next = search_->find(in_tail(start) + 1);
        const bool resumes = next && mode_ == recovery::salvage;
        const std::uint64_t resume = resumes ? tail_begin_ + *next : size_;
        cut_holds_records_ = cut_holds_records_ || (!resumes && (next || search_->exhausted()));
        cuts_.push_back({start, resume - start});
        in_.skip(static_cast<std::size_t>(resume - in_.offset()));
        return {};
    }

    // Whether all bytes from `start` on are zero. Reads the file in pieces, since a preallocated end can be long.
    result<bool> zeros_from(std::uint64_t start) const {
        if (search_) return detail::all_zeros(tail().substr(in_tail(start)));
        char piece[std::size_t{16} << 10];
        while (start < size_) {
            const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(sizeof piece, size_ - start));
            if (auto read = log_->read_exactly(start, {piece, length}); !read) return std::move(read).error();
            if (!detail::all_zeros({piece, length})) return false;
            start += length;
        }
        return true;
    }

    // Moves the reader to `start` in the tail. At the first defect, reads the tail into memory: so each byte is read
    // from the file only once more, however many defects follow.
    result<void> load_tail(std::uint64_t start) {
        if (!search_) {
            tail_.resize(static_cast<std::size_t>(size_ - start));
            if (auto read = log_->read_exactly(start, tail_); !read) return read;
            tail_begin_ = start;
            search_.emplace(tail(), size_, alloc_);
        }
        in_ = io::input<Alloc>(tail().substr(in_tail(start)), start, alloc_);
        return {};
    }
    [[nodiscard]] bytes_view tail() const noexcept { return {tail_.data(), tail_.size()}; }
    [[nodiscard]] std::size_t in_tail(std::uint64_t offset) const noexcept {
        return static_cast<std::size_t>(offset - tail_begin_);
    }

    LSM_COLD error corrupt(std::uint64_t offset, bytes_view text) const {
        return detail::failure_at(offset, errc::corruption, text).in(log_->path());
    }

    [[no_unique_address]] Alloc alloc_;
    std::shared_ptr<const io::file> log_;
    std::uint64_t size_;
    recovery mode_;
    io::input<Alloc> in_;
    detail::vector_of<char, Alloc> tail_;  // the file from the first defect on
    std::uint64_t tail_begin_ = 0;
    std::optional<detail::record_search<Alloc>> search_;  // of the tail; empty before the first defect
    std::uint64_t records_ = 0;
    std::uint64_t end_ = 0;
    bool cut_holds_records_ = false;
    cuts cuts_;
};

}  // namespace lsm::wal
