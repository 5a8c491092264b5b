#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/cache/shared_cache.hpp>
#include <lsm/core/bytes.hpp>
#include <lsm/core/prefix_search.hpp>
#include <lsm/core/reader_slots.hpp>
#include <lsm/core/result.hpp>
#include <lsm/core/vector_of.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/db/options.hpp>
#include <lsm/io/file.hpp>
#include <lsm/sstable/table.hpp>

namespace lsm::detail {

template <class Alloc>
using db_cache = shared_cache<block_contents<Alloc>>;

/// What all tables of a database share. May outlive it.
template <class Alloc>
struct table_resources {
    table_resources(const options& how, std::shared_ptr<reader_slots> readers)
        : cache(how.block_cache_bytes, std::move(readers)), handles_left(how.max_open_files), map(how.map_tables) {}

    db_cache<Alloc> cache;
    std::atomic<std::int64_t> handles_left;
    const bool map;
};

/// How blocks are read.
struct block_options {
    bool fill_cache = true;
    bool verify_checksums = true;
    bool pin = false;  // what is found must be in a block that can be held
};

/// A table of the database: its first and last key known, and read through the block cache. Immutable but for what the
/// cache keeps of it.
template <class Alloc>
class db_table {
    using flag = std::atomic<bool>;

public:
    using block_type = basic_block<Alloc>;

    /// Opens table `id`. Errors: not_found; what a table's opening finds; damage in the last block of a table without
    /// properties.
    static result<std::shared_ptr<const db_table>> open(io::file_system& fs, std::string_view directory,
                                                        std::uint64_t id,
                                                        const std::shared_ptr<table_resources<Alloc>>& shared,
                                                        const Alloc& alloc) {
        auto file = io::file::open(fs, joined(directory, table_name(id)), io::open_mode::read_no_follow);
        if (!file) return std::move(file).error();
        auto opened = table<Alloc>::open(*std::move(file), alloc, shared->map);
        if (!opened) return std::move(opened).error();
        auto out = std::allocate_shared<db_table>(alloc, id, *std::move(opened), shared, alloc);
        if (auto found = out->find_largest(); !found) return std::move(found).error();
        return std::shared_ptr<const db_table>(std::move(out));
    }

    db_table(std::uint64_t id, table<Alloc> file, std::shared_ptr<table_resources<Alloc>> shared, const Alloc& alloc)
        : id_(id),
          file_(std::move(file)),
          shared_(std::move(shared)),
          slots_(file_.index().size(), alloc),
          sound_(file_.index().size(), alloc),
          largest_(alloc) {
        const bool may_stay_open = shared_->handles_left.fetch_sub(1, std::memory_order_relaxed) > 0;
        if (file_.file().mapped() || !may_stay_open) file_.file().close_handle();
    }
    db_table(const db_table&) = delete;
    db_table& operator=(const db_table&) = delete;
    ~db_table() {
        for (cache_slot& slot : slots_) shared_->cache.clear(slot);
        shared_->handles_left.fetch_add(1, std::memory_order_relaxed);
    }

    /// Makes sure that the table can be read when its file has lost its name. One thread at a time.
    [[nodiscard]] result<void> outlive_name() const { return file_.file().hold_open(); }

    [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
    [[nodiscard]] std::uint64_t file_bytes() const noexcept { return file_.file_bytes(); }
    [[nodiscard]] const table<Alloc>& file() const noexcept { return file_; }
    [[nodiscard]] const table_index<Alloc>& index() const noexcept { return file_.index(); }
    [[nodiscard]] std::size_t memory_bytes() const noexcept {
        return file_.memory_bytes() + slots_.capacity() * (sizeof(cache_slot) + sizeof(flag)) + largest_.capacity();
    }

    [[nodiscard]] bool empty() const noexcept { return index().size() == 0; }
    /// Require a table that is not empty.
    [[nodiscard]] bytes_view smallest() const noexcept { return index()[0].first_key; }
    [[nodiscard]] bytes_view largest() const noexcept { return largest_; }

    [[nodiscard]] bool covers(bytes_view key) const noexcept {
        return !empty() && smallest() <= key && key <= largest();
    }
    /// False only for xxh64() of keys that the table does not have.
    [[nodiscard]] bool may_contain(std::uint64_t hash) const noexcept { return file_.extension().may_contain(hash); }

    /// Calls `use` with the entry of `key` and the block that keeps it, or null: then the table does if `pin`, and else
    /// nothing; whether there is an entry. The caller has entered the cache's readers. Reads one block at most.
    template <class Use>
    result<bool> find(bytes_view key, block_options how, read_counters& counted, Use use) const {
        const auto number = index().floor(key);
        if (!number) return false;
        const auto answer = [&](block_contents<Alloc>& block) {
            const auto found = block.view.find(key);
            if (found) use(*found, file_.file().mapped() ? nullptr : &block);
            return found.has_value();
        };
        if (auto* const cached = slots_[*number].template find<block_contents<Alloc>>()) {
            counted.cache_hits.fetch_add(1, std::memory_order_relaxed);
            cached->used();
            return answer(*cached);
        }
        counted.cache_misses.fetch_add(1, std::memory_order_relaxed);
        const bool keep = admits(*number, how);
        if (!keep && !how.pin && how.verify_checksums && file_.can_look_up(*number) &&
            sound_[*number].load(std::memory_order_relaxed))
            return file_.look_up(*number, key, [&](entry_view entry) { use(entry, nullptr); });
        const auto loaded = load(*number, how, keep);
        if (!loaded) return loaded.error();
        return answer(loaded->item());
    }

    /// Block `i`, if it is in the cache.
    [[nodiscard]] block_type cached(std::size_t i) const noexcept {
        const auto pass = shared_->cache.readers().enter();
        auto* const found = slots_[i].template find<block_contents<Alloc>>();
        if (found == nullptr) {
            pass.counters().cache_misses.fetch_add(1, std::memory_order_relaxed);
            return {};
        }
        pass.counters().cache_hits.fetch_add(1, std::memory_order_relaxed);
        found->used();
        found->hold();
        return block_type(item_pointer<block_contents<Alloc>>(found));
    }
    /// Block `i`, from the file.
    result<block_type> load(std::size_t i, block_options how) const { return load(i, how, admits(i, how)); }

private:
    // Whether the cache is to keep block i, which is not there. What it keeps is read by those who want checksums
    // verified, too.
    [[nodiscard]] bool admits(std::size_t i, block_options how) const noexcept {
        return how.fill_cache && (how.verify_checksums || !file_.extension().has_checksums()) &&
               shared_->cache.admits(slots_[i], static_cast<std::size_t>(index()[i].size));
    }
    result<block_type> load(std::size_t i, block_options how, bool keep) const {
        auto loaded = file_.load(i, how.verify_checksums);
        if (loaded && how.verify_checksums) sound_[i].store(true, std::memory_order_relaxed);
        if (loaded && keep) shared_->cache.insert(slots_[i], loaded->item(), loaded->memory_bytes());
        return loaded;
    }

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
    mutable table<Alloc> file_;
    std::shared_ptr<table_resources<Alloc>> shared_;
    mutable vector_of<cache_slot, Alloc> slots_;
    // Blocks that have been taken apart and found whole: from then on their checksums tell all.
    mutable vector_of<flag, Alloc> sound_;
    basic_bytes<Alloc> largest_;
};

template <class Alloc>
using table_pointer = std::shared_ptr<const db_table<Alloc>>;

template <class Alloc>
using table_list = vector_of<table_pointer<Alloc>, Alloc>;

/// A table that somebody else keeps open, and how to read it: a block_source.
template <class Alloc>
class table_reader {
public:
    using alloc_type = Alloc;

    table_reader(const db_table<Alloc>* what, block_options how) noexcept : table_(what), how_(how) {}

    [[nodiscard]] const table<Alloc>& table_of() const noexcept { return table_->file(); }
    [[nodiscard]] bool verifies() const noexcept { return how_.verify_checksums; }
    [[nodiscard]] basic_block<Alloc> cached(std::size_t i) const noexcept { return table_->cached(i); }
    [[nodiscard]] result<basic_block<Alloc>> load(std::size_t i) const { return table_->load(i, how_); }

private:
    const db_table<Alloc>* table_;
    block_options how_;
};

/// Walks tables that stand in key order and do not overlap, one behind the other. The tables must outlive it.
template <class Alloc>
class run_cursor {
    using inner_cursor = table_cursor<table_reader<Alloc>>;

public:
    /// Requires count > 0.
    run_cursor(const table_pointer<Alloc>* tables, std::size_t count, block_options how)
        : tables_(tables),
          count_(count),
          how_(how),
          inner_(table_reader<Alloc>(tables[0].get(), how), tables[0]->file().allocator()) {}

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
        if (number != number_) inner_.change(table_reader<Alloc>(tables_[number].get(), how_));
        number_ = number;
    }
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
    block_options how_;
    std::size_t number_ = 0;
    inner_cursor inner_;
};

}  // namespace lsm::detail
