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

/// Reads the records of a log, front to back, one in memory at a time. One thread at a time.
template <class Alloc>
class basic_reader {
public:
    /// Bytes that were passed over.
    struct cut {
        std::uint64_t offset;
        std::uint64_t size;
    };
    using cuts = detail::vector_of<cut, Alloc>;

    /// Takes the log as it is now: bytes appended later are not seen.
    static result<basic_reader> open(io::file log, recovery mode = recovery::strict_tail, const Alloc& alloc = {}) {
        const auto size = log.size();
        if (!size) return size.error();
        return basic_reader(std::allocate_shared<const io::file>(alloc, std::move(log)), *size, mode, alloc);
    }

    /// The payload of the next intact record, a well-formed write batch, valid until the next call; nothing at the end.
    /// Errors: corruption, with file and offset; io, which is never taken for an end. Not to be called again after an
    /// error.
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
            if (auto judged = judge_defect(start); !judged) return std::move(judged).error();
        }
    }

    /// Records read so far.
    [[nodiscard]] std::uint64_t records() const noexcept { return records_; }
    /// Where the last intact record ended.
    [[nodiscard]] std::uint64_t end() const noexcept { return end_; }
    /// What was cut so far: torn or damaged bytes. Zeros between the last intact record and the end of the file are
    /// none.
    [[nodiscard]] const cuts& cut_ranges() const noexcept { return cuts_; }
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
          rest_(alloc),
          cuts_(alloc) {}

    // The record at `start`; nothing if there is no intact one.
    result<std::optional<bytes_view>> take_record(std::uint64_t start) {
        if (in_.left() < detail::log_header_bytes) return std::nullopt;
        const auto raw = in_.take(detail::log_header_bytes);
        if (!raw) return raw.error();
        const auto header = detail::log_record_header::read(raw->data());
        if (header.length == 0 || header.length > in_.left()) return std::nullopt;
        // Where a defect is not the end, each may claim all that follows it: there the bounds of the search hold.
        if (mode_ == recovery::salvage && search_ && !search_->intact(in_rest(start))) return std::nullopt;
        const auto payload = in_.take(header.length);
        if (!payload) return payload.error();
        if (crc32(*payload) != header.crc) return std::nullopt;
        if (auto checked = detail::check_batch(*payload); !checked) {
            // No torn write has a good CRC.
            if (mode_ == recovery::strict_tail || mode_ == recovery::absolute)
                return corrupt(start, "a record with a good CRC holds no write batch");
            return std::nullopt;
        }
        return *payload;
    }

    // Decides what the bytes from `start` on are; afterwards the reader stands behind what is to be passed over.
    result<void> judge_defect(std::uint64_t start) {
        const auto clean_end = zeros_from(start);
        if (!clean_end) return clean_end.error();
        if (*clean_end) {
            in_ = io::input<Alloc>(*log_, size_, alloc_, size_);
            return {};
        }
        const bool first = !search_;
        if (auto loaded = load_rest(start); !loaded) return loaded;
        if (first) return {};  // a writer may have gone on since the record was looked for
        std::uint64_t resume = size_;
        if (mode_ == recovery::absolute) return corrupt(start, "not an intact record");
        if (mode_ == recovery::strict_tail && !detail::torn_tail(rest(), in_rest(start), *search_))
            return corrupt(start, "not an intact record, and not the torn end of a log");
        if (mode_ == recovery::salvage)
            if (const auto found = search_->find(in_rest(start) + 1)) resume = rest_begin_ + *found;
        cuts_.push_back({start, resume - start});
        in_.skip(static_cast<std::size_t>(resume - in_.offset()));
        return {};
    }

    // Whether the file ends in zeros from `start` on; a preallocated end can be long, so it is not read into memory.
    result<bool> zeros_from(std::uint64_t start) const {
        if (search_) return detail::all_zeros(rest().substr(in_rest(start)));
        char piece[std::size_t{16} << 10];
        while (start < size_) {
            const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(sizeof piece, size_ - start));
            if (auto read = log_->read_exactly(start, {piece, length}); !read) return std::move(read).error();
            if (!detail::all_zeros({piece, length})) return false;
            start += length;
        }
        return true;
    }

    // From the first defect on, what is left of the file is read from memory, so that it is read once however many
    // follow.
    result<void> load_rest(std::uint64_t start) {
        if (!search_) {
            rest_.resize(static_cast<std::size_t>(size_ - start));
            if (auto read = log_->read_exactly(start, rest_); !read) return read;
            rest_begin_ = start;
            search_.emplace(rest(), size_, alloc_);
        }
        in_ = io::input<Alloc>(rest().substr(in_rest(start)), start, alloc_);
        return {};
    }
    [[nodiscard]] bytes_view rest() const noexcept { return {rest_.data(), rest_.size()}; }
    [[nodiscard]] std::size_t in_rest(std::uint64_t offset) const noexcept {
        return static_cast<std::size_t>(offset - rest_begin_);
    }

    LSM_COLD error corrupt(std::uint64_t offset, bytes_view why) const {
        return detail::failure_at(offset, errc::corruption, why).in(log_->path());
    }

    [[no_unique_address]] Alloc alloc_;
    std::shared_ptr<const io::file> log_;
    std::uint64_t size_;
    recovery mode_;
    io::input<Alloc> in_;
    detail::vector_of<char, Alloc> rest_;
    std::uint64_t rest_begin_ = 0;
    std::optional<detail::record_search<Alloc>> search_;  // of the rest, as soon as there is one
    std::uint64_t records_ = 0;
    std::uint64_t end_ = 0;
    cuts cuts_;
};

}  // namespace lsm::wal
