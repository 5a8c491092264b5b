#pragma once

#include <cstddef>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <lsm/core/cursor.hpp>
#include <lsm/core/hex.hpp>
#include <lsm/core/result.hpp>
#include <lsm/policy/policies.hpp>

namespace lsm {

/// A cursor over keys and values of the policies' types. Initially on the first entry of its range.
///
/// key(), value(), next() and prev() require valid(), and so does tombstone(), which only the stages that show
/// deletions have. value() also requires that the entry is not a tombstone. The views that they return are valid until
/// the cursor moves.
///
/// A cursor that is not valid() has moved past an end of its range, or it has met damage, and then status() is that
/// error. It never takes damage for an end.
///
/// A cursor keeps alive what it reads, so it may outlive the object that it came from. It is for one thread at a time.
/// Move it rather than copy it.
///
/// A cursor is also a C++20 input range that begins where the cursor stands. Its elements are pairs of a key and a
/// value, or, in the stages that show deletions, of a key and an optional value, which a tombstone does not have. Check
/// status() after a loop.
template <class Policies, class ByteCursor, bool ShowsTombstones>
class typed_cursor {
    using alloc = typename Policies::allocator_type;

public:
    using key_view = typename Policies::key_view;
    using value_view = typename Policies::value_view;

    /// `place` is the file or directory that errors of this class name; if empty, they name none.
    explicit typed_cursor(ByteCursor inner, const alloc& allocator = {}, std::string_view place = {})
        : inner_(std::move(inner)), alloc_(allocator), place_(place) {
        read();
    }

    [[nodiscard]] bool valid() const { return !defect_ && inner_.valid(); }
    [[nodiscard]] result<void> status() const {
        if (defect_) return *defect_;
        return inner_.status();
    }

    [[nodiscard]] key_view key() const {
        if constexpr (keys_are_bytes)
            return inner_.key();
        else
            return *key_;
    }
    [[nodiscard]] value_view value() const {
        if constexpr (values_are_bytes)
            return inner_.entry().value;
        else
            return *value_;
    }
    [[nodiscard]] bool tombstone() const requires ShowsTombstones { return inner_.entry().tombstone(); }

    /// The stored bytes of the entry. Both require valid(), or that status() is bad_key or bad_value.
    [[nodiscard]] bytes_view key_bytes() const { return inner_.key(); }
    [[nodiscard]] entry_view entry() const { return inner_.entry(); }

    void next() {
        move([](ByteCursor& at) { at.next(); });
    }
    void prev() {
        move([](ByteCursor& at) { at.prev(); });
    }
    void seek_to_first() {
        move([](ByteCursor& at) { at.seek_to_first(); });
    }
    void seek_to_last() {
        move([](ByteCursor& at) { at.seek_to_last(); });
    }

    /// Moves to the first entry, in the direction of the range, whose key is not before `key`.
    void seek(typename Policies::key_argument key) {
        const detail::encoded_key<Policies> target(key, alloc_);
        move([&](ByteCursor& at) { at.seek(target.view()); });
    }

    class iterator {
    public:
        using iterator_concept = std::input_iterator_tag;
        using difference_type = std::ptrdiff_t;
        using value_type =
            std::pair<key_view, std::conditional_t<ShowsTombstones, std::optional<value_view>, value_view>>;

        iterator() = default;
        explicit iterator(typed_cursor& at) : at_(&at) {}
        [[nodiscard]] value_type operator*() const {
            if constexpr (ShowsTombstones)
                if (at_->tombstone()) return {at_->key(), std::nullopt};
            return {at_->key(), at_->value()};
        }
        iterator& operator++() {
            at_->next();
            return *this;
        }
        void operator++(int) { at_->next(); }
        friend bool operator==(const iterator& it, std::default_sentinel_t) { return !it.at_->valid(); }

    private:
        typed_cursor* at_ = nullptr;
    };

    /// The range from where the cursor stands.
    [[nodiscard]] iterator begin() { return iterator(*this); }
    [[nodiscard]] std::default_sentinel_t end() const { return {}; }

private:
    static constexpr bool keys_are_bytes = detail::identity_codec<typename Policies::key_codec>;
    static constexpr bool values_are_bytes = detail::identity_codec<typename Policies::value_codec>;
    struct no_key {};
    struct no_value {};
    struct no_place {
        explicit no_place(std::string_view) {}
    };

    template <class Step>
    void move(Step step) {
        defect_.reset();
        step(inner_);
        read();
    }

    // Decodes the entry at once, so that bytes that are not a key or value of the type end the walk with an error.
    void read() {
        if (!inner_.valid()) return;
        if constexpr (!keys_are_bytes) {
            key_ = detail::decode_key<Policies>(inner_.key());
            if (!key_) return fail(errc::bad_key);
        }
        if constexpr (!values_are_bytes) {
            value_.reset();
            if (inner_.entry().tombstone()) return;
            value_ = detail::decode_value<Policies>(inner_.entry().value);
            if (!value_) return fail(errc::bad_value);
        }
    }

    LSM_COLD void fail(errc code) {
        defect_ = detail::failure(code, "at key " + hex(inner_.key()));
        if constexpr (!keys_are_bytes || !values_are_bytes)
            if (!place_.empty()) defect_ = std::move(*defect_).in(place_);
    }

    ByteCursor inner_;
    [[no_unique_address]] alloc alloc_;
    [[no_unique_address]] std::conditional_t<keys_are_bytes, no_key, std::optional<key_view>> key_;
    [[no_unique_address]] std::conditional_t<values_are_bytes, no_value, std::optional<value_view>> value_;
    [[no_unique_address]] std::conditional_t<keys_are_bytes && values_are_bytes, no_place, std::string> place_;
    std::optional<error> defect_;
};

}  // namespace lsm
