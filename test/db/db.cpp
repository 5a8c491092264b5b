#include <lsm/db/db.hpp>

#include <type_traits>

#include "support/catch.hpp"
#include "support/databases.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;

constexpr std::nullopt_t absent = std::nullopt;

}  // namespace

TEST_CASE("db: a key that was put is found and any other is absent") {
    memory_directory directory;
    auto db = directory.open();
    must(db.put("a", "1"));
    must(db.put("", "of the empty key"));
    must(db.put("empty", ""));
    CHECK(value_in(db, "a") == "1");
    CHECK(value_in(db, "") == "of the empty key");
    CHECK(value_in(db, "empty") == "");
    CHECK(value_in(db, "b") == absent);
    CHECK(must(db.contains("empty")));
    CHECK_FALSE(must(db.contains("b")));
}

TEST_CASE("db: a delete hides older entries in memory and in tables") {
    memory_directory directory;
    auto db = directory.open();
    must(db.put("a", "1"));
    must(db.del("a"));
    CHECK(value_in(db, "a") == absent);
    must(db.put("a", "2"));
    must(db.flush());
    must(db.del("a"));
    must(db.del("never there"));
    CHECK(value_in(db, "a") == absent);
    CHECK_FALSE(must(db.contains("a")));
    must(db.flush());
    CHECK(value_in(db, "a") == absent);
    CHECK(contents_of(db).empty());
}

TEST_CASE("db: a batch is applied in order and at once") {
    memory_directory directory;
    auto db = directory.open();
    must(db.put("b", "old"));
    must(db.write(batch_of({{"a", "1"}, {"b", absent}, {"a", "2"}, {"c", absent}, {"c", "3"}})));
    CHECK(contents_of(db) == entry_map{{"a", "2"}, {"c", "3"}});
}

TEST_CASE("db: a batch without operations does nothing and is not logged") {
    memory_directory directory;
    auto db = directory.open();
    const auto before = directory.files();
    must(db.write(lsm::write_batch()));
    CHECK(directory.files() == before);
}

TEST_CASE("db: a flush writes a table and removes the log") {
    memory_directory directory;
    auto db = directory.open();
    must(db.put("a", "1"));
    must(db.del("b"));
    CHECK(directory.names() == std::vector<std::string>{"MANIFEST", "wal.log"});
    CHECK(db.live_tables().empty());
    must(db.flush());
    CHECK(directory.names() == std::vector<std::string>{"MANIFEST", "sst-000001.sst"});
    const auto files = directory.files();
    CHECK(files.at("MANIFEST") == "L0 1\n");
    CHECK(entries_in(directory.table("sst-000001.sst")) == entry_map{{"a", "1"}, {"b", absent}});
    REQUIRE(db.live_tables().size() == 1);
    CHECK(db.live_tables().front() == lsm::live_table{0, 1, files.at("sst-000001.sst").size()});
    CHECK(value_in(db, "a") == "1");
}

TEST_CASE("db: flushing an empty memtable does nothing") {
    memory_directory directory;
    auto db = directory.open();
    must(db.flush());
    CHECK(directory.files() == image{{"MANIFEST", ""}});
    must(db.put("a", "1"));
    must(db.flush());
    const auto before = directory.files();
    must(db.flush());
    CHECK(directory.files() == before);
}

TEST_CASE("db: a table is recovered without a log") {
    memory_directory directory;
    {
        auto db = directory.open();
        must(db.put("a", "1"));
        must(db.put("b", "2"));
        must(db.flush());
        must(db.close());
    }
    const auto db = directory.open();
    CHECK(db.recovered().records == 0);
    CHECK(contents_of(db) == entry_map{{"a", "1"}, {"b", "2"}});
}

TEST_CASE("db: the log is replayed at open") {
    memory_directory directory;
    {
        auto db = directory.open();
        must(db.put("a", "1"));
        must(db.write(batch_of({{"b", "2"}, {"a", absent}})));
    }
    CHECK(directory.files().at("wal.log") == log_of({{{"a", "1"}}, {{"b", "2"}, {"a", absent}}}));
    const auto db = directory.open();
    CHECK(db.recovered().records == 2);
    CHECK(db.recovered().cut_bytes == 0);
    CHECK(contents_of(db) == entry_map{{"b", "2"}});
}

TEST_CASE("db: tables and the log are recovered together") {
    memory_directory directory;
    {
        auto db = directory.open();
        must(db.put("a", "1"));
        must(db.put("b", "2"));
        must(db.put("c", "3"));
        must(db.flush());
        must(db.put("b", "22"));
        must(db.del("a"));
        must(db.put("d", "4"));
        must(db.flush());
        must(db.put("e", "5"));
        must(db.del("c"));
        must(db.put("b", "222"));
    }
    CHECK(directory.files().at("MANIFEST") == "L0 2\nL0 1\n");
    for (int round = 0; round < 2; ++round) {
        const auto db = directory.open();
        const entry_map live{{"b", "222"}, {"d", "4"}, {"e", "5"}};
        CHECK(contents_of(db) == live);
        CHECK(view_bytes(db) == stream_of(live));
        CHECK(view_bytes(db).size() == 35);
        CHECK(view_bytes(db, false) == stream_of({{"a", absent}, {"b", "222"}, {"c", absent}, {"d", "4"}, {"e", "5"}}));
        CHECK(view_bytes(db, false).size() == 47);
    }
}

TEST_CASE("db: the newest table wins") {
    memory_directory directory;
    auto db = directory.open();
    for (const char* value : {"first", "second", "third"}) {
        must(db.put("k", value));
        must(db.flush());
        CHECK(value_in(db, "k") == value);
    }
    must(db.close());
    CHECK(value_in(directory.open(), "k") == "third");
}

TEST_CASE("db: a scan shows each key once and no tombstones") {
    memory_directory directory;
    auto db = directory.open();
    must(db.put("a", "old"));
    must(db.put("b", "2"));
    must(db.put("c", "3"));
    must(db.flush());
    must(db.put("a", "new"));
    must(db.del("b"));
    auto at = db.scan();
    CHECK(walk(at) == entry_list{{"a", "new"}, {"c", "3"}});
}

TEST_CASE("db: a scan has bounds and a direction") {
    memory_directory directory;
    auto db = directory.open();
    for (const char* key : {"a", "b", "ba", "bb", "c", "d"}) must(db.put(key, key));
    must(db.flush());
    must(db.del("bb"));
    const auto keys = [&](const lsm::db::scan_options& options) {
        std::vector<lsm::bytes> out;
        auto at = db.scan(options);
        for (const auto& [key, value] : at) out.emplace_back(key);
        must(at.status());
        return out;
    };
    using key_list = std::vector<lsm::bytes>;
    CHECK(keys({.from = "b", .to = "d"}) == key_list{"b", "ba", "c"});
    CHECK(keys({.from = "b", .to = "d", .reverse = true}) == key_list{"c", "ba", "b"});
    CHECK(keys({.from = "bb"}) == key_list{"c", "d"});
    CHECK(keys({.to = "b"}) == key_list{"a"});
    CHECK(keys({.from = "d", .to = "b"}).empty());
    CHECK(keys({.from = "d", .to = "b", .reverse = true}).empty());
    CHECK(keys({.from = "b", .to = "b"}).empty());
    CHECK(keys({.prefix = "b"}) == key_list{"b", "ba"});
    CHECK(keys({.prefix = "b", .reverse = true}) == key_list{"ba", "b"});
    CHECK(keys({.prefix = ""}).size() == 5);
    CHECK(keys({.prefix = "\xff"}).empty());
}

TEST_CASE("db: a scan for a prefix of bytes 255 has no upper bound") {
    memory_directory directory;
    auto db = directory.open();
    for (const char* key : {"\xfe", "\xff", "\xff\xfe", "\xff\xff", "\xff\xff\x01"}) must(db.put(key, ""));
    auto at = db.scan({.prefix = "\xff\xff"});
    CHECK(walk(at) == entry_list{{"\xff\xff", ""}, {"\xff\xff\x01", ""}});
    auto carried = db.scan({.prefix = "\xfe\xff"});
    CHECK(walk(carried).empty());
}

TEST_CASE("db: a cursor moves in both directions and stays within its range") {
    memory_directory directory;
    auto db = directory.open();
    for (const char* key : {"a", "b", "c", "d", "e"}) must(db.put(key, key));
    const bool reverse = GENERATE(false, true);
    auto at = db.scan({.from = "b", .to = "e", .reverse = reverse});
    CHECK(at.key() == (reverse ? "d" : "b"));
    at.seek_to_last();
    CHECK(at.key() == (reverse ? "b" : "d"));
    at.prev();
    CHECK(at.key() == "c");
    at.next();
    at.next();
    CHECK_FALSE(at.valid());
    at.seek("a");  // before the range; in reverse, after its end
    CHECK(at.valid() == !reverse);
    at.seek("e");
    CHECK(at.valid() == reverse);
    at.seek("c");
    CHECK(at.key() == "c");
    must(at.status());
}

TEST_CASE("db: equal contents have equal views regardless of their history") {
    memory_directory one, other;
    auto plain = one.open();
    must(plain.put("a", "1"));
    must(plain.put("c", "3"));
    auto busy = other.open();
    must(busy.put("a", "0"));
    must(busy.put("b", "2"));
    must(busy.flush());
    must(busy.put("c", "3"));
    must(busy.del("b"));
    must(busy.flush());
    must(busy.put("a", "1"));
    CHECK(view_bytes(plain) == view_bytes(busy));
    CHECK(view_bytes(busy) == view_bytes(busy));
    CHECK(view_bytes(plain, false) != view_bytes(busy, false));
}

TEST_CASE("db: damage in a table is an error of every read that meets it and never an absent key") {
    memory_directory directory;
    auto table = table_of({{"a", "1"}, {"b", "2"}, {"c", "3"}}, 16);
    table[16] = '\x09';  // the count of the second block
    directory.with("MANIFEST", "L0 1\n").with("sst-000001.sst", table);
    const auto db = directory.open();
    CHECK(value_in(db, "a") == "1");
    CHECK(value_in(db, "c") == "3");
    const auto why = must_fail(db.get("b"));
    CHECK(why.code == errc::bad_block);
    CHECK(why.what.find("db/sst-000001.sst: offset ") == 0);
    CHECK(must_fail(db.contains("b")).code == errc::bad_block);
    auto at = db.scan();
    while (at.valid()) at.next();
    CHECK(must_fail(at.status()).code == errc::bad_block);
    lsm::bytes out;
    lsm::io::string_sink to(out);
    CHECK(must_fail(db.serialize_view(to)).code == errc::bad_block);
}

TEST_CASE("db: a closed database reads but does not write") {
    memory_directory directory;
    auto db = directory.open();
    must(db.put("a", "1"));
    must(db.flush());
    must(db.put("b", "2"));
    must(db.close());
    must(db.close());
    CHECK(contents_of(db) == entry_map{{"a", "1"}, {"b", "2"}});
    CHECK(value_in(db, "b") == "2");
    const auto before = directory.files();
    CHECK(must_fail(db.put("c", "3")).code == errc::closed);
    CHECK(must_fail(db.del("a")).code == errc::closed);
    CHECK(must_fail(db.flush()).code == errc::closed);
    CHECK(must_fail(db.write(batch_of({{"c", "3"}}))).code == errc::closed);
    CHECK(directory.files() == before);
    CHECK(before.contains("wal.log"));
}

TEST_CASE("db: a database is moved with its contents") {
    STATIC_REQUIRE(std::is_nothrow_move_constructible_v<lsm::db>);
    CHECK_FALSE(std::is_copy_constructible_v<lsm::db>);
    memory_directory directory, other;
    auto first = directory.open();
    must(first.put("a", "1"));
    auto second = std::move(first);
    must(second.put("b", "2"));
    first = other.open();
    must(first.put("x", "y"));
    second = std::move(first);  // closes the database that it had
    CHECK(contents_of(second) == entry_map{{"x", "y"}});
    CHECK(contents_of(directory.open()) == entry_map{{"a", "1"}, {"b", "2"}});
}

TEST_CASE("db: values larger than every buffer are kept in log and table") {
    memory_directory directory;
    const entry_map large{
        {"a", lsm::bytes(70'000, 'x')}, {lsm::bytes(100'000, 'k'), lsm::bytes(300'000, 'y')}, {"z", ""}};
    {
        auto db = directory.open();
        for (const auto& [key, value] : large) must(db.put(key, *value));
    }
    auto db = directory.open();
    CHECK(contents_of(db) == large);
    must(db.put("after", "start"));  // copies the log
    must(db.del("after"));
    must(db.close());
    db = directory.open();
    CHECK(contents_of(db) == large);
    must(db.flush());
    CHECK(contents_of(db) == large);
}

TEST_CASE("db: it works in directories on the disk") {
    scratch_directory scratch;
    const auto path = scratch / "made/with/parents";
    {
        auto db = must(lsm::db::open(path));
        must(db.put("a", "1"));
        must(db.flush());
        must(db.put("b", "2"));
    }
    auto db = must(lsm::db::open(path + "/"));
    CHECK(contents_of(db) == entry_map{{"a", "1"}, {"b", "2"}});
    CHECK(database_files(lsm::io::default_file_system(), path) ==
          std::vector<std::string>{"MANIFEST", "sst-000001.sst", "wal.log"});
}
