#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <lsm/core/cursor.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/error.hpp>
#include <lsm/io/sink.hpp>
#include <lsm/sstable/reader.hpp>
#include <lsm/sstable/writer.hpp>

#include "support/files.hpp"
#include "support/random_keys.hpp"
#include "support/results.hpp"

/// Entries as a std::map has them, what they look like as files, and cursors over them: the models of the tests.
namespace lsm::test {

/// A value, or nothing: a tombstone.
using optional_value = std::optional<bytes>;
inline constexpr std::nullopt_t deleted = std::nullopt;
using entry_map = std::map<bytes, optional_value>;
using entry_list = std::vector<std::pair<bytes, optional_value>>;

inline entry_list list_of(const entry_map& from) { return {from.begin(), from.end()}; }

inline entry_view view_of(const optional_value& value) {
    return value ? entry_view{entry_type::value, *value} : entry_view{entry_type::tombstone, {}};
}
inline optional_value value_of(entry_view entry) {
    return entry.tombstone() ? std::nullopt : optional_value(entry.value);
}

/// What a merge of `newest_first` must show.
inline entry_map merged(const std::vector<entry_map>& newest_first, bool drop_tombstones) {
    entry_map out;
    for (const entry_map& source : newest_first) out.insert(source.begin(), source.end());
    if (drop_tombstones) std::erase_if(out, [](const auto& entry) { return !entry.second; });
    return out;
}

inline bytes little_endian_32(std::size_t number) {
    bytes out;
    for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(number >> shift & 0xff));
    return out;
}

/// The merge stream of the format page, section 4, written from its text.
inline bytes stream_of(const entry_map& entries) {
    bytes out;
    for (const auto& [key, value] : entries) {
        out += little_endian_32(key.size()) + key + (value ? '\0' : '\1');
        if (value) out += little_endian_32(value->size()) + *value;
    }
    return out;
}

/// A table's bytes.
inline bytes table_of(const entry_map& entries, std::uint32_t block_size = 4096) {
    bytes out;
    io::string_sink to(out);
    sst_writer writer(to, {.block_size = block_size});
    for (const auto& [key, value] : entries) must(writer.add(key, value));
    must(writer.finish());
    return out;
}

inline sst_reader open_table(io::file_system& fs, const std::string& path, const entry_map& entries,
                             std::uint32_t block_size = 4096) {
    write_file(fs, path, table_of(entries, block_size));
    return must(sst_reader::open(open_file(fs, path)));
}

/// All that a cursor shows from where it stands on; requires that it does not end in damage.
template <class Cursor>
entry_list walk(Cursor& at) {
    entry_list out;
    for (; at.valid(); at.next()) out.emplace_back(at.key(), value_of(at.entry()));
    must(at.status());
    return out;
}

/// What a table holds, whatever else is in its file.
inline entry_map entries_in(const sst_reader& table) {
    auto at = table.iter();
    const auto all = walk(at);
    return {all.begin(), all.end()};
}

inline entry_map random_entries(std::mt19937_64& random, std::size_t most) {
    entry_map out;
    for (std::size_t left = random() % (most + 1); left > 0; --left) {
        const bytes key = random_key(random);
        out[key] = random() % 3 == 0 ? std::nullopt : optional_value(bytes(random() % 12, static_cast<char>(random())));
    }
    return out;
}

/// A cursor over a list, which can be damaged at one place: to move there ends the walk.
class listed_cursor {
public:
    static constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

    explicit listed_cursor(entry_list entries, std::size_t damaged_at = nowhere, std::string damage = {})
        : entries_(std::make_shared<const entry_list>(std::move(entries))),
          damaged_at_(damaged_at),
          damage_(std::move(damage)),
          at_(entries_->size()) {}

    [[nodiscard]] bool valid() const { return at_ < entries_->size() && at_ != damaged_at_; }
    [[nodiscard]] bytes_view key() const { return (*entries_)[at_].first; }
    [[nodiscard]] entry_view entry() const { return view_of((*entries_)[at_].second); }
    [[nodiscard]] result<void> status() const {
        if (at_ == damaged_at_) return error{errc::bad_block, 0, damage_};
        return {};
    }
    void next() { ++at_; }
    void prev() { at_ = at_ == 0 ? entries_->size() : at_ - 1; }
    void seek_to_first() { at_ = 0; }
    void seek_to_last() { at_ = entries_->empty() ? 0 : entries_->size() - 1; }
    void seek(bytes_view key) {
        for (at_ = 0; at_ < entries_->size() && (*entries_)[at_].first < key;) ++at_;
    }

private:
    std::shared_ptr<const entry_list> entries_;
    std::size_t damaged_at_;
    std::string damage_;
    std::size_t at_;
};

/// The same, forwards only and standing on its first entry from the beginning.
class forward_only_cursor {
public:
    explicit forward_only_cursor(entry_list entries, std::size_t damaged_at = listed_cursor::nowhere,
                                 std::string damage = {})
        : inner_(std::move(entries), damaged_at, std::move(damage)) {
        inner_.seek_to_first();
    }

    [[nodiscard]] bool valid() const { return inner_.valid(); }
    [[nodiscard]] bytes_view key() const { return inner_.key(); }
    [[nodiscard]] entry_view entry() const { return inner_.entry(); }
    [[nodiscard]] result<void> status() const { return inner_.status(); }
    void next() { inner_.next(); }

private:
    listed_cursor inner_;
};

static_assert(cursor<listed_cursor>);
static_assert(forward_cursor<forward_only_cursor> && !cursor<forward_only_cursor>);

/// Any cursor, so that one merge can have sources of several kinds.
class any_cursor {
public:
    template <cursor C>
    requires(!std::same_as<C, any_cursor>) explicit any_cursor(C inner)
        : inner_(std::make_unique<holder<C>>(std::move(inner))) {}

    [[nodiscard]] bool valid() const { return inner_->valid(); }
    [[nodiscard]] bytes_view key() const { return inner_->key(); }
    [[nodiscard]] entry_view entry() const { return inner_->entry(); }
    [[nodiscard]] result<void> status() const { return inner_->status(); }
    void next() { inner_->next(); }
    void prev() { inner_->prev(); }
    void seek_to_first() { inner_->seek_to_first(); }
    void seek_to_last() { inner_->seek_to_last(); }
    void seek(bytes_view key) { inner_->seek(key); }

private:
    struct base {
        virtual ~base() = default;
        virtual bool valid() const = 0;
        virtual bytes_view key() const = 0;
        virtual entry_view entry() const = 0;
        virtual result<void> status() const = 0;
        virtual void next() = 0;
        virtual void prev() = 0;
        virtual void seek_to_first() = 0;
        virtual void seek_to_last() = 0;
        virtual void seek(bytes_view key) = 0;
    };
    template <class C>
    struct holder final : base {
        explicit holder(C from) : at(std::move(from)) {}
        bool valid() const override { return at.valid(); }
        bytes_view key() const override { return at.key(); }
        entry_view entry() const override { return at.entry(); }
        result<void> status() const override { return at.status(); }
        void next() override { at.next(); }
        void prev() override { at.prev(); }
        void seek_to_first() override { at.seek_to_first(); }
        void seek_to_last() override { at.seek_to_last(); }
        void seek(bytes_view key) override { at.seek(key); }
        C at;
    };

    std::unique_ptr<base> inner_;
};

/// Moves `at` at random and compares each place with `expected`; `compare` is called for the entry it stands on.
template <class Cursor>
void check_random_moves(Cursor& at, const entry_map& expected, std::mt19937_64& random, std::size_t moves) {
    auto where = expected.end();
    bool standing = false;  // until the first seek nothing is known of the place
    for (std::size_t i = 0; i < moves; ++i) {
        const auto choice = random() % 10;
        if (standing && where != expected.end() && choice < 7) {
            if (choice < 4) {
                at.next();
                ++where;
            } else {
                at.prev();
                where = where == expected.begin() ? expected.end() : std::prev(where);
            }
        } else if (choice == 7) {
            at.seek_to_first();
            where = expected.begin();
        } else if (choice == 8) {
            at.seek_to_last();
            where = expected.empty() ? expected.end() : std::prev(expected.end());
        } else {
            const bytes key = random_key(random);
            at.seek(key);
            where = expected.lower_bound(key);
        }
        standing = true;
        must(at.status());
        REQUIRE(at.valid() == (where != expected.end()));
        if (!at.valid()) continue;
        REQUIRE(at.key() == where->first);
        REQUIRE(value_of(at.entry()) == where->second);
    }
}

}  // namespace lsm::test
