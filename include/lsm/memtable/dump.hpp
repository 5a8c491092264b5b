#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <utility>

#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>
#include <lsm/core/cursor.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/result.hpp>
#include <lsm/fwd.hpp>
#include <lsm/io/input.hpp>
#include <lsm/io/sink.hpp>

/// The MemTable dump:
///
///     "MMT1" | count u32 | count entry records, keys strictly ascending
namespace lsm::detail {

inline constexpr bytes_view dump_magic = "MMT1";
inline constexpr std::size_t dump_header_bytes = 8;

}  // namespace lsm::detail

namespace lsm {

/// Reads a dump from front to back and checks it on the way, with one entry in memory at a time. A forward_cursor,
/// initially on the first entry. Errors: short_input, bad_magic, bad_type, bad_tombstone, unsorted and trailing_bytes,
/// each with its offset and, for a file, its name; and those of the input.
template <class Alloc>
class basic_dump_reader {
public:
    explicit basic_dump_reader(io::input<Alloc> in, const Alloc& alloc = {}) : in_(std::move(in)), key_(alloc) {
        read_header();
        next();
    }

    [[nodiscard]] bool valid() const noexcept { return valid_; }
    [[nodiscard]] bytes_view key() const noexcept { return key_; }
    [[nodiscard]] entry_view entry() const noexcept { return entry_; }
    [[nodiscard]] result<void> status() const {
        if (defect_) return *defect_;
        return {};
    }

    void next() {
        valid_ = false;
        if (defect_) return;
        if (left_ == 0) {
            if (in_.left() != 0) fail(errc::trailing_bytes, "bytes after the last entry");
            return;
        }
        --left_;
        read_record();
    }

private:
    void read_header() {
        constexpr bytes_view expected = "a dump begins with \"MMT1\"";
        if (!need(detail::dump_magic.size(), expected)) return;
        if (!in_.ahead().starts_with(detail::dump_magic)) return fail(errc::bad_magic, expected);
        if (!need(detail::dump_header_bytes, "the entry count is cut off")) return;
        left_ = detail::load_le<std::uint32_t>(in_.ahead().data() + detail::dump_magic.size());
        in_.skip(detail::dump_header_bytes);
    }

    void read_record() {
        if (!need(detail::record_header_bytes, "an entry's header is cut off")) return;
        detail::record_header header;
        if (const auto defect = detail::read_record_header(in_.ahead().data(), header))
            return fail(*defect, "malformed entry");
        const std::uint64_t size = detail::record_header_bytes + header.payload_bytes();
        if (!need(size, "an entry's key or value is cut off")) return;
        const bytes_view payload = in_.ahead().substr(detail::record_header_bytes, header.payload_bytes());
        const bytes_view key = payload.substr(0, header.key_length);
        if (!first_ && key <= bytes_view(key_))
            return fail(errc::unsorted, "the key is not greater than the one before it");
        in_.skip(static_cast<std::size_t>(size));
        first_ = false;
        // The key is copied, since the next call of next() compares with it after it has fetched. The value may stay a
        // view: it is valid until that fetch.
        key_.assign(key);
        entry_ = {header.type, payload.substr(header.key_length)};
        valid_ = true;
    }

    // Brings the next `size` bytes into memory. False after an error: the input's, or short_input with the text
    // `if_short`. The offset of that error is where the field or record begins, since nothing of it is skipped before
    // all of it is there.
    bool need(std::uint64_t size, bytes_view if_short) {
        if (in_.ahead().size() >= size) [[likely]]
            return true;
        if (in_.left() < size) {
            fail(errc::short_input, if_short);
            return false;
        }
        auto fetched = in_.fetch(static_cast<std::size_t>(size));
        if (!fetched) defect_ = std::move(fetched).error();
        return fetched.has_value();
    }

    LSM_COLD void fail(errc code, bytes_view text) {
        defect_ = in_.named(detail::failure_at(in_.offset(), code, text));
    }

    io::input<Alloc> in_;
    basic_bytes<Alloc> key_;
    entry_view entry_;
    std::uint32_t left_ = 0;
    bool first_ = true;
    bool valid_ = false;
    std::optional<error> defect_;
};

}  // namespace lsm

namespace lsm::detail {

/// Writes the dump of the entries from the cursor's position to its end. Requires that there are `count` of them.
/// Errors: those of `out` and of the cursor; too_large for more than 2^32-1 entries.
template <forward_cursor C>
result<void> write_dump(C& entries, std::size_t count, io::sink& out) {
    if (count > std::numeric_limits<std::uint32_t>::max())
        return failure(errc::too_large, "a dump holds at most 2^32-1 entries");
    char start[dump_header_bytes];
    dump_magic.copy(start, dump_magic.size());
    store_le(start + dump_magic.size(), static_cast<std::uint32_t>(count));
    if (auto done = out.append({start, sizeof start}); !done) return done;
    for (; entries.valid(); entries.next()) {
        char header[record_header_bytes];
        write_record_header(header, entries.key(), entries.entry());
        for (const bytes_view piece : {bytes_view(header, sizeof header), entries.key(), entries.entry().value})
            if (auto done = out.append(piece); !done) return done;
    }
    return entries.status();
}

}  // namespace lsm::detail
