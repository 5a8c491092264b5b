#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include <lsm/cache/block_cache.hpp>
#include <lsm/core/bytes.hpp>
#include <lsm/core/cursor.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/range.hpp>
#include <lsm/core/result.hpp>
#include <lsm/memtable/memtable.hpp>
#include <lsm/merge/merging_iterator.hpp>
#include <lsm/sstable/table.hpp>

namespace lsm::detail {

template <class Alloc>
using db_cache = basic_block_cache<basic_block<Alloc>, capacity_in_bytes, Alloc>;

/// A table of the database: read through its block cache. A block_source.
template <class Alloc>
class db_table {
public:
    using block_type = basic_block<Alloc>;

    db_table(int level, std::uint64_t id, table<Alloc> file, std::shared_ptr<db_cache<Alloc>> cache)
        : level_(level), id_(id), file_(std::move(file)), cache_(std::move(cache)) {}

    [[nodiscard]] int level() const noexcept { return level_; }
    [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
    [[nodiscard]] std::uint64_t file_bytes() const noexcept { return file_.file_bytes(); }
    [[nodiscard]] const table_index<Alloc>& index() const noexcept { return file_.index(); }
    [[nodiscard]] bool may_contain(bytes_view key) const noexcept { return file_.may_contain(key); }

    /// The largest key, which extended tables know and others must look up. Requires a table with entries.
    result<basic_bytes<Alloc>> largest_key(const Alloc& alloc) const {
        if (const auto known = file_.extension().properties()) return basic_bytes<Alloc>(known->largest, alloc);
        const auto last = load(index().size() - 1);
        if (!last) return last.error();
        return basic_bytes<Alloc>(last->key(last->size() - 1), alloc);
    }

    result<block_type> load(std::size_t i) const {
        const block_key place{id_, file_.index()[i].offset};
        if (auto cached = cache_->get(place)) return *std::move(cached);
        auto loaded = file_.load(i);
        if (loaded) cache_->insert(place, *loaded);
        return loaded;
    }

private:
    int level_;
    std::uint64_t id_;
    table<Alloc> file_;
    std::shared_ptr<db_cache<Alloc>> cache_;
};

/// What the database holds at one time: a memtable, and tables from the newest to the oldest. Immutable, except that
/// the memtable grows: a reader sees it up to a sequence.
template <class Alloc>
struct version {
    using table_list = std::vector<
        std::shared_ptr<const db_table<Alloc>>,
        typename std::allocator_traits<Alloc>::template rebind_alloc<std::shared_ptr<const db_table<Alloc>>>>;

    std::shared_ptr<const memtable_core<Alloc>> memtable;
    table_list tables;
};

/// A memtable's or a table's cursor.
template <class Alloc>
class source_cursor {
public:
    source_cursor(memtable_cursor<Alloc> inner) : inner_(std::move(inner)) {}
    source_cursor(table_cursor<db_table<Alloc>> inner) : inner_(std::move(inner)) {}

    [[nodiscard]] bool valid() const {
        return visit([](const auto& at) { return at.valid(); });
    }
    [[nodiscard]] bytes_view key() const {
        return visit([](const auto& at) { return at.key(); });
    }
    [[nodiscard]] entry_view entry() const {
        return visit([](const auto& at) { return at.entry(); });
    }
    [[nodiscard]] result<void> status() const {
        return visit([](const auto& at) { return at.status(); });
    }
    void next() {
        visit([](auto& at) { at.next(); });
    }
    void prev() {
        visit([](auto& at) { at.prev(); });
    }
    void seek_to_first() {
        visit([](auto& at) { at.seek_to_first(); });
    }
    void seek_to_last() {
        visit([](auto& at) { at.seek_to_last(); });
    }
    void seek(bytes_view key) {
        visit([key](auto& at) { at.seek(key); });
    }

private:
    // Two alternatives, so a branch; std::visit would go through a table of functions.
    template <class F>
    decltype(auto) visit(F f) {
        if (auto* const at = std::get_if<0>(&inner_)) return f(*at);
        return f(*std::get_if<1>(&inner_));
    }
    template <class F>
    decltype(auto) visit(F f) const {
        if (const auto* const at = std::get_if<0>(&inner_)) return f(*at);
        return f(*std::get_if<1>(&inner_));
    }

    std::variant<memtable_cursor<Alloc>, table_cursor<db_table<Alloc>>> inner_;
};

template <class Alloc>
using view_cursor = merging_iterator<source_cursor<Alloc>, Alloc>;

/// All of a version as a reader at `at` sees it.
template <class Alloc>
[[nodiscard]] view_cursor<Alloc> view_of(const version<Alloc>& from, sequence at, merge_options options,
                                         const Alloc& alloc) {
    using source = source_cursor<Alloc>;
    std::vector<source, typename std::allocator_traits<Alloc>::template rebind_alloc<source>> sources(alloc);
    sources.reserve(1 + from.tables.size());
    sources.emplace_back(memtable_cursor<Alloc>(from.memtable, at));
    for (const auto& t : from.tables) sources.emplace_back(table_cursor<db_table<Alloc>>(t));
    return view_cursor<Alloc>(std::move(sources), options, alloc);
}

/// Calls `use` with the newest entry of `key`, tombstones included, while it is in memory; not at all if there is none.
template <class Alloc, class Use>
result<void> find_newest(const version<Alloc>& in, bytes_view key, sequence at, Use use) {
    if (const auto* const seen = in.memtable->find(key, at)) {
        use(seen->entry());
        return {};
    }
    for (const auto& t : in.tables) {
        const auto found = find(*t, key);
        if (!found) return found.error();
        if (!*found) continue;
        use((*found)->entry);
        return {};
    }
    return {};
}

}  // namespace lsm::detail
