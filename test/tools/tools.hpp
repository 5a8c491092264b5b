#pragma once

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/io/posix_file_system.hpp>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/process.hpp"
#include "support/raw_bytes.hpp"
#include "support/sanitized.hpp"
#include "support/sha256.hpp"

/// Runs the tools and checks what holds for every run.
namespace lsm::test {

inline const std::vector<std::string> all_tools = {"memtable", "sstable", "merge_iter", "dbctl"};

/// A tool's name and its arguments.
using command_line = std::vector<std::string>;
/// A function that runs in the new process before the tool starts.
using preparation = std::function<void()>;

inline command_line runnable(command_line line) {
    line.front() = tool(line.front());
    return line;
}

/// Returns a preparation that resets SIGPIPE as a shell does, sets a time limit, and then runs `more`. A tool that
/// exceeds the limit dies of a signal, which no test expects.
inline preparation prepared(const preparation& more = {}) {
    return [more] {
        constexpr unsigned patience_seconds = 60;
        ::signal(SIGPIPE, SIG_DFL);
        ::alarm(patience_seconds);
        if (more) more();
    };
}

inline outcome run_tool(const command_line& line, std::string_view input = {}, const preparation& more = {}) {
    return run(runnable(line), input, prepared(more));
}

/// Returns a command line for messages.
inline std::string shown(const command_line& line) {
    constexpr std::size_t longest = 60;
    std::string out;
    for (const std::string& word : line) out.append("\"").append(word, 0, longest).append("\" ");
    return out;
}

/// Returns contents in a form that is short in messages: short ones as they are, long ones as length and hash.
inline std::string digest(const std::string& contents) {
    constexpr std::size_t longest = 200;
    if (contents.size() <= longest) return contents;
    return std::to_string(contents.size()) + " bytes with SHA-256 " + sha256(contents);
}

inline void check_done(const outcome& got) {
    INFO("stderr: " << got.err);
    CHECK(got.status == 0);
    CHECK(got.err.empty());
}

/// Checks the status, and that stderr is exactly one line: the tool's name, then a message with `mentions` in it.
inline void check_failed(const outcome& got, int status, std::string_view name, std::string_view mentions) {
    INFO("stderr: " << got.err);
    CHECK(got.status == status);
    CHECK(got.err.starts_with(std::string(name).append(": ")));
    CHECK(std::count(got.err.begin(), got.err.end(), '\n') == 1);
    CHECK(got.err.ends_with('\n'));
    INFO("expected on stderr: " << mentions);
    CHECK(got.err.find(mentions) != std::string::npos);
}

inline void prints(const command_line& line, std::string_view out, std::string_view input = {},
                   const preparation& more = {}) {
    INFO(shown(line));
    const outcome got = run_tool(line, input, more);
    check_done(got);
    CHECK(digest(got.out) == digest(std::string(out)));
}
inline void succeeds(const command_line& line, std::string_view input = {}, const preparation& more = {}) {
    prints(line, "", input, more);
}

/// Checks that the run ends with status 1, prints nothing, and has `mentions` in its line on stderr.
inline void fails(const command_line& line, std::string_view mentions, std::string_view input = {},
                  const preparation& more = {}) {
    INFO(shown(line));
    const outcome got = run_tool(line, input, more);
    check_failed(got, 1, line.front(), mentions);
    CHECK(got.out.empty());
}
/// Checks that the command line is refused with status 2 and that nothing is printed.
inline void misuses(const command_line& line, const preparation& more = {}) {
    INFO(shown(line));
    const outcome got = run_tool(line, {}, more);
    check_failed(got, 2, line.front(), "");
    CHECK(got.out.empty());
}

/// Runs a tool, checks that it succeeds, and returns what it prints.
inline std::string printed(const command_line& line, std::string_view input = {}) {
    INFO(shown(line));
    const outcome got = run_tool(line, input);
    check_done(got);
    return got.out;
}

inline io::file_system& disk() { return io::default_file_system(); }

/// Returns everything below a directory by name: files as digests, links as their targets.
inline std::map<std::string, std::string> snapshot(const std::string& directory) {
    namespace fs = std::filesystem;
    std::map<std::string, std::string> out;
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
        std::string& contents = out[entry.path().lexically_relative(directory).string()];
        if (entry.is_symlink())
            contents = "link to " + fs::read_symlink(entry.path()).string();
        else if (entry.is_regular_file())
            contents = digest(read_file(disk(), entry.path().string()));
        else
            contents = "no file";
    }
    return out;
}

inline std::vector<std::string> names_below(const std::string& directory) {
    std::vector<std::string> out;
    for (const auto& [name, contents] : snapshot(directory)) out.push_back(name);
    return out;
}

inline bytes with_flipped_bit(bytes contents, std::size_t bit) {
    contents[bit / 8] = static_cast<char>(contents[bit / 8] ^ 1 << bit % 8);
    return contents;
}

/// Builds a table from a dump with `sstable build`.
inline void build_table(const std::string& dump, const std::string& table, const std::string& block_size = "4096") {
    succeeds({"sstable", "build", dump, table, "--block-size", block_size});
}

/// Returns whether strace is installed and works here.
inline bool can_trace() {
    const std::string tracer = "/usr/bin/strace";
    return !sanitized && std::filesystem::exists(tracer) &&
           run({tracer, "-o", "/dev/null", tool("memtable"), "--version"}, {}, prepared()).status == 0;
}

/// Runs a tool under strace with the given options of strace.
inline outcome run_traced(const command_line& options, const command_line& line, const preparation& more = {}) {
    command_line tracing = {"/usr/bin/strace", "-f"};
    tracing.insert(tracing.end(), options.begin(), options.end());
    const command_line traced_line = runnable(line);
    tracing.insert(tracing.end(), traced_line.begin(), traced_line.end());
    return run(tracing, {}, prepared(more));
}

/// Runs a tool under strace, checks that it succeeds, and returns its calls of the given system calls, a line each.
inline std::vector<std::string> traced(const command_line& line, const std::string& calls, const std::string& log,
                                       const preparation& more = {}) {
    check_done(run_traced({"-y", "-s", "4096", "-e", "trace=" + calls, "-o", log}, line, more));
    std::vector<std::string> out;
    std::ifstream in(log);
    for (std::string text; std::getline(in, text);) out.push_back(text);
    return out;
}

/// Returns whether the program is still running.
inline bool running(const process& program) {
    siginfo_t about{};
    return ::waitid(P_PID, static_cast<id_t>(program.id()), &about, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           about.si_pid == 0;
}

}  // namespace lsm::test
