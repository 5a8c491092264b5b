#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>
#include <lsm/core/error.hpp>

namespace lsm {

/// Whether an entry is a value or a tombstone, which says that the key was deleted. The numbers are those in files.
enum class entry_type : std::uint8_t { value = 0, tombstone = 1 };

/// An entry that does not own its bytes. The value of a tombstone is empty.
struct entry_view {
    entry_type type = entry_type::value;
    bytes_view value = {};

    [[nodiscard]] bool tombstone() const noexcept { return type == entry_type::tombstone; }
    friend bool operator==(const entry_view&, const entry_view&) = default;
};

/// The result of looking up a key in a table or memtable: its value, a tombstone, or nothing.
template <class Value>
class basic_lookup {
public:
    enum class outcome : std::uint8_t { found, tombstone, absent };

    /// Absent.
    basic_lookup() = default;
    /// Requires state != outcome::found: a found entry has a value.
    explicit basic_lookup(outcome state) : state_(state) {}
    explicit basic_lookup(Value value) : state_(outcome::found), value_(std::move(value)) {}

    [[nodiscard]] outcome state() const noexcept { return state_; }
    [[nodiscard]] bool found() const noexcept { return state_ == outcome::found; }
    [[nodiscard]] bool tombstone() const noexcept { return state_ == outcome::tombstone; }
    [[nodiscard]] bool absent() const noexcept { return state_ == outcome::absent; }

    /// Requires found().
    [[nodiscard]] const Value& value() const& noexcept { return *value_; }
    [[nodiscard]] Value&& value() && noexcept { return std::move(*value_); }

    friend bool operator==(const basic_lookup&, const basic_lookup&) = default;

private:
    outcome state_ = outcome::absent;
    std::optional<Value> value_;
};

}  // namespace lsm

/// The entry record, used by MemTable dumps and data blocks:
///
///     klen u32 | vlen u32 | type u8 | key[klen] | value[vlen]
namespace lsm::detail {

inline constexpr std::size_t record_header_bytes = 9;

struct record_header {
    std::uint32_t key_length;
    std::uint32_t value_length;
    entry_type type;

    [[nodiscard]] std::uint64_t payload_bytes() const noexcept {
        return std::uint64_t{key_length} + std::uint64_t{value_length};
    }
};

[[nodiscard]] inline std::uint64_t record_bytes(bytes_view key, entry_view entry) noexcept {
    return record_header_bytes + std::uint64_t{key.size()} + std::uint64_t{entry.value.size()};
}

/// Requires record_header_bytes bytes at `from`. Checks the type, then that a tombstone has no value.
[[nodiscard]] inline std::optional<errc> read_record_header(const char* from, record_header& out) noexcept {
    const auto type = static_cast<std::uint8_t>(from[8]);
    out = {load_le<std::uint32_t>(from), load_le<std::uint32_t>(from + 4), static_cast<entry_type>(type)};
    if (type > static_cast<std::uint8_t>(entry_type::tombstone)) return errc::bad_type;
    if (out.type == entry_type::tombstone && out.value_length != 0) return errc::bad_tombstone;
    return std::nullopt;
}

/// Requires lengths of at most max_length, and record_header_bytes bytes at `to`.
inline void write_record_header(char* to, bytes_view key, entry_view entry) noexcept {
    store_le(to, static_cast<std::uint32_t>(key.size()));
    store_le(to + 4, static_cast<std::uint32_t>(entry.value.size()));
    to[8] = static_cast<char>(entry.type);
}

/// Requires lengths of at most max_length.
template <class Out>
void append_record(Out& out, bytes_view key, entry_view entry) {
    char header[record_header_bytes];
    write_record_header(header, key, entry);
    out.append(header, sizeof header);
    out.append(key.data(), key.size());
    out.append(entry.value.data(), entry.value.size());
}

}  // namespace lsm::detail
