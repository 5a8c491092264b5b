#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <cxxopts.hpp>

#include <lsm/core/decimal.hpp>
#include <lsm/core/or_out_of_memory.hpp>
#include <lsm/core/result.hpp>
#include <lsm/version.hpp>

/// What the four tools share: parsing the command line, running a command, and ending a run.
namespace cli {

enum status : int { done = 0, failed = 1, misused = 2 };

/// Thrown for a wrong command line; ends the run with status misused.
struct usage_error {
    std::string message;
};

/// Returns the value of `outcome`, or throws its error, which ends the run with status failed.
template <class T>
T must(lsm::result<T> outcome) {
    if (!outcome) throw std::move(outcome).error();
    if constexpr (!std::is_void_v<T>) return *std::move(outcome);
}

/// Calls `work` and returns what it returns. Turns std::bad_alloc into an error that names `place`.
template <class Work>
decltype(auto) guard_memory(std::string_view place, Work work) {
    try {
        return work();
    } catch (const std::bad_alloc&) {
        throw lsm::detail::out_of_memory(place);
    }
}

/// Parses a decimal number from `least` to 2^32-1. Throws usage_error, which names the argument, for any other text.
inline std::uint32_t number(std::string_view argument, std::string_view text, std::uint32_t least) {
    std::uint64_t value = 0;
    if (!lsm::detail::parse_decimal(text, value) || value < least || value > UINT32_MAX)
        throw usage_error{std::string(argument) + " must be a number from " + std::to_string(least) +
                          " to 4294967295, not \"" + std::string(text) + "\""};
    return static_cast<std::uint32_t>(value);
}

/// A parsed command line: the options, and everything else in order.
struct command_line {
    cxxopts::ParseResult options;
    std::vector<std::string> words;
};

/// What a command accepts besides its words.
enum class syntax {
    plain,    ///< no options
    options,  ///< the tool's options
    literal   ///< no options; every argument after the PATH is a word, whatever it looks like
};

/// A command of a tool. Each tool has one table of them, from which help, usage errors and dispatch are made.
struct command {
    std::string_view name;
    std::string_view arguments;             ///< as help and usage errors show them: "PATH KEY"
    std::string_view summary;               ///< what the command does, in one line of help
    std::size_t word_count;                 ///< how many words it takes; at least one
    void (*run)(const command_line& line);  ///< line.words is without the command's name
    cli::syntax syntax = cli::syntax::plain;
};

/// Returns the entry of that name in a table of commands, or nullptr.
template <class Command>
const Command* find_command(std::span<const Command> commands, std::string_view name) {
    for (const Command& command : commands)
        if (command.name == name) return &command;
    return nullptr;
}

/// Returns what the user types for a command: "put PATH KEY VALUE".
template <class Command>
std::string usage_of(const Command& command) {
    std::string out(command.name);
    return out.append(command.arguments.empty() ? "" : " ").append(command.arguments);
}

/// Returns a table of commands as lines of help. `prefix` is what the user types before a command.
template <class Commands>
std::string help_of(std::string_view prefix, const Commands& commands) {
    constexpr std::size_t summary_column = 32;
    std::string out;
    for (const auto& command : commands) {
        std::string line("  ");
        line.append(prefix).append(usage_of(command));
        // A line that reaches the column has its summary on the next one.
        if (line.size() + 3 > summary_column) out.append(std::exchange(line, {})).push_back('\n');
        line.resize(summary_column, ' ');
        out.append(line).append(command.summary).push_back('\n');
    }
    return out;
}

// Returns how many arguments at the start of the command line may be options: all of them, or those up to the PATH of a
// command with literal syntax.
inline int end_of_options(int argc, const char* const* argv, std::string_view valued_option,
                          std::span<const command> commands) {
    bool options_over = false;
    std::vector<std::string_view> words;
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument = argv[i];
        if (!options_over && argument == "--") {
            options_over = true;
        } else if (!options_over && argument.size() > 1 && argument.front() == '-') {
            // The value of an option is not a word, even if it looks like one.
            if (argument == valued_option && i + 1 < argc) ++i;
        } else {
            words.push_back(argument);
            if (words.size() != 2) continue;
            const command* const found = find_command(commands, words.front());
            if (found != nullptr && found->syntax == syntax::literal) return i + 1;
        }
    }
    return argc;
}

/// Parses the command line. `--` ends the options, and so does the PATH of a command with literal syntax.
/// `valued_option` is the option that takes the next argument as its value, if there is one. Throws an exception of
/// cxxopts for an option that is unknown or malformed.
inline command_line parse(cxxopts::Options& known, int argc, const char* const* argv,
                          std::string_view valued_option = {}, std::span<const command> commands = {}) {
    const int end = end_of_options(argc, argv, valued_option, commands);
    const auto options = known.parse(end, argv);
    command_line line{options, options.unmatched()};
    line.words.insert(line.words.end(), argv + end, argv + argc);
    return line;
}

/// Parses the command line and runs the command that its first word names. Throws usage_error if there is no such
/// command, if the number of words is wrong, or if there are options that the command does not take.
inline void run_command(cxxopts::Options& known, int argc, const char* const* argv, std::string_view valued_option,
                        std::span<const command> commands) {
    command_line line = parse(known, argc, argv, valued_option, commands);
    const std::string& tool = known.program();
    if (line.words.empty()) throw usage_error{"no command given; see " + tool + " --help"};
    const std::string name = line.words.front();
    line.words.erase(line.words.begin());

    const command* const found = find_command(commands, name);
    if (found == nullptr) throw usage_error{"unknown command \"" + name + "\"; see " + tool + " --help"};
    if (found->syntax != syntax::options && !line.options.arguments().empty())
        throw usage_error{name + " takes no options"};
    if (line.words.size() != found->word_count) throw usage_error{"usage: " + tool + " " + usage_of(*found)};
    guard_memory(line.words.front(), [&] { found->run(line); });
}

// Opens something for each standard descriptor that is closed at the start. Otherwise the first file that the tool
// opens would get the free number, and output would go into it. Using the placeholder fails, as using the closed one
// would.
inline void keep_standard_descriptors() {
    for (int descriptor = 0; descriptor <= 2; ++descriptor)
        if (::fcntl(descriptor, F_GETFD) == -1)
            static_cast<void>(::open("/dev/null", descriptor == 0 ? O_WRONLY : O_RDONLY));
}

/// Writes "<tool>: <message>" to stderr as one line. Returns `outcome`.
inline status report(std::string_view tool, std::string_view message, status outcome) {
    std::string line(tool);
    line.append(": ");
    for (const char c : message) line.push_back(c == '\n' ? ' ' : c);
    line.push_back('\n');
    static_cast<void>(!::write(STDERR_FILENO, line.data(), line.size()));
    return outcome;
}

/// Runs a tool and returns its exit status. Answers --help and --version as the first argument; otherwise calls
/// `body()` and reports an exception as one line on stderr.
template <class Body>
int run(cxxopts::Options& known, int argc, const char* const* argv, Body body) {
    keep_standard_descriptors();
    // A failed write is an error of that write, not the end of the process.
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);
    const std::string tool = known.program();
    const auto print = [&](const std::string& text) -> status {
        if (std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0) return done;
        return report(tool, "standard output: cannot be written", failed);
    };
    try {
        const std::string_view first = argc > 1 ? argv[1] : "";
        if (first == "--help") return print(known.help());
        if (first == "--version") return print(tool + " (lsm) " LSM_VERSION "\n");
        body();
        return done;
    } catch (const usage_error& e) {
        return report(tool, e.message, misused);
    } catch (const cxxopts::exceptions::exception& e) {
        return report(tool, e.what(), misused);
    } catch (const lsm::error& e) {
        return report(tool, e.what, failed);
    } catch (const std::bad_alloc&) {
        return report(tool, "out of memory", failed);
    } catch (const std::exception& e) {
        return report(tool, e.what(), failed);
    }
}

}  // namespace cli
