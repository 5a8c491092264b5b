#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
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
#include <lsm/sstable/table_file.hpp>

namespace lsm::detail {

/// Room for a block that serves a single lookup. Not initialized, because most lookups do not need it.
struct lookup_buffer {
    lookup_buffer() noexcept {}
    char bytes[std::size_t{8} << 10];
};

/// An open SSTable over bytes: the file, with index and extension area in memory. Immutable, except through file(). Any
/// number of threads may read.
template <class Alloc>
class table {
public:
    using block_type = basic_block<Alloc>;

    /// Opens a table and checks footer, index and extension area, in the order of the format page. Reads no block. Maps
    /// the file if `map` is true and the system can map it. Errors, with file and offset: short_input, bad_magic,
    /// index_out_of_range, bad_block, unsorted, bad_checksum, io. Memory in proportion to index and area.
    static result<table> open(io::file opened, const Alloc& alloc, bool map = false) {
        auto file = table_file::of(std::move(opened), map);
        if (!file) return std::move(file).error();
        const auto defect_at = [&](std::uint64_t offset, errc code, bytes_view detail) {
            return failure_at(offset, code, detail).in(file->path());
        };
        if (auto big_enough = check_table_size(file->size()); !big_enough)
            return std::move(big_enough).error().in(file->path());
        // One read of the file's end serves footer, index and area of all but the largest tables.
        const auto tail = table_tail<Alloc>::of(*file, alloc);
        if (!tail) return tail.error();
        const std::uint64_t body = file->size() - sst_footer_bytes;
        const sst_footer footer = parse_footer(tail->last(sst_footer_bytes));
        if (!footer.magic_ok)
            return defect_at(file->size() - sst_magic.size(), errc::bad_magic,
                             "an SSTable ends with \"SST1\" and four zeros");
        // Compared without a sum, which could wrap. After this, the index is no larger than the file.
        if (footer.index_offset >= body || footer.index_size != body - footer.index_offset)
            return defect_at(body, errc::index_out_of_range, "the index does not end where the footer begins");

        basic_bytes<Alloc> raw(static_cast<std::size_t>(footer.index_size), '\0', alloc);
        if (auto got = tail->read(footer.index_offset, {raw.data(), raw.size()}); !got) return std::move(got).error();
        auto index = table_index<Alloc>::parse(std::move(raw), footer, alloc);
        if (!index) return std::move(index).error().in(file->path());
        auto extension = table_extension<Alloc>::read(*tail, index->end_of_blocks(), footer, index->raw(), alloc);
        if (!extension) return std::move(extension).error();
        // The engine takes a table's largest key from the properties, without reading the last block.
        if (const auto properties = extension->properties();
            properties && (properties->smallest != (*index)[0].first_key ||
                           properties->largest < (*index)[index->size() - 1].first_key))
            return defect_at(index->end_of_blocks(), errc::bad_block, "properties and index contradict each other");
        if (extension->has_checksums())
            file->identify_by_seal(footer.index_offset - extension_trailer_bytes, extension->seal());
        else if (auto identified = file->identify_by_file_identity(); !identified)
            return std::move(identified).error();
        return table(*std::move(file), footer, *std::move(index), *std::move(extension), alloc);
    }

    [[nodiscard]] const sst_footer& footer() const noexcept { return footer_; }
    [[nodiscard]] const table_index<Alloc>& index() const noexcept { return index_; }
    [[nodiscard]] const table_extension<Alloc>& extension() const noexcept { return extension_; }
    [[nodiscard]] std::uint64_t file_bytes() const noexcept { return file_.size(); }
    [[nodiscard]] const table_file& file() const noexcept { return file_; }
    [[nodiscard]] table_file& file() noexcept { return file_; }
    [[nodiscard]] const Alloc& allocator() const noexcept { return alloc_; }

    /// Returns about how many bytes of memory the open table holds.
    [[nodiscard]] std::size_t memory_bytes() const noexcept {
        return index_.memory_bytes() + extension_.memory_bytes();
    }

    /// Reads and checks block `i`; verifies its checksum only if `verify` is true. A block of a mapped file must not
    /// outlive the table. Errors, with file and offset: bad_checksum; those of block_view::parse(); those of
    /// table_file::read().
    result<block_type> load(std::size_t i, bool verify = true) const {
        const auto [first_key, offset, size] = index_[i];
        block_type out = block_type::with_room(file_.mapped() ? 0 : static_cast<std::size_t>(size), alloc_);
        const std::span<char> room = out.item().room();
        if (auto got = file_.read(offset, room); !got) return std::move(got).error();
        const bytes_view raw = file_.mapped() ? file_.view(offset, size) : bytes_view(room.data(), room.size());
        auto view = parse_block(i, raw, verify, out.item().directory);
        if (!view) return std::move(view).error();
        out.item().view = *view;
        return out;
    }

    /// Returns whether look_up() can serve block `i`: it has a checksum, and fits into a lookup_buffer.
    [[nodiscard]] bool can_look_up(std::size_t i) const noexcept {
        return extension_.has_checksums() && index_[i].size <= sizeof(lookup_buffer::bytes);
    }
    /// Returns the entry of `key` in block `i`, or nothing. The entry is a view into `buffer`, or into the map of a
    /// mapped file. Checks the checksum, but not the records after the entry. Requires can_look_up(i), and that load()
    /// has found the block well-formed before: its checksum then proves the records. Errors: as for load().
    result<std::optional<entry_view>> look_up(std::size_t i, bytes_view key, lookup_buffer& buffer) const {
        const auto [first_key, offset, size] = index_[i];
        bytes_view raw;
        if (file_.mapped()) {
            raw = file_.view(offset, size);
        } else {
            raw = {buffer.bytes, static_cast<std::size_t>(size)};
            if (auto got = file_.read(offset, {buffer.bytes, raw.size()}); !got) return std::move(got).error();
        }
        if (!extension_.block_is_good(i, raw)) return checksum_mismatch(offset);
        auto found = find_in_block(raw, key, offset);
        if (!found) return std::move(found).error().in(file_.path());
        return found;
    }

    /// Checks `raw`, the bytes of block `i`, as load() does, and fills `directory`. Returns a view of both.
    template <class Directory>
    result<block_view> parse_block(std::size_t i, bytes_view raw, bool verify, Directory& directory) const {
        const auto [first_key, offset, size] = index_[i];
        if (verify && !extension_.block_is_good(i, raw)) return checksum_mismatch(offset);
        auto block = block_view::parse(raw, first_key, offset, directory);
        if (!block) return std::move(block).error().in(file_.path());
        if (i + 1 < index_.size() && block->key(block->size() - 1) >= index_[i + 1].first_key)
            return failure_at(offset, errc::unsorted, "the block's last key is not below the next block's first")
                .in(file_.path());
        if (i + 1 == index_.size())
            if (const auto properties = extension_.properties();
                properties && properties->largest != block->key(block->size() - 1))
                return failure_at(offset, errc::bad_block, "properties and the last block contradict each other")
                    .in(file_.path());
        return block;
    }

private:
    table(table_file file, sst_footer footer, table_index<Alloc> index, table_extension<Alloc> extension,
          const Alloc& alloc)
        : alloc_(alloc),
          file_(std::move(file)),
          footer_(footer),
          index_(std::move(index)),
          extension_(std::move(extension)) {}

    [[nodiscard]] error checksum_mismatch(std::uint64_t offset) const {
        return failure_at(offset, errc::bad_checksum, "block: checksum mismatch").in(file_.path());
    }

    [[no_unique_address]] Alloc alloc_;
    table_file file_;
    sst_footer footer_;
    table_index<Alloc> index_;
    table_extension<Alloc> extension_;
};

/// A block_source without a cache, which shares ownership of the table.
template <class Alloc>
class uncached_table {
public:
    using alloc_type = Alloc;

    explicit uncached_table(std::shared_ptr<const table<Alloc>> opened) noexcept : table_(std::move(opened)) {}

    [[nodiscard]] const table<Alloc>& table_of() const noexcept { return *table_; }
    [[nodiscard]] bool verifies() const noexcept { return true; }
    [[nodiscard]] basic_block<Alloc> cached(std::size_t) const noexcept { return {}; }
    [[nodiscard]] result<basic_block<Alloc>> load(std::size_t i) const { return table_->load(i); }

private:
    std::shared_ptr<const table<Alloc>> table_;
};

/// What a table_cursor reads from: a table, and its blocks by number. cached(i) returns block i from a cache, or an
/// empty block; load(i) reads it from the file.
template <class T>
concept block_source = requires(const T& source, std::size_t i) {
    { source.table_of() } -> std::same_as<const table<typename T::alloc_type>&>;
    { source.verifies() } -> std::same_as<bool>;
    { source.cached(i) } -> std::same_as<basic_block<typename T::alloc_type>>;
    { source.load(i) } -> std::same_as<result<basic_block<typename T::alloc_type>>>;
};

/// A cursor over a table. Holds one block in memory. A walk over several blocks in one direction reads them in chunks
/// of up to 64 KiB, and then holds one chunk.
template <block_source Source>
class table_cursor {
    using alloc = typename Source::alloc_type;

public:
    table_cursor(Source source, const alloc& allocator)
        : source_(std::move(source)), chunk_(allocator), directory_(allocator) {}
    // A move keeps view_ valid: the bytes and the directory that it refers to are on the heap, and their owners are
    // moved, never copied. That holds for construction only, so assignment constructs anew.
    table_cursor(table_cursor&&) noexcept = default;
    table_cursor& operator=(table_cursor&& other) noexcept {
        if (this != &other) {
            std::destroy_at(this);
            std::construct_at(this, std::move(other));
        }
        return *this;
    }

    [[nodiscard]] bool valid() const noexcept { return valid_; }
    [[nodiscard]] bytes_view key() const noexcept { return view_.key(at_); }
    [[nodiscard]] entry_view entry() const noexcept { return view_.entry(at_); }
    [[nodiscard]] result<void> status() const {
        if (defect_) return *defect_;
        return {};
    }

    /// Switches to another table, with no position yet. Keeps the memory of the chunk, for a walk over several tables.
    void switch_to(Source source) {
        source_ = std::move(source);
        leave();
        chunk_blocks_ = 0;
    }
    /// Gives up the position and clears any error.
    void leave() {
        block_ = {};
        valid_ = false;
        defect_.reset();
    }

    void next() {
        if (++at_ < view_.size()) return;
        if (enter(number_ + 1)) at_ = 0;
    }
    void prev() {
        if (at_ > 0) {
            --at_;
        } else if (number_ == 0) {
            valid_ = false;
        } else if (enter(number_ - 1)) {
            at_ = view_.size() - 1;
        }
    }
    void seek_to_first() {
        if (enter(0)) at_ = 0;
    }
    void seek_to_last() {
        const std::size_t blocks = index().size();
        if (enter(blocks == 0 ? 0 : blocks - 1)) at_ = view_.size() - 1;
    }
    void seek(bytes_view key) {
        if (!enter(index().floor(key).value_or(0))) return;
        at_ = view_.lower_bound(key);
        if (at_ == view_.size() && enter(number_ + 1)) at_ = 0;
    }

private:
    static constexpr std::size_t smallest_chunk = std::size_t{16} << 10;
    static constexpr std::size_t largest_chunk = std::size_t{64} << 10;
    static constexpr std::size_t heap_string = 64;  // a string of this size keeps its bytes outside of itself
    static constexpr int long_walk = 2;             // steps

    [[nodiscard]] const table_index<alloc>& index() const noexcept { return source_.table_of().index(); }

    // Makes block `number` the current one. Returns false if there is none or it cannot be read.
    bool enter(std::size_t number) {
        if (valid_ && number == number_) return true;
        const bool stepped = valid_;
        defect_.reset();
        valid_ = false;
        if (number >= index().size()) return false;
        if (stepped && number == number_ + 1)
            steps_ = std::max(steps_, 0) + 1;
        else if (stepped && number + 1 == number_)
            steps_ = std::min(steps_, 0) - 1;
        else
            steps_ = 0;
        block_ = {};  // before the next one is read: a block can be gigabytes large
        number_ = number;
        valid_ = show(number);
        return valid_;
    }

    // Sets view_ to block `number`: from the chunk, the cache or the file.
    bool show(std::size_t number) {
        const table_file& file = source_.table_of().file();
        const bool in_chunk = number - chunk_first_ < chunk_blocks_;
        if (!in_chunk) block_ = source_.cached(number);
        if (!in_chunk && !block_) {
            // A long walk will need the next blocks too, so it reads a chunk, which bypasses the cache. In a mapped
            // file the map serves as the chunk.
            const bool walking = steps_ >= long_walk || steps_ <= -long_walk;
            if (walking && (file.mapped() || index()[number].size <= largest_chunk)) {
                if (!file.mapped() && !fetch(number)) return false;
            } else {
                auto loaded = source_.load(number);
                if (!loaded) return fail(std::move(loaded).error());
                block_ = *std::move(loaded);
            }
        }
        if (block_) {
            view_ = block_.view();
            return true;
        }
        const auto [first_key, offset, size] = index()[number];
        const bytes_view raw = file.mapped()
                                   ? file.view(offset, size)
                                   : bytes_view(chunk_).substr(static_cast<std::size_t>(offset - chunk_offset_),
                                                               static_cast<std::size_t>(size));
        auto view = source_.table_of().parse_block(number, raw, source_.verifies(), directory_);
        if (!view) return fail(std::move(view).error());
        view_ = *view;
        return true;
    }

    // Reads a chunk: block `number` and the next ones in the direction of the walk, as many as fit. Requires that the
    // block is no larger than largest_chunk.
    bool fetch(std::size_t number) {
        // Chunks grow as the walk goes on, so that a short one reads little that it does not need.
        chunk_size_ = std::clamp(2 * chunk_size_, smallest_chunk, largest_chunk);
        const auto& all = index();
        std::size_t first = number;
        std::size_t last = number;
        std::uint64_t begin = all[number].offset;
        std::uint64_t end = begin + all[number].size;
        // Only blocks without a gap between them are read together. The differences below cannot wrap; sums could.
        if (steps_ > 0) {
            for (; last + 1 < all.size(); ++last) {
                const auto more = all[last + 1];
                if (more.offset != end || more.size > chunk_size_ - std::min(end - begin, chunk_size_)) break;
                end += more.size;
            }
        } else {
            for (; first > 0; --first) {
                const auto more = all[first - 1];
                if (more.offset + more.size != begin || more.size > chunk_size_ - std::min(end - begin, chunk_size_))
                    break;
                begin = more.offset;
            }
        }
        chunk_blocks_ = 0;  // the read may fail after it has overwritten a part of the chunk
        const auto bytes = static_cast<std::size_t>(end - begin);
        // A whole chunk at once where it is about to be filled, else no more than this small table needs. In any case
        // on the heap, so that view_ survives a move.
        if (chunk_.size() < bytes)
            chunk_.resize(bytes > chunk_size_ / 2 ? std::max(bytes, chunk_size_) : std::max(bytes, heap_string));
        if (auto got = source_.table_of().file().read(begin, {chunk_.data(), bytes}); !got)
            return fail(std::move(got).error());
        chunk_first_ = first;
        chunk_blocks_ = last + 1 - first;
        chunk_offset_ = begin;
        return true;
    }

    LSM_COLD bool fail(error failure) {
        defect_ = std::move(failure);
        return false;
    }

    Source source_;
    block_view view_;
    std::size_t at_ = 0;
    std::size_t number_ = 0;
    bool valid_ = false;
    int steps_ = 0;             // from block to block in one direction so far; negative if backward
    basic_block<alloc> block_;  // the block of view_; empty if that is in the chunk or the map

    std::size_t chunk_first_ = 0;  // the chunk's first block
    std::size_t chunk_blocks_ = 0;
    std::uint64_t chunk_offset_ = 0;  // in the file
    std::size_t chunk_size_ = 0;      // the limit for the chunk's bytes; grows with the walk
    basic_bytes<alloc> chunk_;
    block_directory<alloc> directory_;  // of the block of view_, if block_ is empty
    std::optional<error> defect_;
};

}  // namespace lsm::detail
