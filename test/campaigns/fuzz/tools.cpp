#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <lsm/db/db.hpp>
#include <lsm/memtable/memtable.hpp>
#include <lsm/merge/merging_iterator.hpp>
#include <lsm/merge/serialize_stream.hpp>
#include <lsm/sstable/reader.hpp>
#include <lsm/sstable/writer.hpp>

#include "campaigns/fuzz/entries.hpp"
#include "common/cli.hpp"
#include "common/instantiation.hpp"
#include "common/output.hpp"
#include "common/updated_file.hpp"
#include "support/files.hpp"
#include "support/results.hpp"

// The tools' own sources, so that their main() can be called in this process. Everything they include is included
// above, outside the namespaces.
#define main run_tool
namespace tool_memtable {
#include "memtable/main.cpp"
}
namespace tool_sstable {
#include "sstable/main.cpp"
}
namespace tool_merge_iter {
#include "merge_iter/main.cpp"
}
namespace tool_dbctl {
#include "dbctl/main.cpp"
}
#undef main

namespace lsm::test::fuzz {
namespace {

// Redirects a standard stream to a file in memory, until it is destroyed.
class redirected_stream {
public:
    explicit redirected_stream(int descriptor, bytes_view contents = {})
        : descriptor_(descriptor), original_(::dup(descriptor)), file_(::memfd_create("lsm-fuzz", MFD_CLOEXEC)) {
        require(file_ >= 0 && original_ >= 0, "cannot redirect a standard stream");
        require(::pwrite(file_, contents.data(), contents.size(), 0) == static_cast<ssize_t>(contents.size()),
                "cannot write the tool's standard input");
        ::dup2(file_, descriptor_);
    }
    redirected_stream(const redirected_stream&) = delete;
    ~redirected_stream() {
        ::dup2(original_, descriptor_);
        ::close(original_);
        ::close(file_);
    }

    [[nodiscard]] bytes written() const {
        bytes out(static_cast<std::size_t>(::lseek(file_, 0, SEEK_END)), '\0');
        require(::pread(file_, out.data(), out.size(), 0) == static_cast<ssize_t>(out.size()),
                "cannot read the tool's output");
        return out;
    }

private:
    int descriptor_;
    int original_;
    int file_;
};

// An empty working directory, until it is destroyed.
class scratch {
public:
    scratch() : original_(std::filesystem::current_path()) { std::filesystem::current_path(directory_.path()); }
    scratch(const scratch&) = delete;
    ~scratch() { std::filesystem::current_path(original_); }

private:
    std::filesystem::path original_;
    scratch_directory directory_{std::filesystem::exists("/dev/shm") ? "/dev/shm"
                                                                     : std::filesystem::temp_directory_path()};
};

constexpr bytes_view input_name = "in";

struct command {
    std::vector<std::string> words;
    bytes_view input;
};

command command_of(bytes_view in) {
    command out;
    const auto end = std::min(in.find('\n'), in.size());
    out.input = in.substr(std::min(end + 1, in.size()));
    bytes_view line = in.substr(0, end);
    for (;;) {
        const auto tab = std::min(line.find('\t'), line.size());
        out.words.emplace_back(line.substr(0, tab));
        if (tab == line.size()) return out;
        line.remove_prefix(tab + 1);
    }
}

// Whether a command line contains NUL, could leave the scratch directory, or asks for over 9,999 entries in bulk.
bool out_of_bounds(const std::vector<std::string>& words) {
    const bool bulk = std::ranges::find(words, "bulk") != words.end();
    return std::ranges::any_of(words, [&](const std::string& word) {
        return word.find('/') != word.npos || word.find("..") != word.npos || word.find('\0') != word.npos ||
               (bulk && word.size() > 4 && word != "bulk");
    });
}

int run_tool(const std::vector<std::string>& words) {
    std::vector<const char*> arguments;
    for (const auto& word : words) arguments.push_back(word.c_str());
    arguments.push_back(nullptr);
    const int argc = static_cast<int>(words.size());
    char** const argv = const_cast<char**>(arguments.data());
    if (words[0] == "memtable") return tool_memtable::run_tool(argc, argv);
    if (words[0] == "sstable") return tool_sstable::run_tool(argc, argv);
    if (words[0] == "merge_iter") return tool_merge_iter::run_tool(argc, argv);
    return tool_dbctl::run_tool(argc, argv);
}

void write_input(bytes_view contents) {
    auto file = must(io::file::open(io::default_file_system(), input_name, io::open_mode::create_exclusive));
    must(file.append(contents));
}

}  // namespace

bool tools(bytes_view in) {
    const auto [words, input] = command_of(in);
    if (out_of_bounds(words)) return false;
    static constexpr std::array<std::string_view, 4> names = {"memtable", "sstable", "merge_iter", "dbctl"};
    if (std::ranges::find(names, words[0]) == names.end()) return false;

    // The tool finds the input both on its standard input and in the file `in`.
    const scratch here;
    write_input(input);
    int status = 0;
    bytes output, errors;
    std::fflush(stdout);  // the buffer may hold output of the test runner
    {
        const redirected_stream in_stream(STDIN_FILENO, input), out_stream(STDOUT_FILENO), err_stream(STDERR_FILENO);
        status = run_tool(words);
        std::fflush(stdout);
        output = out_stream.written();
        errors = err_stream.written();
    }
    require(status >= 0 && status <= 2, "the exit status is not 0, 1 or 2");
    if (status == 0) require(errors.empty(), "the exit status is 0, but there is an error message");
    if (status == 2) require(output.empty(), "the exit status is 2, but there is output");
    if (status != 0) {
        require(errors.starts_with(words[0] + ": "), "the error does not begin with the tool's name");
        require(std::ranges::count(errors, '\n') == 1 && errors.ends_with('\n'), "the error is not one line");
    }
    return status == 0;
}

bytes resealed_tools(bytes in) {
    const auto [words, input] = command_of(in);
    if (words[0] != "sstable" && words[0] != "merge_iter") return in;
    const auto line = in.size() - input.size();
    return in.substr(0, line) + resealed_table(bytes(input));
}

}  // namespace lsm::test::fuzz
