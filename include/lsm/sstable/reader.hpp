#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include <lsm/core/entry.hpp>
#include <lsm/core/range.hpp>
#include <lsm/core/result.hpp>
#include <lsm/fwd.hpp>
#include <lsm/io/file.hpp>
#include <lsm/policy/policies.hpp>
#include <lsm/policy/typed_cursor.hpp>
#include <lsm/sstable/table.hpp>

namespace lsm {

/// An open SSTable. The index is in memory, blocks are read on demand; a cursor on a long walk reads up to 64 KiB of
/// them at a time. Immutable, so any number of threads may use it. A handle: copies share the table, and cursors keep
/// it open.
template <class Policies>
class basic_sst_reader {
    using alloc = typename Policies::allocator_type;
    using table = detail::table<alloc>;

public:
    using policies_type = Policies;
    using lookup = basic_lookup<typename Policies::value_type>;
    using cursor =
        typed_cursor<Policies, detail::range_cursor<detail::table_cursor<detail::uncached_table<alloc>>, alloc>, true>;

    /// A range of keys: from `from` (inclusive) to `to` (exclusive), in descending order if `reverse`. Without a bound
    /// it extends to that end of the table.
    struct range {
        std::optional<typename Policies::key_view> from = {};
        std::optional<typename Policies::key_view> to = {};
        bool reverse = false;
    };

    /// Opens a table. Checks footer, index and extension area, in the order of the format page, and reads no block.
    /// Errors: short_input, bad_magic, index_out_of_range, bad_block, unsorted, bad_checksum (with an extension area),
    /// io. Memory in proportion to index and area.
    static result<basic_sst_reader> open(io::file file, const alloc& allocator = {}) {
        auto opened = table::open(std::move(file), allocator);
        if (!opened) return std::move(opened).error();
        return basic_sst_reader(std::allocate_shared<const table>(allocator, *std::move(opened)));
    }

    /// Looks up `key`: a value, a tombstone, or absent. Reads at most one block. Errors: damage in that block
    /// (bad_block, bad_type, bad_tombstone, unsorted, bad_checksum), bad_value, io.
    result<lookup> get(typename Policies::key_argument key) const {
        const detail::encoded_key<Policies> target(key, table_->allocator());
        if (!table_->extension().may_contain(detail::xxh64(target.view()))) return lookup();
        const auto number = table_->index().floor(target.view());
        if (!number) return lookup();
        const auto loaded = table_->load(*number);
        if (!loaded) return loaded.error();
        const auto found = loaded->view().find(target.view());
        if (!found) return lookup();
        const entry_view entry = *found;
        if (entry.tombstone()) return lookup(lookup::outcome::tombstone);
        auto value = Policies::value_codec::decode(entry.value);
        if (!value) return detail::failure(errc::bad_value, "at key " + hex(target.view())).in(table_->file().path());
        return lookup(*std::move(value));
    }

    /// Returns a cursor over the entries in `bounds`, by default the whole table, tombstones included. It stands on the
    /// first entry.
    [[nodiscard]] cursor iter(const range& bounds = {}) const {
        detail::key_range<alloc> encoded(table_->allocator());
        if (bounds.from) encoded.from.set(detail::encoded_key<Policies>(*bounds.from, table_->allocator()).view());
        if (bounds.to) encoded.to.set(detail::encoded_key<Policies>(*bounds.to, table_->allocator()).view());
        encoded.reverse = bounds.reverse;
        return cursor({byte_cursor(), std::move(encoded)}, table_->allocator(), table_->file().path());
    }

    /// Returns a cursor over the entries as bytes, for a merge. It has no position: seek first.
    [[nodiscard]] detail::table_cursor<detail::uncached_table<alloc>> byte_cursor() const {
        return {detail::uncached_table<alloc>(table_), table_->allocator()};
    }

    /// Counts the entries, tombstones included. Reads and checks every block: O(file), with one block in memory.
    /// Errors: damage in any block, io.
    result<std::uint64_t> len() const {
        std::uint64_t entries = 0;
        for (std::size_t i = 0; i < table_->index().size(); ++i) {
            const auto loaded = table_->load(i);
            if (!loaded) return loaded.error();
            entries += loaded->size();
        }
        return entries;
    }

    [[nodiscard]] std::uint64_t num_blocks() const noexcept { return table_->index().size(); }
    [[nodiscard]] std::uint64_t file_bytes() const noexcept { return table_->file_bytes(); }
    [[nodiscard]] const sst_footer& footer() const noexcept { return table_->footer(); }

    /// Returns the properties in the extension area, or nothing if the table has none. Their keys are valid as long as
    /// a copy of the reader exists.
    [[nodiscard]] std::optional<sst_properties> properties() const noexcept { return table_->extension().properties(); }

    /// Reads the footer of any file and checks nothing but the size; see sst_footer::magic_ok. Errors: short_input, if
    /// the file is too small to be an SSTable; io.
    static result<sst_footer> read_footer(const io::file& file) {
        const auto size = file.size();
        if (!size) return size.error();
        if (auto good = detail::check_table_size(*size); !good) return std::move(good).error().in(file.path());
        char raw[detail::sst_footer_bytes];
        if (auto got = file.read_exactly(*size - sizeof raw, raw); !got) return std::move(got).error();
        return detail::parse_footer(raw);
    }

private:
    explicit basic_sst_reader(std::shared_ptr<const table> opened) : table_(std::move(opened)) {}

    std::shared_ptr<const table> table_;
};

}  // namespace lsm
