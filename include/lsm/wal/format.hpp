#pragma once

#include <cstdint>
#include <optional>

#include <lsm/core/batch_coding.hpp>
#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>
#include <lsm/core/crc32.hpp>

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

/// Looks for intact records at arbitrary offsets of damaged bytes. The work is bounded, whatever the bytes are: past
/// eight times the size of the file it gives up.
class record_search {
public:
    explicit record_search(std::uint64_t file_size) noexcept
        : crc_bytes_left_(8 * file_size), operations_left_(8 * file_size) {}

    /// The first offset at or behind `from` at which an intact record starts. `in` goes to the end of the file.
    [[nodiscard]] std::optional<std::size_t> find(bytes_view in, std::size_t from) noexcept {
        if (zeros_ == nullptr) zeros_ = in.data() + (in.find_last_not_of('\0') + 1);
        for (std::size_t at = from; at + log_header_bytes < in.size() && !exhausted_; ++at)
            if (intact(in.substr(at))) return at;
        return std::nullopt;
    }

    /// Whether the search gave up, so that its "none" proves nothing.
    [[nodiscard]] bool exhausted() const noexcept { return exhausted_; }

private:
    // The batch is a witness of the record's length that costs less than the CRC, so it is read first.
    bool intact(bytes_view in) noexcept {
        const auto header = log_record_header::read(in.data());
        in.remove_prefix(log_header_bytes);
        if (header.length == 0 || header.length > in.size()) return false;
        const bytes_view payload = in.substr(0, header.length);
        return is_batch(payload) && spend(crc_bytes_left_, payload.size()) && crc32(payload) == header.crc;
    }

    // What small numbers look like, a count of very many operations, most of which stand in a preallocated end, is
    // refused without reading them all.
    bool is_batch(bytes_view payload) noexcept {
        batch_reader batch(payload);
        const auto fits = [&](std::size_t each) { return batch.left() <= (payload.size() - batch.offset()) / each; };
        if (!fits(smallest_operation)) return false;
        bytes_view key;
        entry_view entry;
        while (batch.next(key, entry)) {
            if (!spend(operations_left_, 1)) return false;
            if (payload.data() + batch.offset() >= zeros_)
                return payload.size() - batch.offset() == std::size_t{batch.left()} * operation_of_zeros;
        }
        return !batch.defect();
    }

    bool spend(std::uint64_t& budget, std::uint64_t cost) noexcept {
        if (cost > budget) exhausted_ = true;
        if (exhausted_) return false;
        budget -= cost;
        return true;
    }

    static constexpr std::size_t smallest_operation = 5;  // a tombstone of the empty key
    static constexpr std::size_t operation_of_zeros = 9;  // a put of the empty key and value

    const char* zeros_ = nullptr;  // from there on the file has nothing else
    std::uint64_t crc_bytes_left_;
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

/// Whether the end of a log, from the first byte that belongs to no intact record on, is what a crash in the middle of
/// a write leaves, and not damage in front of intact records. (All zeros are neither: they are a clean end.)
[[nodiscard]] inline bool torn_tail(bytes_view in, record_search& search) noexcept {
    return cut_off(in) || (!search.find(in, 1) && !search.exhausted());
}

}  // namespace lsm::detail
