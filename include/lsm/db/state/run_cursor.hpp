#pragma once

#include <cstddef>

#include <lsm/core/bytes.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/prefix_search.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/state/db_table.hpp>
#include <lsm/sstable/table.hpp>

namespace lsm::detail {

/// A block_source: a table that its owner keeps alive, and how to read it.
template <class Alloc>
class table_reader {
public:
    using alloc_type = Alloc;

    table_reader(const db_table<Alloc>* table, block_options options) noexcept : table_(table), options_(options) {}

    [[nodiscard]] const table<Alloc>& table_of() const noexcept { return table_->file(); }
    [[nodiscard]] bool verifies() const noexcept { return options_.verify_checksums; }
    [[nodiscard]] basic_block<Alloc> cached(std::size_t i) const noexcept { return table_->cached(i); }
    [[nodiscard]] result<basic_block<Alloc>> load(std::size_t i) const { return table_->load(i, options_); }

private:
    const db_table<Alloc>* table_;
    block_options options_;
};

/// A cursor over tables that are in key order and do not overlap. The tables must outlive it.
template <class Alloc>
class run_cursor {
    using inner_cursor = table_cursor<table_reader<Alloc>>;

public:
    /// Requires count > 0.
    run_cursor(const table_pointer<Alloc>* tables, std::size_t count, block_options options)
        : tables_(tables),
          count_(count),
          options_(options),
          inner_(table_reader<Alloc>(tables[0].get(), options), tables[0]->file().allocator()) {}

    [[nodiscard]] bool valid() const noexcept { return inner_.valid(); }
    [[nodiscard]] bytes_view key() const noexcept { return inner_.key(); }
    [[nodiscard]] entry_view entry() const noexcept { return inner_.entry(); }
    [[nodiscard]] result<void> status() const { return inner_.status(); }

    void next() {
        inner_.next();
        if (!inner_.valid()) skip_forward();
    }
    void prev() {
        inner_.prev();
        if (!inner_.valid()) skip_backward();
    }
    void seek_to_first() {
        enter(0);
        inner_.seek_to_first();
        skip_forward();
    }
    void seek_to_last() {
        enter(count_ - 1);
        inner_.seek_to_last();
        skip_backward();
    }
    void seek(bytes_view key) {
        const std::size_t number = partition_point(count_, [&](std::size_t i) { return tables_[i]->largest() < key; });
        if (number == count_) return inner_.leave();
        enter(number);
        inner_.seek(key);
        skip_forward();
    }

private:
    void enter(std::size_t number) {
        if (number != number_) inner_.switch_to(table_reader<Alloc>(tables_[number].get(), options_));
        number_ = number;
    }
    // These pass over tables without entries, and stop at damage.
    void skip_forward() {
        while (!inner_.valid() && inner_.status() && number_ + 1 < count_) {
            enter(number_ + 1);
            inner_.seek_to_first();
        }
    }
    void skip_backward() {
        while (!inner_.valid() && inner_.status() && number_ > 0) {
            enter(number_ - 1);
            inner_.seek_to_last();
        }
    }

    const table_pointer<Alloc>* tables_;
    std::size_t count_;
    block_options options_;
    std::size_t number_ = 0;
    inner_cursor inner_;
};

}  // namespace lsm::detail
