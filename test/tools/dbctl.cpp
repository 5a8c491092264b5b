#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <lsm/core/coding.hpp>

#include "support/catch.hpp"
#include "support/entries.hpp"
#include "support/files.hpp"
#include "tools/tools.hpp"

using lsm::bytes;
using namespace lsm::test;
using namespace std::string_literals;

namespace {

/// A database directory, and runs of dbctl on it.
class database {
public:
    [[nodiscard]] std::string path() const { return directory_ / "db"; }
    [[nodiscard]] std::string operator/(const std::string& name) const { return path() + "/" + name; }
    [[nodiscard]] command_line line() const { return {"dbctl", "--dir", path()}; }

    void answers(std::string_view commands, std::string_view output) const { prints(line(), output, commands); }
    void holds(const entry_map& entries) const { answers("DUMP_WITH_TOMBS\n", stream_of(entries)); }

private:
    scratch_directory directory_;
};

/// Returns the payload sizes of the records of a log.
std::vector<std::size_t> log_records(const std::string& path) {
    const bytes log = read_file(disk(), path);
    std::vector<std::size_t> out;
    for (std::size_t at = 0; at < log.size(); at += 8 + out.back())
        out.push_back(lsm::detail::load_le<std::uint32_t>(log.data() + at));
    return out;
}

/// Waits until the file exists and has at least this size.
void await_size(const std::string& path, std::uintmax_t size) {
    std::error_code missing;
    for (int i = 0; i < 10'000; ++i) {
        const auto now = std::filesystem::file_size(path, missing);
        if (!missing && now >= size) return;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    FAIL(path << " does not grow");
}

preparation with_input(const std::string& path) {
    return [path] {
        const int file = ::open(path.c_str(), O_RDONLY);
        ::dup2(file, STDIN_FILENO);
        ::close(file);
    };
}

std::string numbered_puts(std::size_t count, const std::string& value) {
    std::string out;
    for (std::size_t i = 0; i < count; ++i) out += "PUT key" + std::to_string(i) + " " + value + "\n";
    return out;
}

}  // namespace

TEST_CASE("dbctl: an empty input creates an empty database") {
    const database db;
    db.answers("", "");
    CHECK(snapshot(db.path()) == std::map<std::string, std::string>{{"LOCK", ""}, {"MANIFEST", ""}});
    db.holds({});
}

TEST_CASE("dbctl: a missing directory and its missing parents are created") {
    const scratch_directory directory;
    const std::string deep = directory / "a/b/c";
    prints({"dbctl", "--dir", deep}, "", "PUT a 1\n");
    prints({"dbctl", "--dir", deep + "/"}, stream_of({{"a", "1"}}), "DUMP\n");
    prints({"dbctl", "--dir=" + directory / "a//b/../b/./c"}, stream_of({{"a", "1"}}), "DUMP\n");
    std::filesystem::create_directory_symlink(deep, directory / "link");
    prints({"dbctl", "--dir", directory / "link"}, stream_of({{"a", "1"}}), "DUMP\n");
}

TEST_CASE("dbctl: a path that is not a directory and cannot become one is an error") {
    const scratch_directory directory;
    write_file(disk(), directory / "file", "contents");
    std::filesystem::create_symlink("nowhere", directory / "dangling");
    REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
    const auto before = snapshot(directory.path());
    for (const std::string name : {"file", "file/below", "dangling", "fifo"})
        fails({"dbctl", "--dir", directory / name}, directory / name, "PUT a 1\n");
    fails({"dbctl", "--dir", ""}, "", "PUT a 1\n");
    fails({"dbctl", "--dir="}, "", "PUT a 1\n");
    CHECK(snapshot(directory.path()) == before);
}

TEST_CASE("dbctl: a damaged database is an error and stays as it was") {
    const database db;
    db.answers("PUT a 1\nFLUSH\nPUT b 2\n", "");
    for (const std::string name : {"MANIFEST", "sst-000001.sst", "wal.log"}) {
        const bytes good = read_file(disk(), db / name);
        // Damage in the last record of a log would be a torn tail, which is legal: intact records must follow.
        const std::size_t crc = 4;
        write_file(disk(), db / name, name == "wal.log" ? with_flipped_bit(good, 8 * crc) + good : good + "X");
        const auto before = snapshot(db.path());
        fails(db.line(), db / name, "PUT c 3\nDUMP\n");
        CHECK(snapshot(db.path()) == before);
        write_file(disk(), db / name, good);
    }
    db.holds({{"a", "1"}, {"b", "2"}});
}

TEST_CASE("dbctl: words are separated by runs of blanks and every other byte is literal") {
    const database db;
    db.answers("  PUT a 1\n\tPUT\t\tb\t2\t\n\v\f\rPUT\vc\f3 \r\n PUT \t\v\f\r d \t\v\f\r 4\nPUT "s +
                   "nul\0key v\0\0\n"s + "PUT \xc2\xa0 \x85\xa0\n" +
                   "PUT \"quo ted\"\nPUT back\\ slash\nPUT a#b #\nPUT -- --help\nPUT \x01\x08\x0e \x1f\x7f\n" +
                   "DEL \xff\xfe\nDEL #\n",
               "");
    db.holds({{"a", "1"},
              {"b", "2"},
              {"c", "3"},
              {"d", "4"},
              {"nul\0key"s, "v\0\0"s},
              {"\xc2\xa0", "\x85\xa0"},
              {"\"quo", "ted\""},
              {"back\\", "slash"},
              {"a#b", "#"},
              {"--", "--help"},
              {"\x01\x08\x0e", "\x1f\x7f"},
              {"\xff\xfe", std::nullopt},
              {"#", std::nullopt}});
}

TEST_CASE("dbctl: comments and blank lines are ignored") {
    const database db;
    db.answers("\n\r\n \t\v\f\r\n# PUT x 1\n#\n  #PUT x 2\n#PUT\n##### one two three four five\n#\0\xff\nPUT a 1\n#"s,
               "");
    db.holds({{"a", "1"}});
}

TEST_CASE("dbctl: lines may end with CRLF and the last line needs no newline") {
    const database db;
    const bytes expected = stream_of({{"a", "1"}});
    db.answers("PUT a 1\r\nDUMP\r\n", expected);
    db.answers("DUMP\n\r\nDUMP", expected + expected);
    db.answers("PUT b 2", "");
    db.answers("DEL a\r", "");
    db.holds({{"a", std::nullopt}, {"b", "2"}});
}

TEST_CASE("dbctl: a line may have any length") {
    constexpr std::size_t length = 10'000'000;
    const database db;
    const bytes value(length, 'v');
    db.answers("# " + value + "\n" + bytes(length, ' ') + "PUT key " + value + bytes(length, ' ') + "\nDUMP\n",
               stream_of({{"key", value}}));
    db.answers("DUMP", stream_of({{"key", value}}));
}

TEST_CASE("dbctl: get prints the value or absent") {
    const database db;
    db.answers("PUT a \xff\x01\nGET a\nGET b\nDEL a\nGET a\nPUT a 2\nFLUSH\nGET a\nDEL a\nFLUSH\nGET a\n",
               "value: ff01\nabsent\nabsent\nvalue: 32\nabsent\n");
}

TEST_CASE("dbctl: dumps show the writes before them and nothing separates them") {
    const database db;
    const bytes a = stream_of({{"a", "1"}}), tombstone = stream_of({{"a", std::nullopt}});
    db.answers(
        "DUMP\nPUT a 1\nDUMP\nDUMP_WITH_TOMBS\nGET a\nDEL a\nDUMP\nDUMP_WITH_TOMBS\nFLUSH\nDUMP\nDUMP_WITH_TOMBS\nPUT "
        "a 1\nDUMP",
        a + a + "value: 31\n" + tombstone + tombstone + a);
}

TEST_CASE("dbctl: without a compaction flushed tombstones remain") {
    const database db;
    db.answers("PUT a 1\nPUT b 2\nFLUSH\nDEL a\nDEL never\nFLUSH\nPUT c 3\nFLUSH\nDEL c\nFLUSH\n", "");
    const entry_map expected = {{"a", std::nullopt}, {"b", "2"}, {"c", std::nullopt}, {"never", std::nullopt}};
    db.holds(expected);
    db.answers("DUMP\n", stream_of({{"b", "2"}}));
    CHECK(read_file(disk(), db / "MANIFEST") == "L0 4\nL0 3\nL0 2\nL0 1\n");
}

TEST_CASE("dbctl: a flush of nothing does nothing") {
    const database db;
    db.answers("FLUSH\nFLUSH\n", "");
    CHECK(snapshot(db.path()) == std::map<std::string, std::string>{{"LOCK", ""}, {"MANIFEST", ""}});
    db.answers("PUT a 1\nFLUSH\n", "");
    const auto before = snapshot(db.path());
    db.answers("FLUSH\nFLUSH\n", "");
    CHECK(snapshot(db.path()) == before);
}

TEST_CASE("dbctl: a malformed line stops the run with its number and keeps the writes before it") {
    const std::vector<std::string> malformed = {"PUT",       "PUT a",      "PUT a b c",   "PUT a b c d e f",
                                                "DEL",       "DEL a b",    "GET",         "GET a b",
                                                "FLUSH x",   "DUMP x",     "DUMP # all",  "DUMP_WITH_TOMBS x y",
                                                "put b 2",   "Put b 2",    "del a",       "flush",
                                                "dump",      "PUTS b 2",   "PU b 2",      "FLUSHED",
                                                "DUMP_WITH", "PUT\0 b 2"s, "\0"s,         "\xef\xbb\xbfPUT b 2",
                                                "a # PUT",   "--help",     "\"PUT\" b 2", "b",
                                                "PUT,b,2",   "\x85PUT b 2"};
    const database db;
    entry_map expected = {{"gone", std::nullopt}};
    for (std::size_t i = 0; i < malformed.size(); ++i) {
        const std::string key = std::to_string(i), before = "PUT " + key + " 1\n# comment\n\n  \r\nDEL gone\n";
        const std::vector<std::string> rest = {"\nPUT b 2\nDUMP\n", "", "\r\n", " \nNONSENSE\n"};
        fails(db.line(), "line 6", before + malformed[i] + rest[i % rest.size()]);
        expected[key] = "1";
        db.holds(expected);
    }
}

TEST_CASE("dbctl: what was printed before a malformed line stays printed") {
    const database db;
    const outcome got = run_tool(db.line(), "PUT a 1\nDUMP\nNONSENSE\nDUMP\n");
    check_failed(got, 1, "dbctl", "line 3");
    CHECK(got.out == stream_of({{"a", "1"}}));
}

TEST_CASE("dbctl: writes are durable before it waits for more input") {
    const database db;
    // A log record of one operation: format page, sections 5 and 6.
    const std::size_t one_put = 8 + 4 + 1 + 4 + 1 + 4 + 1;
    for (int round = 1; round <= 3; ++round) {
        process session(runnable(db.line()), prepared());
        // The second line is incomplete: it must not be executed, and must not delay the first.
        session.write("PUT " + std::to_string(round) + " v\nPUT half");
        await_size(db / "wal.log", static_cast<std::uintmax_t>(round) * one_put);
        CHECK(running(session));
        session.kill();
        session.finish();
    }
    db.holds({{"1", "v"}, {"2", "v"}, {"3", "v"}});
}

TEST_CASE("dbctl: writes are durable before the answer to a later command") {
    const database db;
    for (const std::string command : {"GET a\n", "DUMP\n"}) {
        process session(runnable(db.line()), prepared());
        // The answer does not fit into the pipe, so the tool is killed in the middle of it, with input still unread.
        session.write("PUT a " + std::string(1'000'000, 'v') + "\n" + command + "PUT b 2\n");
        session.read_until(command == "GET a\n" ? "value: 7676" : "vvvv");
        session.kill();
        session.finish();
        db.holds({{"a", bytes(1'000'000, 'v')}});
    }
}

TEST_CASE("dbctl: a directory that another process has open is an immediate error") {
    const database db;
    process first(runnable(db.line()), prepared());
    first.write("PUT a 1\nGET b\n");
    first.read_until("absent\n");
    const auto before = snapshot(db.path());
    fails(db.line(), db.path(), "PUT a 2\nFLUSH\n");
    CHECK(snapshot(db.path()) == before);
    REQUIRE(running(first));
    first.write("GET a\n");
    first.read_until("value: 31\n");
    check_done(first.finish());
    db.holds({{"a", "1"}});
}

TEST_CASE("dbctl: writes that are waiting on stdin are made durable together") {
    constexpr std::size_t count = 100'000;
    constexpr std::size_t few = 20;
    const scratch_directory directory;
    const database db;
    write_file(disk(), directory / "input", numbered_puts(count, "value"));
    succeeds(db.line(), "", with_input(directory / "input"));
    CHECK(log_records(db / "wal.log").size() <= few);
    CHECK(run_tool(db.line(), "GET key0\nGET key99999\nGET key100000\n").out ==
          "value: 76616c7565\nvalue: 76616c7565\nabsent\n");

    if (!can_trace()) return;
    const database again;
    const auto calls = traced(again.line(), "fdatasync,fsync", directory / "log", with_input(directory / "input"));
    const auto syncs_of_the_log = std::count_if(
        calls.begin(), calls.end(), [](const std::string& call) { return call.find("wal.log") != std::string::npos; });
    CHECK(syncs_of_the_log >= 1);
    CHECK(static_cast<std::size_t>(syncs_of_the_log) <= few);
}

TEST_CASE("dbctl: a huge input is written in several records") {
    constexpr std::size_t count = 80'000;
    const scratch_directory directory;
    const database db;
    const std::string value(100, 'v');
    write_file(disk(), directory / "input", numbered_puts(count, value));
    succeeds(db.line(), "", with_input(directory / "input"));
    const auto records = log_records(db / "wal.log");
    CHECK(records.size() > 1);
    CHECK(*std::max_element(records.begin(), records.end()) < (std::size_t{4} << 20));
    CHECK(run_tool(db.line(), "DUMP\n").out.size() == [&] {
        std::size_t out = 0;
        for (std::size_t i = 0; i < count; ++i) out += 4 + ("key" + std::to_string(i)).size() + 1 + 4 + value.size();
        return out;
    }());
}

TEST_CASE("dbctl: the last of several writes on a key decides") {
    const database db;
    db.answers("PUT a 1\nDEL a\nPUT a 2\nPUT b 1\nDEL b\nGET a\nGET b\n", "value: 32\nabsent\n");
    db.answers("PUT a 3\n", "");
    db.answers("GET a\n", "value: 33\n");
    db.holds({{"a", "3"}, {"b", std::nullopt}});
}

TEST_CASE("dbctl: a sparse MANIFEST of terabytes is refused in one line") {
    const database db;
    db.answers("PUT a 1\nFLUSH\n", "");
    const auto before = std::filesystem::file_size(db / "MANIFEST");
    std::filesystem::resize_file(db / "MANIFEST", std::uintmax_t{1} << 42);
    fails(db.line(), db / "MANIFEST" + ": bad_manifest: ", "GET a\n");
    std::filesystem::resize_file(db / "MANIFEST", before);
    db.answers("GET a\n", "value: 31\n");
}
