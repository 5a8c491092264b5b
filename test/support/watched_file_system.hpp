#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "support/hooked_file_system.hpp"

namespace lsm::test {

/// Another file system, seen through a window: every call is noted down, and can be made to fail.
///
/// A call is noted as "<operation> <path>". Threads may use it at the same time; `fault` is asked by one at a time, and
/// what was noted is to be read when none is left.
class watched_file_system final : public hooked_file_system {
public:
    explicit watched_file_system(io::file_system& inner)
        : hooked_file_system(inner, [this](std::string_view operation, std::string_view path) {
              const std::lock_guard guard(noting_);
              calls.push_back(std::string(operation).append(" ").append(path));
              return fault ? fault(calls.size() - 1, calls.back()) : 0;
          }) {}

    /// The calls so far.
    std::vector<std::string> calls;
    /// The errno that the call with this number (counted from 0) and text is to fail with, undone; 0 lets it pass.
    std::function<int(std::size_t, const std::string&)> fault;
    /// Lets a write of several bytes take the first half only, so that the next call can fail in the middle of a piece.
    bool short_writes = false;

    /// The calls that change a disk or make a change durable, close and reading aside.
    [[nodiscard]] std::vector<std::string> changes() const {
        std::vector<std::string> out;
        for (const std::string& call : calls) {
            const auto operation = std::string_view(call).substr(0, call.find(' '));
            if (operation == "read" || operation == "open" || operation == "size" || operation == "identity" ||
                operation == "list" || operation == "close")
                continue;
            // However many pieces something is written in.
            if (operation == "write" && !out.empty() && out.back() == call) continue;
            out.push_back(call);
        }
        return out;
    }

    result<std::size_t> write_at(handle file, std::uint64_t offset, bytes_view data) override {
        if (short_writes && data.size() > 1) data = data.substr(0, data.size() / 2);
        return hooked_file_system::write_at(file, offset, data);
    }

private:
    std::mutex noting_;
};

}  // namespace lsm::test
