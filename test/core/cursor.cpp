#include <lsm/core/cursor.hpp>

#include <cstddef>
#include <memory>

#include <lsm/core/range.hpp>
#include <lsm/db/read/scan_cursor.hpp>
#include <lsm/db/state/run_cursor.hpp>
#include <lsm/memtable/dump.hpp>
#include <lsm/memtable/memtable.hpp>
#include <lsm/merge/merging_iterator.hpp>
#include <lsm/sstable/reader.hpp>

#include "support/catch.hpp"
#include "support/cursors.hpp"

using lsm::bytes_view;
using lsm::cursor;
using lsm::entry_view;
using lsm::errc;
using lsm::forward_cursor;
using lsm::result;
using lsm::detail::seek_below;
using lsm::detail::seek_not_above;
using lsm::test::entry_list;
using lsm::test::forward_only_cursor;
using lsm::test::listed_cursor;

namespace {

using default_alloc = std::allocator<std::byte>;

struct complete_cursor {
    bool valid() const;
    bytes_view key() const;
    entry_view entry() const;
    result<void> status() const;
    void next();
    void prev();
    void seek_to_first();
    void seek_to_last();
    void seek(bytes_view key);
};

// Each of these lacks a member that even a forward_cursor needs.
struct without_valid : complete_cursor {
    void valid() const = delete;
};
struct without_key : complete_cursor {
    void key() const = delete;
};
struct without_entry : complete_cursor {
    void entry() const = delete;
};
struct without_status : complete_cursor {
    void status() const = delete;
};
struct without_next : complete_cursor {
    void next() = delete;
};

// Each of these has a member of another type.
struct with_int_valid : complete_cursor {
    int valid() const;
};
struct with_mutable_valid : complete_cursor {
    bool valid();
};
struct with_int_key : complete_cursor {
    int key() const;
};
struct with_mutable_key : complete_cursor {
    bytes_view key();
};
struct with_bytes_entry : complete_cursor {
    bytes_view entry() const;
};
struct with_bool_status : complete_cursor {
    bool status() const;
};

// Each of these lacks a member that only a cursor needs.
struct without_prev : complete_cursor {
    void prev() = delete;
};
struct without_seek_to_first : complete_cursor {
    void seek_to_first() = delete;
};
struct without_seek_to_last : complete_cursor {
    void seek_to_last() = delete;
};
struct without_seek : complete_cursor {
    void seek(bytes_view key) = delete;
};
struct with_seek_by_number : complete_cursor {
    void seek(std::size_t number);
};

template <class C>
constexpr bool moves_forward_only = forward_cursor<C> && !cursor<C>;

const entry_list b_d_f = {{"b", "1"}, {"d", "2"}, {"f", "3"}};

}  // namespace

TEST_CASE("cursor: a type with all members is a cursor") {
    STATIC_REQUIRE(forward_cursor<complete_cursor>);
    STATIC_REQUIRE(cursor<complete_cursor>);
}

TEST_CASE("cursor: a type without a member of forward_cursor is none") {
    STATIC_REQUIRE_FALSE(forward_cursor<without_valid>);
    STATIC_REQUIRE_FALSE(forward_cursor<without_key>);
    STATIC_REQUIRE_FALSE(forward_cursor<without_entry>);
    STATIC_REQUIRE_FALSE(forward_cursor<without_status>);
    STATIC_REQUIRE_FALSE(forward_cursor<without_next>);
    STATIC_REQUIRE_FALSE(cursor<without_valid>);
    STATIC_REQUIRE_FALSE(cursor<without_key>);
    STATIC_REQUIRE_FALSE(cursor<without_entry>);
    STATIC_REQUIRE_FALSE(cursor<without_status>);
    STATIC_REQUIRE_FALSE(cursor<without_next>);
    STATIC_REQUIRE_FALSE(forward_cursor<int>);
}

TEST_CASE("cursor: a type with a member of another type is none") {
    STATIC_REQUIRE_FALSE(forward_cursor<with_int_valid>);
    STATIC_REQUIRE_FALSE(forward_cursor<with_mutable_valid>);
    STATIC_REQUIRE_FALSE(forward_cursor<with_int_key>);
    STATIC_REQUIRE_FALSE(forward_cursor<with_mutable_key>);
    STATIC_REQUIRE_FALSE(forward_cursor<with_bytes_entry>);
    STATIC_REQUIRE_FALSE(forward_cursor<with_bool_status>);
}

TEST_CASE("cursor: a type that cannot seek or move back is a forward_cursor only") {
    STATIC_REQUIRE(moves_forward_only<without_prev>);
    STATIC_REQUIRE(moves_forward_only<without_seek_to_first>);
    STATIC_REQUIRE(moves_forward_only<without_seek_to_last>);
    STATIC_REQUIRE(moves_forward_only<without_seek>);
    STATIC_REQUIRE(moves_forward_only<with_seek_by_number>);
}

TEST_CASE("cursor: every stage has a cursor") {
    STATIC_REQUIRE(cursor<lsm::memtable::cursor>);
    STATIC_REQUIRE(cursor<lsm::sst_reader::cursor>);
    STATIC_REQUIRE(cursor<lsm::detail::memtable_cursor<default_alloc>>);
    STATIC_REQUIRE(cursor<lsm::detail::table_cursor<lsm::detail::uncached_table<default_alloc>>>);
    STATIC_REQUIRE(cursor<lsm::detail::run_cursor<default_alloc>>);
    STATIC_REQUIRE(cursor<lsm::detail::source_cursor<default_alloc>>);
    STATIC_REQUIRE(cursor<lsm::detail::scan_cursor<default_alloc>>);
    STATIC_REQUIRE(moves_forward_only<lsm::dump_reader>);
}

TEST_CASE("cursor: a wrapper of a cursor is a cursor") {
    STATIC_REQUIRE(cursor<lsm::detail::range_cursor<listed_cursor, default_alloc>>);
    STATIC_REQUIRE(cursor<lsm::typed_cursor<lsm::policies<>, listed_cursor>>);
    STATIC_REQUIRE(cursor<lsm::merging_iterator<listed_cursor>>);
    STATIC_REQUIRE(cursor<lsm::merging_iterator<lsm::merging_iterator<listed_cursor>>>);
}

TEST_CASE("cursor: a merge of sources that move forward only is a forward_cursor only") {
    STATIC_REQUIRE(moves_forward_only<lsm::merging_iterator<forward_only_cursor>>);
}

TEST_CASE("cursor: a cursor over keys that are not bytes is none") {
    STATIC_REQUIRE_FALSE(forward_cursor<lsm::typed_cursor<lsm::policies<int>, listed_cursor>>);
}

TEST_CASE("seek_below: moves to the last smaller key") {
    listed_cursor at(b_d_f);
    seek_below(at, "e");
    CHECK(at.key() == "d");
    seek_below(at, "d");
    CHECK(at.key() == "b");
    seek_below(at, "z");
    CHECK(at.key() == "f");
    seek_below(at, "b");
    CHECK_FALSE(at.valid());
    CHECK(at.status());
}

TEST_CASE("seek_not_above: moves to the key or the last smaller one") {
    listed_cursor at(b_d_f);
    seek_not_above(at, "d");
    CHECK(at.key() == "d");
    seek_not_above(at, "e");
    CHECK(at.key() == "d");
    seek_not_above(at, "z");
    CHECK(at.key() == "f");
    seek_not_above(at, "a");
    CHECK_FALSE(at.valid());
}

TEST_CASE("seek_below: damage is not mistaken for the end") {
    listed_cursor at(b_d_f, 1);
    seek_below(at, "c");
    CHECK_FALSE(at.valid());
    CHECK_FALSE(at.status());
    seek_not_above(at, "d");
    CHECK_FALSE(at.valid());
    CHECK_FALSE(at.status());
}
