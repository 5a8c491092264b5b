// Checks that the library writes the golden vectors of docs/formats.md.

#include <lsm/lsm.hpp>

#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/files.hpp"
#include "support/results.hpp"
#include "support/sha256.hpp"

using lsm::bytes;
using lsm::bytes_view;
using lsm::test::must;
using lsm::test::sha256;

namespace {

void bulk(lsm::memtable& table, int count) {
    for (int i = 0; i < count; ++i) table.put("key" + std::to_string(i), "val" + std::to_string(i));
}

lsm::memtable scenario_m() {
    lsm::memtable table;
    bulk(table, 100);
    table.put("key50", "REPLACED");
    table.del("key10");
    table.put("", "empty-key-value");
    table.del("key99");
    return table;
}

bytes table_of(const lsm::memtable& from, std::uint32_t block_size, bool extended = false) {
    bytes out;
    lsm::io::string_sink sink(out);
    lsm::sst_writer writer(sink, {.block_size = block_size, .extended = extended});
    for (auto [key, value] : from.iter()) must(writer.add(key, value));
    must(writer.finish());
    return out;
}

lsm::sst_reader opened(lsm::io::file_system& fs, const std::string& name, bytes_view table) {
    lsm::test::write_file(fs, name, table);
    return must(lsm::sst_reader::open(lsm::test::open_file(fs, name)));
}

bytes log_record(const lsm::write_batch& batch) {
    lsm::io::memory_file_system fs;
    auto log = must(lsm::wal::writer::open(fs, "wal.log"));
    must(log.append(batch.encode()));
    must(log.sync());
    return lsm::test::read_file(fs, "wal.log");
}

}  // namespace

TEST_CASE("vectors: the test's own hash is SHA-256") {
    CHECK(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(sha256(bytes(119, 'a')) == "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb");
}

TEST_CASE("vectors: MemTable dump of M") {
    const bytes dump = scenario_m().encode();
    CHECK(dump.size() == 1905);
    CHECK(sha256(dump) == "8c9c6bb8703c2267551bf490710bc09b682e967eb5683db39cb5e0da21aa315a");
}

TEST_CASE("vectors: SSTables of M at four target sizes") {
    struct vector {
        std::uint32_t target;
        std::size_t size;
        const char* hash;
    };
    const auto [target, size, hash] =
        GENERATE(values<vector>({{4096, 1957, "91f260f16c3f09cc43b73230b7239fe522012f6f38b09d5c5e23428e416d7658"},
                                 {64, 2911, "c7ff492321960ae75bb353537b06ea45030fece195f7d43a30a239d4142a5dd7"},
                                 {76, 2882, "9e59e304539a3dbb23eefcb3a65f0d9972f416ea6224bdd0474a13945f26a532"},
                                 {80, 2680, "ee0299eae45275e2fa2dd9c75b3d340efe2cdb6000788afab08670b5460ca49c"}}));
    const bytes table = table_of(scenario_m(), target);
    CHECK(table.size() == size);
    CHECK(sha256(table) == hash);
}

TEST_CASE("vectors: SSTables of M with the extension area") {
    const bytes large = table_of(scenario_m(), 4096, true);
    CHECK(large.size() == 2206);
    CHECK(sha256(large) == "cf0ad7ac84406b7597d0c285ef7af1838521460767c38d34507f1571785a6007");
    const bytes small = table_of(scenario_m(), 64, true);
    CHECK(small.size() == 3292);
    CHECK(sha256(small) == "58fba59dc793f700b51f99a8c487e10c0f1fe4ca37143fa0098c49c86a15f633");
}

TEST_CASE("vectors: footer of M at target 64") {
    lsm::io::memory_file_system fs;
    CHECK(opened(fs, "m.sst", table_of(scenario_m(), 64)).footer() == lsm::sst_footer{2033, 846, 34, true});
}

TEST_CASE("vectors: SSTable of no entries") {
    const bytes table = table_of(lsm::memtable(), 4096);
    CHECK(lsm::hex(table) ==
          "00000000"
          "0000000000000000"
          "0400000000000000"
          "0000000000000000"
          "5353543100000000");
}

TEST_CASE("vectors: merge streams with and without tombstones") {
    lsm::memtable newer;
    bulk(newer, 50);
    newer.put("key10", "NEW-10");
    newer.del("key5");
    lsm::memtable older;
    bulk(older, 100);
    older.put("key50", "OLD-50");
    lsm::io::memory_file_system fs;
    std::vector<lsm::sst_reader::cursor> sources;
    sources.push_back(opened(fs, "newer.sst", table_of(newer, 64)).iter());
    sources.push_back(opened(fs, "older.sst", table_of(older, 4096)).iter());

    const bool drop = GENERATE(false, true);
    lsm::merging_iterator<lsm::sst_reader::cursor> merged(std::move(sources), {.drop_tombstones = drop});
    bytes stream;
    lsm::io::string_sink out(stream);
    must(lsm::serialize_stream(merged, out));
    CHECK(stream.size() == (drop ? 1865 : 1874));
    CHECK(sha256(stream) == (drop ? "ec71c56c89f451d33e58697af2d7bce985069078e1c599cc42062dfbba6e250e"
                                  : "f693c483ef39dfef8e6285e29f9051a57e60bf2c4ba7b45bbf552c7932687fd1"));
    const std::string as_hex = lsm::hex(stream);
    for (const char* spot : {"4e45572d3130", "4f4c442d3530", "76616c3939"})
        CHECK(as_hex.find(spot) != std::string::npos);
    CHECK((as_hex.find("040000006b65793501") != std::string::npos) == !drop);
}

TEST_CASE("vectors: log records") {
    lsm::write_batch one;
    one.put("a", "1");
    CHECK(lsm::hex(log_record(one)) ==
          "0f000000"
          "4446fc2e"
          "01000000"
          "00"
          "01000000"
          "61"
          "01000000"
          "31");
    lsm::write_batch three;
    three.put("a", "1");
    three.del("a");
    three.put("", "");
    CHECK(lsm::hex(log_record(three)) ==
          "1e000000"
          "f0da1b3d"
          "03000000"
          "00"
          "01000000"
          "61"
          "01000000"
          "31"
          "01"
          "01000000"
          "61"
          "00"
          "00000000"
          "00000000");
}

TEST_CASE("vectors: dump of a value and a tombstone") {
    lsm::memtable table;
    table.put("alpha", "first");
    table.del("beta");
    CHECK(lsm::hex(table.encode()) ==
          "4d4d5431"
          "02000000"
          "05000000"
          "05000000"
          "00"
          "616c706861"
          "6669727374"
          "04000000"
          "00000000"
          "01"
          "62657461");
}

TEST_CASE("vectors: size of an overwritten and a deleted entry") {
    lsm::memtable table;
    table.put("alpha", "first");
    table.put("beta", "second");
    table.put("alpha", "first-updated");
    table.del("beta");
    CHECK(table.len() == 2);
    CHECK(table.size_bytes() == 48);
}

TEST_CASE("vectors: the canonical database after closing and reopening it") {
    lsm::io::memory_file_system fs;
    {
        auto db = must(lsm::db::open("db", lsm::test::plain({.file_system = &fs})));
        must(db.put("a", "1"));
        must(db.put("b", "2"));
        must(db.put("c", "3"));
        must(db.flush());
        must(db.put("b", "22"));
        must(db.del("a"));
        must(db.put("d", "4"));
        must(db.flush());
        CHECK(lsm::test::read_file(fs, "db/MANIFEST") == "L0 2\nL0 1\n");
        must(db.put("e", "5"));
        must(db.del("c"));
        must(db.put("b", "222"));
        must(db.close());
    }
    const auto db = must(lsm::db::open("db", lsm::test::plain({.file_system = &fs})));
    const bool drop = GENERATE(true, false);
    bytes view;
    lsm::io::string_sink out(view);
    must(db.serialize_view(out, {.drop_tombstones = drop}));
    CHECK(view.size() == (drop ? 35 : 47));
    CHECK(sha256(view) == (drop ? "7d1568c7bfdad9635ff655f7c4162628aa3253a7b95505c3d418362eb4c4c09c"
                                : "27e3d256e73c3ddbd080ad7a92e5da0be780d65896644eb7d4ec0cc8a574709d"));
}
