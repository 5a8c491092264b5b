#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/range.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/db_core.hpp>
#include <lsm/db/options.hpp>
#include <lsm/db/write_batch.hpp>
#include <lsm/fwd.hpp>
#include <lsm/io/sink.hpp>
#include <lsm/merge/merging_iterator.hpp>
#include <lsm/merge/serialize_stream.hpp>
#include <lsm/policy/policies.hpp>
#include <lsm/policy/typed_cursor.hpp>

namespace lsm {

/// The bytes that every tuple key beginning with `elements` begins with, for scan({.prefix = ...}). The elements must
/// be of the tuple's own types: an int is no std::uint64_t.
template <class... Elements>
[[nodiscard]] bytes key_prefix(const Elements&... elements) {
    bytes out;
    key_codec<std::tuple<Elements...>>::encode(std::tuple<Elements...>(elements...), out);
    return out;
}

/// An ordered, crash-safe key-value store in a directory.
///
/// A write that returned ok survives the end of the process and, unless sync is off, a power cut; a batch does so whole
/// or not at all. After a failed write or sync of the log or MANIFEST every later write returns that error until the
/// database is opened again; reads go on. A full disk is no such failure: the write is refused, and may be tried again.
///
/// One process at a time, by a lock that ends with it. One thread at a time, cursors included. Move-only; a moved-from
/// db can only be assigned to or destroyed. What is destroyed without close() is closed, its errors unseen.
template <class Policies>
class basic_db {
    using alloc = typename Policies::allocator_type;
    using core = detail::db_core<alloc>;
    using key_argument = typename Policies::key_argument;
    using value_argument = typename Policies::value_argument;

public:
    using policies_type = Policies;
    using batch = basic_write_batch<Policies>;
    using cursor = typed_cursor<Policies, detail::range_cursor<detail::view_cursor<alloc>, alloc>>;

    struct scan_options {
        /// The first key of the range.
        std::optional<typename Policies::key_view> from = {};
        /// The first key behind the range.
        std::optional<typename Policies::key_view> to = {};
        /// Only keys whose encoding begins with these bytes: for tuples, see key_prefix(). Not together with from and
        /// to.
        std::optional<bytes_view> prefix = {};
        /// From the last key to the first.
        bool reverse = false;
    };

    basic_db(basic_db&&) noexcept = default;
    basic_db& operator=(basic_db&&) noexcept = default;

    /// Opens the database in `directory`, or makes one. Errors: locked (open already, here or in another process),
    /// bad_manifest, corruption (a damaged log), a table's errors, not_found or exists (as the options ask), io. A
    /// database that does not open is left as it is.
    static result<basic_db> open(std::string_view directory, const options& how = {}, const alloc& allocator = {}) {
        auto opened = core::open(directory, how, allocator);
        if (!opened) return std::move(opened).error();
        return basic_db(*std::move(opened));
    }

    /// Sets the value of `key`. Errors: too_large, no_space, io, closed. Expected O(log n) in the memtable, and now and
    /// then a flush.
    result<void> put(key_argument key, value_argument value, write_options how = {}) {
        scratch_.clear();
        scratch_.put(key, value);
        return write(scratch_, how);
    }
    /// Deletes `key`, whether it is there or not. Otherwise as put().
    result<void> del(key_argument key, write_options how = {}) {
        scratch_.clear();
        scratch_.del(key);
        return write(scratch_, how);
    }
    /// Applies all of `operations`, or none if it returns an error before a power cut can tell. Otherwise as put().
    result<void> write(const batch& operations, write_options how = {}) { return core_->write(operations.batch_, how); }

    /// The value of `key`, or nothing. Errors: damage in a table, bad_value, io.
    [[nodiscard]] result<std::optional<typename Policies::value_type>> get(key_argument key) const {
        const detail::encoded_key<Policies> target(key, core_->allocator());
        std::optional<typename Policies::value_type> out;
        bool good = true;
        auto found = core_->find(target.view(), [&](entry_view entry) {
            if (entry.tombstone()) return;
            out = Policies::value_codec::decode(entry.value);
            good = out.has_value();
        });
        if (!found) return std::move(found).error();
        if (!good) return detail::failure(errc::bad_value, "at key " + hex(target.view())).in(core_->directory());
        return out;
    }

    /// Whether `key` has a value. As get().
    [[nodiscard]] result<bool> contains(key_argument key) const {
        const detail::encoded_key<Policies> target(key, core_->allocator());
        bool there = false;
        auto found = core_->find(target.view(), [&](entry_view entry) { there = !entry.tombstone(); });
        if (!found) return std::move(found).error();
        return there;
    }

    /// The keys of a range and their values, as they are now: later writes and flushes do not show. The cursor may
    /// outlive the db. Errors are in its status().
    [[nodiscard]] cursor scan(const scan_options& part = {}) const {
        const alloc& allocator = core_->allocator();
        detail::key_range<alloc> bounds(allocator);
        if (part.from) bounds.from.set(detail::encoded_key<Policies>(*part.from, allocator).view());
        if (part.to) bounds.to.set(detail::encoded_key<Policies>(*part.to, allocator).view());
        if (part.prefix) {
            bounds.from.set(*part.prefix);
            bounds.to.set_behind_prefix(*part.prefix);
        }
        bounds.reverse = part.reverse;
        return cursor({core_->view({.drop_tombstones = true}), std::move(bounds)}, allocator);
    }

    /// Makes the memtable a table; with an empty one, nothing. Errors: no_space, io (the memtable and its log are
    /// kept), closed.
    result<void> flush() { return core_->flush(); }

    /// The tables, in the order of their age, newest first; above level 0 by level and key.
    [[nodiscard]] std::vector<live_table> live_tables() const {
        std::vector<live_table> out;
        for (const auto& t : core_->tables()) out.push_back({t->level(), t->id(), t->file_bytes()});
        return out;
    }

    /// Writes the merge stream (formats, section 4) of all there is to `out`: equal contents, equal bytes, if
    /// tombstones are dropped.
    result<void> serialize_view(io::sink& out, merge_options how = {.drop_tombstones = true}) const {
        auto all = core_->view(how);
        return serialize_stream(all, out, core_->allocator());
    }

    /// What opening found in the logs.
    [[nodiscard]] const recovery_report& recovered() const noexcept { return core_->recovered(); }

    /// Makes everything durable that was written without sync, and lets go of the directory. Later writes return
    /// errc::closed; reads go on to see what was there. Does not flush. Closing twice is fine.
    result<void> close() { return core_->close(); }

private:
    explicit basic_db(std::shared_ptr<core> opened) : core_(std::move(opened)), scratch_(core_->allocator()) {}

    std::shared_ptr<core> core_;
    batch scratch_;
};

}  // namespace lsm
