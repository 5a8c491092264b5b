#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <lsm/core/hex.hpp>
#include <lsm/memtable/memtable.hpp>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/raw_bytes.hpp"
#include "tools/tools.hpp"

using lsm::bytes;
using namespace lsm::test;

namespace {

const entry_list few = {{"", "of the empty key"}, {"a", ""}, {"b", std::nullopt}, {"c", "value"}};

}  // namespace

TEST_CASE("memtable: new writes an empty dump and replaces what was there") {
    const scratch_directory directory;
    const std::string path = directory / "table";
    succeeds({"memtable", "new", path});
    CHECK(read_file(disk(), path) == raw_dump({}));
    for (const bytes& old : {raw_dump(few), bytes("no dump at all"), bytes()}) {
        write_file(disk(), path, old);
        succeeds({"memtable", "new", path});
        CHECK(read_file(disk(), path) == raw_dump({}));
    }
    CHECK(names_below(directory.path()) == std::vector<std::string>{"table"});
}

TEST_CASE("memtable: put and del save their change and print nothing") {
    const scratch_directory directory;
    const std::string path = directory / "table";
    succeeds({"memtable", "new", path});
    succeeds({"memtable", "put", path, "alpha", "first"});
    succeeds({"memtable", "put", path, "beta", "second"});
    CHECK(read_file(disk(), path) == raw_dump({{"alpha", "first"}, {"beta", "second"}}));
    succeeds({"memtable", "put", path, "alpha", "first-updated"});
    succeeds({"memtable", "del", path, "beta"});
    succeeds({"memtable", "del", path, "never seen"});
    CHECK(read_file(disk(), path) ==
          raw_dump({{"alpha", "first-updated"}, {"beta", std::nullopt}, {"never seen", std::nullopt}}));
    succeeds({"memtable", "put", path, "beta", ""});
    CHECK(read_file(disk(), path) ==
          raw_dump({{"alpha", "first-updated"}, {"beta", ""}, {"never seen", std::nullopt}}));
}

TEST_CASE("memtable: get distinguishes value and empty value and tombstone and absent") {
    const scratch_directory directory;
    const std::string path = directory / "table";
    write_file(disk(), path, raw_dump({{"", "of the empty key"}, {"a", ""}, {"b", std::nullopt}, {"c", "\xff\n\x01"}}));
    prints({"memtable", "get", path, "c"}, "value: ff0a01\n");
    prints({"memtable", "get", path, ""}, "value: 6f662074686520656d707479206b6579\n");
    prints({"memtable", "get", path, "a"}, "value: \n");
    prints({"memtable", "get", path, "b"}, "tombstone\n");
    for (const std::string absent : {"aa", "d", "C", "c "}) prints({"memtable", "get", path, absent}, "absent\n");
}

TEST_CASE("memtable: iter prints a line for each entry in key order") {
    const scratch_directory directory;
    const std::string path = directory / "table";
    write_file(
        disk(), path,
        raw_dump({{"", ""}, {bytes(1, '\0'), std::nullopt}, {"a", "b"}, {"a\n", ""}, {"\xff", bytes("\0\xfe", 2)}}));
    prints({"memtable", "iter", path}, "V  \nT 00\nV 61 62\nV 610a \nV ff 00fe\n");
    write_file(disk(), path, raw_dump({{"", std::nullopt}}));
    prints({"memtable", "iter", path}, "T \n");
    succeeds({"memtable", "new", path});
    prints({"memtable", "iter", path}, "");
}

TEST_CASE("memtable: size counts entries and the bytes of the dump") {
    const scratch_directory directory;
    const std::string path = directory / "table";
    for (const entry_list& entries : {entry_list{}, few}) {
        write_file(disk(), path, raw_dump(entries));
        prints({"memtable", "size", path}, "entries=" + std::to_string(entries.size()) + " size_bytes=" +
                                               std::to_string(std::filesystem::file_size(path)) + "\n");
    }
}

TEST_CASE("memtable: bulk opens or creates the file and puts numbered keys") {
    const scratch_directory directory;
    const std::string path = directory / "table";
    succeeds({"memtable", "bulk", path, "0"});
    CHECK(read_file(disk(), path) == raw_dump({}));
    write_file(disk(), path, raw_dump({{"key1", std::nullopt}, {"key10", "kept"}, {"other", "kept"}}));
    succeeds({"memtable", "bulk", path, "3"});
    CHECK(read_file(disk(), path) ==
          raw_dump({{"key0", "val0"}, {"key1", "val1"}, {"key10", "kept"}, {"key2", "val2"}, {"other", "kept"}}));
    const std::string fresh = directory / "fresh";
    succeeds({"memtable", "bulk", fresh, "12"});
    CHECK(printed({"memtable", "size", fresh}) ==
          "entries=12 size_bytes=" + std::to_string(8 + 10 * 17 + 2 * 19) + "\n");
}

TEST_CASE("memtable: a missing file is an error for every command except new and bulk") {
    const scratch_directory directory;
    const std::string path = directory / "missing";
    fails({"memtable", "put", path, "key", "value"}, path);
    fails({"memtable", "del", path, "key"}, path);
    fails({"memtable", "get", path, "key"}, path);
    fails({"memtable", "iter", path}, path);
    fails({"memtable", "size", path}, path);
    fails({"memtable", "new", directory / "no/directory"}, directory / "no/directory");
    fails({"memtable", "bulk", directory / "no/directory", "3"}, directory / "no/directory");
    fails({"memtable", "new", ""}, "");
    fails({"memtable", "get", "", "key"}, "");
    CHECK(names_below(directory.path()).empty());
}

TEST_CASE("memtable: an error in a dump is reported with the file and the offset") {
    const std::vector<std::pair<bytes, std::string>> damaged = {
        {"", "offset 0"},
        {"MMT", "offset 0"},
        {"MMT2" + u32(0), "offset 0"},
        {"MMT1" + bytes(3, '\0'), "offset"},
        {raw_dump(few) + "x", "offset " + std::to_string(raw_dump(few).size())},
        {"MMT1" + u32(2) + raw_record({"a", "1"}), "offset 19"},
        {"MMT1" + u32(1) + raw_record(1, 1, 2, "ab"), "offset 8"},
        {"MMT1" + u32(1) + raw_record(1, 1, 1, "ab"), "offset 8"},
        {raw_dump({{"b", "1"}, {"a", "2"}}), "offset 19"},
        {raw_dump({{"b", "1"}, {"b", "2"}}), "offset 19"},
    };
    const scratch_directory directory;
    const std::string path = directory / "table";
    for (const auto& [contents, place] : damaged) {
        write_file(disk(), path, contents);
        fails({"memtable", "iter", path}, place);
        fails({"memtable", "put", path, "k", "v"}, path);
        CHECK(snapshot(directory.path()) == std::map<std::string, std::string>{{"table", contents}});
    }
}

TEST_CASE("memtable: a dump truncated at any length is refused and left as it was") {
    const scratch_directory directory;
    const std::string path = directory / "table";
    const bytes whole = raw_dump(few);
    for (std::size_t length = 0; length < whole.size(); ++length) {
        const bytes cut = whole.substr(0, length);
        write_file(disk(), path, cut);
        for (const command_line& line : {command_line{"memtable", "get", path, "a"},
                                         {"memtable", "iter", path},
                                         {"memtable", "size", path},
                                         {"memtable", "put", path, "a", "b"},
                                         {"memtable", "del", path, "a"},
                                         {"memtable", "bulk", path, "1"},
                                         {"sstable", "build", path, directory / "out"}})
            fails(line, path);
        REQUIRE(snapshot(directory.path()) == std::map<std::string, std::string>{{"table", cut}});
    }
}

TEST_CASE("memtable: a flipped bit is either harmless or refused") {
    const scratch_directory directory;
    const std::string path = directory / "table";
    const bytes whole = raw_dump(few);
    constexpr std::size_t step = 5;  // coprime to 8: every bit position in a byte is reached
    for (std::size_t bit = 0; bit < 8 * whole.size(); bit += step) {
        const bytes flipped = with_flipped_bit(whole, bit);
        write_file(disk(), path, flipped);
        const auto known = lsm::memtable::decode(flipped);
        INFO("bit " << bit);
        if (known)
            prints({"memtable", "size", path},
                   "entries=" + std::to_string(known->len()) + " size_bytes=" + std::to_string(flipped.size()) + "\n");
        else
            fails({"memtable", "size", path}, path);
    }
}
