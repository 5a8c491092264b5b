#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/or_out_of_memory.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/db/disk/manifest.hpp>
#include <lsm/db/state/db_context.hpp>
#include <lsm/db/state/db_table.hpp>
#include <lsm/db/state/memory_budget.hpp>
#include <lsm/db/state/version_store.hpp>

namespace lsm::detail {

/// A change to the tables of the database.
template <class Alloc>
struct table_edit {
    std::vector<std::uint64_t> removed = {};
    /// Levels and tables. A table that is also in `removed` only changes its level.
    std::vector<std::pair<int, table_pointer<Alloc>>> added = {};
    /// The memtable that became the added table, after a flush.
    const db_memtable<Alloc>* flushed = nullptr;

    [[nodiscard]] bool removes(std::uint64_t id) const noexcept {
        return std::ranges::find(removed, id) != removed.end();
    }
    [[nodiscard]] bool adds(std::uint64_t id) const noexcept {
        return std::ranges::any_of(added, [id](const auto& a) { return a.second->id() == id; });
    }
};

/// The table files and MANIFEST of a database: opens tables, gives out ids, and changes which tables there are, first
/// on the disk and then in the current version.
template <class Alloc>
class table_store {
public:
    table_store(db_context<Alloc>& context, std::shared_ptr<table_resources<Alloc>> shared,
                version_store<Alloc>& versions, memory_budget<Alloc>& memory)
        : context_(context), shared_(std::move(shared)), versions_(versions), memory_(memory) {}

    [[nodiscard]] result<table_pointer<Alloc>> open(std::uint64_t id) {
        return db_table<Alloc>::open(context_.directory, id, shared_, context_.alloc);
    }

    /// Opens the tables of a MANIFEST. From then on ids above all of these and `highest_id` are given out.
    /// Errors: bad_manifest; those of open().
    result<std::shared_ptr<const table_set<Alloc>>> open_listed(const std::vector<manifest_line>& lines,
                                                                std::uint64_t highest_id) {
        auto out = std::allocate_shared<table_set<Alloc>>(context_.alloc, context_.alloc);
        next_id_ = highest_id + 1;
        std::size_t number = 0;
        const auto wrong = [&](std::string_view why) {
            return bad_manifest(number, why).in(context_.directory.path_of(manifest_name));
        };
        for (const auto& line : lines) {
            ++number;
            auto opened = open(line.id);
            if (!opened && opened.error().code == errc::not_found)
                return wrong("lists " + table_name(line.id) + ", which is missing");
            if (!opened) return std::move(opened).error();
            next_id_ = std::max(next_id_.load(), line.id + 1);
            auto& level = out->levels[static_cast<std::size_t>(line.level)];
            if (line.level > 0) {
                if ((*opened)->empty()) continue;  // has no place in a key order
                if (!level.empty() && level.back()->largest() >= (*opened)->smallest())
                    return wrong(table_name(level.back()->id()) + " and " + table_name(line.id) +
                                 " overlap or are out of order");
            }
            level.push_back(*std::move(opened));
        }
        out->index_levels();
        return std::shared_ptr<const table_set<Alloc>>(std::move(out));
    }

    result<std::uint64_t> new_id() {
        const std::uint64_t id = next_id_.fetch_add(1);
        if (id > largest_id) return no_id_left();
        return id;
    }
    /// Checks that new_id() can give out `count` more ids.
    [[nodiscard]] result<void> check_ids(std::uint64_t count) const {
        if (next_id_ + count > largest_id + 1) return no_id_left();
        return {};
    }

    /// Writes MANIFEST for the current tables.
    result<void> write_manifest() {
        const std::lock_guard guard(installing_);
        return replace_with(*versions_.tables());
    }

    /// Applies `edit`: replaces MANIFEST, then the version, then removes the files of removed tables. After an error
    /// nothing has changed for readers and the added tables are not in use; if the disk may hold the new MANIFEST
    /// nevertheless, the database is poisoned. Waits for lookups in progress.
    result<void> install(const table_edit<Alloc>& edit) {
        {
            const std::lock_guard guard(installing_);
            if (auto done = install_alone(edit); !done) return done;
        }
        memory_.rebalance();
        return {};
    }

    /// Removes the file of a table that is not part of the database. If that fails, the next open removes it.
    void remove(std::uint64_t id) noexcept {
        const std::lock_guard guard(removing_);
        unless_out_of_memory([&] {
            if (released_) return;
            if (holds_ == 0)
                static_cast<void>(context_.directory.remove(table_name(id)));
            else
                held_back_.push_back(id);
        });
    }
    /// From now on removes no file: the next owner of the directory may give the same names to its own tables.
    void release() noexcept {
        const std::lock_guard guard(removing_);
        released_ = true;
        held_back_.clear();
    }

    /// Makes sure, as far as the system allows, that cursors can read on when the directory has another owner.
    static void let_outlive(const version<Alloc>& pinned) {
        pinned.tables->for_each([](int, const auto& t) { static_cast<void>(t->outlive_name()); });
    }

    /// While one exists, no table file is removed.
    class file_hold {
    public:
        explicit file_hold(table_store& owner) : owner_(owner) {
            const std::lock_guard guard(owner_.removing_);
            ++owner_.holds_;
        }
        file_hold(const file_hold&) = delete;
        ~file_hold() {
            const std::lock_guard guard(owner_.removing_);
            if (--owner_.holds_ != 0) return;
            for (const std::uint64_t id : std::exchange(owner_.held_back_, {}))
                unless_out_of_memory([&] { static_cast<void>(owner_.context_.directory.remove(table_name(id))); });
        }

    private:
        table_store& owner_;
    };

private:
    [[nodiscard]] error no_id_left() const {
        return failure(errc::too_large, "no table id is left up to 2^63-1").in(context_.directory.path());
    }

    // Requires installing_.
    result<void> install_alone(const table_edit<Alloc>& edit) {
        if (auto good = context_.health.check(); !good) return good;
        const auto before = versions_.tables();
        auto next = versions_.prepare();
        next->tables = edited(*before, edit);
        if (auto listed = replace_with(*next->tables); !listed) return listed;
        // The disk has the new tables: if readers cannot get them, memory and disk no longer agree.
        auto shown = or_out_of_memory(context_.directory.path(), [&]() -> result<void> {
            versions_.publish(std::move(next), [&](const version<Alloc>* old, version<Alloc>& fresh) {
                fresh.take_memtables_but(edit.flushed, *old);
            });
            return {};
        });
        if (!shown) return context_.health.poison(std::move(shown).error());
        // A table whose file cannot be kept readable keeps its name, until the next open.
        before->for_each([&](int, const auto& t) {
            if (!edit.removes(t->id()) || edit.adds(t->id())) return;
            if (or_out_of_memory(context_.directory.path(), [&] { return t->outlive_name(); })) remove(t->id());
        });
        return {};
    }

    // Only an error after which the old MANIFEST is certainly the one on the disk leaves the database healthy.
    result<void> replace_with(const table_set<Alloc>& tables) {
        progress reached{};
        auto done = or_out_of_memory(context_.directory.path(),
                                     [&] { return replace_manifest(context_.directory, tables.lines(), reached); });
        if (done || reached == progress::nothing_written) return done;
        if (done.error().code == errc::no_space && reached == progress::not_renamed) return done;
        return context_.health.poison(std::move(done).error());
    }

    [[nodiscard]] std::shared_ptr<const table_set<Alloc>> edited(const table_set<Alloc>& old,
                                                                 const table_edit<Alloc>& edit) const {
        auto out = std::allocate_shared<table_set<Alloc>>(context_.alloc, context_.alloc);
        // In level 0 a flushed table is the newest, and the result of a merge takes the place of its newest input.
        std::size_t place = 0;
        if (edit.flushed == nullptr) {
            const auto& newest_first = old.levels[0];
            const auto removed =
                std::ranges::find_if(newest_first, [&](const auto& t) { return edit.removes(t->id()); });
            place = static_cast<std::size_t>(removed - newest_first.begin());
        }
        old.for_each([&](int level, const auto& t) {
            if (!edit.removes(t->id())) out->levels[static_cast<std::size_t>(level)].push_back(t);
        });
        for (const auto& [level, table] : edit.added) {
            auto& tables = out->levels[static_cast<std::size_t>(level)];
            const auto is_after = [&t = *table](const auto& other) { return t.smallest() < other->smallest(); };
            const auto at = level == 0 ? tables.begin() + static_cast<std::ptrdiff_t>(place)
                                       : std::ranges::find_if(tables, is_after);
            tables.insert(at, table);
        }
        out->index_levels();
        return out;
    }

    db_context<Alloc>& context_;
    std::shared_ptr<table_resources<Alloc>> shared_;
    version_store<Alloc>& versions_;
    memory_budget<Alloc>& memory_;
    std::atomic<std::uint64_t> next_id_ = 1;
    std::mutex installing_;  // one change at a time, including the write of MANIFEST

    std::mutex removing_;  // guards the rest
    unsigned holds_ = 0;
    std::vector<std::uint64_t> held_back_;  // removed while there were holds
    bool released_ = false;
};

}  // namespace lsm::detail
