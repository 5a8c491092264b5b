#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>
#include <lsm/core/prefix_search.hpp>
#include <lsm/core/result.hpp>
#include <lsm/core/vector_of.hpp>
#include <lsm/sstable/format.hpp>

namespace lsm::detail {

struct index_entry {
    bytes_view first_key;
    std::uint64_t offset;
    std::uint64_t size;
};

/// The index of an SSTable:
///
///     n u32 | n times: klen u32 | offset u64 | size u64 | first key of the block [klen]
///
/// Holds these bytes as they are in the file. For each entry it also holds the offset of the entry, and the
/// leading_number() of the key's bytes after the prefix that all keys share, so that a search compares numbers instead
/// of keys.
template <class Alloc>
class table_index {
public:
    /// Checks and takes over `data`, the index bytes that `footer` locates. Errors, with their offset in the file:
    /// bad_block, unsorted, index_out_of_range, in the order of the format page. O(data), in time and memory.
    static result<table_index> parse(basic_bytes<Alloc> data, const sst_footer& footer, const Alloc& alloc) {
        table_index out(std::move(data), alloc);
        if (auto parsed = out.find_entries(footer); !parsed) return std::move(parsed).error();
        if (auto checked = out.check_entries(footer); !checked) return std::move(checked).error();
        out.number_keys();
        return out;
    }

    /// Returns the number of blocks.
    [[nodiscard]] std::size_t size() const noexcept { return starts_.size(); }
    [[nodiscard]] index_entry operator[](std::size_t i) const noexcept {
        const char* const at = data_.data() + static_cast<std::size_t>(starts_[i]);
        return {{at + index_entry_header_bytes, load_le<std::uint32_t>(at)},
                load_le<std::uint64_t>(at + 4),
                load_le<std::uint64_t>(at + 12)};
    }

    /// Returns the offset in the file at which the last block ends; 0 without blocks.
    [[nodiscard]] std::uint64_t end_of_blocks() const noexcept {
        if (size() == 0) return 0;
        const index_entry last = (*this)[size() - 1];
        return last.offset + last.size;
    }
    [[nodiscard]] std::size_t memory_bytes() const noexcept {
        return data_.capacity() + (starts_.capacity() + numbers_.capacity()) * sizeof(std::uint64_t);
    }
    /// Returns the index as it is in the file.
    [[nodiscard]] bytes_view raw() const noexcept { return data_; }

    /// Returns the only block that can contain `key`, or nothing if `key` is below the index's first key. O(log size).
    [[nodiscard]] std::optional<std::size_t> floor(bytes_view key) const noexcept {
        const std::size_t i = search_by_number<bound::upper>(
            size(), shared_, key, [this](std::size_t j) { return numbers_[j]; }, [](std::uint64_t n) { return n; },
            [this](std::size_t j) { return (*this)[j].first_key; });
        if (i == 0) return std::nullopt;
        return i - 1;
    }

private:
    table_index(basic_bytes<Alloc> data, const Alloc& alloc)
        : data_(std::move(data)), starts_(alloc), numbers_(alloc) {}

    // Finds where each entry starts. Checks that the entries fill the index exactly and are as many as the footer says.
    result<void> find_entries(const sst_footer& footer) {
        field_reader in(data_);
        const auto malformed = [&](bytes_view detail) {
            return failure_at(footer.index_offset + in.offset(), errc::bad_block, detail);
        };
        std::uint32_t count = 0;
        if (!in.read(count)) return malformed("the index is cut off");
        // Before memory is reserved for them: a damaged count can be four billion.
        if (count > in.left() / index_entry_header_bytes) return malformed("more blocks than the index has room for");
        starts_.reserve(count);
        for (std::uint32_t i = 0; i < count; ++i) {
            const std::size_t start = in.offset();
            std::uint32_t key_length = 0;
            std::uint64_t ignored = 0;
            bytes_view key;
            if (!in.read(key_length) || !in.read(ignored) || !in.read(ignored) || !in.read(key_length, key))
                return malformed("an index entry is cut off");
            starts_.push_back(start);
        }
        if (in.left() != 0) return malformed("bytes after the last index entry");
        if (count != footer.num_blocks) return malformed("index and footer differ in the number of blocks");
        return {};
    }

    // Checks each rule for the whole index before the next rule, so that all readers report the same error for an index
    // with several defects.
    result<void> check_entries(const sst_footer& footer) const {
        const auto wrong = [&](std::size_t i, errc code, bytes_view detail) {
            return failure_at(footer.index_offset + starts_[i], code, detail);
        };
        for (std::size_t i = 1; i < size(); ++i)
            if ((*this)[i].first_key <= (*this)[i - 1].first_key)
                return wrong(i, errc::unsorted, "the index key is not greater than the one before it");
        for (std::size_t i = 0; i < size(); ++i)
            if ((*this)[i].size < smallest_block) return wrong(i, errc::bad_block, "a block has at least 13 bytes");
        std::uint64_t end = 0;
        for (std::size_t i = 0; i < size(); ++i) {
            const auto [key, offset, size] = (*this)[i];
            if (offset < end)
                return wrong(i, errc::index_out_of_range, "the block begins before the previous one ends");
            if (offset > footer.index_offset || size > footer.index_offset - offset)  // a sum could wrap
                return wrong(i, errc::index_out_of_range, "the block ends after the index begins");
            end = offset + size;
        }
        return {};
    }

    // Requires that the keys ascend: then the prefix that the first and the last key share is shared by all.
    void number_keys() {
        if (size() == 0) return;
        shared_ = shared_prefix((*this)[0].first_key, (*this)[size() - 1].first_key);
        numbers_.reserve(size());
        for (std::size_t i = 0; i < size(); ++i)
            numbers_.push_back(leading_number((*this)[i].first_key.substr(shared_)));
    }

    using numbers = vector_of<std::uint64_t, Alloc>;

    basic_bytes<Alloc> data_;
    numbers starts_;
    numbers numbers_;         // leading_number() of each key after the shared prefix
    std::size_t shared_ = 0;  // the length of the prefix that all keys share
};

}  // namespace lsm::detail
