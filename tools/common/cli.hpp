#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <initializer_list>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <cxxopts.hpp>

#include <lsm/core/or_out_of_memory.hpp>
#include <lsm/core/result.hpp>
#include <lsm/version.hpp>

/// What the four tools share: how the command line is read, and how a run ends.
namespace cli {

enum status : int { done = 0, failed = 1, misused = 2 };

/// Ends the run with status misused.
struct usage_error {
    std::string what;
};

/// The value, or the end of the run with status failed.
template <class T>
T must(lsm::result<T> outcome) {
    if (!outcome) throw std::move(outcome).error();
    if constexpr (!std::is_void_v<T>) return *std::move(outcome);
}

/// What `work` returns; if memory runs out, an error that says for what.
template <class Work>
decltype(auto) naming(std::string_view what, Work work) {
    try {
        return work();
    } catch (const std::bad_alloc&) {
        throw lsm::detail::out_of_memory(what);
    }
}

/// All of `text` as a decimal number from `least` to 2^32-1.
inline std::uint32_t number(std::string_view name, std::string_view text, std::uint32_t least) {
    std::uint32_t out = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), out);
    if (text.empty() || problem != std::errc() || end != text.data() + text.size() || out < least)
        throw usage_error{std::string(name) + " must be a number from " + std::to_string(least) +
                          " to 4294967295, not \"" + std::string(text) + "\""};
    return out;
}

/// A command line, taken apart: options by cxxopts, and everything else in order.
struct arguments {
    cxxopts::ParseResult options;
    std::vector<std::string> words;
};

/// `--` ends the options. If the first word is one of `literal_commands`, so does the second (the PATH): all behind it
/// are words, whatever they look like. `valued` is the option that takes the word behind it, if there is one.
inline arguments parse(cxxopts::Options& known, int argc, const char* const* argv,
                       std::initializer_list<std::string_view> literal_commands = {}, std::string_view valued = {}) {
    int end = 1;
    std::vector<std::string_view> words;
    for (bool options_over = false; end < argc; ++end) {
        const std::string_view argument = argv[end];
        if (!options_over && argument == "--") {
            options_over = true;
        } else if (!options_over && argument.size() > 1 && argument.front() == '-') {
            if (argument == valued && end + 1 < argc) ++end;
        } else {
            words.push_back(argument);
            const auto is_command = [&](std::string_view command) { return words.front() == command; };
            if (words.size() == 2 && std::any_of(literal_commands.begin(), literal_commands.end(), is_command)) {
                ++end;
                break;
            }
        }
    }
    auto options = known.parse(end, argv);
    arguments out{options, options.unmatched()};
    out.words.insert(out.words.end(), argv + end, argv + argc);
    return out;
}

/// Ends the run with the usage line unless there are `count` words, the command not counted.
inline void expect_words(const std::vector<std::string>& words, std::size_t count, std::string_view usage) {
    if (words.size() != count) throw usage_error{"usage: " + std::string(usage)};
}

// A descriptor that is closed at the start would be given to the first file that is opened. Something that fails on
// use, as the closed one would, keeps its place.
inline void keep_standard_descriptors() {
    for (int descriptor = 0; descriptor <= 2; ++descriptor)
        if (::fcntl(descriptor, F_GETFD) == -1)
            static_cast<void>(::open("/dev/null", descriptor == 0 ? O_WRONLY : O_RDONLY));
}

inline status complain(std::string_view tool, std::string_view what, status how) {
    std::string line(tool);
    line.append(": ");
    for (const char c : what) line.push_back(c == '\n' ? ' ' : c);
    line.push_back('\n');
    static_cast<void>(!::write(STDERR_FILENO, line.data(), line.size()));
    return how;
}

/// Runs a tool: --help and --version as the first argument, else `body(known, argc, argv)`, whose failures become one
/// line on stderr and a status.
template <class Body>
int run(cxxopts::Options& known, int argc, const char* const* argv, Body body) {
    keep_standard_descriptors();
    // A write that cannot be is an error of that write, not the end of the process.
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);
    const std::string tool = known.program();
    const auto say = [&](const std::string& text) -> status {
        if (std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0) return done;
        return complain(tool, "standard output: cannot be written", failed);
    };
    try {
        const std::string_view first = argc > 1 ? argv[1] : "";
        if (first == "--help") return say(known.help());
        if (first == "--version") return say(tool + " (lsm) " LSM_VERSION "\n");
        body(known, argc, argv);
        return done;
    } catch (const usage_error& e) {
        return complain(tool, e.what, misused);
    } catch (const cxxopts::exceptions::exception& e) {
        return complain(tool, e.what(), misused);
    } catch (const lsm::error& e) {
        return complain(tool, e.what, failed);
    } catch (const std::bad_alloc&) {
        return complain(tool, "out of memory", failed);
    } catch (const std::exception& e) {
        return complain(tool, e.what(), failed);
    }
}

}  // namespace cli
