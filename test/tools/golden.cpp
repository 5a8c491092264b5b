#include <cstddef>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/raw_bytes.hpp"
#include "support/sha256.hpp"
#include "tools/tools.hpp"

using namespace lsm::test;

/// Checks the golden vectors of the format page, written and read by the tools.
namespace {

void check_vector(const std::string& contents, std::size_t size, const std::string& hash) {
    CHECK(contents.size() == size);
    CHECK(sha256(contents) == hash);
}

void make_m(const std::string& path) {
    succeeds({"memtable", "bulk", path, "100"});
    succeeds({"memtable", "put", path, "key50", "REPLACED"});
    succeeds({"memtable", "del", path, "key10"});
    succeeds({"memtable", "put", path, "", "empty-key-value"});
    succeeds({"memtable", "del", path, "key99"});
}

}  // namespace

TEST_CASE("golden: the dump of M has the published bytes") {
    const scratch_directory directory;
    const std::string dump = directory / "m.mt";
    make_m(dump);
    check_vector(read_file(disk(), dump), 1905, "8c9c6bb8703c2267551bf490710bc09b682e967eb5683db39cb5e0da21aa315a");
    prints({"memtable", "size", dump}, "entries=101 size_bytes=1905\n");
}

TEST_CASE("golden: the tables of M have the published bytes") {
    const scratch_directory directory;
    const std::string dump = directory / "m.mt", table = directory / "m.sst";
    make_m(dump);
    build_table(dump, table, "4096");
    check_vector(read_file(disk(), table), 1957, "91f260f16c3f09cc43b73230b7239fe522012f6f38b09d5c5e23428e416d7658");
    build_table(dump, table, "64");
    check_vector(read_file(disk(), table), 2911, "c7ff492321960ae75bb353537b06ea45030fece195f7d43a30a239d4142a5dd7");
    prints({"sstable", "footer", table}, "index_offset=2033 index_size=846 num_blocks=34 magic_ok=true\n");
    prints({"sstable", "size", table}, "file_bytes=2911 entries=101 num_blocks=34\n");
    CHECK(printed({"sstable", "iter", table}) == printed({"memtable", "iter", dump}));
    build_table(dump, table, "76");
    check_vector(read_file(disk(), table), 2882, "9e59e304539a3dbb23eefcb3a65f0d9972f416ea6224bdd0474a13945f26a532");
    build_table(dump, table, "80");
    check_vector(read_file(disk(), table), 2680, "ee0299eae45275e2fa2dd9c75b3d340efe2cdb6000788afab08670b5460ca49c");
}

TEST_CASE("golden: the merge streams have the published bytes") {
    const scratch_directory directory;
    const std::string dump = directory / "dump", newer = directory / "newer", older = directory / "older";
    succeeds({"memtable", "bulk", dump, "50"});
    succeeds({"memtable", "put", dump, "key10", "NEW-10"});
    succeeds({"memtable", "del", dump, "key5"});
    build_table(dump, newer);
    succeeds({"memtable", "new", dump});
    succeeds({"memtable", "bulk", dump, "100"});
    succeeds({"memtable", "put", dump, "key50", "OLD-50"});
    build_table(dump, older);

    const std::string kept = printed({"merge_iter", newer, older});
    const std::string dropped = printed({"merge_iter", "--drop-tombstones", newer, older});
    check_vector(kept, 1874, "f693c483ef39dfef8e6285e29f9051a57e60bf2c4ba7b45bbf552c7932687fd1");
    check_vector(dropped, 1865, "ec71c56c89f451d33e58697af2d7bce985069078e1c599cc42062dfbba6e250e");
    for (const std::string& stream : {kept, dropped})
        for (const std::string value : {"NEW-10", "OLD-50", "val99"}) CHECK(stream.find(value) != std::string::npos);
    const std::string tombstone = unhex("04000000 6b657935 01");
    CHECK(kept.find(tombstone) != std::string::npos);
    CHECK(dropped.find(tombstone) == std::string::npos);
}

TEST_CASE("golden: the dumps of the database have the published bytes") {
    const scratch_directory directory;
    const std::string path = directory / "db";
    const command_line line = {"dbctl", "--dir", path};
    prints(line, "", "PUT a 1\nPUT b 2\nPUT c 3\nFLUSH\nPUT b 22\nDEL a\nPUT d 4\nFLUSH\n");
    CHECK(read_file(disk(), path + "/MANIFEST") == "L0 2\nL0 1\n");
    prints(line, "", "PUT e 5\nDEL c\nPUT b 222\n");
    check_vector(printed(line, "DUMP\n"), 35, "7d1568c7bfdad9635ff655f7c4162628aa3253a7b95505c3d418362eb4c4c09c");
    check_vector(printed(line, "DUMP_WITH_TOMBS\n"), 47,
                 "27e3d256e73c3ddbd080ad7a92e5da0be780d65896644eb7d4ec0cc8a574709d");
}

TEST_CASE("golden: the short vectors have the published bytes") {
    const scratch_directory directory;
    const std::string dump = directory / "dump", path = directory / "db";
    succeeds({"memtable", "new", dump});
    succeeds({"memtable", "put", dump, "alpha", "first"});
    succeeds({"memtable", "put", dump, "beta", "second"});
    succeeds({"memtable", "del", dump, "beta"});
    CHECK(read_file(disk(), dump) ==
          unhex("4d4d5431 02000000 05000000 05000000 00 616c706861 6669727374 04000000 00000000 01 62657461"));
    succeeds({"memtable", "put", dump, "alpha", "first-updated"});
    prints({"memtable", "size", dump}, "entries=2 size_bytes=48\n");

    prints({"dbctl", "--dir", path}, "", "PUT a 1\n");
    CHECK(read_file(disk(), path + "/wal.log") == unhex("0f000000 4446fc2e 01000000 00 01000000 61 01000000 31"));
}
