#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/io/file_system.hpp>

namespace lsm::test {

/// Another file system, seen through a window: every call is noted down, and can be made to fail.
///
/// A call is noted as "<operation> <path>", with the name that the file has at that time. Threads may use it at the
/// same time; `fault` is asked by one at a time, and what was noted is to be read when none is left.
class watched_file_system final : public io::file_system {
public:
    explicit watched_file_system(io::file_system& inner) : inner_(inner) {}

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
            if (operation == "read" || operation == "open" || operation == "size" || operation == "list" ||
                operation == "close")
                continue;
            // However many pieces something is written in.
            if (operation == "write" && !out.empty() && out.back() == call) continue;
            out.push_back(call);
        }
        return out;
    }

    result<handle> open(std::string_view path, io::open_mode mode) override {
        return named(path, note(mode == io::open_mode::create_exclusive ? "create" : "open", path,
                                [&] { return inner_.open(path, mode); }));
    }
    result<void> close(handle file) override {
        auto done = note("close", name(file), [] { return result<void>(); });
        {
            const std::lock_guard guard(mutex_);
            names_.erase(file);  // before another thread can be given the same handle
        }
        auto closed = inner_.close(file);
        return done ? std::move(closed) : std::move(done);
    }
    result<std::size_t> read_at(handle file, std::uint64_t offset, std::span<char> into) override {
        return note("read", name(file), [&] { return inner_.read_at(file, offset, into); });
    }
    result<std::size_t> write_at(handle file, std::uint64_t offset, bytes_view data) override {
        if (short_writes && data.size() > 1) data = data.substr(0, data.size() / 2);
        return note("write", name(file), [&] { return inner_.write_at(file, offset, data); });
    }
    result<void> sync_data(handle file) override {
        return note("sync", name(file), [&] { return inner_.sync_data(file); });
    }
    result<void> sync(handle file) override {
        return note("sync", name(file), [&] { return inner_.sync(file); });
    }
    result<std::uint64_t> size(handle file) override {
        return note("size", name(file), [&] { return inner_.size(file); });
    }
    result<void> truncate(handle file, std::uint64_t size) override {
        return note("truncate", name(file), [&] { return inner_.truncate(file, size); });
    }
    result<void> allocate(handle file, std::uint64_t size) override {
        return note("allocate", name(file), [&] { return inner_.allocate(file, size); });
    }
    result<void> rename(std::string_view from, std::string_view to) override {
        auto done = note("rename", std::string(from) + " " + std::string(to), [&] { return inner_.rename(from, to); });
        const std::lock_guard guard(mutex_);
        if (done)
            for (auto& [file, path] : names_)
                if (path == from) path = to;
        return done;
    }
    result<void> link(std::string_view from, std::string_view to) override {
        return note("link", std::string(from) + " " + std::string(to), [&] { return inner_.link(from, to); });
    }
    result<void> remove(std::string_view path) override {
        return note("remove", path, [&] { return inner_.remove(path); });
    }
    result<void> make_directory(std::string_view path) override {
        return note("mkdir", path, [&] { return inner_.make_directory(path); });
    }
    result<void> sync_directory(std::string_view path) override {
        return note("syncdir", path, [&] { return inner_.sync_directory(path); });
    }
    result<void> list(std::string_view path, detail::function_ref<void(std::string_view)> each) override {
        return note("list", path, [&] { return inner_.list(path, each); });
    }
    result<handle> lock(std::string_view path) override {
        return named(path, note("lock", path, [&] { return inner_.lock(path); }));
    }

    /// Files that are open.
    [[nodiscard]] std::size_t open_files() const { return names_.size(); }

private:
    template <class Call>
    auto note(std::string_view operation, std::string_view path, Call call) -> decltype(call()) {
        {
            const std::lock_guard guard(mutex_);
            calls.push_back(std::string(operation) + " " + std::string(path));
            if (fault)
                if (const int sys = fault(calls.size() - 1, calls.back()); sys != 0)
                    return detail::system_failure(operation, sys);
        }
        return call();
    }
    result<handle> named(std::string_view path, result<handle> file) {
        const std::lock_guard guard(mutex_);
        if (file) names_[*file] = path;
        return file;
    }
    std::string name(handle file) {
        const std::lock_guard guard(mutex_);
        return names_.at(file);
    }

    io::file_system& inner_;
    std::mutex mutex_;
    std::map<handle, std::string> names_;
};

}  // namespace lsm::test
