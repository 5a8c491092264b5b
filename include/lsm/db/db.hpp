#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <lsm/core/batch_coding.hpp>
#include <lsm/core/bytes.hpp>
#include <lsm/core/hex.hpp>
#include <lsm/core/range.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/admin/verify.hpp>
#include <lsm/db/db_core.hpp>
#include <lsm/db/options.hpp>
#include <lsm/db/read/scan_cursor.hpp>
#include <lsm/db/statistics.hpp>
#include <lsm/db/write_batch.hpp>
#include <lsm/fwd.hpp>
#include <lsm/io/sink.hpp>
#include <lsm/merge/merging_iterator.hpp>
#include <lsm/merge/serialize_stream.hpp>
#include <lsm/policy/policies.hpp>
#include <lsm/policy/typed_cursor.hpp>

namespace lsm {

/// The bytes that every `Key`, a tuple or pair, begins with whose first elements are these, for scan({.prefix = ...}).
/// The elements become those of the key as in its constructor.
template <class Key, class... Elements>
requires(sizeof...(Elements) <= std::tuple_size_v<Key>) [[nodiscard]] bytes key_prefix(const Elements&... elements) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
        using first_elements = std::tuple<std::tuple_element_t<I, Key>...>;
        bytes out;
        key_codec<first_elements>::encode(first_elements(elements...), out);
        return out;
    }
    (std::index_sequence_for<Elements...>());
}

/// A database as it was at one moment. Costs next to nothing to take; what the database changes later it keeps for the
/// snapshot, memtables included, until the last copy is gone. May outlive the database. Copies are the same snapshot;
/// one object is for one thread at a time.
template <class Policies>
class basic_snapshot {
    using pinned = detail::pinned_version<typename Policies::allocator_type>;

private:
    friend class basic_db<Policies>;
    explicit basic_snapshot(pinned state) noexcept : state_(std::move(state)) {}

    pinned state_;
};

/// A value that stays where the database has it, for as long as this or a copy lives: in a block of a table, or in a
/// memtable, which then keeps its state of the database as a snapshot does. May outlive the database.
template <class Policies>
class basic_pinned_value {
    using keeper = detail::entry_keeper<typename Policies::allocator_type>;
    using value_view = typename Policies::value_view;

public:
    [[nodiscard]] const value_view& operator*() const noexcept { return value_; }
    [[nodiscard]] const value_view* operator->() const noexcept { return &value_; }

private:
    friend class basic_db<Policies>;
    basic_pinned_value(value_view value, keeper kept) noexcept : value_(std::move(value)), kept_(std::move(kept)) {}

    value_view value_;
    keeper kept_;
};

/// An ordered, crash-safe key-value store in a directory.
///
/// A write that returned ok survives the end of the process and, unless sync is off, a power cut; a batch does so whole
/// or not at all. After a failed write or sync of the log or MANIFEST every later write returns that error until the
/// database is opened again; reads go on. A full disk is no such failure: the write is refused, and may be tried again.
///
/// Any number of threads may use one db; a cursor is for one at a time. Reads wait for nobody. Writes that wait for the
/// disk are made durable together. Opening and moving, closing by the destructor and assignment are for one thread
/// alone. One process at a time, by a lock that ends with it. Move-only; a moved-from db can only be assigned to or
/// destroyed. What is destroyed without close() is closed, its errors unseen. The allocator must be one for many
/// threads, unless options::executor is inline and the program has but one.
///
/// A child made by fork() must not use it: there it may be destroyed, which does nothing. As long as the child lives
/// and has not called exec, the directory stays locked.
template <class Policies>
class basic_db {
    using alloc = typename Policies::allocator_type;
    using core = detail::db_core<alloc>;
    using key_argument = typename Policies::key_argument;
    using value_argument = typename Policies::value_argument;
    using optional_value = std::optional<typename Policies::value_type>;

public:
    using policies_type = Policies;
    using batch = basic_write_batch<Policies>;
    using snapshot_type = basic_snapshot<Policies>;
    using pinned_value = basic_pinned_value<Policies>;
    using cursor = typed_cursor<Policies, detail::range_cursor<detail::scan_cursor<alloc>, alloc>>;

    struct read_options {
        /// Read what was there then; else what is there now. Must have been taken of this db object, or of one that it
        /// was moved from (else invalid_argument), and outlive the call.
        const snapshot_type* at = nullptr;
        /// Check blocks that are read from a file against their checksums. Blocks that are not do not stay in the
        /// cache.
        bool verify_checksums = true;
        /// Keep blocks that are read in the cache.
        bool fill_cache = true;
    };

    struct scan_options {
        /// The first key of the range.
        std::optional<typename Policies::key_view> from = {};
        /// The first key behind the range.
        std::optional<typename Policies::key_view> to = {};
        /// Of these only keys whose encoding begins with these bytes: for tuples, see key_prefix().
        std::optional<bytes_view> prefix = {};
        /// From the last key to the first.
        bool reverse = false;
        /// As in read_options; the cursor may outlive the snapshot. A long walk reads much at once, and that does not
        /// stay in the cache.
        const snapshot_type* at = nullptr;
        bool verify_checksums = true;
        bool fill_cache = true;
    };

    /// Keys from `from` (included) to `to` (not included); without a bound, to that end.
    struct key_interval {
        std::optional<typename Policies::key_view> from = {};
        std::optional<typename Policies::key_view> to = {};
    };

    basic_db(basic_db&&) noexcept = default;
    basic_db& operator=(basic_db&& other) noexcept {
        if (this == &other) return *this;
        const basic_db old(std::move(*this));
        core_ = std::move(other.core_);
        return *this;
    }
    ~basic_db() {
        if (core_ && !core_->in_opening_process()) abandon_in_child();
    }

    /// Opens the database in `directory`, or makes one. Errors: locked (open already, here or in another process),
    /// bad_manifest, corruption (a damaged log), a table's errors, not_found or exists (as the options ask),
    /// invalid_argument (something in its files' place that is no file), too_large (no number is left for another
    /// file), with read_only stale, no_space, io. A database that does not open is left as it is.
    static result<basic_db> open(std::string_view directory, const options& how = {}, const alloc& allocator = {}) {
        auto opened = core::open(directory, how, allocator);
        if (!opened) return std::move(opened).error();
        return basic_db(*std::move(opened));
    }

    /// Sets the value of `key`. Errors: too_large, no_space, io, closed, read_only. Expected O(log n) in the memtable.
    /// Waits for the disk if the write is to be synced, and is slowed down while flushes and compactions are behind.
    result<void> put(key_argument key, value_argument value, write_options how = {}) {
        const detail::encoded_key<Policies> k(key, core_->allocator());
        const detail::encoded_value<Policies> v(value, core_->allocator());
        return write_one(k.view(), {entry_type::value, v.view()}, how);
    }
    /// Deletes `key`, whether it is there or not. Otherwise as put().
    result<void> del(key_argument key, write_options how = {}) {
        const detail::encoded_key<Policies> k(key, core_->allocator());
        return write_one(k.view(), {entry_type::tombstone, {}}, how);
    }
    /// Applies all of `operations`, or none if it returns an error before a power cut can tell. Otherwise as put().
    result<void> write(const batch& operations, write_options how = {}) {
        if (operations.too_large())
            return detail::failure(errc::too_large, "a write batch has at most 2^32-1 bytes and operations");
        if (operations.count() == 0) return core_->writable();
        return core_->write(operations.encode().substr(detail::batch_header_bytes), operations.count(), how);
    }

    /// The value of `key`, or nothing. Errors: damage in a table, bad_value, io; stale, if a database that was opened
    /// with read_only has lost the table to a writer before it could be read; another may have its name by then.
    [[nodiscard]] result<optional_value> get(key_argument key, read_options how = {}) const {
        const detail::encoded_key<Policies> target(key, core_->allocator());
        optional_value out;
        bool good = true;
        auto found = core_->find(target.view(), pin_in(how), blocks(how),
                                 [&](entry_view entry, auto) { good = decode(entry, out); });
        if (!found) return std::move(found).error();
        if (!good) return bad_value(target.view());
        return out;
    }

    /// The same without a copy: the value where the database has it.
    [[nodiscard]] result<std::optional<pinned_value>> get_view(key_argument key, read_options how = {}) const {
        const detail::encoded_key<Policies> target(key, core_->allocator());
        std::optional<detail::entry_keeper<alloc>> kept;
        std::optional<typename Policies::value_view> value;
        detail::block_options pinning = blocks(how);
        pinning.pin = true;
        auto found = core_->find(target.view(), pin_in(how), pinning, [&](entry_view entry, auto keep) {
            if (entry.tombstone()) return;
            kept.emplace(keep());
            value = detail::decode_value<Policies>(entry.value);
        });
        if (!found) return std::move(found).error();
        if (!kept) return std::optional<pinned_value>();
        if (!value) return bad_value(target.view());
        return std::optional<pinned_value>(pinned_value(*std::move(value), *std::move(kept)));
    }

    /// The value of each key, or nothing, all of one moment. As get().
    [[nodiscard]] result<std::vector<optional_value>> multi_get(const std::vector<typename Policies::key_type>& keys,
                                                                read_options how = {}) const {
        std::vector<basic_bytes<alloc>> targets;
        targets.reserve(keys.size());
        for (const auto& key : keys)
            targets.emplace_back(detail::encoded_key<Policies>(key, core_->allocator()).view(), core_->allocator());
        std::vector<optional_value> out(keys.size());
        std::optional<std::size_t> bad;
        auto found = core_->find_all(targets, pin_in(how), blocks(how), [&](std::size_t i, entry_view entry) {
            if (!decode(entry, out[i])) bad = i;
        });
        if (!found) return std::move(found).error();
        if (bad) return bad_value(targets[*bad]);
        return out;
    }

    /// Whether `key` has a value. As get().
    [[nodiscard]] result<bool> contains(key_argument key, read_options how = {}) const {
        const detail::encoded_key<Policies> target(key, core_->allocator());
        bool there = false;
        auto found = core_->find(target.view(), pin_in(how), blocks(how),
                                 [&](entry_view entry, auto) { there = !entry.tombstone(); });
        if (!found) return std::move(found).error();
        return there;
    }

    /// The keys of a range and their values, as they are now: later writes do not show. The cursor may outlive the db.
    /// Errors are in its status(): those of get(), and over_budget.
    [[nodiscard]] cursor scan(const scan_options& part = {}) const {
        const alloc& allocator = core_->allocator();
        detail::key_range<alloc> bounds(allocator);
        if (part.from) bounds.from.set(detail::encoded_key<Policies>(*part.from, allocator).view());
        if (part.to) bounds.to.set(detail::encoded_key<Policies>(*part.to, allocator).view());
        if (part.prefix) {
            detail::key_bound<alloc> behind(allocator);
            behind.set_behind_prefix(*part.prefix);
            if (behind && (!bounds.to || *behind < *bounds.to)) bounds.to = std::move(behind);
            if (!bounds.from || *bounds.from < *part.prefix) bounds.from.set(*part.prefix);
        }
        bounds.reverse = part.reverse;
        return cursor({core_->view(pin_in(part), {.drop_tombstones = true}, blocks(part)), std::move(bounds)},
                      allocator, core_->directory());
    }

    /// This moment, to read later. over_budget, if options::memory_budget_bytes has no room.
    [[nodiscard]] result<snapshot_type> snapshot() const {
        auto pinned = core_->pin();
        if (!pinned) return std::move(pinned).error();
        return snapshot_type(*std::move(pinned));
    }

    /// Makes what is in memory a table, and waits until that is done; with nothing there, nothing. Errors: no_space, io
    /// (the memtable and its log are kept, and it is tried again by itself), closed, read_only.
    result<void> flush() { return core_->flush(); }

    /// Flushes, and merges what overlaps the range into one level. What was overwritten or deleted there gives its
    /// space back, as far as no snapshot or cursor still holds it. Runs in this thread; reads and writes go on. O(bytes
    /// in the range), and needs as much space on the disk meanwhile. Errors: those of flush(), and damage in a table.
    result<void> compact(const key_interval& range = {}) {
        const alloc& allocator = core_->allocator();
        std::optional<detail::encoded_key<Policies>> from, to;
        if (range.from) from.emplace(*range.from, allocator);
        if (range.to) to.emplace(*range.to, allocator);
        return core_->compact(from ? std::optional(from->view()) : std::nullopt,
                              to ? std::optional(to->view()) : std::nullopt);
    }

    /// Waits until maintenance has nothing left to do. An error is why it cannot do something: those of compact().
    result<void> settle() { return core_->settle(); }

    /// Makes a database in `directory`, which must not have one, of this moment's contents. Writes go on meanwhile.
    /// Takes little space on the same file system, as tables are shared (hard links) until compactions part them.
    /// Errors: exists, closed, too_large (no number is left for a table), no_space, io, and of a database that was
    /// opened with read_only, or is closed meanwhile, stale, if a writer has taken a table away or put another in its
    /// place. After an error files may be left there, but no database.
    result<void> checkpoint(std::string_view directory) const { return core_->checkpoint(directory); }

    /// Reads every byte of all tables again, and says what is damaged. An error is that it could not read: closed, io,
    /// and stale, as for checkpoint().
    [[nodiscard]] result<verify_report> verify() const { return core_->verify(); }

    /// The SHA-256 of the merge stream (formats, section 4) of the live keys: the same for equal contents, whatever
    /// came before.
    [[nodiscard]] result<std::array<unsigned char, 32>> digest(const snapshot_type* at = nullptr) const {
        return core_->digest(at == nullptr ? nullptr : &at->state_);
    }

    /// Of a database opened with options::read_only: sees from now on what another process has written meanwhile.
    /// Cursors and snapshots stay as they are. Errors: those of open(), closed, and invalid_argument where it may
    /// write; nothing has changed then.
    result<void> refresh() { return core_->refresh(); }

    /// The tables, in the order of their age, newest first; above level 0 by level and key.
    [[nodiscard]] std::vector<live_table> live_tables() const {
        std::vector<live_table> out;
        core_->tables()->for_each([&](int level, const auto& t) { out.push_back({level, t->id(), t->file_bytes()}); });
        return out;
    }

    /// Writes the merge stream (formats, section 4) of all there is to `out`: equal contents, equal bytes, if
    /// tombstones are dropped.
    result<void> serialize_view(io::sink& out, merge_options how = {.drop_tombstones = true}) const {
        auto all = core_->view(nullptr, how, {});
        all.seek_to_first();
        return serialize_stream(all, out, core_->allocator());
    }

    /// What it has done and what it holds. Takes a while with very many tables or pins.
    [[nodiscard]] statistics stats() const { return core_->stats(); }

    /// What opening found in the logs.
    [[nodiscard]] recovery_report recovered() const { return core_->recovered(); }

    /// Makes everything durable that this db has written without sync, and lets go of the directory. Work in the
    /// background is broken off; nothing is lost by that. Later writes return errc::closed; reads go on to see what was
    /// there. Does not flush. An error is why what was not synced may not be durable: what has stopped the log, or io.
    /// Closed it is all the same, and to close it again does nothing.
    result<void> close() {
        if (!core_->in_opening_process())
            return detail::failure(errc::closed, "opened by the parent").in(core_->directory());
        return core_->close();
    }

private:
    explicit basic_db(std::shared_ptr<core> opened) : core_(std::move(opened)) {}

    // An operation is encoded on the stack if it is small.
    result<void> write_one(bytes_view key, entry_view entry, write_options how) {
        if (key.size() > max_length || entry.value.size() > max_length)
            return detail::failure(errc::too_large, "a key or value has at most 2^32-1 bytes");
        detail::operation_buffer<alloc> operation(core_->allocator());
        detail::append_batch_operation(operation, key, entry);
        return core_->write(operation.view(), 1, how);
    }

    template <class How>
    [[nodiscard]] static const detail::pinned_version<alloc>* pin_in(const How& how) noexcept {
        return how.at == nullptr ? nullptr : &how.at->state_;
    }
    template <class How>
    [[nodiscard]] static detail::block_options blocks(const How& how) noexcept {
        return {.fill_cache = how.fill_cache, .verify_checksums = how.verify_checksums};
    }
    [[nodiscard]] static bool decode(entry_view entry, optional_value& out) {
        if (entry.tombstone()) return true;
        out = Policies::value_codec::decode(entry.value);
        return out.has_value();
    }
    LSM_COLD error bad_value(bytes_view key) const {
        return detail::failure(errc::bad_value, "at key " + hex(key)).in(core_->directory());
    }

    // In a child of the process that opened it: its threads are not here, and its log is the parent's. So nothing is
    // done, and the memory is kept.
    void abandon_in_child() noexcept {
        union kept {
            std::shared_ptr<core> core_of_parent;
            explicit kept(std::shared_ptr<core> from) noexcept : core_of_parent(std::move(from)) {}
            ~kept() {}
        } forever(std::move(core_));
    }

    std::shared_ptr<core> core_;
};

}  // namespace lsm
