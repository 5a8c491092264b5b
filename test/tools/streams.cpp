#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/entries.hpp"
#include "support/files.hpp"
#include "support/raw_bytes.hpp"
#include "tools/tools.hpp"

using lsm::bytes;
using namespace lsm::test;

/// Checks how the tools behave when a standard stream is closed, broken or a terminal.
namespace {

void close_output() { ::close(STDOUT_FILENO); }
void close_all() {
    for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::close(descriptor);
}
void full_output() {
    const int full = ::open("/dev/full", O_WRONLY);
    ::dup2(full, STDOUT_FILENO);
    ::close(full);
}
void broken_output() {
    int ends[2];
    if (::pipe(ends) != 0) ::_exit(126);
    ::dup2(ends[1], STDOUT_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
}

const std::vector<preparation> broken_outputs = {close_output, full_output, broken_output};

/// A dump, a table and a database with entries, and a malformed file.
struct sample_files {
    sample_files() {
        const entry_list entries = {{"a", "1"}, {"b", std::nullopt}};
        write_file(disk(), dump, raw_dump(entries));
        write_file(disk(), table, raw_table({entries}));
        write_file(disk(), bad, "neither dump nor table");
        prints({"dbctl", "--dir", database}, "", "PUT a 1\nFLUSH\nPUT b 2\n");
    }

    [[nodiscard]] std::vector<command_line> printing() const {
        std::vector<command_line> out = {{"memtable", "get", dump, "a"}, {"memtable", "get", dump, "b"},
                                         {"memtable", "get", dump, "c"}, {"memtable", "iter", dump},
                                         {"memtable", "size", dump},     {"sstable", "footer", table},
                                         {"sstable", "get", table, "a"}, {"sstable", "iter", table},
                                         {"sstable", "size", table},     {"merge_iter", table}};
        for (const std::string& name : all_tools) {
            out.push_back({name, "--help"});
            out.push_back({name, "--version"});
        }
        return out;
    }

    scratch_directory directory;
    std::string dump = directory / "dump";
    std::string table = directory / "table";
    std::string bad = directory / "bad";
    std::string database = directory / "db";
};

/// A terminal that can be the standard error of a process.
class terminal {
public:
    terminal() {
        REQUIRE(ours_ >= 0);
        REQUIRE(::grantpt(ours_) == 0);
        REQUIRE(::unlockpt(ours_) == 0);
        name_ = ::ptsname(ours_);
        held_open_ = ::open(name_.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
        REQUIRE(held_open_ >= 0);
    }
    terminal(const terminal&) = delete;
    ~terminal() {
        ::close(held_open_);
        ::close(ours_);
    }

    [[nodiscard]] preparation as_error() const {
        return [name = name_] {
            const int side = ::open(name.c_str(), O_RDWR | O_NOCTTY);
            ::dup2(side, STDERR_FILENO);
            ::close(side);
        };
    }
    /// Returns what was written to it since the last call.
    [[nodiscard]] std::string output() const {
        // Output arrives in pieces. This marks its end.
        constexpr std::string_view end_mark = "<no more>";
        REQUIRE(::write(held_open_, end_mark.data(), end_mark.size()) == static_cast<ssize_t>(end_mark.size()));
        std::string out;
        while (!out.ends_with(end_mark)) {
            pollfd readable{ours_, POLLIN, 0};
            REQUIRE(::poll(&readable, 1, 10'000) == 1);
            char piece[4096];
            const auto length = ::read(ours_, piece, sizeof piece);
            REQUIRE(length > 0);
            out.append(piece, static_cast<std::size_t>(length));
        }
        out.resize(out.size() - end_mark.size());
        return out;
    }

private:
    int ours_ = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    int held_open_ = -1;
    std::string name_;
};

}  // namespace

TEST_CASE("streams: a failed write to stdout is status 1 and no file gets the output") {
    const sample_files files;
    const auto before = snapshot(files.directory.path());
    for (const preparation& broken : broken_outputs) {
        for (const command_line& line : files.printing()) fails(line, "standard output", {}, broken);
        for (const std::string command : {"DUMP\n", "DUMP_WITH_TOMBS\n", "GET a\n", "DUMP"})
            fails({"dbctl", "--dir", files.database}, "standard output", command, broken);
    }
    CHECK(snapshot(files.directory.path()) == before);
}

TEST_CASE("streams: with all streams closed the status is still right") {
    const sample_files files;
    const auto before = snapshot(files.directory.path());
    const auto status_of = [&](const command_line& line) {
        INFO(shown(line));
        const outcome got = run_tool(line, {}, close_all);
        CHECK(got.out.empty());
        CHECK(got.err.empty());
        return got.status;
    };
    for (const command_line& line : files.printing()) CHECK(status_of(line) == 1);
    CHECK(status_of({"memtable", "get", files.bad, "a"}) == 1);
    CHECK(status_of({"memtable", "put", files.bad, "a", "b"}) == 1);
    CHECK(status_of({"sstable", "build", files.bad, files.table}) == 1);
    CHECK(status_of({"sstable", "build", files.dump, files.dump}) == 2);
    CHECK(status_of({"merge_iter", files.table, files.bad}) == 1);
    CHECK(status_of({"dbctl", "--dir", files.database}) == 1);
    for (const std::string& name : all_tools) CHECK(status_of({name}) == 2);
    CHECK(snapshot(files.directory.path()) == before);

    CHECK(status_of({"memtable", "put", files.dump, "a", "2"}) == 0);
    CHECK(status_of({"sstable", "build", files.dump, files.table}) == 0);
    const entry_list entries = {{"a", "2"}, {"b", std::nullopt}};
    CHECK(read_file(disk(), files.dump) == raw_dump(entries));
    CHECK(read_file(disk(), files.table) == raw_table({entries}));
}

TEST_CASE("streams: commands that print nothing need no output") {
    const sample_files files;
    for (const preparation& broken : broken_outputs) {
        succeeds({"memtable", "put", files.dump, "a", "2"}, {}, broken);
        succeeds({"sstable", "build", files.dump, files.table}, {}, broken);
        succeeds({"dbctl", "--dir", files.database}, "PUT c 3\nFLUSH\n", broken);
    }
    prints({"sstable", "get", files.table, "a"}, "value: 32\n");
    prints({"dbctl", "--dir", files.database}, "value: 33\n", "GET c\n");
}

TEST_CASE("streams: with stderr closed no file gets the error") {
    const sample_files files;
    const auto before = snapshot(files.directory.path());
    const auto status_of = [&](const command_line& line, std::string_view input) {
        INFO(shown(line));
        const outcome got = run_tool(line, input, [] { ::close(STDERR_FILENO); });
        CHECK(got.out.empty());
        return got.status;
    };
    CHECK(status_of({"memtable", "iter", files.bad}, "") == 1);
    CHECK(status_of({"memtable", "bulk", files.bad, "5"}, "") == 1);
    CHECK(status_of({"sstable", "build", files.bad, files.table}, "") == 1);
    CHECK(status_of({"merge_iter", files.table, files.bad}, "") == 1);
    CHECK(status_of({"dbctl", "--dir", files.database}, "NONSENSE\n") == 1);
    CHECK(snapshot(files.directory.path()) == before);
}

TEST_CASE("streams: a stdin that cannot be read is an error of dbctl") {
    const sample_files files;
    const command_line line = {"dbctl", "--dir", files.database};
    const auto before = snapshot(files.directory.path());
    fails(line, "standard input", {}, [] { ::close(STDIN_FILENO); });
    fails(line, "standard input", {}, [] {
        const int directory = ::open("/", O_RDONLY);
        ::dup2(directory, STDIN_FILENO);
        ::close(directory);
    });
    CHECK(snapshot(files.directory.path()) == before);
}

TEST_CASE("streams: dbctl keeps the writes before a failed output and none after it") {
    for (const preparation& broken : broken_outputs) {
        const scratch_directory directory;
        const command_line line = {"dbctl", "--dir", directory / "db"};
        fails(line, "standard output", "PUT a 1\nDEL b\nDUMP\nPUT c 3\nDUMP\n", broken);
        prints(line, stream_of({{"a", "1"}, {"b", std::nullopt}}), "DUMP_WITH_TOMBS\n");
    }
}

TEST_CASE("streams: a reader that closes the pipe in the middle of the output is status 1") {
    const scratch_directory directory;
    const std::string dump = directory / "dump", table = directory / "table";
    succeeds({"memtable", "bulk", dump, "100000"});
    build_table(dump, table);
    for (const command_line& line :
         {command_line{"memtable", "iter", dump}, {"sstable", "iter", table}, {"merge_iter", table}}) {
        INFO(shown(line));
        process reading(runnable(line), prepared());
        reading.read_until(line.front() == "merge_iter" ? "key0" : "6b657930");
        reading.close_output();
        const outcome got = reading.finish();
        check_failed(got, 1, line.front(), "standard output");
    }
}

TEST_CASE("streams: progress shows only on a terminal") {
    constexpr int entries = 200'000;
    const scratch_directory directory;
    const std::string dump = directory / "dump", table = directory / "table";
    succeeds({"memtable", "bulk", dump, std::to_string(entries)});
    build_table(dump, table);
    const terminal shown;

    // The output is not read for a while, so the work is long on any machine.
    const auto slowly = [&](const preparation& more) {
        process merging(runnable({"merge_iter", table}), prepared(more));
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        return merging.finish();
    };
    const outcome unseen = slowly({});
    check_done(unseen);
    CHECK(shown.output().empty());
    const outcome seen = slowly(shown.as_error());
    CHECK(seen.status == 0);
    CHECK(seen.out == unseen.out);
    CHECK(shown.output().find(" entries") != std::string::npos);
}

TEST_CASE("streams: dbctl shows long work on a terminal and nothing for quick work") {
    const scratch_directory directory;
    const command_line line = {"dbctl", "--dir", directory / "db"};
    const terminal shown;
    std::string puts;
    for (int i = 0; i < 100'000; ++i) puts += "PUT key" + std::to_string(i) + " value\n";
    succeeds(line, puts);

    const auto dumped = [&](int milliseconds, const preparation& more) {
        process dumping(runnable(line), prepared(more));
        dumping.write("FLUSH\nDUMP\n");
        dumping.close_input();
        std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
        return dumping.finish();
    };
    const outcome unseen = dumped(0, {});
    check_done(unseen);
    const outcome seen = dumped(900, shown.as_error());
    CHECK(seen.status == 0);
    CHECK(seen.out == unseen.out);
    const std::string output = shown.output();
    CHECK(output.find("\rdumping ...") != std::string::npos);
    CHECK(output.ends_with("\r\x1b[K"));
    const command_line quick = {"dbctl", "--dir", directory / "small"};
    const auto begun = std::chrono::steady_clock::now();
    CHECK(run(runnable(quick), "PUT a 1\nFLUSH\nCOMPACT\nGET a\n", prepared(shown.as_error())).status == 0);
    const bool was_quick = std::chrono::steady_clock::now() - begun < std::chrono::milliseconds(400);
    CHECK((shown.output().empty() || !was_quick));
}
