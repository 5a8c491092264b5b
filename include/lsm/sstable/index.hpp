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

/// The index of an SSTable, held as it stands in the file, and for each of its entries where it begins and a number
/// that stands for its key.
template <class Alloc>
class table_index {
public:
    /// Checks the index bytes that `footer` points to. Memory in proportion to `data`.
    static result<table_index> parse(basic_bytes<Alloc> data, const sst_footer& footer, const Alloc& alloc) {
        table_index out(std::move(data), alloc);
        if (auto parsed = out.find_entries(footer); !parsed) return std::move(parsed).error();
        if (auto checked = out.check_entries(footer); !checked) return std::move(checked).error();
        out.number_keys();
        return out;
    }

    /// Blocks.
    [[nodiscard]] std::size_t size() const noexcept { return starts_.size(); }
    [[nodiscard]] index_entry operator[](std::size_t i) const noexcept {
        const char* const at = data_.data() + static_cast<std::size_t>(starts_[i]);
        return {{at + index_entry_header_bytes, load_le<std::uint32_t>(at)},
                load_le<std::uint64_t>(at + 4),
                load_le<std::uint64_t>(at + 12)};
    }

    /// Where the last block ends.
    [[nodiscard]] std::uint64_t end_of_blocks() const noexcept {
        if (size() == 0) return 0;
        const index_entry last = (*this)[size() - 1];
        return last.offset + last.size;
    }
    [[nodiscard]] std::size_t memory_bytes() const noexcept {
        return data_.capacity() + (starts_.capacity() + numbers_.capacity()) * sizeof(std::uint64_t);
    }
    /// As it stands in the file.
    [[nodiscard]] bytes_view raw() const noexcept { return data_; }

    /// The only block that can hold `key`; none if the key is below the first block's. O(log size).
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

    result<void> find_entries(const sst_footer& footer) {
        field_reader in(data_);
        const auto malformed = [&](bytes_view detail) {
            return failure_at(footer.index_offset + in.offset(), errc::bad_block, detail);
        };
        std::uint32_t count = 0;
        if (!in.read(count)) return malformed("the index is cut off");
        if (count > in.left() / index_entry_header_bytes) return malformed("more blocks than the index has room for");
        starts_.reserve(count);
        for (std::uint32_t i = 0; i < count; ++i) {
            const std::size_t start = in.offset();
            std::uint32_t key_length = 0;
            std::uint64_t place = 0;
            bytes_view key;
            if (!in.read(key_length) || !in.read(place) || !in.read(place) || !in.read(key_length, key))
                return malformed("an index entry is cut off");
            starts_.push_back(start);
        }
        if (in.left() != 0) return malformed("bytes behind the last index entry");
        if (count != footer.num_blocks) return malformed("index and footer differ in the number of blocks");
        return {};
    }

    // Each rule over the whole index before the next one, so that every reader reports the same defect.
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
            if (offset < end) return wrong(i, errc::index_out_of_range, "the block begins before the last one ends");
            if (offset > footer.index_offset || size > footer.index_offset - offset)
                return wrong(i, errc::index_out_of_range, "the block ends beyond the index");
            end = offset + size;
        }
        return {};
    }

    // Requires that the keys ascend.
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
    numbers numbers_;         // of what the keys have behind the bytes that they share
    std::size_t shared_ = 0;  // how many these are
};

}  // namespace lsm::detail
