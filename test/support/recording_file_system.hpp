#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "support/hooked_file_system.hpp"

namespace lsm::test {

/// Another file system, of which is written down what was done to it, and which fails or shortens what a test wants
/// failed or shortened. Names are written without their directory. One thread at a time.
class recording_file_system final : public hooked_file_system {
public:
    explicit recording_file_system(io::file_system& inner)
        : hooked_file_system(inner, [this](std::string_view operation, std::string_view path) {
              return asked(operation, base(path));
          }) {}

    /// "<operation> <name>", in the order in which they were asked for; of reads only their sums are kept, and what
    /// asks for sizes and names is left out.
    std::vector<std::string> calls;
    std::uint64_t reads = 0;
    std::uint64_t bytes_read = 0;
    /// Asked before each operation with the line that goes into `calls` ("read <name>" too): an errno to fail with, or
    /// 0.
    std::function<int(std::string_view)> fault;
    /// What one write may take; what is behind it is a short write.
    std::size_t longest_write = SIZE_MAX;

    void forget() {
        calls.clear();
        reads = bytes_read = 0;
    }
    /// Whether anything but opening, reading and closing was asked for.
    [[nodiscard]] bool changed_anything() const {
        return std::any_of(calls.begin(), calls.end(),
                           [](std::string_view c) { return !c.starts_with("open ") && !c.starts_with("close "); });
    }

    result<std::size_t> read_at(handle file, std::uint64_t offset, std::span<char> into) override {
        auto got = hooked_file_system::read_at(file, offset, into);
        if (got) {
            ++reads;
            bytes_read += *got;
        }
        return got;
    }
    result<std::size_t> write_at(handle file, std::uint64_t offset, bytes_view data) override {
        return hooked_file_system::write_at(file, offset, data.substr(0, longest_write));
    }

private:
    /// Of "<from> <to>" both without their directories.
    static std::string base(std::string_view path) {
        if (const auto space = path.find(' '); space != path.npos)
            return base(path.substr(0, space)).append(" ").append(base(path.substr(space + 1)));
        return std::string(path.substr(path.rfind('/') + 1));
    }
    int asked(std::string_view operation, const std::string& name) {
        if (operation == "size" || operation == "list") return 0;
        const auto call = std::string(operation).append(" ").append(name);
        if (operation != "read") calls.push_back(call);
        return fault ? fault(call) : 0;
    }
};

}  // namespace lsm::test
