#pragma once

#include <algorithm>
#include <atomic>
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
#include <lsm/db/state/db_table.hpp>
#include <lsm/db/state/health.hpp>
#include <lsm/db/state/version_store.hpp>
#include <lsm/io/file.hpp>

namespace lsm::detail {

/// A change of the tables of the database.
template <class Alloc>
struct table_edit {
    std::vector<std::uint64_t> removed = {};
    std::vector<std::pair<int, table_pointer<Alloc>>> added = {};  // one that is removed too only changes its level
    const db_memtable<Alloc>* flushed = nullptr;                   // has become the added one
};

/// The table files and MANIFEST of a database: opens tables, gives ids, and changes which tables there are, first on
/// the disk and then in the version.
template <class Alloc>
class table_store {
public:
    table_store(io::file_system& fs, std::string_view directory, std::shared_ptr<table_resources<Alloc>> shared,
                version_store<Alloc>& versions, health& state, const Alloc& alloc)
        : alloc_(alloc),
          fs_(fs),
          directory_(directory),
          shared_(std::move(shared)),
          versions_(versions),
          health_(state) {}

    [[nodiscard]] result<table_pointer<Alloc>> open(std::uint64_t id) {
        return db_table<Alloc>::open(fs_, directory_, id, shared_, alloc_);
    }

    /// The tables of MANIFEST. Errors: bad_manifest; those of an open. Ids beyond all of these, and `highest_id`, are
    /// given out from now on.
    result<std::shared_ptr<const table_set<Alloc>>> open_listed(const std::vector<manifest_line>& lines,
                                                                std::uint64_t highest_id) {
        auto out = std::allocate_shared<table_set<Alloc>>(alloc_, alloc_);
        next_id_ = highest_id + 1;
        std::size_t number = 0;
        const auto wrong = [&](std::string_view why) {
            return bad_manifest(number, why).in(joined(directory_, manifest_name));
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
                if ((*opened)->empty()) continue;  // no part of any order
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
    /// Whether new_id() would give so many.
    [[nodiscard]] result<void> check_ids(std::uint64_t count) const {
        if (next_id_ + count > largest_id + 1) return no_id_left();
        return {};
    }

    /// Writes MANIFEST for the current tables.
    result<void> write_manifest() {
        const std::lock_guard guard(installing_);
        return replace_with(*versions_.tables());
    }

    /// Makes `what` so: MANIFEST, then the version, then the files of removed tables go. After an error nothing has
    /// changed for readers, and the added tables are not in use; health tells whether the disk is sure of it too.
    result<void> install(const table_edit<Alloc>& what) {
        const std::lock_guard guard(installing_);
        if (auto good = health_.check(); !good) return good;
        const auto before = versions_.tables();
        auto next = versions_.prepare();
        next->tables = edited(*before, what);
        if (auto listed = replace_with(*next->tables); !listed) return listed;
        auto shown = or_out_of_memory(directory_, [&]() -> result<void> {
            versions_.publish(std::move(next), [&](const version<Alloc>* old, version<Alloc>& fresh) {
                for (const auto& m : old->memtables)
                    if (m.get() != what.flushed) fresh.memtables.push_back(m);
            });
            return {};
        });
        if (!shown) return health_.poison(std::move(shown).error());
        before->for_each([&](int, const auto& t) {
            const auto is_this = [id = t->id()](const auto& added) { return added.second->id() == id; };
            if (!removes(what, t->id()) || std::ranges::any_of(what.added, is_this)) return;
            if (or_out_of_memory(directory_, [&] { return t->outlive_name(); })) remove(t->id());
        });
        return {};
    }

    /// A file that is no part of the database. That it stays after an error harms nobody: the next open removes it.
    void remove(std::uint64_t id) noexcept {
        const std::lock_guard guard(removing_);
        static_cast<void>(or_out_of_memory(directory_, [&]() -> result<void> {
            if (released_) return {};
            if (holds_ == 0) return fs_.remove(joined(directory_, table_name(id)));
            held_.push_back(id);
            return {};
        }));
    }
    /// Removes nothing any more: the directory is about to be somebody else's, to whom the same names may mean others.
    void release() noexcept {
        const std::lock_guard guard(removing_);
        released_ = true;
        held_.clear();
    }

    /// Makes sure, as far as the system lets it, that cursors can read on when somebody else comes to own the
    /// directory.
    static void let_outlive(const version<Alloc>& pinned) {
        pinned.tables->for_each([](int, const auto& t) { static_cast<void>(t->outlive_name()); });
    }

    /// While one lives, no table file is removed.
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
            for (const std::uint64_t id : std::exchange(owner_.held_, {}))
                static_cast<void>(or_out_of_memory(
                    owner_.directory_, [&] { return owner_.fs_.remove(joined(owner_.directory_, table_name(id))); }));
        }

    private:
        table_store& owner_;
    };

private:
    [[nodiscard]] error no_id_left() const {
        return failure(errc::too_large, "no table id is left up to 2^63-1").in(directory_);
    }

    result<void> replace_with(const table_set<Alloc>& tables) {
        progress reached{};
        auto done =
            or_out_of_memory(directory_, [&] { return replace_manifest(fs_, directory_, tables.lines(), reached); });
        if (done || reached == progress::nothing_written) return done;
        if (done.error().code == errc::no_space && reached == progress::not_renamed) return done;
        return health_.poison(std::move(done).error());
    }

    [[nodiscard]] std::shared_ptr<const table_set<Alloc>> edited(const table_set<Alloc>& old,
                                                                 const table_edit<Alloc>& what) const {
        auto out = std::allocate_shared<table_set<Alloc>>(alloc_, alloc_);
        // What is added to level 0 is newer than all there, or takes the place of the newest that it replaces.
        std::size_t place = 0;
        if (what.flushed == nullptr) {
            const auto& newest_first = old.levels[0];
            const auto gone = std::ranges::find_if(newest_first, [&](const auto& t) { return removes(what, t->id()); });
            place = static_cast<std::size_t>(gone - newest_first.begin());
        }
        old.for_each([&](int level, const auto& t) {
            if (!removes(what, t->id())) out->levels[static_cast<std::size_t>(level)].push_back(t);
        });
        for (const auto& [level, table] : what.added) {
            auto& tables = out->levels[static_cast<std::size_t>(level)];
            const auto at = level == 0 ? tables.begin() + static_cast<std::ptrdiff_t>(place)
                                       : std::ranges::find_if(tables, [&t = *table](const auto& other) {
                                             return t.smallest() < other->smallest();
                                         });
            tables.insert(at, table);
        }
        out->index_levels();
        return out;
    }
    [[nodiscard]] static bool removes(const table_edit<Alloc>& what, std::uint64_t id) noexcept {
        return std::ranges::find(what.removed, id) != what.removed.end();
    }

    [[no_unique_address]] Alloc alloc_;
    io::file_system& fs_;
    std::string directory_;
    std::shared_ptr<table_resources<Alloc>> shared_;
    version_store<Alloc>& versions_;
    health& health_;
    std::atomic<std::uint64_t> next_id_ = 1;
    std::mutex installing_;  // one change at a time, the writing of MANIFEST included

    std::mutex removing_;
    unsigned holds_ = 0;
    std::vector<std::uint64_t> held_;
    bool released_ = false;
};

}  // namespace lsm::detail
