#include <lsm/db/db.hpp>

#include <optional>

#include "support/catch.hpp"
#include "support/databases.hpp"

namespace {

using namespace lsm::test;

// A database with entries in two tables and the memtable.
lsm::db spread_out(memory_directory& directory, const lsm::options& opts = {}) {
    auto db = directory.open(opts);
    must(db.put("a", "1"));
    must(db.put("b", "old"));
    must(db.flush());
    must(db.put("b", "2"));
    must(db.put("c", "3"));
    must(db.flush());
    must(db.put("d", "4"));
    must(db.del("a"));
    return db;
}

const entry_list all_of_it{{"b", "2"}, {"c", "3"}, {"d", "4"}};

}  // namespace

TEST_CASE("db cursors: later writes and flushes are not visible") {
    memory_directory directory;
    auto db = spread_out(directory);
    auto forward = db.scan();
    auto backward = db.scan({.reverse = true});
    REQUIRE(forward.key() == "b");
    must(db.put("a", "again"));
    must(db.put("b", "overwritten"));
    must(db.put("bb", "between"));
    must(db.del("c"));
    must(db.put("z", "last"));
    CHECK(forward.value() == "2");
    must(db.flush());
    must(db.put("d", "in the next memtable"));
    CHECK(walk(forward) == all_of_it);
    CHECK(walk(backward) == entry_list(all_of_it.rbegin(), all_of_it.rend()));
    forward.seek_to_first();
    CHECK(walk(forward) == all_of_it);
    forward.seek("a");
    CHECK(forward.key() == "b");
    forward.seek_to_last();
    CHECK(forward.key() == "d");
    auto fresh = db.scan();
    CHECK(walk(fresh) ==
          entry_list{
              {"a", "again"}, {"b", "overwritten"}, {"bb", "between"}, {"d", "in the next memtable"}, {"z", "last"}});
}

TEST_CASE("db cursors: a cursor from any moment of a history keeps the contents of that moment") {
    memory_directory directory;
    auto db = directory.open({.write_buffer_bytes = 3000});
    std::vector<std::pair<lsm::db::cursor, entry_map>> moments;
    entry_map now;
    for (int i = 0; i < 60; ++i) {
        const auto key = "key" + std::to_string(i * 7 % 10);
        if (i % 5 == 4) {
            must(db.del(key));
            now.erase(key);
        } else {
            now[key] = lsm::bytes(200, static_cast<char>('a' + i % 26));
            must(db.put(key, *now[key]));
        }
        moments.emplace_back(db.scan(), now);
    }
    CHECK(db.live_tables().size() > 2);
    for (auto& [at, expected] : moments) CHECK(walk(at) == list_of(expected));
}

TEST_CASE("db cursors: a cursor outlives the db and then reads tables for the first time") {
    memory_directory directory;
    std::optional<lsm::db::cursor> at;
    {
        auto db = spread_out(directory, {.block_cache_bytes = 0, .block_bytes = 1});
        at.emplace(db.scan());
    }
    CHECK(walk(*at) == all_of_it);
    at->seek("c");
    CHECK(at->key() == "c");
}

TEST_CASE("db cursors: a cursor outlives a close and a move of the db") {
    memory_directory directory;
    auto db = spread_out(directory);
    auto at = db.scan();
    must(db.close());
    auto moved = std::move(db);
    CHECK(walk(at) == all_of_it);
    auto later = moved.scan();
    CHECK(walk(later) == all_of_it);
}

TEST_CASE("db cursors: a moved cursor continues at its position") {
    memory_directory directory;
    auto db = spread_out(directory);
    auto at = db.scan();
    at.next();
    auto moved = std::move(at);
    CHECK(moved.key() == "c");
    at = std::move(moved);
    at.next();
    at.prev();
    CHECK(at.key() == "c");
    at.seek_to_first();
    CHECK(walk(at) == all_of_it);
}

TEST_CASE("db cursors: seek accepts a view of the value that the cursor stands on") {
    // Each value is a key in another block or table, and only the cursor holds the blocks.
    const auto name = [](int i) { return "a key that is too long for a small string " + std::to_string(100 + i); };
    memory_directory directory;
    auto db = directory.open({.block_cache_bytes = 0, .block_bytes = 100});
    for (int i = 0; i < 50; ++i) {
        must(db.put(name(i), name((i * 7 + 3) % 50)));
        if (i % 10 == 9) must(db.flush());
    }
    auto at = db.scan({.reverse = GENERATE(false, true)});
    at.seek(name(0));
    for (int i = 0, step = 0; step < 100; ++step) {
        REQUIRE(at.valid());
        REQUIRE(at.key() == name(i));
        at.seek(at.value());
        i = (i * 7 + 3) % 50;
    }
}
