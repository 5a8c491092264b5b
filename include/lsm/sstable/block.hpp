#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/cache_item.hpp>
#include <lsm/core/coding.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/prefix_search.hpp>
#include <lsm/core/result.hpp>
#include <lsm/core/vector_of.hpp>
#include <lsm/fwd.hpp>
#include <lsm/sstable/format.hpp>

namespace lsm::detail {

/// One number for each entry of a block, in order:
///
///     63                                32 31                               0
///     +-----------------------------------+----------------------------------+
///     | the four bytes of the key after   | the offset of the entry's record |
///     | the prefix that all keys share    | in the block                     |
///     +-----------------------------------+----------------------------------+
///
/// The four bytes are big-endian, so that the numbers order like the keys; a shorter key has zeros there.
template <class Alloc>
using block_directory = vector_of<std::uint64_t, Alloc>;

/// A view of a data block (sstable/format.hpp) and its directory. Neither is owned; both must outlive the view.
class block_view {
public:
    /// Makes a view of no block. Only assignment may follow.
    block_view() = default;

    /// Checks the whole block `data`: its count, its records, their order, that no bytes are left over, and that its
    /// first key is `first_key`. Fills `directory`. Errors: bad_block, bad_type, bad_tombstone, unsorted, in the order
    /// of the format page. Errors give offsets in the file, in which the block is at `at`. O(data), in time and memory.
    template <class Directory>
    static result<block_view> parse(bytes_view data, bytes_view first_key, std::uint64_t at, Directory& directory) {
        const auto defect_at = [at](std::size_t offset, errc code, bytes_view detail) {
            return failure_at(at + offset, code, detail);
        };
        directory.clear();
        std::uint32_t count = 0;
        field_reader in(data);
        if (!in.read(count) || count == 0) return defect_at(0, errc::bad_block, "a block has no entries");
        // A damaged count can be four billion: reserve for no more entries than the bytes have room for.
        directory.reserve(std::min<std::size_t>(count, in.left() / record_header_bytes));
        bytes_view first, last;
        for (std::uint32_t i = 0; i < count; ++i) {
            const std::size_t start = in.offset();
            bytes_view raw, key, value;
            record_header header;
            if (!in.read(record_header_bytes, raw))
                return defect_at(start, errc::bad_block, "an entry leaves the block");
            if (const auto defect = read_record_header(raw.data(), header))
                return defect_at(start, *defect, "malformed entry");
            if (!in.read(header.key_length, key) || !in.read(header.value_length, value))
                return defect_at(start, errc::bad_block, "an entry leaves the block");
            // The directory has 32 bits for an offset. No 32-bit target size makes a block that needs more.
            if (start > max_length) return defect_at(start, errc::bad_block, "an entry begins beyond four gigabytes");
            if (i == 0)
                first = key;
            else if (key <= last)
                return defect_at(start, errc::unsorted, "the key is not greater than the one before it");
            directory.push_back(start);
            last = key;
        }
        if (in.left() != 0) return defect_at(in.offset(), errc::bad_block, "bytes after the block's last entry");
        if (first != first_key) return defect_at(0, errc::bad_block, "the first key is not the index key");

        block_view out;
        out.data_ = data.data();
        out.directory_ = directory.data();
        out.count_ = count;
        // The keys ascend, so the prefix that the first and the last share is shared by all. Only with that
        // prefix known can the upper halves of the directory be filled.
        out.shared_ = static_cast<std::uint32_t>(shared_prefix(first, last));
        for (std::uint32_t i = 0; i < count; ++i)
            directory[i] |= upper_half(leading_number(out.key(i).substr(out.shared_)));
        return out;
    }

    /// Returns the number of entries, which is at least one.
    [[nodiscard]] std::size_t size() const noexcept { return count_; }
    [[nodiscard]] bytes_view key(std::size_t i) const noexcept {
        const char* const at = record(i);
        return {at + record_header_bytes, load_le<std::uint32_t>(at)};
    }
    [[nodiscard]] entry_view entry(std::size_t i) const noexcept {
        const char* const at = record(i);
        return {static_cast<entry_type>(at[8]),
                {at + record_header_bytes + load_le<std::uint32_t>(at), load_le<std::uint32_t>(at + 4)}};
    }

    /// Returns the first entry whose key is not below `key`, or size() if there is none. O(log size).
    [[nodiscard]] std::size_t lower_bound(bytes_view key) const noexcept {
        return search_by_number<bound::lower>(
            count_, shared_, key, [this](std::size_t i) { return upper_half(directory_[i]); }, upper_half,
            [this](std::size_t i) { return this->key(i); });
    }
    /// Returns the entry of `key`, or nothing. O(log size).
    [[nodiscard]] std::optional<entry_view> find(bytes_view key) const noexcept {
        const std::size_t i = lower_bound(key);
        if (i == count_ || this->key(i) != key) return std::nullopt;
        return entry(i);
    }

private:
    [[nodiscard]] static constexpr std::uint64_t upper_half(std::uint64_t n) noexcept { return n >> 32 << 32; }
    [[nodiscard]] const char* record(std::size_t i) const noexcept {
        return data_ + static_cast<std::uint32_t>(directory_[i]);
    }

    const char* data_ = nullptr;
    const std::uint64_t* directory_ = nullptr;
    std::uint32_t count_ = 0;
    std::uint32_t shared_ = 0;  // the length of the prefix that all keys share
};

/// Returns the entry of `key` in the block `data`, or nothing. Walks over the entries before it, which is cheaper than
/// block_view::parse() for a single lookup, and does not notice defects after it. Errors: bad_block, with the offset in
/// the file, in which the block is at `at`. O(data).
inline result<std::optional<entry_view>> find_in_block(bytes_view data, bytes_view key, std::uint64_t at) {
    field_reader in(data);
    std::uint32_t left = 0;
    bool whole = in.read(left);
    for (; whole && left > 0; --left) {
        bytes_view raw, here, value;
        record_header header;
        whole = in.read(record_header_bytes, raw) && !read_record_header(raw.data(), header) &&
                in.read(header.key_length, here) && in.read(header.value_length, value);
        if (!whole) break;
        if (const int order = here.compare(key); order >= 0)
            return order == 0 ? std::optional(entry_view{header.type, value}) : std::nullopt;
    }
    if (!whole) return failure_at(at + in.offset(), errc::bad_block, "malformed entry");
    return std::nullopt;
}

/// A data block in memory, as a cache keeps it: this object, and after it in the same allocation the bytes of the
/// block.
///
///     +----------------+---------------+
///     | block_contents | room(): bytes |
///     +----------------+---------------+
///
/// A block of a mapped file has no bytes of its own; its view refers to the map.
template <class Alloc>
class block_contents : public cache_item {
    using word = std::uint64_t;
    using word_allocator = typename std::allocator_traits<Alloc>::template rebind_alloc<word>;

public:
    /// Allocates contents with room for `size` bytes. The bytes are not initialized. destroy() frees them.
    static block_contents* make(std::size_t size, const Alloc& alloc) {
        static_assert(alignof(block_contents) <= alignof(word));
        word_allocator memory(alloc);
        auto* const raw = std::to_address(std::allocator_traits<word_allocator>::allocate(memory, words(size)));
        return ::new (static_cast<void*>(raw)) block_contents(size, alloc);
    }
    static void destroy(block_contents* contents) noexcept {
        word_allocator memory(contents->directory.get_allocator());
        const std::size_t count = words(contents->size_);
        contents->~block_contents();
        using pointer = typename std::allocator_traits<word_allocator>::pointer;
        word& first = *std::launder(reinterpret_cast<word*>(contents));
        std::allocator_traits<word_allocator>::deallocate(memory, std::pointer_traits<pointer>::pointer_to(first),
                                                          count);
    }

    [[nodiscard]] std::span<char> room() noexcept { return {reinterpret_cast<char*>(this + 1), size_}; }
    [[nodiscard]] std::size_t memory_bytes() const noexcept {
        return words(size_) * sizeof(word) + directory.capacity() * sizeof(std::uint64_t);
    }

    block_directory<Alloc> directory;
    block_view view;

private:
    block_contents(std::size_t size, const Alloc& alloc) : directory(alloc), size_(size) {}
    ~block_contents() = default;
    [[nodiscard]] static std::size_t words(std::size_t size) noexcept {
        return (sizeof(block_contents) + size + sizeof(word) - 1) / sizeof(word);
    }

    std::size_t size_;
};

}  // namespace lsm::detail

namespace lsm {

/// A decoded data block. A handle: copies share the block, and views into it are valid as long as any copy exists. The
/// block is immutable, so any number of threads may read it.
template <class Alloc>
class basic_block {
    using contents = detail::block_contents<Alloc>;

public:
    /// Makes an empty handle. Only assignment, destruction and the test for a block may follow.
    basic_block() = default;
    /// Makes a handle of contents that exist already.
    explicit basic_block(detail::item_pointer<contents> held) noexcept : contents_(std::move(held)) {}

    /// Makes a block with room for `size` bytes. It is unusable until its bytes and its view are set.
    static basic_block with_room(std::size_t size, const Alloc& alloc) {
        return basic_block(detail::item_pointer<contents>(contents::make(size, alloc)));
    }
    /// Makes a block of a copy of `data`, and checks it. Errors: those of block_view::parse(). O(data), in time and
    /// memory.
    static result<basic_block> decode(bytes_view data, bytes_view first_key, std::uint64_t at,
                                      const Alloc& alloc = {}) {
        basic_block out = with_room(data.size(), alloc);
        const std::span<char> room = out.item().room();
        data.copy(room.data(), data.size());
        auto view = detail::block_view::parse({room.data(), room.size()}, first_key, at, out.item().directory);
        if (!view) return std::move(view).error();
        out.item().view = *view;
        return out;
    }

    /// Returns the number of entries, which is at least one.
    [[nodiscard]] std::size_t size() const noexcept { return view().size(); }
    [[nodiscard]] bytes_view key(std::size_t i) const noexcept { return view().key(i); }
    [[nodiscard]] entry_view entry(std::size_t i) const noexcept { return view().entry(i); }
    /// Returns the first entry whose key is not below `key`, or size() if there is none. O(log size).
    [[nodiscard]] std::size_t lower_bound(bytes_view key) const noexcept { return view().lower_bound(key); }

    /// Returns about how many bytes of memory the block holds.
    [[nodiscard]] std::size_t memory_bytes() const noexcept { return contents_->memory_bytes(); }

    /// Returns whether this handle has a block. The other members, except release(), require one.
    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(contents_); }
    [[nodiscard]] const detail::block_view& view() const noexcept { return contents_->view; }
    [[nodiscard]] contents& item() const noexcept { return *contents_.get(); }
    /// Returns this handle's hold on the block and leaves the handle empty.
    [[nodiscard]] detail::item_pointer<contents> release() && noexcept { return std::move(contents_); }

private:
    detail::item_pointer<contents> contents_;
};

}  // namespace lsm
