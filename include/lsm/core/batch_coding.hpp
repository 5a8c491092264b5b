#pragma once

#include <cstdint>
#include <optional>

#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/result.hpp>

/// The encoding of a write batch:
///
///     count u32 | count times: type u8 | klen u32 | key | for type 0 only: vlen u32 | value
///
/// An operation is a key and its new entry. Type 0 puts a value; type 1 deletes the key, that is, puts a tombstone.
namespace lsm::detail {

inline constexpr std::size_t batch_header_bytes = 4;

/// Requires lengths of at most max_length.
template <class Out>
void append_batch_operation(Out& out, bytes_view key, entry_view entry) {
    const char type = static_cast<char>(entry.type);
    out.append(&type, 1);
    append_le(out, static_cast<std::uint32_t>(key.size()));
    out.append(key.data(), key.size());
    if (entry.tombstone()) return;
    append_le(out, static_cast<std::uint32_t>(entry.value.size()));
    out.append(entry.value.data(), entry.value.size());
}

/// Reads the operations of an encoded batch, one after the other. Allocates nothing, whatever the bytes claim.
class batch_reader {
public:
    explicit batch_reader(bytes_view in) noexcept : fields_(in) {
        if (!fields_.read(left_)) fail(errc::short_input);
    }

    /// Reads `count` operations from bytes that do not begin with the count.
    batch_reader(bytes_view operations, std::uint32_t count) noexcept : fields_(operations), left_(count) {}

    /// Reads the next operation. Returns false after the last one and at a defect. `key` and `entry` are views of the
    /// batch's bytes.
    [[nodiscard]] bool next(bytes_view& key, entry_view& entry) noexcept {
        if (left_ == 0) return false;
        std::uint8_t type = 0;
        std::uint32_t length = 0;
        entry = {};
        if (!fields_.read(type)) return fail(errc::short_input);
        if (type > static_cast<std::uint8_t>(entry_type::tombstone)) return fail(errc::bad_type);
        entry.type = static_cast<entry_type>(type);
        if (!fields_.read(length) || !fields_.read(length, key)) return fail(errc::short_input);
        if (!entry.tombstone() && (!fields_.read(length) || !fields_.read(length, entry.value)))
            return fail(errc::short_input);
        --left_;
        return true;
    }

    /// The number of operations still to be read, according to the batch's count; 0 after a defect.
    [[nodiscard]] std::uint32_t left() const noexcept { return left_; }
    /// The number of bytes read so far.
    [[nodiscard]] std::size_t offset() const noexcept { return fields_.offset(); }

    /// Returns the defect found so far, if any: short_input or bad_type, or trailing_bytes after the last operation.
    [[nodiscard]] std::optional<errc> defect() const noexcept {
        if (damaged_) return defect_;
        if (left_ == 0 && fields_.left() != 0) return errc::trailing_bytes;
        return std::nullopt;
    }

private:
    bool fail(errc code) noexcept {
        damaged_ = true;
        defect_ = code;
        left_ = 0;
        return false;
    }

    field_reader fields_;
    std::uint32_t left_ = 0;
    bool damaged_ = false;
    errc defect_{};
};

/// Checks a whole batch. Errors: short_input, bad_type and trailing_bytes, with the offset. O(operations); takes no
/// memory, except for the text of an error.
[[nodiscard]] inline result<void> check_batch(bytes_view in) {
    batch_reader batch(in);
    bytes_view key;
    entry_view entry;
    while (batch.next(key, entry)) {
    }
    if (const auto defect = batch.defect()) return failure_at(batch.offset(), *defect, "malformed write batch");
    return {};
}

}  // namespace lsm::detail
