#pragma once

#include <cstdint>
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

/// Walks a dump front to back, checking as it goes, with one entry in memory. A forward_cursor; it stands on the first
/// entry when made. Its errors have the offset: short_input, bad_magic, bad_type, bad_tombstone, unsorted, trailing_bytes;
/// and those of the input.
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
            if (in_.left() != 0) fail(errc::trailing_bytes, "bytes behind the last entry");
            return;
        }
        --left_;
        read_record();
    }

private:
    void read_header() {
        if (in_.left() < detail::dump_magic.size()) return fail(errc::short_input, "a dump begins with \"MMT1\"");
        const auto magic = take(detail::dump_magic.size());
        if (!magic) return;
        if (*magic != detail::dump_magic) {
            defect_ = detail::failure_at(0, errc::bad_magic, "a dump begins with \"MMT1\"");
            return;
        }
        if (in_.left() < sizeof(std::uint32_t)) return fail(errc::short_input, "the entry count is cut off");
        if (const auto count = take(sizeof(std::uint32_t))) left_ = detail::load_le<std::uint32_t>(count->data());
    }

    void read_record() {
        const std::uint64_t start = in_.offset();
        if (in_.left() < detail::record_header_bytes) return fail(errc::short_input, "an entry's header is cut off");
        const auto raw = take(detail::record_header_bytes);
        if (!raw) return;
        detail::record_header header;
        if (const auto defect = detail::read_record_header(raw->data(), header)) {
            defect_ = detail::failure_at(start, *defect, "malformed entry");
            return;
        }
        if (in_.left() < header.payload_bytes()) return fail(errc::short_input, "an entry's key or value is cut off");
        const auto payload = take(static_cast<std::size_t>(header.payload_bytes()));
        if (!payload) return;
        const bytes_view key = payload->substr(0, header.key_length);
        if (!first_ && key <= bytes_view(key_)) {
            defect_ = detail::failure_at(start, errc::unsorted, "the key is not greater than the one before it");
            return;
        }
        first_ = false;
        key_.assign(key);
        entry_ = {header.type, payload->substr(header.key_length)};
        valid_ = true;
    }

    // Requires length <= in_.left().
    std::optional<bytes_view> take(std::size_t length) {
        auto taken = in_.take(length);
        if (taken) return *taken;
        defect_ = std::move(taken).error();
        return std::nullopt;
    }
    LSM_COLD void fail(errc code, bytes_view why) { defect_ = detail::failure_at(in_.offset(), code, why); }

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

/// Writes the dump of `count` entries, from where the cursor stands to its end.
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
        if (auto done = out.append({header, sizeof header}); !done) return done;
        if (auto done = out.append(entries.key()); !done) return done;
        if (auto done = out.append(entries.entry().value); !done) return done;
    }
    return entries.status();
}

}  // namespace lsm::detail
