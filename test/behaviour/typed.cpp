#include <lsm/db/db.hpp>

#include <cstdint>
#include <tuple>

#include "support/catch.hpp"
#include "support/databases.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;

struct point {
    std::int32_t x;
    std::int32_t y;

    friend bool operator==(const point&, const point&) = default;
};

// Calls `write` on a new database, and `check` while the entries are in the memtable, after replaying the log, after a
// flush, and after opening the table again.
template <class Db, class Write, class Check>
void through_flush_and_reopen(Write write, Check check) {
    memory_directory directory;
    {
        auto db = must(Db::open("db", directory.opts()));
        write(db);
        check(db);
    }
    auto db = must(Db::open("db", directory.opts()));
    check(db);
    must(db.flush());
    check(db);
    must(db.close());
    check(must(Db::open("db", directory.opts())));
}

template <class Db>
auto all_of(const Db& db, const typename Db::scan_options& range = {}) {
    std::vector<std::pair<typename Db::policies_type::key_type, typename Db::policies_type::value_type>> out;
    auto at = db.scan(range);
    for (const auto& [key, value] : at) out.emplace_back(key, value);
    must(at.status());
    return out;
}

}  // namespace

TEST_CASE("typed db: number keys are in numeric order") {
    using numbers = lsm::basic_db<lsm::policies<std::uint64_t, lsm::bytes>>;
    using list = std::vector<std::pair<std::uint64_t, lsm::bytes>>;
    const std::uint64_t most = ~std::uint64_t{0};
    through_flush_and_reopen<numbers>(
        [&](numbers& db) {
            for (const std::uint64_t key :
                 {std::uint64_t{256}, std::uint64_t{0}, most, std::uint64_t{255}, std::uint64_t{9}})
                must(db.put(key, std::to_string(key)));
            must(db.del(9));
        },
        [&](const numbers& db) {
            CHECK(all_of(db) == list{{0, "0"}, {255, "255"}, {256, "256"}, {most, std::to_string(most)}});
            CHECK(all_of(db, {.from = 1, .to = 256}) == list{{255, "255"}});
            CHECK(all_of(db, {.from = 255, .reverse = true}) ==
                  list{{most, std::to_string(most)}, {256, "256"}, {255, "255"}});
            CHECK(must(db.get(255)) == "255");
            CHECK_FALSE(must(db.contains(9)));
            CHECK_FALSE(must(db.get(9)));
        });
}

TEST_CASE("typed db: tuple keys are found by a prefix of their first elements") {
    using key = std::tuple<std::uint64_t, lsm::bytes>;
    using database = lsm::basic_db<lsm::policies<key, lsm::bytes>>;
    using list = std::vector<std::pair<key, lsm::bytes>>;
    const lsm::bytes with_zero("a\0b", 3);
    through_flush_and_reopen<database>(
        [&](database& db) {
            must(db.put({1, "a"}, "1a"));
            must(db.put({1, ""}, "1"));
            must(db.put({1, with_zero}, "1a0b"));
            must(db.put({1, "ab"}, "1ab"));
            must(db.put({256, "a"}, "256a"));
            must(db.put({~std::uint64_t{0}, "z"}, "last"));
            must(db.put({2, "gone"}, ""));
            must(db.del({2, "gone"}));
        },
        [&](const database& db) {
            const auto one = lsm::key_prefix<key>(1);
            CHECK(all_of(db, {.prefix = one}) ==
                  list{{{1, ""}, "1"}, {{1, "a"}, "1a"}, {{1, with_zero}, "1a0b"}, {{1, "ab"}, "1ab"}});
            CHECK(all_of(db, {.prefix = one, .reverse = true}).front().first == key{1, "ab"});
            const auto two = lsm::key_prefix<key>(2u);
            CHECK(all_of(db, {.prefix = two}).empty());
            const auto last = lsm::key_prefix<key>(~std::uint64_t{0});
            CHECK(all_of(db, {.prefix = last}) == list{{{~std::uint64_t{0}, "z"}, "last"}});
            const auto whole = lsm::key_prefix<key>(1, "a");
            CHECK(all_of(db, {.prefix = whole}) == list{{{1, "a"}, "1a"}});
            CHECK(all_of(db, {.from = key{1, "a"}, .prefix = one}) ==
                  list{{{1, "a"}, "1a"}, {{1, with_zero}, "1a0b"}, {{1, "ab"}, "1ab"}});
            CHECK(all_of(db, {.from = key{0, ""}, .to = key{1, "a"}, .prefix = one}) == list{{{1, ""}, "1"}});
            CHECK(all_of(db, {.to = key{2, ""}, .prefix = one, .reverse = true}).size() == 4);
            CHECK(all_of(db, {.from = key{1, "b"}, .to = key{256, ""}, .prefix = one}).empty());
            CHECK(all_of(db, {.from = key{0, ""}, .prefix = last}) == all_of(db, {.prefix = last}));
            CHECK(must(db.get({256, "a"})) == "256a");
        });
}

TEST_CASE("typed db: values can be structs") {
    using database = lsm::basic_db<lsm::policies<lsm::bytes, point>>;
    through_flush_and_reopen<database>(
        [](database& db) {
            typename database::batch batch;
            batch.put("origin", {0, 0});
            batch.put("far", {-1, 1 << 30});
            batch.put("gone", {1, 1});
            batch.del("gone");
            must(db.write(batch));
        },
        [](const database& db) {
            CHECK(must(db.get("far")) == point{-1, 1 << 30});
            CHECK_FALSE(must(db.get("gone")));
            CHECK(all_of(db) == std::vector<std::pair<lsm::bytes, point>>{{"far", {-1, 1 << 30}}, {"origin", {0, 0}}});
        });
}

TEST_CASE("typed db: a typed cursor seeks keys of its type") {
    using numbers = lsm::basic_db<lsm::policies<std::int32_t, std::int32_t>>;
    memory_directory directory;
    auto db = must(numbers::open("db", directory.opts()));
    for (const std::int32_t key : {-5, -1, 0, 3, 1000}) must(db.put(key, -key));
    auto at = db.scan();
    CHECK(at.key() == -5);
    at.seek(-4);
    CHECK(at.key() == -1);
    at.seek(4);
    CHECK(at.value() == -1000);
    auto back = db.scan({.to = 1000, .reverse = true});
    back.seek(1);
    CHECK(back.key() == 0);
}

TEST_CASE("typed db: bytes that do not decode are an error and not a value") {
    memory_directory directory;
    {
        auto db = directory.open();
        must(db.put("key4", "12345678"));
        must(db.put("key5", "123"));
        must(db.put("long key", "12345678"));
    }
    using database = lsm::basic_db<lsm::policies<std::uint32_t, point>>;
    const auto db = must(database::open("db", directory.opts()));
    const auto number = [](lsm::bytes_view key) { return lsm::key_codec<std::uint32_t>::decode(key).value(); };
    CHECK(must(db.get(number("key4"))));
    CHECK(must_fail(db.get(number("key5"))).code == errc::bad_value);
    CHECK(must(db.contains(number("key5"))));
    auto at = db.scan();
    REQUIRE(at.valid());
    at.next();
    CHECK_FALSE(at.valid());
    CHECK(must_fail(at.status()).code == errc::bad_value);
    at.seek(number("key6"));
    CHECK_FALSE(at.valid());
    CHECK(must_fail(at.status()).code == errc::bad_key);
    CHECK(must_fail(at.status()).what == "db: bad_key: at key 6c6f6e67206b6579");
    at.seek_to_first();
    CHECK(at.valid());
    must(at.status());
}
