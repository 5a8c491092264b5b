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
#include "support/finding.hpp"

// The tools themselves, called in this process: all that they include has been included above.
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

// A descriptor that stands for another one as long as this lives, and what was written to it.
class stand_in {
public:
    explicit stand_in(int descriptor, bytes_view contents = {})
        : descriptor_(descriptor), before_(::dup(descriptor)), file_(::memfd_create("lsm-fuzz", MFD_CLOEXEC)) {
        require(file_ >= 0 && before_ >= 0, "no descriptor");
        require(::pwrite(file_, contents.data(), contents.size(), 0) == static_cast<ssize_t>(contents.size()),
                "pwrite");
        ::dup2(file_, descriptor_);
    }
    stand_in(const stand_in&) = delete;
    ~stand_in() {
        ::dup2(before_, descriptor_);
        ::close(before_);
        ::close(file_);
    }

    [[nodiscard]] bytes written() const {
        bytes out(static_cast<std::size_t>(::lseek(file_, 0, SEEK_END)), '\0');
        require(::pread(file_, out.data(), out.size(), 0) == static_cast<ssize_t>(out.size()), "pread");
        return out;
    }

private:
    int descriptor_;
    int before_;
    int file_;
};

// An empty directory that is the working directory as long as this lives.
class scratch {
public:
    scratch() : before_(std::filesystem::current_path()) {
        const auto parent = std::filesystem::exists("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path();
        path_ = (parent / "lsm-fuzz-XXXXXX").string();
        require(::mkdtemp(path_.data()) != nullptr, "no scratch directory");
        std::filesystem::current_path(path_);
    }
    scratch(const scratch&) = delete;
    ~scratch() {
        std::filesystem::current_path(before_);
        std::filesystem::remove_all(path_);
    }

private:
    std::filesystem::path before_;
    std::string path_;
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

// What leaves the scratch directory, or makes as much as it is asked for.
bool out_of_bounds(const std::vector<std::string>& words) {
    const bool bulk = std::ranges::find(words, "bulk") != words.end();
    return std::ranges::any_of(words, [&](const std::string& word) {
        return word.find('/') != word.npos || word.find("..") != word.npos || word.find('\0') != word.npos ||
               (bulk && word.size() > 4 && word != "bulk");
    });
}

int run_tool(const command& what) {
    std::vector<const char*> arguments;
    for (const auto& word : what.words) arguments.push_back(word.c_str());
    arguments.push_back(nullptr);
    const int count = static_cast<int>(what.words.size());
    char** const words = const_cast<char**>(arguments.data());
    if (what.words[0] == "memtable") return tool_memtable::run_tool(count, words);
    if (what.words[0] == "sstable") return tool_sstable::run_tool(count, words);
    if (what.words[0] == "merge_iter") return tool_merge_iter::run_tool(count, words);
    return tool_dbctl::run_tool(count, words);
}

void write_input(bytes_view contents) {
    auto file = sound(io::file::open(io::default_file_system(), input_name, io::open_mode::create_exclusive));
    sound(file.append(contents));
}

}  // namespace

bool tools(bytes_view in) {
    const auto what = command_of(in);
    if (out_of_bounds(what.words)) return false;
    static constexpr std::array<std::string_view, 4> names = {"memtable", "sstable", "merge_iter", "dbctl"};
    if (std::ranges::find(names, what.words[0]) == names.end()) return false;

    const scratch here;
    write_input(what.input);
    int status = 0;
    bytes said, complained;
    std::fflush(stdout);  // what the test runner has said is not the tool's
    {
        const stand_in input(STDIN_FILENO, what.input), output(STDOUT_FILENO), errors(STDERR_FILENO);
        status = run_tool(what);
        std::fflush(stdout);
        said = output.written();
        complained = errors.written();
    }
    require(status >= 0 && status <= 2, "an exit status that no tool has");
    if (status == 0) require(complained.empty(), "done, and complains");
    if (status == 2) require(said.empty(), "misused, and has output");
    if (status != 0) {
        require(complained.starts_with(what.words[0] + ": "), "an error that does not begin with the tool's name");
        require(std::ranges::count(complained, '\n') == 1 && complained.ends_with('\n'), "an error of several lines");
    }
    return status == 0;
}

bytes mended_tools(bytes in) {
    const auto what = command_of(in);
    if (what.words[0] != "sstable" && what.words[0] != "merge_iter") return in;
    const auto line = in.size() - what.input.size();
    return in.substr(0, line) + mended_table(bytes(what.input));
}

}  // namespace lsm::test::fuzz
