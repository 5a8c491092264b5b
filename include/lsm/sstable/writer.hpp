#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/result.hpp>
#include <lsm/fwd.hpp>
#include <lsm/io/sink.hpp>
#include <lsm/policy/policies.hpp>
#include <lsm/sstable/extension.hpp>
#include <lsm/sstable/format.hpp>

namespace lsm::detail {

/// Writes an SSTable over bytes. Holds one block and the index in memory. After an error, every call returns it again.
template <class Alloc>
class table_builder {
public:
    table_builder(io::sink& out, sst_options options, const Alloc& alloc)
        : out_(&out), options_(options), block_(alloc), index_(alloc), last_key_(alloc) {
        index_.append(index_header_bytes, '\0');
        if (options.extended) extension_.emplace(options.filter_bits_per_key, alloc);
    }

    /// Adds an entry. Errors: unsorted, too_large, those of the sink. If Alloc throws, the call can be repeated.
    result<void> add(bytes_view key, entry_view entry) {
        if (failure_) return *failure_;
        if (key.size() > max_length || entry.value.size() > max_length)
            return fail(failure(errc::too_large, "a key or value has at most 2^32-1 bytes"));
        if (entries_ != 0 && key <= bytes_view(last_key_))
            return fail(failure(errc::unsorted, "the key is not greater than the one before it"));
        if (!block_.empty() && block_.size() + record_bytes(key, entry) > options_.block_size)
            if (auto closed = close_block(); !closed) return closed;

        // All memory first: what follows cannot be undone. extension_->add() can throw too, but then has no effect.
        make_room(block_, block_header_bytes + record_header_bytes + key.size() + entry.value.size());
        last_key_.reserve(key.size());
        if (extension_) extension_->add(key, entry);
        last_key_.assign(key);
        if (block_.empty()) block_.append(block_header_bytes, '\0');
        append_record(block_, key, entry);
        ++in_block_;
        ++entries_;
        return {};
    }

    /// Writes the last block, the extension area, the index and the footer. If Alloc throws, the call can be repeated.
    result<void> finish() {
        if (failure_) return *failure_;
        if (!block_.empty())
            if (auto closed = close_block(); !closed) return closed;
        store_le(index_.data(), static_cast<std::uint32_t>(blocks_));
        sst_footer footer{offset_, index_.size(), blocks_};
        if (extension_ && entries_ != 0)
            if (auto written = write(extension_->build(index_, footer, last_key_)); !written) return written;
        char raw[sst_footer_bytes];
        write_footer(raw, footer);
        if (auto written = write(index_); !written) return written;
        return write({raw, sizeof raw});
    }

private:
    result<void> close_block() {
        if (blocks_ == std::numeric_limits<std::uint32_t>::max())
            return fail(failure(errc::too_large, "an SSTable has at most 2^32-1 blocks"));
        store_le(block_.data(), in_block_);
        // The first key is in the block's first record. As in add(), all memory first.
        const auto first_key_length = load_le<std::uint32_t>(block_.data() + block_header_bytes);
        make_room(index_, index_entry_header_bytes + first_key_length);
        if (extension_) extension_->add_block(block_);
        append_le(index_, first_key_length);
        append_le(index_, offset_);
        append_le(index_, std::uint64_t{block_.size()});
        index_.append(block_, block_header_bytes + record_header_bytes, first_key_length);
        if (auto done = write(block_); !done) return done;
        offset_ += block_.size();
        ++blocks_;
        block_.clear();
        in_block_ = 0;
        return {};
    }

    result<void> write(bytes_view data) {
        auto done = out_->append(data);
        return done ? std::move(done) : fail(std::move(done).error());
    }
    LSM_COLD result<void> fail(error failure) {
        failure_ = failure;
        return failure;
    }

    io::sink* out_;
    sst_options options_;
    basic_bytes<Alloc> block_;  // empty, or a count to be filled in by close_block(), and at least one record
    basic_bytes<Alloc> index_;
    basic_bytes<Alloc> last_key_;
    std::uint32_t in_block_ = 0;
    std::uint64_t entries_ = 0;
    std::uint64_t blocks_ = 0;
    std::uint64_t offset_ = 0;
    std::optional<extension_builder<Alloc>> extension_;
    std::optional<error> failure_;
};

}  // namespace lsm::detail

namespace lsm {

/// Writes an SSTable from front to back into a sink, which must outlive the writer. Holds one block and the index in
/// memory, not the file; with an extension area, also up to 8 bytes for each entry and 4 for each block.
///
/// Requires keys in strictly ascending order. After the first error, every call returns it again and writes nothing.
/// What was written until then is not a table: write to a temporary file (io::replacement), and discard it after an
/// error.
template <class Policies>
class basic_sst_writer {
    using alloc = typename Policies::allocator_type;

public:
    using policies_type = Policies;
    /// A value, or nothing: a tombstone.
    using entry = std::optional<typename Policies::value_view>;

    explicit basic_sst_writer(io::sink& out, sst_options options = {}, const alloc& allocator = {})
        : alloc_(allocator), builder_(out, options, allocator) {}

    /// Adds a value or a tombstone. Errors: unsorted, for a key that is not greater than the last; too_large; those of
    /// the sink. O(1) amortized.
    result<void> add(typename Policies::key_argument key, const entry& value) {
        if (!value) return add_bytes(key, {entry_type::tombstone, {}});
        const detail::encoded_value<Policies> stored(*value, alloc_);
        return add_bytes(key, {entry_type::value, stored.view()});
    }

    /// Writes the last block, the extension area, the index and the footer. No call may follow. A table may have no
    /// entries. Errors: too_large; those of the sink.
    result<void> finish() { return builder_.finish(); }

private:
    result<void> add_bytes(typename Policies::key_argument key, entry_view encoded) {
        const detail::encoded_key<Policies> stored(key, alloc_);
        return builder_.add(stored.view(), encoded);
    }

    [[no_unique_address]] alloc alloc_;
    detail::table_builder<alloc> builder_;
};

}  // namespace lsm
