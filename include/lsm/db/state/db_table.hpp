#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <lsm/cache/shared_cache.hpp>
#include <lsm/core/bytes.hpp>
#include <lsm/core/reader_slots.hpp>
#include <lsm/core/result.hpp>
#include <lsm/core/vector_of.hpp>
#include <lsm/db/disk/db_directory.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/db/options.hpp>
#include <lsm/db/state/found_entry.hpp>
#include <lsm/io/file.hpp>
#include <lsm/sstable/table.hpp>

namespace lsm::detail {

/// What all tables of a database share. May outlive the database.
template <class Alloc>
struct table_resources {
    table_resources(const options& opts, std::shared_ptr<reader_slots> readers)
        : cache(opts.block_cache_bytes, std::move(readers)), handles_left(opts.max_open_files), map(opts.map_tables) {}

    shared_cache<block_contents<Alloc>> cache;
    std::atomic<std::int64_t> handles_left;
    const bool map;
};

/// How to read blocks.
struct block_options {
    bool fill_cache = true;
    bool verify_checksums = true;
    bool pin = false;  // the entry must lie in a block that can be held, or in the table's map
};

/// An open table of the database, read through the block cache. Immutable except for what the cache keeps of it.
template <class Alloc>
class db_table {
    using flag = std::atomic<bool>;

public:
    using block_type = basic_block<Alloc>;

    /// Opens table `id`. Errors: not_found; those of table::open(); damage in the last block of a table without
    /// properties.
    static result<std::shared_ptr<const db_table>> open(const db_directory& directory, std::uint64_t id,
                                                        const std::shared_ptr<table_resources<Alloc>>& shared,
                                                        const Alloc& alloc) {
        auto file = directory.open_to_read(table_name(id));
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
          well_formed_(file_.index().size(), alloc),
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

    /// Makes sure that the table can still be read after its file has lost its name. One thread at a time.
    [[nodiscard]] result<void> outlive_name() const { return file_.file().hold_open(); }

    [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
    [[nodiscard]] std::uint64_t file_bytes() const noexcept { return file_.file_bytes(); }
    [[nodiscard]] const table<Alloc>& file() const noexcept { return file_; }
    [[nodiscard]] const table_index<Alloc>& index() const noexcept { return file_.index(); }
    [[nodiscard]] std::size_t memory_bytes() const noexcept {
        return file_.memory_bytes() + slots_.capacity() * (sizeof(cache_slot) + sizeof(flag)) + largest_.capacity();
    }

    [[nodiscard]] bool empty() const noexcept { return index().size() == 0; }
    /// These two require a table that is not empty.
    [[nodiscard]] bytes_view smallest() const noexcept { return index()[0].first_key; }
    [[nodiscard]] bytes_view largest() const noexcept { return largest_; }

    [[nodiscard]] bool covers(bytes_view key) const noexcept {
        return !empty() && smallest() <= key && key <= largest();
    }
    /// False only if the table does not have the key whose xxh64() is `hash`.
    [[nodiscard]] bool may_contain(std::uint64_t hash) const noexcept { return file_.extension().may_contain(hash); }

    /// Returns the entry of `key`, or none. Reads at most one block. Requires that the caller has entered the cache's
    /// reader_slots, and stays there while it uses the entry.
    result<found_entry<Alloc>> find(bytes_view key, block_options options, read_counters& counters,
                                    lookup_buffer& buffer) const {
        const auto number = index().floor(key);
        if (!number) return found_entry<Alloc>();
        if (auto* const cached = slots_[*number].template find<block_contents<Alloc>>()) {
            counters.cache_hits.fetch_add(1, std::memory_order_relaxed);
            cached->mark_used();
            return found_entry<Alloc>{cached->view.find(key), holdable(*cached)};
        }
        counters.cache_misses.fetch_add(1, std::memory_order_relaxed);
        const bool keep = admits(*number, options);
        // A block that nothing keeps need not be decoded whole, if an earlier reading has found it well-formed.
        if (!keep && !options.pin && options.verify_checksums && file_.can_look_up(*number) &&
            well_formed_[*number].load(std::memory_order_relaxed)) {
            auto entry = file_.look_up(*number, key, buffer);
            if (!entry) return std::move(entry).error();
            return found_entry<Alloc>{*entry};
        }
        auto loaded = load(*number, options, keep);
        if (!loaded) return std::move(loaded).error();
        auto& block = loaded->item();
        return found_entry<Alloc>{block.view.find(key), holdable(block), std::move(*loaded).release()};
    }

    /// Returns block `i` if it is in the cache, and an empty block otherwise.
    [[nodiscard]] block_type cached(std::size_t i) const noexcept {
        const auto pass = shared_->cache.readers().enter();
        auto* const found = slots_[i].template find<block_contents<Alloc>>();
        if (found == nullptr) {
            pass.counters().cache_misses.fetch_add(1, std::memory_order_relaxed);
            return {};
        }
        pass.counters().cache_hits.fetch_add(1, std::memory_order_relaxed);
        found->mark_used();
        found->hold();
        return block_type(item_pointer<block_contents<Alloc>>(found));
    }
    /// Reads block `i` from the file.
    result<block_type> load(std::size_t i, block_options options) const { return load(i, options, admits(i, options)); }

private:
    // A block of a mapped file has no bytes of its own: the table must be held instead.
    [[nodiscard]] block_contents<Alloc>* holdable(block_contents<Alloc>& block) const noexcept {
        return file_.file().mapped() ? nullptr : &block;
    }

    // Whether the cache should keep block i, which it does not have. Readers that want checksums verified also read
    // what it keeps.
    [[nodiscard]] bool admits(std::size_t i, block_options options) const noexcept {
        return options.fill_cache && (options.verify_checksums || !file_.extension().has_checksums()) &&
               shared_->cache.admits(slots_[i], static_cast<std::size_t>(index()[i].size));
    }
    result<block_type> load(std::size_t i, block_options options, bool keep) const {
        auto loaded = file_.load(i, options.verify_checksums);
        if (loaded && options.verify_checksums) well_formed_[i].store(true, std::memory_order_relaxed);
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
    // The blocks that were decoded without a defect. From then on their checksum alone proves them.
    mutable vector_of<flag, Alloc> well_formed_;
    basic_bytes<Alloc> largest_;
};

template <class Alloc>
using table_pointer = std::shared_ptr<const db_table<Alloc>>;

template <class Alloc>
using table_list = vector_of<table_pointer<Alloc>, Alloc>;

}  // namespace lsm::detail
