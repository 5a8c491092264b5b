#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <lsm/core/abandon.hpp>
#include <lsm/core/batch_coding.hpp>
#include <lsm/core/bytes.hpp>
#include <lsm/core/hex.hpp>
#include <lsm/core/range.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/db_core.hpp>
#include <lsm/db/options.hpp>
#include <lsm/db/statistics.hpp>
#include <lsm/db/verify_report.hpp>
#include <lsm/db/write_batch.hpp>
#include <lsm/fwd.hpp>
#include <lsm/io/sink.hpp>
#include <lsm/merge/merging_iterator.hpp>
#include <lsm/merge/serialize_stream.hpp>
#include <lsm/policy/policies.hpp>
#include <lsm/policy/typed_cursor.hpp>

namespace lsm {

/// Returns the bytes with which the encoding of every `Key` begins whose first elements are these, for
/// scan({.prefix = ...}). `Key` is a tuple or pair; the elements are converted as by its constructor.
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

/// A database as it was at one moment. Taking one costs next to nothing. What the database changes later it keeps for
/// the snapshot, memtables included, until the last copy is gone. May outlive the database. Copies are the same
/// snapshot. One object may be used by one thread at a time.
template <class Policies>
class basic_snapshot {
    using pinned = detail::pinned_version<typename Policies::allocator_type>;

private:
    friend class basic_db<Policies>;
    explicit basic_snapshot(pinned state) noexcept : state_(std::move(state)) {}

    pinned state_;
};

/// A value that is not copied: a view of where the database has it, valid while this object or a copy lives. If the
/// value is in a block of a table, that block is kept; otherwise the state of the database is kept, as by a snapshot.
/// May outlive the database.
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
/// Durability: a write that returned ok survives the end of the process and, unless sync is off, a power cut; a batch
/// does so whole or not at all. After a failed write or sync of the log or MANIFEST, every later write returns that
/// error until the database is opened again; reads go on. A full disk is no such failure: the write is refused, and may
/// be tried again.
///
/// Threads: any number of threads may use one db; a cursor may be used by one thread at a time. Reads wait for no other
/// thread. Writes that wait for the disk are made durable together. Opening, moving, assignment and destruction require
/// that no other thread uses the object. The allocator must be thread-safe, unless options::executor is inline and the
/// program has only one thread.
///
/// Processes: one process at a time may open a database; its lock ends with the process. A child made by fork() must
/// not use the db. It may destroy it, which does nothing there. While the child lives and has not called exec, the
/// directory stays locked.
///
/// Lifetime: move-only. A moved-from db may only be assigned to or destroyed. The destructor closes the database, and
/// discards the errors of that.
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
        /// Reads the state of this snapshot; if null, the current state. The snapshot must have been taken of this db
        /// object, or of one that it was moved from (otherwise invalid_argument), and must outlive the call.
        const snapshot_type* at = nullptr;
        /// Checks blocks that are read from a file against their checksums. A block that was not checked does not stay
        /// in the cache.
        bool verify_checksums = true;
        /// Keeps blocks that are read in the cache.
        bool fill_cache = true;
    };

    struct scan_options {
        /// The first key of the range.
        std::optional<typename Policies::key_view> from = {};
        /// The first key after the range.
        std::optional<typename Policies::key_view> to = {};
        /// Limits the range further, to keys whose encoding begins with these bytes: for tuples, see key_prefix().
        std::optional<bytes_view> prefix = {};
        /// Goes from the last key to the first.
        bool reverse = false;
        /// As in read_options, but the cursor may outlive the snapshot. A long walk reads several blocks at once, which
        /// do not stay in the cache.
        const snapshot_type* at = nullptr;
        bool verify_checksums = true;
        bool fill_cache = true;
    };

    /// The keys in [from, to); a missing bound is that end of all keys.
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

    /// Opens the database in `directory`, or creates one. After an error the directory's database is as it was.
    /// Errors: locked (open already, here or in another process), bad_manifest, corruption (a damaged log), those of a
    /// damaged table, not_found or exists (as the options ask), invalid_argument (something that is not a file has the
    /// name of one), too_large (no number is left for another file), stale (with read_only), no_space, io.
    static result<basic_db> open(std::string_view directory, const options& opts = {}, const alloc& allocator = {}) {
        auto opened = core::open(directory, opts, allocator);
        if (!opened) return std::move(opened).error();
        return basic_db(*std::move(opened));
    }

    /// Sets the value of `key`. Errors: too_large, no_space, io, closed, read_only. Expected O(log n) in the size of
    /// the memtable. Blocks until the write is on the disk, if it is to be synced; is slowed down while flushes and
    /// compactions are behind.
    result<void> put(key_argument key, value_argument value, write_options options = {}) {
        const detail::encoded_key<Policies> k(key, core_->allocator());
        const detail::encoded_value<Policies> v(value, core_->allocator());
        return write_one(k.view(), {entry_type::value, v.view()}, options);
    }
    /// Deletes `key`, whether it exists or not. Otherwise as put().
    result<void> del(key_argument key, write_options options = {}) {
        const detail::encoded_key<Policies> k(key, core_->allocator());
        return write_one(k.view(), {entry_type::tombstone, {}}, options);
    }
    /// Applies all of `operations`. After an error none of them is visible; if writes are refused from then on, a power
    /// cut or the next open decides between all and none. Otherwise as put().
    result<void> write(const batch& operations, write_options options = {}) {
        if (operations.too_large())
            return detail::failure(errc::too_large, "a write batch has at most 2^32-1 bytes and operations");
        if (operations.count() == 0) return core_->writable();
        return core_->write(operations.encode().substr(detail::batch_header_bytes), operations.count(), options);
    }

    /// Returns the value of `key`, or nothing. Errors: those of a damaged table, bad_value, io; stale if a database
    /// that was opened with read_only has lost a table to a writer before it could be read (its name may belong to
    /// another table by then).
    [[nodiscard]] result<optional_value> get(key_argument key, read_options options = {}) const {
        const detail::encoded_key<Policies> target(key, core_->allocator());
        optional_value out;
        bool good = true;
        auto found = core_->reads().find(target.view(), pin_in(options), blocks(options),
                                         [&](entry_view entry) { good = decode(entry, out); });
        if (!found) return std::move(found).error();
        if (!good) return bad_value(target.view());
        return out;
    }

    /// Returns the value of `key` without copying it. Otherwise as get().
    [[nodiscard]] result<std::optional<pinned_value>> get_view(key_argument key, read_options options = {}) const {
        const detail::encoded_key<Policies> target(key, core_->allocator());
        auto found = core_->reads().find_kept(target.view(), pin_in(options), blocks(options));
        if (!found) return std::move(found).error();
        if (!*found || (*found)->entry.tombstone()) return std::optional<pinned_value>();
        auto value = detail::decode_value<Policies>((*found)->entry.value);
        if (!value) return bad_value(target.view());
        return std::optional<pinned_value>(pinned_value(*std::move(value), std::move((*found)->keeper)));
    }

    /// Returns the value of each key, or nothing, all as of one moment. Otherwise as get().
    [[nodiscard]] result<std::vector<optional_value>> multi_get(const std::vector<typename Policies::key_type>& keys,
                                                                read_options options = {}) const {
        std::vector<basic_bytes<alloc>> targets;
        targets.reserve(keys.size());
        for (const auto& key : keys)
            targets.emplace_back(detail::encoded_key<Policies>(key, core_->allocator()).view(), core_->allocator());
        std::vector<optional_value> out(keys.size());
        std::optional<std::size_t> bad;
        auto found =
            core_->reads().find_all(targets, pin_in(options), blocks(options), [&](std::size_t i, entry_view entry) {
                if (!decode(entry, out[i])) bad = i;
            });
        if (!found) return std::move(found).error();
        if (bad) return bad_value(targets[*bad]);
        return out;
    }

    /// Returns whether `key` has a value. Otherwise as get().
    [[nodiscard]] result<bool> contains(key_argument key, read_options options = {}) const {
        const detail::encoded_key<Policies> target(key, core_->allocator());
        bool has_value = false;
        auto found = core_->reads().find(target.view(), pin_in(options), blocks(options),
                                         [&](entry_view entry) { has_value = !entry.tombstone(); });
        if (!found) return std::move(found).error();
        return has_value;
    }

    /// Returns a cursor over the keys of a range and their values as they are now: later writes are not visible to it.
    /// The cursor may outlive the db. Its status() tells errors: those of get(), and over_budget.
    [[nodiscard]] cursor scan(const scan_options& options = {}) const {
        const alloc& allocator = core_->allocator();
        detail::key_range<alloc> bounds(allocator);
        if (options.from) bounds.from.set(detail::encoded_key<Policies>(*options.from, allocator).view());
        if (options.to) bounds.to.set(detail::encoded_key<Policies>(*options.to, allocator).view());
        if (options.prefix) {
            // The narrower bound on each side. A prefix of 0xff bytes only has no end.
            detail::key_bound<alloc> end(allocator);
            end.set_after_prefix(*options.prefix);
            if (end && (!bounds.to || *end < *bounds.to)) bounds.to = std::move(end);
            if (!bounds.from || *bounds.from < *options.prefix) bounds.from.set(*options.prefix);
        }
        bounds.reverse = options.reverse;
        return cursor(
            {core_->reads().scan(pin_in(options), {.drop_tombstones = true}, blocks(options)), std::move(bounds)},
            allocator, core_->directory());
    }

    /// Returns a snapshot of this moment. Errors: over_budget if options::memory_budget_bytes has no room for it.
    [[nodiscard]] result<snapshot_type> snapshot() const {
        auto pinned = core_->reads().pin();
        if (!pinned) return std::move(pinned).error();
        return snapshot_type(*std::move(pinned));
    }

    /// Writes the memtable to a table, and blocks until that is done. Does nothing if the memtable is empty. Errors:
    /// no_space, io (the memtable and its log are kept, and the flush is tried again without a call), closed,
    /// read_only.
    result<void> flush() { return core_->flush(); }

    /// Flushes, and merges all tables that overlap the range into one level. The space of what was overwritten or
    /// deleted there becomes free, unless a snapshot or cursor still holds it. Runs in the calling thread; reads and
    /// writes go on. O(bytes in the range), and needs that much more space on the disk meanwhile. Errors: those of
    /// flush(), and those of a damaged table.
    result<void> compact(const key_interval& range = {}) {
        const alloc& allocator = core_->allocator();
        std::optional<detail::encoded_key<Policies>> from, to;
        if (range.from) from.emplace(*range.from, allocator);
        if (range.to) to.emplace(*range.to, allocator);
        return core_->compact(from ? std::optional(from->view()) : std::nullopt,
                              to ? std::optional(to->view()) : std::nullopt);
    }

    /// Blocks until maintenance has nothing left to do. Returns an error if it cannot do something: those of compact().
    result<void> settle() { return core_->settle(); }

    /// Makes a database of this moment's contents in `directory`, which must not have one. Writes go on meanwhile.
    /// Takes little space on the same file system, because tables are shared (hard links) until a compaction replaces
    /// them. Errors: exists, closed, too_large (no number is left for a table), no_space, io; stale if a writer has
    /// removed or replaced a table of a database that was opened with read_only, or that was closed meanwhile. After an
    /// error files may be left there, but no database.
    result<void> checkpoint(std::string_view directory) const { return core_->checkpoint(directory); }

    /// Reads every byte of all tables again, and reports what is damaged. Returns an error if it could not read:
    /// closed, io, and stale as for checkpoint().
    [[nodiscard]] result<verify_report> verify() const { return core_->verify(); }

    /// Returns the SHA-256 of the merge stream (formats, section 4) of the live keys: equal for equal contents, however
    /// they came about.
    [[nodiscard]] result<std::array<unsigned char, 32>> digest(const snapshot_type* at = nullptr) const {
        return core_->digest(at == nullptr ? nullptr : &at->state_);
    }

    /// For a database that was opened with options::read_only: makes visible what another process has written since.
    /// Cursors and snapshots stay as they are. Errors: those of open(), closed, and invalid_argument without read_only.
    /// After an error nothing has changed.
    result<void> refresh() { return core_->refresh(); }

    /// Returns the tables: level 0 from the newest to the oldest, then the other levels, each by key.
    [[nodiscard]] std::vector<live_table> live_tables() const {
        std::vector<live_table> out;
        core_->tables()->for_each([&](int level, const auto& t) { out.push_back({level, t->id(), t->file_bytes()}); });
        return out;
    }

    /// Writes the merge stream (formats, section 4) of everything to `out`. If tombstones are dropped, equal contents
    /// give equal bytes.
    result<void> serialize_view(io::sink& out, merge_options options = {.drop_tombstones = true}) const {
        auto all = core_->reads().scan(nullptr, options, {});
        all.seek_to_first();
        return serialize_stream(all, out, core_->allocator());
    }

    /// Returns what the database has done and what it holds. Takes a while if there are very many tables or pins.
    [[nodiscard]] statistics stats() const { return core_->stats(); }

    /// Returns what opening found in the logs.
    [[nodiscard]] recovery_report recovered() const { return core_->recovered(); }

    /// Makes everything durable that this db has written without sync, and gives up the directory. Cancels work in the
    /// background, which loses nothing. Does not flush. Later writes return errc::closed; reads go on to see what was
    /// there. An error says why writes that were not synced may not be durable: what stopped the log, or io. The db is
    /// closed even then. Closing it again does nothing.
    result<void> close() {
        if (!core_->in_opening_process())
            return detail::failure(errc::closed, "opened by the parent process").in(core_->directory());
        return core_->close();
    }

private:
    explicit basic_db(std::shared_ptr<core> opened) : core_(std::move(opened)) {}

    // A small operation is encoded on the stack.
    result<void> write_one(bytes_view key, entry_view entry, write_options options) {
        if (key.size() > max_length || entry.value.size() > max_length)
            return detail::failure(errc::too_large, "a key or value has at most 2^32-1 bytes");
        detail::operation_buffer<alloc> operation(core_->allocator());
        detail::append_batch_operation(operation, key, entry);
        return core_->write(operation.view(), 1, options);
    }

    // These take read_options or scan_options.
    template <class Options>
    [[nodiscard]] static const detail::pinned_version<alloc>* pin_in(const Options& options) noexcept {
        return options.at == nullptr ? nullptr : &options.at->state_;
    }
    template <class Options>
    [[nodiscard]] static detail::block_options blocks(const Options& options) noexcept {
        return {.fill_cache = options.fill_cache, .verify_checksums = options.verify_checksums};
    }
    [[nodiscard]] static bool decode(entry_view entry, optional_value& out) {
        if (entry.tombstone()) return true;
        out = Policies::value_codec::decode(entry.value);
        return out.has_value();
    }
    LSM_COLD error bad_value(bytes_view key) const {
        return detail::failure(errc::bad_value, "at key " + hex(key)).in(core_->directory());
    }

    // In a child of the process that opened the database, its threads do not exist and its log is the parent's. So
    // nothing is done, and the memory is never freed.
    void abandon_in_child() noexcept { detail::abandon(std::move(core_)); }

    std::shared_ptr<core> core_;
};

}  // namespace lsm
