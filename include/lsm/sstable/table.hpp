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

/// Room for a block that serves one lookup. Not initialized, as most lookups do not need it.
struct lookup_buffer {
    lookup_buffer() noexcept {}
    char bytes[std::size_t{8} << 10];
};

/// An open SSTable over bytes: the file, and its index in memory. Immutable; safe from many threads.
template <class Alloc>
class table {
public:
    using block_type = basic_block<Alloc>;

    /// Checks footer, index and extension area; reads no block.
    static result<table> open(io::file opened, const Alloc& alloc, bool map = false) {
        auto file = table_file::of(std::move(opened), map);
        if (!file) return std::move(file).error();
        const auto defect_at = [&](std::uint64_t at, errc code, bytes_view why) {
            return failure_at(at, code, why).in(file->path());
        };
        if (auto big_enough = check_table_size(file->size()); !big_enough)
            return std::move(big_enough).error().in(file->path());
        const auto tail = table_tail<Alloc>::of(*file, alloc);
        if (!tail) return tail.error();
        const std::uint64_t body = file->size() - sst_footer_bytes;
        const sst_footer footer = parse_footer(tail->last(sst_footer_bytes));
        if (!footer.magic_ok)
            return defect_at(file->size() - sst_magic.size(), errc::bad_magic,
                             "an SSTable ends with \"SST1\" and four zeros");
        if (footer.index_offset >= body || footer.index_size != body - footer.index_offset)
            return defect_at(body, errc::index_out_of_range, "the index does not end where the footer begins");

        basic_bytes<Alloc> raw(static_cast<std::size_t>(footer.index_size), '\0', alloc);
        if (auto got = tail->read(footer.index_offset, {raw.data(), raw.size()}); !got) return std::move(got).error();
        auto index = table_index<Alloc>::parse(std::move(raw), footer, alloc);
        if (!index) return std::move(index).error().in(file->path());
        auto extension = table_extension<Alloc>::read(*tail, index->end_of_blocks(), footer, index->raw(), alloc);
        if (!extension) return std::move(extension).error();
        if (const auto known = extension->properties();
            known &&
            (known->smallest != (*index)[0].first_key || known->largest < (*index)[index->size() - 1].first_key))
            return defect_at(index->end_of_blocks(), errc::bad_block, "properties and index contradict each other");
        if (extension->has_checksums())
            file->identify_by_seal(footer.index_offset - extension_trailer_bytes, extension->seal());
        else if (auto known = file->know_by_identity(); !known)
            return std::move(known).error();
        return table(*std::move(file), footer, *std::move(index), *std::move(extension), alloc);
    }

    [[nodiscard]] const sst_footer& footer() const noexcept { return footer_; }
    [[nodiscard]] const table_index<Alloc>& index() const noexcept { return index_; }
    [[nodiscard]] const table_extension<Alloc>& extension() const noexcept { return extension_; }
    [[nodiscard]] std::uint64_t file_bytes() const noexcept { return file_.size(); }
    [[nodiscard]] const table_file& file() const noexcept { return file_; }
    [[nodiscard]] table_file& file() noexcept { return file_; }
    [[nodiscard]] const Alloc& allocator() const noexcept { return alloc_; }

    /// Bytes held in memory for as long as the table is open, about.
    [[nodiscard]] std::size_t memory_bytes() const noexcept {
        return index_.memory_bytes() + extension_.memory_bytes();
    }

    /// Reads and checks block `i`; its checksum only if `verify`. A block of a mapped file must not outlive the table.
    result<block_type> load(std::size_t i, bool verify = true) const {
        const auto [first_key, offset, size] = index_[i];
        block_type out = block_type::with_room(file_.mapped() ? 0 : static_cast<std::size_t>(size), alloc_);
        const std::span<char> room = out.item().room();
        if (auto got = file_.read(offset, room); !got) return std::move(got).error();
        const bytes_view raw = file_.mapped() ? file_.view(offset, size) : bytes_view(room.data(), room.size());
        auto view = examine(i, raw, verify, out.item().directory);
        if (!view) return std::move(view).error();
        out.item().view = *view;
        return out;
    }

    /// Whether look_up() works for block `i`: it has a checksum, and fits a lookup_buffer.
    [[nodiscard]] bool can_look_up(std::size_t i) const noexcept {
        return extension_.has_checksums() && index_[i].size <= sizeof(lookup_buffer::bytes);
    }
    /// Returns the entry of `key` in block `i`, or nothing. Reads the block into `buffer`, unless the file is mapped,
    /// and stops at the entry: the checksum vouches for the rest of a block that load() has found well-formed before.
    result<std::optional<entry_view>> look_up(std::size_t i, bytes_view key, lookup_buffer& buffer) const {
        const auto [first_key, offset, size] = index_[i];
        bytes_view raw;
        if (file_.mapped()) {
            raw = file_.view(offset, size);
        } else {
            raw = {buffer.bytes, static_cast<std::size_t>(size)};
            if (auto got = file_.read(offset, {buffer.bytes, raw.size()}); !got) return std::move(got).error();
        }
        if (!extension_.block_is_good(i, raw))
            return failure_at(offset, errc::bad_checksum, "the block is not what was written").in(file_.path());
        auto found = find_in_block(raw, key, offset);
        if (!found) return std::move(found).error().in(file_.path());
        return found;
    }

    /// Checks `raw` as what is to be block `i`, and fills its directory. The view is into both.
    template <class Directory>
    result<block_view> examine(std::size_t i, bytes_view raw, bool verify, Directory& directory) const {
        const auto [first_key, offset, size] = index_[i];
        if (verify && !extension_.block_is_good(i, raw))
            return failure_at(offset, errc::bad_checksum, "the block is not what was written").in(file_.path());
        auto block = block_view::parse(raw, first_key, offset, directory);
        if (!block) return std::move(block).error().in(file_.path());
        if (i + 1 < index_.size() && block->key(block->size() - 1) >= index_[i + 1].first_key)
            return failure_at(offset, errc::unsorted, "the block's last key is not below the next block's first")
                .in(file_.path());
        if (i + 1 == index_.size())
            if (const auto known = extension_.properties(); known && known->largest != block->key(block->size() - 1))
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

    [[no_unique_address]] Alloc alloc_;
    table_file file_;
    sst_footer footer_;
    table_index<Alloc> index_;
    table_extension<Alloc> extension_;
};

/// The blocks of a table that no cache keeps.
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

/// What a cursor needs: a table, and its blocks by their number, found in a cache or read from the file.
template <class T>
concept block_source = requires(const T& source, std::size_t i) {
    { source.table_of() } -> std::same_as<const table<typename T::alloc_type>&>;
    { source.verifies() } -> std::same_as<bool>;
    { source.cached(i) } -> std::same_as<basic_block<typename T::alloc_type>>;
    { source.load(i) } -> std::same_as<result<basic_block<typename T::alloc_type>>>;
};

/// Walks a table with one block in memory; in a long walk one way, with those that are read together with it.
template <block_source Source>
class table_cursor {
    using alloc = typename Source::alloc_type;

public:
    table_cursor(Source source, const alloc& allocator)
        : source_(std::move(source)), chunk_(allocator), directory_(allocator) {}
    // The view stays good: what it is of has no place in this object, and is moved, never copied.
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

    /// Goes over to another table, where it stands nowhere yet. One long walk may go on over several.
    void change(Source to) {
        source_ = std::move(to);
        leave();
        chunk_blocks_ = 0;
    }
    /// Stands nowhere, and that is no defect.
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
    static constexpr std::size_t beyond_small = 64;  // a string of this size does not live in the cursor itself
    static constexpr int long_walk = 2;

    [[nodiscard]] const table_index<alloc>& index() const noexcept { return source_.table_of().index(); }

    // Makes block `number` the current one; false if there is none or it is damaged.
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
        block_ = {};  // never two blocks at once: one can be gigabytes
        number_ = number;
        return valid_ = find(number);
    }

    bool find(std::size_t number) {
        const table_file& file = source_.table_of().file();
        const bool in_chunk = number - chunk_first_ < chunk_blocks_;
        if (!in_chunk) block_ = source_.cached(number);
        if (!in_chunk && !block_) {
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
        auto view = source_.table_of().examine(number, raw, source_.verifies(), directory_);
        if (!view) return fail(std::move(view).error());
        view_ = *view;
        return true;
    }

    // Reads block `number`, and those that lie behind it in the direction of the walk, up to the size of a chunk.
    // Requires that the block fits into one.
    bool fetch(std::size_t number) {
        chunk_size_ = std::clamp(2 * chunk_size_, smallest_chunk, largest_chunk);
        const auto& all = index();
        std::size_t first = number;
        std::size_t last = number;
        std::uint64_t begin = all[number].offset;
        std::uint64_t end = begin + all[number].size;
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
        chunk_blocks_ = 0;
        const auto bytes = static_cast<std::size_t>(end - begin);
        if (chunk_.size() < bytes)
            chunk_.resize(bytes > chunk_size_ / 2 ? std::max(bytes, chunk_size_) : std::max(bytes, beyond_small));
        if (auto got = source_.table_of().file().read(begin, {chunk_.data(), bytes}); !got)
            return fail(std::move(got).error());
        chunk_first_ = first;
        chunk_blocks_ = last + 1 - first;
        chunk_offset_ = begin;
        return true;
    }

    LSM_COLD bool fail(error why) {
        defect_ = std::move(why);
        return false;
    }

    Source source_;
    block_view view_;
    std::size_t at_ = 0;
    std::size_t number_ = 0;
    bool valid_ = false;
    int steps_ = 0;             // from block to block in one direction; negative if backward
    basic_block<alloc> block_;  // what view_ shows; none if that is in the chunk

    std::size_t chunk_first_ = 0;
    std::size_t chunk_blocks_ = 0;
    std::uint64_t chunk_offset_ = 0;
    std::size_t chunk_size_ = 0;
    basic_bytes<alloc> chunk_;
    block_directory<alloc> directory_;
    std::optional<error> defect_;
};

}  // namespace lsm::detail
