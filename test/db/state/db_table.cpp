#include <lsm/db/state/db_table.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <lsm/io/posix_file_system.hpp>

#include "support/catch.hpp"
#include "support/parts.hpp"
#include "support/raw_bytes.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;
using lsm::detail::block_options;

/// The answer to a lookup in one table, copied while it was valid.
struct table_answer {
    bool found = false;
    optional_value value;   // nothing for a tombstone
    bool holdable = false;  // whether the block can be held
};

table_answer answer_of(const db_parts::table_pointer& table, lsm::detail::reader_slots& readers, lsm::bytes_view key,
                       block_options options = {}) {
    const auto pass = readers.enter();
    lsm::detail::lookup_buffer buffer;
    const auto answer = must(table->find(key, options, pass.counters(), buffer));
    return {.found = answer.entry.has_value(),
            .value = answer.entry ? value_of(*answer.entry) : deleted,
            .holdable = answer.block != nullptr};
}

/// A table of many blocks.
const entry_map forty_entries = [] {
    entry_map out;
    for (int i = 10; i < 50; ++i) out["key" + std::to_string(i)] = lsm::bytes(50, 'v');
    return out;
}();

}  // namespace

TEST_CASE("db table: a value and a tombstone are found and other keys are not") {
    const bool extended = GENERATE(true, false);
    db_parts parts({.extended_tables = extended});
    const auto table = parts.write_table(7, {{"b", "2"}, {"c", deleted}, {"e", ""}});
    CHECK(table->id() == 7);
    CHECK(table->file_bytes() == parts.directory.files().at("sst-000007.sst").size());
    const auto find = [&](lsm::bytes_view key) { return answer_of(table, *parts.readers, key); };
    CHECK(find("b").value == "2");
    CHECK(find("c").found);
    CHECK(find("c").value == deleted);
    CHECK(find("e").value == "");
    for (const char* absent : {"a", "bb", "d", "f"}) CHECK_FALSE(find(absent).found);
}

TEST_CASE("db table: its bounds are its first and last key with and without properties") {
    const bool extended = GENERATE(true, false);
    db_parts parts({.extended_tables = extended});
    const auto table = parts.write_table(1, {{"b", "2"}, {"c", deleted}, {"e", ""}});
    CHECK_FALSE(table->empty());
    CHECK(table->smallest() == "b");
    CHECK(table->largest() == "e");
    for (const char* inside : {"b", "bb", "e"}) CHECK(table->covers(inside));
    for (const char* outside : {"", "a", "e0", "f"}) CHECK_FALSE(table->covers(outside));
    const auto without = parts.write_table(2, {});
    CHECK(without->empty());
    CHECK_FALSE(without->covers(""));
    CHECK_FALSE(answer_of(without, *parts.readers, "").found);
}

TEST_CASE("db table: its filter passes every key that it has") {
    db_parts parts;
    const auto table = parts.write_table(1, forty_entries);
    for (const auto& [key, value] : forty_entries) CHECK(table->may_contain(lsm::detail::xxh64(key)));
    int passed = 0;
    for (int i = 100; i < 300; ++i) passed += table->may_contain(lsm::detail::xxh64("key" + std::to_string(i)));
    CHECK(passed < 20);
}

TEST_CASE("db table: a missing or damaged file is not opened") {
    db_parts parts;
    CHECK(must_fail(parts.tables.open(1)).code == errc::not_found);
    parts.directory.with("sst-000001.sst", "short");
    CHECK(must_fail(parts.tables.open(1)).code == errc::short_input);
    // Without properties the largest key is in the last block.
    auto damaged = table_of({{"a", "1"}, {"b", "2"}}, 16);
    damaged[14] = '\x09';
    parts.directory.with("sst-000001.sst", damaged);
    CHECK(parts.tables.open(1));
    damaged[16] = '\x09';
    damaged[14] = '\0';
    parts.directory.with("sst-000001.sst", damaged);
    CHECK(must_fail(parts.tables.open(1)).code == errc::bad_block);
    CHECK(parts.fs.open_files() == 0);
}

TEST_CASE("db table: a lookup reads one block and a second lookup of the key reads none") {
    db_parts parts({.block_bytes = 200});
    const auto table = parts.write_table(1, forty_entries);
    REQUIRE(table->index().size() > 10);
    parts.fs.forget();
    CHECK(answer_of(table, *parts.readers, "key30").found);
    CHECK(parts.fs.reads == 1);
    CHECK(answer_of(table, *parts.readers, "key30").found);
    CHECK(parts.fs.reads == 1);
    CHECK(parts.readers->sum(&lsm::detail::read_counters::cache_misses) == 1);
    CHECK(parts.readers->sum(&lsm::detail::read_counters::cache_hits) == 1);
    // A cursor finds the block in the cache, too.
    const auto number = *table->index().floor("key30");
    CHECK(table->cached(number));
    CHECK_FALSE(table->cached(number + 1));
}

TEST_CASE("db table: reads without fill_cache leave the cache empty") {
    db_parts parts;
    const auto table = parts.write_table(1, forty_entries);
    const block_options options{.fill_cache = false};
    CHECK(answer_of(table, *parts.readers, "key30", options).found);
    CHECK(must(table->load(0, options)).size() > 0);
    CHECK(parts.resources->cache.used() == 0);
    CHECK_FALSE(table->cached(0));
}

TEST_CASE("db table: a block that is read with pin can be held with and without a cache") {
    db_parts parts({.block_cache_bytes = GENERATE(as<std::size_t>(), 0, 1 << 20)});
    const auto table = parts.write_table(1, forty_entries);
    for (int round = 0; round < 3; ++round) CHECK(answer_of(table, *parts.readers, "key30", {.pin = true}).holdable);
}

TEST_CASE("db table: its blocks leave the cache when it is destroyed") {
    db_parts parts;
    auto table = parts.write_table(1, forty_entries);
    CHECK(answer_of(table, *parts.readers, "key30").found);
    CHECK(parts.resources->cache.used() > 0);
    table.reset();
    CHECK(parts.resources->cache.used() == 0);
}

TEST_CASE("db table: a table beyond max_open_files is opened for each read") {
    db_parts parts({.block_cache_bytes = 0, .max_open_files = 1});
    auto open = parts.write_table(1, forty_entries), closed = parts.write_table(2, forty_entries);
    CHECK(parts.fs.open_files() == 1);
    CHECK(answer_of(closed, *parts.readers, "key30").found);
    CHECK(parts.fs.open_files() == 1);
    open.reset();
    closed.reset();
    CHECK(parts.fs.open_files() == 0);
    const auto next = parts.write_table(3, forty_entries);
    CHECK(parts.fs.open_files() == 1);
}

TEST_CASE("db table: after outlive_name it is readable although its file was removed") {
    db_parts parts({.block_cache_bytes = 0, .max_open_files = 0});
    const auto kept = parts.write_table(1, forty_entries), lost = parts.write_table(2, forty_entries);
    must(kept->outlive_name());
    must(parts.directory.fs.remove("db/sst-000001.sst"));
    must(parts.directory.fs.remove("db/sst-000002.sst"));
    CHECK(answer_of(kept, *parts.readers, "key30").found);
    CHECK(must_fail(lost->load(0, {})).code == errc::stale);
    CHECK(must_fail(lost->outlive_name()).code == errc::stale);
}

TEST_CASE("db table: a mapped table keeps no file open and holds no blocks") {
    const scratch_directory scratch;
    lsm::io::posix_file_system posix;
    write_file(posix, scratch / "sst-000001.sst", table_of(forty_entries));
    hooked_file_system fs(posix);  // has no maps, so the file stays open
    const auto readers = std::make_shared<lsm::detail::reader_slots>();
    const auto resources =
        std::make_shared<lsm::detail::table_resources<db_parts::alloc>>(lsm::options{.map_tables = true}, readers);
    const auto open_in = [&](lsm::io::file_system& in) {
        return must(lsm::detail::db_table<db_parts::alloc>::open({in, scratch.path()}, 1, resources, {}));
    };
    const auto mapped = open_in(posix), unmapped = open_in(fs);
    CHECK(mapped->file().file().mapped());
    CHECK_FALSE(unmapped->file().file().mapped());
    CHECK(fs.open_files() == 1);
    must(posix.remove(scratch / "sst-000001.sst"));
    CHECK(answer_of(mapped, *readers, "key30", {.pin = true}).found);
    CHECK_FALSE(answer_of(mapped, *readers, "key30", {.pin = true}).holdable);
    CHECK(answer_of(unmapped, *readers, "key30", {.pin = true}).holdable);
}
