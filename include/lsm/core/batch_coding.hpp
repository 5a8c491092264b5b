#pragma once

#include <cstdint>
#include <optional>

#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/result.hpp>

/// The write batch:
///
///     count u32 | count times: type u8 | klen u32 | key | for type 0 only: vlen u32 | value
///
/// An operation is an entry for a key: type 0 puts a value, type 1 deletes, which is to put a tombstone.
namespace lsm::detail {

inline constexpr std::size_t batch_header_bytes = 4;

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

/// Walks the operations of an encoded batch. Nothing is allocated whatever the bytes claim.
class batch_reader {
public:
    explicit batch_reader(bytes_view in) noexcept : fields_(in) {
        if (!fields_.read(left_)) fail(errc::short_input);
    }

    /// Of `count` operations without the count in front of them.
    batch_reader(bytes_view operations, std::uint32_t count) noexcept : fields_(operations), left_(count) {}

    /// The next operation; false when there is none left, or at a defect. The views live as long as the batch's bytes.
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

    /// Operations still to come, as the batch claims; none behind a defect.
    [[nodiscard]] std::uint32_t left() const noexcept { return left_; }
    /// How far the fields that were read reach.
    [[nodiscard]] std::size_t offset() const noexcept { return fields_.offset(); }

    /// What is wrong with the batch as far as it was read: short_input or bad_type. After the last operation also
    /// trailing_bytes.
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

/// Reads the whole batch and says what is wrong with it, if anything. O(operations), no memory.
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
