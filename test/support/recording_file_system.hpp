#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "support/hooked_file_system.hpp"

namespace lsm::test {

/// Records every call to another file system as "<operation> <path>", and fails or shortens the calls that a test
/// chooses. Operations and paths are those of hooked_file_system.
///
/// Threads may use it concurrently; `fault` is called by one at a time. Read and set the members while no thread uses
/// it, or inside `fault`.
class recording_file_system final : public hooked_file_system {
public:
    explicit recording_file_system(io::file_system& inner)
        : hooked_file_system(inner, [this](std::string_view operation, std::string_view path) {
              const std::lock_guard guard(recording_);
              calls.push_back(std::string(operation).append(" ").append(path));
              return fault ? fault(calls.back()) : 0;
          }) {}

    /// The calls, in order, including those that failed.
    std::vector<std::string> calls;
    /// The reads that succeeded, and the sum of their sizes.
    std::uint64_t reads = 0;
    std::uint64_t bytes_read = 0;
    /// Returns the errno that a call is to fail with, or 0 to let it pass. The call is then the last one in `calls`.
    std::function<int(std::string_view call)> fault;
    /// The most bytes that one write takes; a longer one is a short write.
    std::size_t longest_write = SIZE_MAX;

    /// Sets `fault` so that call `number` (its index in `calls`) fails with `sys`, and every later call if `lasting`.
    void fail_call(std::size_t number, int sys, bool lasting = false) {
        fault = [this, number, sys, lasting](std::string_view) {
            const std::size_t now = calls.size() - 1;
            return now == number || (lasting && now > number) ? sys : 0;
        };
    }
    /// Clears `calls`, `reads` and `bytes_read`.
    void forget() {
        calls.clear();
        reads = bytes_read = 0;
    }
    /// The calls without reads and the questions for sizes and names.
    [[nodiscard]] std::vector<std::string> calls_without_reads() const { return without({"read", "size", "list"}); }
    /// The calls that change the disk or make a change durable. Consecutive writes to one file count as one, whatever
    /// the number of pieces.
    [[nodiscard]] std::vector<std::string> changes() const {
        auto out = without({"read", "size", "list", "identity", "open", "close"});
        const auto again = [](const std::string& a, const std::string& b) { return a == b && a.starts_with("write "); };
        out.erase(std::unique(out.begin(), out.end(), again), out.end());
        return out;
    }

    result<std::size_t> read_at(handle file, std::uint64_t offset, std::span<char> into) override {
        auto got = hooked_file_system::read_at(file, offset, into);
        if (got) {
            const std::lock_guard guard(recording_);
            ++reads;
            bytes_read += *got;
        }
        return got;
    }
    result<std::size_t> write_at(handle file, std::uint64_t offset, bytes_view data) override {
        return hooked_file_system::write_at(file, offset, data.substr(0, longest_write));
    }

private:
    [[nodiscard]] std::vector<std::string> without(std::initializer_list<std::string_view> operations) const {
        std::vector<std::string> out;
        std::copy_if(calls.begin(), calls.end(), std::back_inserter(out), [&](std::string_view call) {
            const auto operation = call.substr(0, call.find(' '));
            return std::find(operations.begin(), operations.end(), operation) == operations.end();
        });
        return out;
    }

    std::mutex recording_;
};

}  // namespace lsm::test
