#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/cache/shared_block_cache.hpp>
#include <lsm/core/bytes.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/file_names.hpp>
#include <lsm/io/file.hpp>
#include <lsm/sstable/table.hpp>

namespace lsm::detail {

template <class Alloc>
using db_cache = shared_block_cache<basic_block<Alloc>, capacity_in_bytes, Alloc>;

/// How blocks are read.
struct block_options {
    bool fill_cache = true;
    bool verify_checksums = true;
};

/// A table of the database: its first and last key known, and read through the block cache. Immutable.
template <class Alloc>
class db_table {
public:
    using block_type = basic_block<Alloc>;

    /// Opens table `id`. `serial` is its name in the cache, where an id that was given twice would be mistaken. Errors:
    /// not_found; what a table's opening finds; damage in the last block of a table without properties.
    static result<std::shared_ptr<const db_table>> open(io::file_system& fs, std::string_view directory,
                                                        std::uint64_t id, std::uint64_t serial,
                                                        const std::shared_ptr<db_cache<Alloc>>& cache,
                                                        const Alloc& alloc) {
        auto file = io::file::open(fs, joined(directory, table_name(id)), io::open_mode::read_no_follow);
        if (!file) return std::move(file).error();
        auto opened = table<Alloc>::open(*std::move(file), alloc);
        if (!opened) return std::move(opened).error();
        auto out = std::allocate_shared<db_table>(alloc, id, serial, *std::move(opened), cache, alloc);
        if (auto found = out->find_largest(); !found) return std::move(found).error();
        return std::shared_ptr<const db_table>(std::move(out));
    }

    db_table(std::uint64_t id, std::uint64_t serial, table<Alloc> file, std::shared_ptr<db_cache<Alloc>> cache,
             const Alloc& alloc)
        : id_(id), serial_(serial), file_(std::move(file)), cache_(std::move(cache)), largest_(alloc) {}

    [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
    [[nodiscard]] std::uint64_t file_bytes() const noexcept { return file_.file_bytes(); }
    [[nodiscard]] const table<Alloc>& file() const noexcept { return file_; }
    [[nodiscard]] const table_index<Alloc>& index() const noexcept { return file_.index(); }
    [[nodiscard]] std::size_t memory_bytes() const noexcept { return file_.memory_bytes() + largest_.capacity(); }

    [[nodiscard]] bool empty() const noexcept { return index().size() == 0; }
    /// Require a table that is not empty.
    [[nodiscard]] bytes_view smallest() const noexcept { return index()[0].first_key; }
    [[nodiscard]] bytes_view largest() const noexcept { return largest_; }

    [[nodiscard]] bool covers(bytes_view key) const noexcept {
        return !empty() && smallest() <= key && key <= largest();
    }
    [[nodiscard]] bool may_contain(bytes_view key) const noexcept { return file_.may_contain(key); }

    result<block_type> load(std::size_t i, block_options how) const {
        const block_key place{serial_, file_.index()[i].offset};
        if (auto cached = cache_->get(place)) return *std::move(cached);
        auto loaded = file_.load(i, how.verify_checksums);
        if (loaded && how.fill_cache) cache_->insert(place, *loaded);
        return loaded;
    }

private:
    result<void> find_largest() {
        if (empty()) return {};
        if (const auto known = file_.extension().properties()) {
            largest_.assign(known->largest);
            return {};
        }
        const auto last = file_.load(index().size() - 1);
        if (!last) return last.error();
        largest_.assign(last->key(last->size() - 1));
        return {};
    }

    std::uint64_t id_;
    std::uint64_t serial_;
    table<Alloc> file_;
    std::shared_ptr<db_cache<Alloc>> cache_;
    basic_bytes<Alloc> largest_;
};

template <class Alloc>
using table_pointer = std::shared_ptr<const db_table<Alloc>>;

template <class Alloc>
using table_list = std::vector<table_pointer<Alloc>,
                               typename std::allocator_traits<Alloc>::template rebind_alloc<table_pointer<Alloc>>>;

/// A table that somebody else keeps open, and how to read it: a block_source, and a pointer to itself.
template <class Alloc>
class table_reader {
public:
    using block_type = basic_block<Alloc>;

    table_reader(const db_table<Alloc>* what, block_options how) noexcept : table_(what), how_(how) {}

    [[nodiscard]] bool may_contain(bytes_view key) const noexcept { return table_->may_contain(key); }
    [[nodiscard]] const table_index<Alloc>& index() const noexcept { return table_->index(); }
    [[nodiscard]] result<block_type> load(std::size_t i) const { return table_->load(i, how_); }

    [[nodiscard]] const table_reader& operator*() const noexcept { return *this; }
    [[nodiscard]] const table_reader* operator->() const noexcept { return this; }

private:
    const db_table<Alloc>* table_;
    block_options how_;
};

/// Of tables that stand in key order and do not overlap, the first whose largest key is not below `key`; `count` if there
/// is none. O(log count).
template <class Alloc>
[[nodiscard]] std::size_t first_reaching(const table_pointer<Alloc>* tables, std::size_t count, bytes_view key) noexcept {
    std::size_t low = 0;
    std::size_t high = count;
    while (low < high) {
        const std::size_t middle = low + (high - low) / 2;
        if (tables[middle]->largest() < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/// Walks tables that stand in key order and do not overlap, one behind the other. The tables must outlive it.
template <class Alloc>
class run_cursor {
    using inner_cursor = table_cursor<table_reader<Alloc>>;

public:
    run_cursor(const table_pointer<Alloc>* tables, std::size_t count, block_options how)
        : tables_(tables), count_(count), how_(how) {}

    [[nodiscard]] bool valid() const noexcept { return inner_ && inner_->valid(); }
    [[nodiscard]] bytes_view key() const noexcept { return inner_->key(); }
    [[nodiscard]] entry_view entry() const noexcept { return inner_->entry(); }
    [[nodiscard]] result<void> status() const {
        if (inner_) return inner_->status();
        return {};
    }

    void next() {
        inner_->next();
        skip_forward();
    }
    void prev() {
        inner_->prev();
        skip_backward();
    }
    void seek_to_first() {
        if (enter(0)) inner_->seek_to_first();
        skip_forward();
    }
    void seek_to_last() {
        if (count_ != 0 && enter(count_ - 1)) inner_->seek_to_last();
        skip_backward();
    }
    void seek(bytes_view key) {
        const std::size_t number = first_reaching<Alloc>(tables_, count_, key);
        if (enter(number)) inner_->seek(key);
        skip_forward();
    }

private:
    // Makes table `number` the current one; false, and no longer valid, if there is none.
    bool enter(std::size_t number) {
        if (number >= count_) {
            inner_.reset();
            return false;
        }
        if (!inner_ || number != number_) inner_.emplace(table_reader<Alloc>(tables_[number].get(), how_));
        number_ = number;
        return true;
    }
    void skip_forward() {
        while (inner_ && !inner_->valid() && inner_->status() && enter(number_ + 1)) inner_->seek_to_first();
    }
    void skip_backward() {
        while (inner_ && !inner_->valid() && inner_->status()) {
            if (number_ == 0) return inner_.reset();
            enter(number_ - 1);
            inner_->seek_to_last();
        }
    }

    const table_pointer<Alloc>* tables_;
    std::size_t count_;
    block_options how_;
    std::size_t number_ = 0;
    std::optional<inner_cursor> inner_;
};

}  // namespace lsm::detail
