#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <utility>

#include <lsm/core/batch_coding.hpp>
#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/result.hpp>
#include <lsm/fwd.hpp>
#include <lsm/policy/policies.hpp>

namespace lsm::detail {

/// A write batch over bytes, kept in its encoded form.
template <class Alloc>
class batch_builder {
public:
    explicit batch_builder(const Alloc& alloc) : encoded_(batch_header_bytes, '\0', alloc) {}
    batch_builder(const batch_builder&) = default;
    batch_builder& operator=(const batch_builder&) = default;
    /// A moved-from batch is empty.
    batch_builder(batch_builder&& other) noexcept
        : encoded_(std::move(other.encoded_)), count_(other.count_), too_large_(other.too_large_) {
        other.clear();
    }
    batch_builder& operator=(batch_builder&& other) noexcept {
        if (this == &other) return *this;
        encoded_ = std::move(other.encoded_);
        count_ = other.count_;
        too_large_ = other.too_large_;
        other.clear();
        return *this;
    }

    void add(bytes_view key, entry_view entry) {
        if (key.size() > max_length || entry.value.size() > max_length ||
            count_ == std::numeric_limits<std::uint32_t>::max()) {
            too_large_ = true;
            return;
        }
        make_room(encoded_, 9 + key.size() + entry.value.size());
        append_batch_operation(encoded_, key, entry);
        store_le(encoded_.data(), ++count_);
    }

    /// Keeps its memory for the next use, up to `max_kept_bytes`.
    void clear() {
        if (encoded_.capacity() > max_kept_bytes) encoded_ = basic_bytes<Alloc>(encoded_.get_allocator());
        encoded_.assign(batch_header_bytes, '\0');
        count_ = 0;
        too_large_ = false;
    }

    [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
    [[nodiscard]] bytes_view encoded() const noexcept { return encoded_; }
    [[nodiscard]] Alloc allocator() const noexcept { return encoded_.get_allocator(); }
    /// Whether the batch is, or one of its operations was, longer than the formats can store.
    [[nodiscard]] bool too_large() const noexcept { return too_large_ || encoded_.size() > max_length; }

private:
    static constexpr std::size_t max_kept_bytes = std::size_t{64} << 10;

    basic_bytes<Alloc> encoded_;
    std::uint32_t count_ = 0;
    bool too_large_ = false;
};

/// The encoding of one operation; on the stack if it is small.
template <class Alloc>
class operation_buffer {
public:
    explicit operation_buffer(const Alloc& alloc) : large_(alloc) {}

    void append(const char* data, std::size_t size) {
        if (large_.empty() && size <= sizeof small_ - used_) {
            bytes_view(data, size).copy(small_ + used_, size);
            used_ += size;
            return;
        }
        if (large_.empty()) {
            large_.reserve(used_ + size);
            large_.assign(small_, used_);
        }
        large_.append(data, size);
    }
    [[nodiscard]] bytes_view view() const noexcept {
        return large_.empty() ? bytes_view(small_, used_) : bytes_view(large_);
    }

private:
    char small_[512];
    std::size_t used_ = 0;
    basic_bytes<Alloc> large_;
};

}  // namespace lsm::detail

namespace lsm {

/// Puts and deletes that a database applies together: all of them or none, for readers and after a crash. They apply in
/// order, so the last one on a key wins. A moved-from batch is empty.
template <class Policies>
class basic_write_batch {
    using alloc = typename Policies::allocator_type;

public:
    using policies_type = Policies;

    basic_write_batch() requires std::default_initializable<alloc> : basic_write_batch(alloc()) {}
    explicit basic_write_batch(const alloc& allocator) : batch_(allocator) {}

    /// Adds a put. Requires that key and value are not views of this batch's encoding. If one of them is too long to
    /// store, the database refuses the whole batch. If the allocator throws, nothing has changed.
    void put(typename Policies::key_argument key, typename Policies::value_argument value) {
        const detail::encoded_key<Policies> k(key, batch_.allocator());
        const detail::encoded_value<Policies> v(value, batch_.allocator());
        batch_.add(k.view(), {entry_type::value, v.view()});
    }
    /// Adds a delete. Otherwise as put().
    void del(typename Policies::key_argument key) {
        const detail::encoded_key<Policies> k(key, batch_.allocator());
        batch_.add(k.view(), {entry_type::tombstone, {}});
    }
    void clear() { batch_.clear(); }

    /// The number of operations.
    [[nodiscard]] std::uint32_t count() const noexcept { return batch_.count(); }
    /// The length of the encoding in bytes.
    [[nodiscard]] std::size_t size_bytes() const noexcept { return batch_.encoded().size(); }
    /// Whether the batch or one of its operations is longer than the formats can store.
    [[nodiscard]] bool too_large() const noexcept { return batch_.too_large(); }

    /// The encoding: a view that is valid until the batch changes.
    [[nodiscard]] bytes_view encode() const noexcept { return batch_.encoded(); }

    /// Returns the batch that `in` encodes. Errors, with the offset: short_input, bad_type, trailing_bytes; bad_key and
    /// bad_value for bytes that the policies' codecs refuse. Takes memory in proportion to the length of `in`, whatever
    /// lengths it claims.
    static result<basic_write_batch> decode(bytes_view in, const alloc& allocator = {}) {
        if (auto checked = detail::check_batch(in); !checked) return std::move(checked).error();
        basic_write_batch out(allocator);
        detail::batch_reader operations(in);
        bytes_view key;
        entry_view entry;
        while (operations.next(key, entry)) {
            if (!detail::decode_key<Policies>(key))
                return detail::failure_at(operations.offset(), errc::bad_key, "in a write batch");
            if (!entry.tombstone() && !detail::decode_value<Policies>(entry.value))
                return detail::failure_at(operations.offset(), errc::bad_value, "in a write batch");
            out.batch_.add(key, entry);
        }
        return out;
    }

private:
    friend class basic_db<Policies>;

    detail::batch_builder<alloc> batch_;
};

}  // namespace lsm
