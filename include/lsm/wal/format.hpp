#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include <lsm/core/batch_coding.hpp>
#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>
#include <lsm/core/crc32_prefixes.hpp>

/// A log is a sequence of records without a file header:
///
///     len u32 | crc u32 | payload[len]
///
/// The payload is one write batch, and crc is its CRC-32. A len of 0 marks the end; only zeros may follow it. A record
/// is intact if its CRC matches and its payload is a well-formed write batch.
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

/// Searches the tail of a log for intact records at arbitrary offsets. The first offset that looks like a record costs
/// O(tail), every other O(1): the batch is parsed only where the CRC matches, which happens by chance once in four
/// billion times. A hostile file can nest records with matching CRCs in each other; the search gives up after parsing
/// eight operations for each byte of the file. Takes four bytes of memory for each 64 bytes of the tail.
template <class Alloc = std::allocator<std::byte>>
class record_search {
public:
    /// `in` is the tail of a log of `file_size` bytes. Its bytes must outlive the search.
    record_search(bytes_view in, std::uint64_t file_size, const Alloc& alloc = {})
        : in_(in), alloc_(alloc), operations_left_(8 * file_size) {}

    /// The first offset, from `from` on, at which an intact record starts. Nothing if there is none, or if the search
    /// gives up.
    [[nodiscard]] std::optional<std::size_t> find(std::size_t from) {
        const bytes_view in = in_;
        for (std::size_t at = from; at + log_header_bytes < in.size(); ++at) {
            if (!looks_like_record(in, at)) continue;
            if (intact(at)) return at;
            if (exhausted_) break;
        }
        return std::nullopt;
    }

    /// Whether an intact record, starting at `from` or later, ends where only zeros follow. False if the search gives
    /// up. O(tail), as only such a record is parsed.
    [[nodiscard]] bool reaches_clean_end(std::size_t from) {
        const std::size_t last_byte = in_.find_last_not_of('\0');
        for (std::size_t at = from; at + log_header_bytes < in_.size() && !exhausted_; ++at) {
            if (!looks_like_record(in_, at)) continue;
            const std::size_t end = at + log_header_bytes + log_record_header::read(in_.data() + at).length;
            if (end > last_byte && intact(at)) return true;
        }
        return false;
    }

    /// Whether an intact record starts at `at`. False if the search is exhausted().
    [[nodiscard]] bool intact(std::size_t at) {
        if (exhausted_ || !looks_like_record(in_, at)) return false;
        const auto header = log_record_header::read(in_.data() + at);
        at += log_header_bytes;
        if (!crcs_) crcs_.emplace(in_, alloc_);
        return crcs_->of(at, header.length) == header.crc && is_write_batch({in_.data() + at, header.length});
    }

    /// Whether the search gave up: from then on, "no intact record" proves nothing.
    [[nodiscard]] bool exhausted() const noexcept { return exhausted_; }

private:
    // Rules out most offsets without computing a CRC: checks the length, the operation count against the length, and
    // the first operation.
    static bool looks_like_record(bytes_view in, std::size_t at) noexcept {
        if (in.size() - at <= log_header_bytes) return false;
        const auto length = log_record_header::read(in.data() + at).length;
        if (length < batch_header_bytes || length > in.size() - at - log_header_bytes) return false;
        const char* const batch = in.data() + at + log_header_bytes;
        const std::size_t operations = length - batch_header_bytes;
        const std::uint64_t count = load_le<std::uint32_t>(batch);
        if (count == 0) return operations == 0;
        if (count * smallest_operation_bytes > operations) return false;
        const char* const first = batch + batch_header_bytes;
        return static_cast<unsigned char>(*first) <= static_cast<unsigned char>(entry_type::tombstone) &&
               load_le<std::uint32_t>(first + 1) <= operations - smallest_operation_bytes;
    }

    bool is_write_batch(bytes_view payload) noexcept {
        batch_reader batch(payload);
        bytes_view key;
        entry_view entry;
        while (batch.next(key, entry)) {
            if (operations_left_ == 0) {
                exhausted_ = true;
                return false;
            }
            --operations_left_;
        }
        return !batch.defect();
    }

    static constexpr std::size_t smallest_operation_bytes = 5;  // a tombstone of the empty key

    bytes_view in_;
    [[no_unique_address]] Alloc alloc_;
    std::optional<crc32_prefixes<Alloc>> crcs_;  // made for the first offset that needs a CRC
    std::uint64_t operations_left_;
    bool exhausted_ = false;
};

[[nodiscard]] inline bool all_zeros(bytes_view in) noexcept { return in.find_first_not_of('\0') == bytes_view::npos; }

/// Whether `in` from `at` on is a torn tail, as a crash during a write leaves it, and not damage before intact records.
/// It is damage if an intact record starts at any later offset and reaches the clean end of the log, after which there
/// are only zeros. A torn write leaves no such record, unless its value contains a log and is torn between two records
/// of that: then the two cannot be told apart, and it counts as damage. Where the record at `at` claims to end proves
/// nothing, because foreign bytes claim anything.
///
/// Requires that `at` is the first byte that belongs to no intact record, and that `search` searches `in`. A tail of
/// zeros is a clean end, for which the caller checks first.
template <class Alloc>
[[nodiscard]] bool torn_tail(std::size_t at, record_search<Alloc>& search) {
    return !search.reaches_clean_end(at + 1) && !search.exhausted();
}

}  // namespace lsm::detail
