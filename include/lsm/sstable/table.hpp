#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <lsm/core/bytes.hpp>
#include <lsm/core/cursor.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/result.hpp>
#include <lsm/io/file.hpp>
#include <lsm/sstable/block.hpp>
#include <lsm/sstable/extension.hpp>
#include <lsm/sstable/format.hpp>
#include <lsm/sstable/index.hpp>

namespace lsm::detail {

/// An open SSTable over bytes: the file, and its index in memory. Immutable; safe from many threads.
template <class Alloc>
class table {
public:
    using block_type = basic_block<Alloc>;

    /// Checks footer, index and extension area; reads no block.
    static result<table> open(io::file file, const Alloc& alloc) {
        const auto size = file.size();
        if (!size) return size.error();
        const auto footer = read_footer(file, *size);
        if (!footer) return footer.error();
        if (!footer->magic_ok)
            return failure_at(*size - sst_magic.size(), errc::bad_magic, "an SSTable ends with \"SST1\" and four zeros")
                .in(file.path());
        const std::uint64_t body = *size - sst_footer_bytes;
        if (footer->index_offset >= body || footer->index_size != body - footer->index_offset)
            return failure_at(body, errc::index_out_of_range, "the index does not end where the footer begins")
                .in(file.path());

        basic_bytes<Alloc> raw(static_cast<std::size_t>(footer->index_size), '\0', alloc);
        if (auto read = file.read_exactly(footer->index_offset, {raw.data(), raw.size()}); !read)
            return std::move(read).error();
        auto index = table_index<Alloc>::parse(std::move(raw), *footer, alloc);
        if (!index) return std::move(index).error().in(file.path());
        auto extension = table_extension<Alloc>::read(file, index->end_of_blocks(), *footer, index->raw(), alloc);
        if (!extension) return std::move(extension).error();
        return table(std::move(file), *size, *footer, *std::move(index), *std::move(extension), alloc);
    }

    [[nodiscard]] const sst_footer& footer() const noexcept { return footer_; }
    [[nodiscard]] const table_index<Alloc>& index() const noexcept { return index_; }
    [[nodiscard]] const table_extension<Alloc>& extension() const noexcept { return extension_; }
    [[nodiscard]] bool may_contain(bytes_view key) const noexcept { return extension_.may_contain(key); }
    [[nodiscard]] std::uint64_t file_bytes() const noexcept { return file_bytes_; }
    [[nodiscard]] const io::file& file() const noexcept { return file_; }
    [[nodiscard]] const Alloc& allocator() const noexcept { return alloc_; }

    /// Bytes held in memory for as long as the table is open, about.
    [[nodiscard]] std::size_t memory_bytes() const noexcept { return index_.memory_bytes() + extension_.memory_bytes(); }

    /// Reads and checks block `i`; its checksum only if `verify`.
    result<block_type> load(std::size_t i, bool verify = true) const {
        const auto [first_key, offset, size] = index_[i];
        basic_bytes<Alloc> raw(static_cast<std::size_t>(size), '\0', alloc_);
        if (auto read = file_.read_exactly(offset, {raw.data(), raw.size()}); !read) return std::move(read).error();
        if (verify && !extension_.block_is_good(i, raw))
            return failure_at(offset, errc::bad_checksum, "the block is not what was written").in(file_.path());
        auto block = block_type::decode(std::move(raw), first_key, offset, alloc_);
        if (!block) return std::move(block).error().in(file_.path());
        if (i + 1 < index_.size() && block->key(block->size() - 1) >= index_[i + 1].first_key)
            return failure_at(offset, errc::unsorted, "the block's last key is not below the next block's first")
                .in(file_.path());
        return block;
    }

private:
    table(io::file file, std::uint64_t file_bytes, sst_footer footer, table_index<Alloc> index,
          table_extension<Alloc> extension, const Alloc& alloc)
        : alloc_(alloc),
          file_(std::move(file)),
          file_bytes_(file_bytes),
          footer_(footer),
          index_(std::move(index)),
          extension_(std::move(extension)) {}

    [[no_unique_address]] Alloc alloc_;
    io::file file_;
    std::uint64_t file_bytes_;
    sst_footer footer_;
    table_index<Alloc> index_;
    table_extension<Alloc> extension_;
};

/// What lookups and cursors need: a filter, an index, and blocks by their number, read from a file or found in a cache.
template <class T>
concept block_source = requires(const T& source, std::size_t i, bytes_view key) {
    typename T::block_type;
    { source.may_contain(key) } -> std::same_as<bool>;
    { source.index().floor(key) } -> std::same_as<std::optional<std::size_t>>;
    { source.load(i) } -> std::same_as<result<typename T::block_type>>;
};

/// An entry, and the block that keeps it alive.
template <class Block>
struct pinned_entry {
    Block block;
    entry_view entry;
};

/// The entry of `key`, tombstones included; nothing if the table has none. Reads one block at most.
template <block_source Source>
result<std::optional<pinned_entry<typename Source::block_type>>> find(const Source& source, bytes_view key) {
    if (!source.may_contain(key)) return std::nullopt;
    const auto number = source.index().floor(key);
    if (!number) return std::nullopt;
    auto block = source.load(*number);
    if (!block) return std::move(block).error();
    const std::size_t i = block->lower_bound(key);
    if (i == block->size() || block->key(i) != key) return std::nullopt;
    const entry_view entry = block->entry(i);
    return pinned_entry<typename Source::block_type>{*std::move(block), entry};
}

/// Walks a table with one block in memory. `Pointer` points to a block_source: a shared one keeps the table open.
template <class Pointer>
class table_cursor {
    using source_type = std::remove_cvref_t<decltype(*std::declval<const Pointer&>())>;
    static_assert(block_source<source_type>);

public:
    explicit table_cursor(Pointer source) : source_(std::move(source)) {}

    [[nodiscard]] bool valid() const noexcept { return valid_; }
    [[nodiscard]] bytes_view key() const noexcept { return block_.key(at_); }
    [[nodiscard]] entry_view entry() const noexcept { return block_.entry(at_); }
    [[nodiscard]] result<void> status() const {
        if (defect_) return *defect_;
        return {};
    }

    void next() {
        if (++at_ < block_.size()) return;
        if (enter(number_ + 1)) at_ = 0;
    }
    void prev() {
        if (at_ > 0) {
            --at_;
        } else if (number_ == 0) {
            valid_ = false;
        } else if (enter(number_ - 1)) {
            at_ = block_.size() - 1;
        }
    }
    void seek_to_first() {
        if (enter(0)) at_ = 0;
    }
    void seek_to_last() {
        const std::size_t blocks = source_->index().size();
        if (enter(blocks == 0 ? 0 : blocks - 1)) at_ = block_.size() - 1;
    }
    void seek(bytes_view key) {
        if (!enter(source_->index().floor(key).value_or(0))) return;
        at_ = block_.lower_bound(key);
        if (at_ == block_.size() && enter(number_ + 1)) at_ = 0;
    }

private:
    // Makes block `number` the current one; false if there is none or it is damaged.
    bool enter(std::size_t number) {
        const bool loaded = valid_ && number == number_;
        defect_.reset();
        valid_ = false;
        if (number >= source_->index().size()) return false;
        if (!loaded) {
            block_ = {};  // never two blocks at once: one can be gigabytes
            auto block = source_->load(number);
            if (!block) {
                defect_ = std::move(block).error();
                return false;
            }
            block_ = *std::move(block);
            number_ = number;
        }
        return valid_ = true;
    }

    Pointer source_;
    typename source_type::block_type block_;
    std::size_t number_ = 0;
    std::size_t at_ = 0;
    bool valid_ = false;
    std::optional<error> defect_;
};

}  // namespace lsm::detail
