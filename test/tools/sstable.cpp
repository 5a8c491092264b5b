#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <lsm/sstable/reader.hpp>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/raw_bytes.hpp"
#include "tools/tools.hpp"

using lsm::bytes;
using namespace lsm::test;

namespace {

const std::vector<entry_list> two_blocks = {{{"", ""}, {"a", "first"}}, {{"b", std::nullopt}, {"c", "last"}}};

entry_list all_of(const std::vector<entry_list>& blocks) {
    entry_list out;
    for (const auto& block : blocks) out.insert(out.end(), block.begin(), block.end());
    return out;
}

}  // namespace

TEST_CASE("sstable: build prints nothing and writes the table of the dump") {
    const scratch_directory directory;
    const std::string dump = directory / "dump", table = directory / "table";
    write_file(disk(), dump, raw_dump(all_of(two_blocks)));
    // The first block exactly: its count, two headers, "a" and "first". With one byte less, "a" would not fit.
    const std::size_t target = 4 + 9 + 9 + 6;
    build_table(dump, table, std::to_string(target));
    CHECK(read_file(disk(), table) == raw_table(two_blocks));
    succeeds({"sstable", "build", dump, table});
    CHECK(read_file(disk(), table) == raw_table({all_of(two_blocks)}));
}

TEST_CASE("sstable: the target size of a block is 4096 by default") {
    const scratch_directory directory;
    const std::string dump = directory / "dump";
    succeeds({"memtable", "bulk", dump, "1000"});
    succeeds({"sstable", "build", dump, directory / "default"});
    build_table(dump, directory / "given", "4096");
    build_table(dump, directory / "other", "2048");
    auto files = snapshot(directory.path());
    CHECK(files["default"] == files["given"]);
    CHECK(files["default"] != files["other"]);
}

TEST_CASE("sstable: the table of an empty dump has no blocks") {
    const scratch_directory directory;
    const std::string dump = directory / "dump", table = directory / "table";
    succeeds({"memtable", "new", dump});
    build_table(dump, table);
    CHECK(read_file(disk(), table) ==
          unhex("00000000 0000000000000000 0400000000000000 0000000000000000 5353543100000000"));
    prints({"sstable", "footer", table}, "index_offset=0 index_size=4 num_blocks=0 magic_ok=true\n");
    prints({"sstable", "size", table}, "file_bytes=36 entries=0 num_blocks=0\n");
    prints({"sstable", "iter", table}, "");
    prints({"sstable", "get", table, ""}, "absent\n");
}

TEST_CASE("sstable: get distinguishes value and empty value and tombstone and absent") {
    const scratch_directory directory;
    const std::string table = directory / "table";
    write_file(disk(), table, raw_table(two_blocks));
    prints({"sstable", "get", table, "a"}, "value: 6669727374\n");
    prints({"sstable", "get", table, ""}, "value: \n");
    prints({"sstable", "get", table, "b"}, "tombstone\n");
    prints({"sstable", "get", table, "c"}, "value: 6c617374\n");
    for (const std::string absent : {"A", "aa", "bb", "d"}) prints({"sstable", "get", table, absent}, "absent\n");
}

TEST_CASE("sstable: iter prints a line for each entry in key order") {
    const scratch_directory directory;
    const std::string table = directory / "table";
    write_file(disk(), table, raw_table(two_blocks));
    prints({"sstable", "iter", table}, "V  \nV 61 6669727374\nT 62\nV 63 6c617374\n");
    write_file(disk(), table, raw_table({{{"", "empty-key-value"}, {"\xff\n", ""}}}));
    prints({"sstable", "iter", table}, "V  656d7074792d6b65792d76616c7565\nV ff0a \n");
}

TEST_CASE("sstable: size and footer print the numbers of the file") {
    const scratch_directory directory;
    const std::string table = directory / "table";
    const bytes contents = raw_table(two_blocks);
    write_file(disk(), table, contents);
    prints({"sstable", "size", table}, "file_bytes=" + std::to_string(contents.size()) + " entries=4 num_blocks=2\n");
    const std::size_t index_size = 4 + 2 * 20 + 1;
    prints({"sstable", "footer", table}, "index_offset=" + std::to_string(contents.size() - 32 - index_size) +
                                             " index_size=" + std::to_string(index_size) +
                                             " num_blocks=2 magic_ok=true\n");
}

TEST_CASE("sstable: footer reads nothing but the footer") {
    const scratch_directory directory;
    const std::string table = directory / "table";
    const bytes garbage(100, '\xee');
    write_file(disk(), table, garbage + raw_footer(1, 2, 3));
    prints({"sstable", "footer", table}, "index_offset=1 index_size=2 num_blocks=3 magic_ok=true\n");
    fails({"sstable", "size", table}, table);
    write_file(disk(), table, garbage + raw_footer(UINT64_MAX, UINT64_MAX, UINT64_MAX));
    prints({"sstable", "footer", table},
           "index_offset=18446744073709551615 index_size=18446744073709551615 "
           "num_blocks=18446744073709551615 magic_ok=true\n");
}

TEST_CASE("sstable: footer reports a wrong magic and refuses a file that is too short") {
    const scratch_directory directory;
    const std::string table = directory / "table";
    const std::string wrong = "index_offset=0 index_size=4 num_blocks=0 magic_ok=false\n";
    for (std::size_t at = 0; at < 8; ++at) {
        const bytes whole = raw_table(std::vector<entry_list>());
        write_file(disk(), table, with_flipped_bit(whole, 8 * (whole.size() - 8 + at)));
        prints({"sstable", "footer", table}, wrong);
        fails({"sstable", "size", table}, table);
        fails({"sstable", "iter", table}, table);
        fails({"sstable", "get", table, "key"}, table);
    }
    for (std::size_t length = 0; length < 36; ++length) {
        write_file(disk(), table, raw_table(std::vector<entry_list>()).substr(36 - length));
        fails({"sstable", "footer", table}, table);
    }
}

TEST_CASE("sstable: a missing input is an error that leaves the output as it was") {
    const scratch_directory directory;
    const std::string missing = directory / "missing", table = directory / "table";
    write_file(disk(), table, "whatever");
    fails({"sstable", "build", missing, table}, missing);
    fails({"sstable", "build", missing, directory / "fresh"}, missing);
    for (const std::string command : {"footer", "iter", "size"}) fails({"sstable", command, missing}, missing);
    fails({"sstable", "get", missing, "key"}, missing);
    CHECK(snapshot(directory.path()) == std::map<std::string, std::string>{{"table", "whatever"}});
}

TEST_CASE("sstable: an output that is the input is a misuse") {
    namespace fs = std::filesystem;
    const scratch_directory directory;
    const std::string dump = directory / "dump";
    succeeds({"memtable", "bulk", dump, "5"});
    fs::create_hard_link(dump, directory / "hard link");
    fs::create_symlink(dump, directory / "link");
    fs::create_symlink("link", directory / "link to the link");
    const auto before = snapshot(directory.path());
    for (const std::string name : {"dump", "hard link", "link", "link to the link", "./dump"}) {
        misuses({"sstable", "build", dump, directory / name});
        misuses({"sstable", "build", directory / name, dump});
    }
    misuses({"sstable", "build", directory / "link", directory / "hard link"});
    misuses({"sstable", "build", directory / "missing", directory / "missing"});
    CHECK(snapshot(directory.path()) == before);
}

TEST_CASE("sstable: a table truncated at any length is refused") {
    const scratch_directory directory;
    const std::string table = directory / "table";
    const bytes whole = raw_table(two_blocks);
    for (std::size_t length = 0; length < whole.size(); ++length) {
        write_file(disk(), table, whole.substr(0, length));
        fails({"sstable", "get", table, "a"}, table);
        fails({"sstable", "iter", table}, table);
        fails({"sstable", "size", table}, table);
        fails({"merge_iter", table}, table);
    }
}

TEST_CASE("sstable: a flipped bit is either harmless or refused") {
    const scratch_directory directory;
    const std::string table = directory / "table";
    const bytes whole = raw_table(two_blocks);
    constexpr std::size_t step = 11;  // coprime to 8: every bit position in a byte is reached
    for (std::size_t bit = 0; bit < 8 * whole.size(); bit += step) {
        const bytes flipped = with_flipped_bit(whole, bit);
        write_file(disk(), table, flipped);
        lsm::io::memory_file_system memory;
        write_file(memory, "table", flipped);
        INFO("bit " << bit);
        const auto known = lsm::sst_reader::open(open_file(memory, "table"));
        const auto entries = known ? known->len() : known.error();
        if (entries)
            prints({"sstable", "size", table}, "file_bytes=" + std::to_string(flipped.size()) +
                                                   " entries=" + std::to_string(*entries) + " num_blocks=2\n");
        else
            fails({"sstable", "size", table}, table);
    }
}

TEST_CASE("sstable: damage in one block fails only the commands that read that block") {
    const scratch_directory directory;
    const std::string table = directory / "table";
    const std::size_t count_of_second = raw_block(two_blocks[0]).size();
    write_file(disk(), table, with_flipped_bit(raw_table(two_blocks), 8 * count_of_second));
    prints({"sstable", "get", table, "a"}, "value: 6669727374\n");
    prints({"sstable", "get", table, "aa"}, "absent\n");
    fails({"sstable", "get", table, "b"}, table);
    fails({"sstable", "get", table, "z"}, table);
    fails({"sstable", "size", table}, table);
    const outcome walked = run_tool({"sstable", "iter", table});
    check_failed(walked, 1, "sstable", table);
    CHECK(std::string("V  \nV 61 6669727374\n").starts_with(walked.out));
}
