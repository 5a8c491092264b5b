#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include <lsm/core/batch_coding.hpp>
#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>
#include <lsm/core/crc32_prefixes.hpp>

/// A log is records, one behind the other:
///
///     len u32 | crc u32 | payload[len]
///
/// The payload is one write batch, crc its CRC-32. A len of 0 is no record but the end: only zeros may follow.
namespace lsm::detail {

inline constexpr std::size_t log_header_bytes = 8;

struct log_record_header {
    std::uint32_t length;
    std::uint32_t crc;

    /// Requires log_header_bytes bytes at `from`.
    [[nodiscard]] static log_record_header read(const char* from) noexcept {
        return {load_le<std::uint32_t>(from), load_le<std::uint32_t>(from + 4)};
    }
};

/// Looks for intact records at arbitrary offsets of the end of a log, `in`, which must outlive it. Each offset costs
/// O(1): a batch is read only where the CRC is good, which is so by chance once in four billion times. In a file that
/// was made for it, records with good CRCs can lie in each other: after as many operations as eight times the file has
/// bytes the search gives up.
template <class Alloc = std::allocator<std::byte>>
class record_search {
public:
    record_search(bytes_view in, std::uint64_t file_size, const Alloc& alloc = {})
        : in_(in), alloc_(alloc), operations_left_(8 * file_size) {}

    /// The first offset at or behind `from` at which an intact record starts.
    [[nodiscard]] std::optional<std::size_t> find(std::size_t from) {
        const bytes_view in = in_;
        for (std::size_t at = from; at + log_header_bytes < in.size(); ++at) {
            if (!begins_like_record(in, at)) continue;
            if (intact(at)) return at;
            if (exhausted_) break;
        }
        return std::nullopt;
    }

    /// Whether an intact record starts at `at`.
    [[nodiscard]] bool intact(std::size_t at) {
        if (exhausted_ || !begins_like_record(in_, at)) return false;
        const auto header = log_record_header::read(in_.data() + at);
        at += log_header_bytes;
        if (!crcs_) crcs_.emplace(in_, alloc_);
        return crcs_->of(at, header.length) == header.crc && is_batch({in_.data() + at, header.length});
    }

    /// Whether the search gave up, so that its "none" proves nothing.
    [[nodiscard]] bool exhausted() const noexcept { return exhausted_; }

private:
    // What the length and the first operation tell spares most bytes the CRC.
    static bool begins_like_record(bytes_view in, std::size_t at) noexcept {
        if (in.size() - at <= log_header_bytes) return false;
        const auto length = log_record_header::read(in.data() + at).length;
        if (length < batch_header_bytes || length > in.size() - at - log_header_bytes) return false;
        const char* const batch = in.data() + at + log_header_bytes;
        const std::size_t operations = length - batch_header_bytes;
        const std::uint64_t count = load_le<std::uint32_t>(batch);
        if (count == 0) return operations == 0;
        if (count * smallest_operation > operations) return false;
        const char* const first = batch + batch_header_bytes;
        return static_cast<unsigned char>(*first) <= static_cast<unsigned char>(entry_type::tombstone) &&
               load_le<std::uint32_t>(first + 1) <= operations - smallest_operation;
    }

    bool is_batch(bytes_view payload) noexcept {
        batch_reader batch(payload);
        bytes_view key;
        entry_view entry;
        while (batch.next(key, entry)) {
            exhausted_ = operations_left_ == 0;
            if (exhausted_) return false;
            --operations_left_;
        }
        return !batch.defect();
    }

    static constexpr std::size_t smallest_operation = 5;  // a tombstone of the empty key

    bytes_view in_;
    [[no_unique_address]] Alloc alloc_;
    std::optional<crc32_prefixes<Alloc>> crcs_;  // from the first offset on that needs one
    std::uint64_t operations_left_;
    bool exhausted_ = false;
};

[[nodiscard]] inline bool all_zeros(bytes_view in) noexcept { return in.find_first_not_of('\0') == bytes_view::npos; }

/// Whether the record at the front of `in` runs beyond its end, and so does the batch in it, read field by field. (A
/// batch that is complete before its record is tells of a damaged length.)
[[nodiscard]] inline bool cut_off(bytes_view in) noexcept {
    if (in.size() < log_header_bytes) return true;
    const auto header = log_record_header::read(in.data());
    in.remove_prefix(log_header_bytes);
    if (header.length <= in.size()) return false;
    batch_reader batch(in);
    bytes_view key;
    entry_view entry;
    while (batch.next(key, entry)) {
    }
    return batch.defect() == errc::short_input;
}

/// Whether the end of a log, `in` from `at` on, where the first byte is that belongs to no intact record, is what a
/// crash in the middle of a write leaves, and not damage in front of intact records. (All zeros are neither: they are a
/// clean end.) Requires a search of `in`.
template <class Alloc>
[[nodiscard]] bool torn_tail(bytes_view in, std::size_t at, record_search<Alloc>& search) {
    return cut_off(in.substr(at)) || (!search.find(at + 1) && !search.exhausted());
}

}  // namespace lsm::detail
