#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/result.hpp>
#include <lsm/fwd.hpp>
#include <lsm/sstable/format.hpp>

namespace lsm {

/// A decoded data block: its bytes, and where each entry begins. Immutable and shared: a copy is the same block, and
/// views into it live as long as any copy. Safe from many threads.
template <class Alloc>
class basic_block {
public:
    /// No block: only assignment and destruction may follow.
    basic_block() = default;

    /// Checks `data` as a whole: count, records, order, that nothing is left over, and that it begins with `first_key`.
    /// Memory in proportion to `data`. Offsets in errors begin at `at`, the block's place in its file.
    static result<basic_block> decode(basic_bytes<Alloc> data, bytes_view first_key, std::uint64_t at,
                                      const Alloc& alloc = {}) {
        auto out = std::allocate_shared<contents>(alloc, std::move(data), alloc);
        if (auto parsed = out->parse(first_key, at); !parsed) return std::move(parsed).error();
        return basic_block(std::move(out));
    }

    /// Entries; at least one.
    [[nodiscard]] std::size_t size() const noexcept { return contents_->starts.size(); }
    [[nodiscard]] bytes_view key(std::size_t i) const noexcept {
        return {record(i) + detail::record_header_bytes, detail::load_le<std::uint32_t>(record(i))};
    }
    [[nodiscard]] entry_view entry(std::size_t i) const noexcept {
        const bytes_view k = key(i);
        return {static_cast<entry_type>(record(i)[8]),
                {k.data() + k.size(), detail::load_le<std::uint32_t>(record(i) + 4)}};
    }

    /// The first entry whose key is not below `key`; size() if there is none. O(log size).
    [[nodiscard]] std::size_t lower_bound(bytes_view key) const noexcept {
        std::size_t low = 0;
        std::size_t high = size();
        while (low < high) {
            const std::size_t middle = low + (high - low) / 2;
            if (this->key(middle) < key)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }

    /// Bytes held in memory, about.
    [[nodiscard]] std::size_t memory_bytes() const noexcept {
        return sizeof(contents) + contents_->data.capacity() + contents_->starts.capacity() * sizeof(std::uint64_t);
    }

private:
    struct contents {
        contents(basic_bytes<Alloc> bytes_in, const Alloc& alloc) : data(std::move(bytes_in)), starts(alloc) {}

        result<void> parse(bytes_view first_key, std::uint64_t at) {
            std::uint32_t count = 0;
            detail::field_reader in(data);
            if (!in.read(count) || count == 0) return detail::failure_at(at, errc::bad_block, "a block has no entries");
            starts.reserve(std::min<std::size_t>(count, in.left() / detail::record_header_bytes));
            bytes_view last;
            for (std::uint32_t i = 0; i < count; ++i) {
                const std::uint64_t start = in.offset();
                bytes_view raw, key, value;
                detail::record_header header;
                if (!in.read(detail::record_header_bytes, raw))
                    return detail::failure_at(at + start, errc::bad_block, "an entry leaves the block");
                if (const auto defect = detail::read_record_header(raw.data(), header))
                    return detail::failure_at(at + start, *defect, "malformed entry");
                if (!in.read(header.key_length, key) || !in.read(header.value_length, value))
                    return detail::failure_at(at + start, errc::bad_block, "an entry leaves the block");
                if (i != 0 && key <= last)
                    return detail::failure_at(at + start, errc::unsorted,
                                              "the key is not greater than the one before it");
                starts.push_back(start);
                last = key;
            }
            if (in.left() != 0)
                return detail::failure_at(at + in.offset(), errc::bad_block, "bytes behind the block's last entry");
            if (const char* record = data.data() + starts.front();
                bytes_view(record + detail::record_header_bytes, detail::load_le<std::uint32_t>(record)) != first_key)
                return detail::failure_at(at, errc::bad_block, "the first key is not the index key");
            return {};
        }

        basic_bytes<Alloc> data;
        std::vector<std::uint64_t, typename std::allocator_traits<Alloc>::template rebind_alloc<std::uint64_t>> starts;
    };

    explicit basic_block(std::shared_ptr<const contents> decoded) noexcept : contents_(std::move(decoded)) {}

    [[nodiscard]] const char* record(std::size_t i) const noexcept {
        return contents_->data.data() + contents_->starts[i];
    }

    std::shared_ptr<const contents> contents_;
};

}  // namespace lsm
