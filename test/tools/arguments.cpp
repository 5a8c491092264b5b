#include <unistd.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <lsm/core/hex.hpp>
#include <lsm/version.hpp>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "tools/tools.hpp"

using lsm::hex;
using namespace lsm::test;

namespace {

// Words that a parser of options could mistake for something else.
const std::vector<std::string> hard_words = {"",
                                             "-",
                                             "--",
                                             "---",
                                             "-x",
                                             "-1",
                                             "--help",
                                             "--version",
                                             "--block-size",
                                             "--block-size=64",
                                             "--dir",
                                             "--drop-tombstones",
                                             "--no-such-option",
                                             "a,b",
                                             ",",
                                             "-a,-b",
                                             "key=value",
                                             "--=",
                                             " ",
                                             "two words",
                                             "\"quoted\"",
                                             "back\\slash",
                                             "new\nline",
                                             "@file",
                                             "\xff\xfe\x80",
                                             "--\xff",
                                             "\xc3",
                                             std::string(100'000, 'k'),
                                             "--" + std::string(100'000, 'o')};

const std::vector<std::string> no_numbers = {"",
                                             "-1",
                                             "-0",
                                             "+1",
                                             "0x10",
                                             "1.5",
                                             "1e3",
                                             " 5",
                                             "5 ",
                                             "5\n",
                                             "64k",
                                             "a",
                                             "64,128",
                                             "1_000",
                                             "4294967296",
                                             "4294967297",
                                             "--",
                                             "\xd9\xa3",
                                             "0 0",
                                             "½",
                                             "0b1",
                                             "9999999999",
                                             "4294967295a",
                                             "18446744073709551616",
                                             "36893488147419103232",
                                             "1\xff"};

preparation in_directory(const std::string& path) {
    return [path] {
        if (::chdir(path.c_str()) != 0) ::_exit(126);
    };
}

}  // namespace

TEST_CASE("arguments: help and version as the first argument work in every tool") {
    for (const std::string& name : all_tools) {
        for (const command_line& line :
             {command_line{name, "--help"}, command_line{name, "--help", "--nonsense", "x"}}) {
            const std::string help = printed(line);
            CHECK(help.find(name) != std::string::npos);
            CHECK(help.ends_with('\n'));
        }
        for (const command_line& line : {command_line{name, "--version"}, command_line{name, "--version", "--help"}}) {
            const std::string version = printed(line);
            CHECK(version.find(name) != std::string::npos);
            CHECK(version.find(LSM_VERSION) != std::string::npos);
            CHECK(version.find('\n') == version.size() - 1);
        }
    }
}

TEST_CASE("arguments: help and version are unknown options in any other place") {
    const scratch_directory directory;
    const std::string path = directory / "table";
    succeeds({"memtable", "new", path});
    for (const std::string option : {"--help", "--version"}) {
        misuses({"memtable", "iter", option});
        misuses({"memtable", "iter", path, option});
        misuses({"memtable", "--", option});
        misuses({"sstable", "size", option});
        misuses({"merge_iter", path, option});
        misuses({"dbctl", "--dir", directory / "db", option});
    }
    CHECK(names_below(directory.path()) == std::vector<std::string>{"table"});
}

TEST_CASE("arguments: a command line without a command or an input is a misuse") {
    for (const std::string& name : all_tools) {
        misuses({name});
        misuses({name, "--"});
    }
    misuses({"merge_iter", "--drop-tombstones"});
    misuses({"dbctl", "--dir"});
}

TEST_CASE("arguments: an unknown command is a misuse and changes nothing") {
    const scratch_directory directory;
    const std::string path = directory / "table";
    succeeds({"memtable", "bulk", path, "3"});
    const auto before = snapshot(directory.path());
    for (const std::string command : {"", "nope", "New", "PUT", "new ", "-", "get\n", "build", "\xff"})
        misuses({"memtable", command, path});
    for (const std::string command : {"", "nope", "Build", "put", "open", "iter,size"})
        misuses({"sstable", command, path});
    misuses({"memtable", std::string(100'000, 'c'), path});
    CHECK(snapshot(directory.path()) == before);
}

TEST_CASE("arguments: a wrong number of words is a misuse and changes nothing") {
    const scratch_directory directory;
    const std::string table = directory / "table", sst = directory / "sst", fresh = directory / "fresh";
    succeeds({"memtable", "bulk", table, "3"});
    build_table(table, sst);
    const auto before = snapshot(directory.path());
    const std::vector<command_line> lines = {
        {"memtable", "new"},
        {"memtable", "new", fresh, "more"},
        {"memtable", "put", table},
        {"memtable", "put", table, "key"},
        {"memtable", "put", table, "key", "value", "more"},
        {"memtable", "del", table},
        {"memtable", "del", table, "key", "more"},
        {"memtable", "get"},
        {"memtable", "get", table},
        {"memtable", "get", table, "key", "more"},
        {"memtable", "iter"},
        {"memtable", "iter", table, "more"},
        {"memtable", "bulk", fresh},
        {"memtable", "bulk", fresh, "3", "more"},
        {"memtable", "size"},
        {"memtable", "size", table, table},
        {"sstable", "build", table},
        {"sstable", "build", table, fresh, "more"},
        {"sstable", "build", table, fresh, "--block-size"},
        {"sstable", "footer"},
        {"sstable", "footer", sst, "more"},
        {"sstable", "get", sst},
        {"sstable", "get", sst, "key", "more"},
        {"sstable", "iter", sst, sst},
        {"sstable", "size"},
        {"dbctl", directory / "db"},
        {"dbctl", "--dir", directory / "db", "more"},
        {"dbctl", "--", "--dir", directory / "db"},
    };
    for (const auto& line : lines) misuses(line);
    CHECK(snapshot(directory.path()) == before);
}

TEST_CASE("arguments: an unknown option is a misuse and changes nothing") {
    const scratch_directory directory;
    const std::string table = directory / "table", sst = directory / "sst", fresh = directory / "fresh";
    succeeds({"memtable", "bulk", table, "3"});
    build_table(table, sst);
    const auto before = snapshot(directory.path());
    for (const std::string option : {"--nope", "-n", "--block", "--block-sizes=3", "---", "--=", "--=3", "-=", "-1",
                                     "-,", "--\xff", "-\xff", "--new"}) {
        misuses({"memtable", option, "new", fresh});
        misuses({"memtable", "new", option, fresh});
        misuses({"memtable", "new", fresh, option});
        misuses({"sstable", "build", option, table, fresh});
        misuses({"merge_iter", sst, option});
        misuses({"dbctl", "--dir", directory / "db", option});
    }
    misuses({"sstable", "get", "--nope", sst, "key"});
    misuses({"merge_iter", "--drop-tombstones=perhaps", sst});
    CHECK(snapshot(directory.path()) == before);
}

TEST_CASE("arguments: keys and values of a memtable are literal after the PATH") {
    const scratch_directory directory;
    const std::string path = directory / "table";
    for (const std::string& word : hard_words) {
        succeeds({"memtable", "new", path});
        succeeds({"memtable", "put", path, word, word});
        prints({"memtable", "get", path, word}, "value: " + hex(word) + "\n");
        succeeds({"memtable", "del", path, word});
        prints({"memtable", "get", path, word}, "tombstone\n");
        prints({"memtable", "iter", path}, "T " + hex(word) + "\n");
    }
}

TEST_CASE("arguments: the key of a lookup in an sstable is literal after the PATH") {
    const scratch_directory directory;
    const std::string dump = directory / "dump", table = directory / "table";
    std::map<lsm::bytes, std::optional<lsm::bytes>> entries;
    for (const std::string& word : hard_words) entries[word] = word;
    write_file(disk(), dump, raw_dump({entries.begin(), entries.end()}));
    build_table(dump, table);
    for (const std::string& word : hard_words) prints({"sstable", "get", table, word}, "value: " + hex(word) + "\n");
    prints({"sstable", "get", table, "--absent"}, "absent\n");
}

TEST_CASE("arguments: two dashes end the options before the PATH and are a key after it") {
    const scratch_directory directory;
    const preparation here = in_directory(directory.path());
    const std::string path = "--table";
    succeeds({"memtable", "new", "--", path}, {}, here);
    succeeds({"memtable", "put", "--", path, "--", "-v"}, {}, here);
    succeeds({"memtable", "--", "put", path, "--help", "--"}, {}, here);
    prints({"memtable", "get", "--", path, "--"}, "value: 2d76\n", {}, here);
    prints({"memtable", "--", "get", path, "--help"}, "value: 2d2d\n", {}, here);
    prints({"memtable", "iter", "--", path}, "V 2d2d 2d76\nV 2d2d68656c70 2d2d\n", {}, here);
    prints({"memtable", "size", "./" + path, "--"}, "entries=2 size_bytes=38\n", {}, here);
    succeeds({"memtable", "del", "--", path, "--help"}, {}, here);
    misuses({"memtable", "get", "./" + path, "--", "--"}, here);
    misuses({"memtable", "put", "./" + path, "--", "key", "value"}, here);
    misuses({"memtable", "iter", "--", path, "--"}, here);

    succeeds({"sstable", "build", "--block-size=64", "--", path, "--sst"}, {}, here);
    misuses({"sstable", "build", "--", path, "--sst", "--block-size=64"}, here);
    prints({"sstable", "get", "--", "--sst", "--"}, "value: 2d76\n", {}, here);
    prints({"sstable", "--", "get", "--sst", "--help"}, "tombstone\n", {}, here);

    const std::string kept = run_tool({"merge_iter", "--", "--sst"}, {}, here).out;
    const std::string dropped = run_tool({"merge_iter", "--drop-tombstones", "--", "--sst"}, {}, here).out;
    CHECK(dropped == kept.substr(0, dropped.size()));
    CHECK(dropped.size() < kept.size());
    fails({"merge_iter", "--", "--sst", "--drop-tombstones"}, "--drop-tombstones", {}, here);
}

TEST_CASE("arguments: a single dash is an ordinary PATH") {
    const scratch_directory directory;
    const preparation here = in_directory(directory.path());
    succeeds({"memtable", "bulk", "-", "1"}, {}, here);
    prints({"memtable", "get", "-", "key0"}, "value: 76616c30\n", {}, here);
    succeeds({"sstable", "build", "-", "--", "-sst"}, {}, here);
    CHECK(names_below(directory.path()) == std::vector<std::string>{"-", "-sst"});
}

TEST_CASE("arguments: options may stand anywhere") {
    const scratch_directory directory;
    const std::string dump = directory / "dump", table = directory / "table";
    succeeds({"memtable", "bulk", dump, "50"});
    succeeds({"memtable", "del", dump, "key7"});
    build_table(dump, table, "64");
    const std::string expected = read_file(disk(), table);
    for (const command_line& line : {command_line{"sstable", "--block-size", "64", "build", dump, table},
                                     {"sstable", "build", "--block-size", "64", dump, table},
                                     {"sstable", "build", dump, "--block-size", "64", table},
                                     {"sstable", "build", dump, table, "--block-size=64"},
                                     {"sstable", "--block-size=64", "build", dump, table}}) {
        std::filesystem::remove(table);
        succeeds(line);
        CHECK(read_file(disk(), table) == expected);
    }

    const std::string dropped = printed({"merge_iter", "--drop-tombstones", table, table});
    CHECK(printed({"merge_iter", table, "--drop-tombstones", table}) == dropped);
    CHECK(printed({"merge_iter", table, table, "--drop-tombstones"}) == dropped);
    CHECK(printed({"merge_iter", table, table}) != dropped);

    for (const command_line& line :
         {command_line{"dbctl", "--dir", directory / "db"}, {"dbctl", "--dir=" + directory / "db"}})
        prints(line, "", "FLUSH\n");
    CHECK(std::filesystem::exists(directory / "db/MANIFEST"));
}

TEST_CASE("arguments: only build takes a block size") {
    const scratch_directory directory;
    const std::string dump = directory / "dump", table = directory / "table";
    succeeds({"memtable", "bulk", dump, "5"});
    build_table(dump, table);
    for (const std::string command : {"footer", "iter", "size"})
        misuses({"sstable", command, table, "--block-size", "64"});
    misuses({"sstable", "get", "--block-size", "64", table, "key0"});
    prints({"sstable", "get", table, "--block-size"}, "absent\n");
}

TEST_CASE("arguments: numbers must be decimal digits within their bounds") {
    const scratch_directory directory;
    const std::string dump = directory / "dump", table = directory / "table";
    succeeds({"memtable", "bulk", dump, "20"});
    const auto before = snapshot(directory.path());
    for (const std::string& number : no_numbers) {
        misuses({"memtable", "bulk", "--", dump, number});
        misuses({"sstable", "build", dump, table, "--block-size=" + number});
        misuses({"sstable", "build", dump, table, "--block-size", number});
    }
    misuses({"sstable", "build", dump, table, "--block-size", "0"});
    misuses({"sstable", "build", dump, table, "--block-size=000"});
    CHECK(snapshot(directory.path()) == before);
}

TEST_CASE("arguments: numbers may have leading zeros and may equal their bounds") {
    const scratch_directory directory;
    const std::string dump = directory / "dump", table = directory / "table";
    for (const std::string number : {"7", "007", "0000000000000000000000000000000000000007"}) {
        succeeds({"memtable", "new", dump});
        succeeds({"memtable", "bulk", dump, number});
        prints({"memtable", "size", dump}, "entries=7 size_bytes=127\n");
    }
    for (const std::string number : {"0", "00"}) {
        succeeds({"memtable", "new", dump});
        succeeds({"memtable", "bulk", dump, number});
        prints({"memtable", "size", dump}, "entries=0 size_bytes=8\n");
    }
    succeeds({"memtable", "bulk", dump, "7"});
    const std::vector<std::pair<std::string, std::string>> blocks_for_size = {
        {"1", "7"}, {"0001", "7"}, {"4294967295", "1"}, {"004294967295", "1"}};
    for (const auto& [size, blocks] : blocks_for_size) {
        build_table(dump, table, size);
        CHECK(printed({"sstable", "size", table}).ends_with(" entries=7 num_blocks=" + blocks + "\n"));
    }
}
