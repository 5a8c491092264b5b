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

/// A cursor over keys and values of the policies' types; stands on the first entry of its range when it is made.
///
/// An entry is read by key(), value() and, in the stages that show deletions, tombstone(); all require valid(), as do
/// next() and prev(), and value() that it is no tombstone. Views they return last until the cursor moves. A cursor that
/// is not valid() has come to an end, or met damage: status() tells which, and never calls damage an end. A cursor
/// keeps what it reads alive, so it may outlive the object that it came from; it is for one thread at a time, and is
/// moved rather than copied.
///
/// Also a C++20 input range, from where it stands, of pairs (key, value), or (key, optional value) in the stages that
/// show deletions, where a tombstone has no value. Look at status() behind the loop.
template <class Policies, class ByteCursor, bool ShowsTombstones>
class typed_cursor {
    using alloc = typename Policies::allocator_type;

public:
    using key_view = typename Policies::key_view;
    using value_view = typename Policies::value_view;

    /// Errors of its own name `place`, a file or directory, if it is not empty.
    explicit typed_cursor(ByteCursor inner, const alloc& allocator = {}, std::string_view place = {})
        : bytes_(std::move(inner)), alloc_(allocator), place_(place) {
        read();
    }

    [[nodiscard]] bool valid() const { return !defect_ && bytes_.valid(); }
    [[nodiscard]] result<void> status() const {
        if (defect_) return *defect_;
        return bytes_.status();
    }

    [[nodiscard]] key_view key() const {
        if constexpr (keys_are_bytes)
            return bytes_.key();
        else
            return *key_;
    }
    [[nodiscard]] value_view value() const {
        if constexpr (values_are_bytes)
            return bytes_.entry().value;
        else
            return *value_;
    }
    [[nodiscard]] bool tombstone() const requires ShowsTombstones { return bytes_.entry().tombstone(); }

    /// The entry's bytes, as they are stored.
    [[nodiscard]] bytes_view key_bytes() const { return bytes_.key(); }
    [[nodiscard]] entry_view entry() const { return bytes_.entry(); }

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

    /// To the first entry, in the direction of the range, whose key is not before `key`.
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

    /// From where the cursor stands.
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
        step(bytes_);
        read();
    }

    // Decodes where the cursor stands, so that bytes which are no key or value of this type end the walk with an error.
    void read() {
        if (!bytes_.valid()) return;
        if constexpr (!keys_are_bytes) {
            key_ = detail::decode_key<Policies>(bytes_.key());
            if (!key_) return fail(errc::bad_key);
        }
        if constexpr (!values_are_bytes) {
            value_.reset();
            if (bytes_.entry().tombstone()) return;
            value_ = detail::decode_value<Policies>(bytes_.entry().value);
            if (!value_) return fail(errc::bad_value);
        }
    }

    LSM_COLD void fail(errc code) {
        defect_ = detail::failure(code, "at key " + hex(bytes_.key()));
        if constexpr (!keys_are_bytes || !values_are_bytes)
            if (!place_.empty()) defect_ = std::move(*defect_).in(place_);
    }

    ByteCursor bytes_;
    [[no_unique_address]] alloc alloc_;
    [[no_unique_address]] std::conditional_t<keys_are_bytes, no_key, std::optional<key_view>> key_;
    [[no_unique_address]] std::conditional_t<values_are_bytes, no_value, std::optional<value_view>> value_;
    [[no_unique_address]] std::conditional_t<keys_are_bytes && values_are_bytes, no_place, std::string> place_;
    std::optional<error> defect_;
};

}  // namespace lsm
