#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <lsm/io/file_system.hpp>

namespace lsm::test {

/// Passes everything on to another file system, writes down what was done, and fails or shortens what a test wants
/// failed or shortened. Names are written without their directory. One thread at a time.
class recording_file_system final : public io::file_system {
public:
    explicit recording_file_system(io::file_system& inner) : inner_(inner) {}

    /// "<operation> <name>", in the order in which they were asked for; of reads only their sums are kept.
    std::vector<std::string> calls;
    std::uint64_t reads = 0;
    std::uint64_t bytes_read = 0;
    std::uint64_t lowest_read = UINT64_MAX;
    /// Asked before each operation with the line that goes into `calls` ("read <name>" too): an errno to fail with, or
    /// 0.
    std::function<int(std::string_view)> fault;
    /// What one write may take; what is behind it is a short write.
    std::size_t longest_write = SIZE_MAX;

    void forget() {
        calls.clear();
        reads = bytes_read = 0;
        lowest_read = UINT64_MAX;
    }
    [[nodiscard]] std::size_t open_files() const { return names_.size(); }
    /// Whether anything but opening, reading and closing was asked for.
    [[nodiscard]] bool changed_anything() const {
        return std::any_of(calls.begin(), calls.end(),
                           [](std::string_view c) { return !c.starts_with("open ") && !c.starts_with("close "); });
    }

    result<handle> open(std::string_view path, io::open_mode mode) override {
        const bool creates = mode == io::open_mode::create_exclusive;
        if (const int sys = note(creates ? "create" : "open", base(path))) return failed(sys);
        return named(inner_.open(path, mode), path);
    }
    result<void> close(handle file) override {
        const int sys = note("close", names_.at(file));
        names_.erase(file);
        auto closed = inner_.close(file);
        return sys == 0 ? closed : failed(sys);
    }
    result<std::size_t> read_at(handle file, std::uint64_t offset, std::span<char> into) override {
        if (const int sys = asked("read " + names_.at(file))) return failed(sys);
        auto got = inner_.read_at(file, offset, into);
        ++reads;
        if (got) bytes_read += *got;
        lowest_read = std::min(lowest_read, offset);
        return got;
    }
    result<std::size_t> write_at(handle file, std::uint64_t offset, bytes_view data) override {
        if (const int sys = note("write", names_.at(file))) return failed(sys);
        return inner_.write_at(file, offset, data.substr(0, longest_write));
    }
    result<void> sync_data(handle file) override {
        if (const int sys = note("fdatasync", names_.at(file))) return failed(sys);
        return inner_.sync_data(file);
    }
    result<void> sync(handle file) override {
        if (const int sys = note("fsync", names_.at(file))) return failed(sys);
        return inner_.sync(file);
    }
    result<std::uint64_t> size(handle file) override { return inner_.size(file); }
    result<void> truncate(handle file, std::uint64_t size) override {
        if (const int sys = note("truncate", names_.at(file))) return failed(sys);
        return inner_.truncate(file, size);
    }
    result<void> allocate(handle file, std::uint64_t size) override {
        if (const int sys = note("allocate", names_.at(file))) return failed(sys);
        return inner_.allocate(file, size);
    }
    result<void> rename(std::string_view from, std::string_view to) override {
        if (const int sys = note("rename", base(from) + " " + base(to))) return failed(sys);
        auto renamed = inner_.rename(from, to);
        if (renamed)
            for (auto& [file, name] : names_)
                if (name == base(from)) name = base(to);
        return renamed;
    }
    result<void> link(std::string_view from, std::string_view to) override {
        if (const int sys = note("link", base(from) + " " + base(to))) return failed(sys);
        return inner_.link(from, to);
    }
    result<void> remove(std::string_view path) override {
        if (const int sys = note("remove", base(path))) return failed(sys);
        return inner_.remove(path);
    }
    result<void> make_directory(std::string_view path) override {
        if (const int sys = note("mkdir", base(path))) return failed(sys);
        return inner_.make_directory(path);
    }
    result<void> sync_directory(std::string_view path) override {
        if (const int sys = note("fsync-directory", base(path))) return failed(sys);
        return inner_.sync_directory(path);
    }
    result<void> list(std::string_view path, detail::function_ref<void(std::string_view)> each) override {
        return inner_.list(path, each);
    }
    result<handle> lock(std::string_view path) override {
        if (const int sys = note("lock", base(path))) return failed(sys);
        return named(inner_.lock(path), path);
    }

private:
    static std::string base(std::string_view path) { return std::string(path.substr(path.rfind('/') + 1)); }
    static error failed(int sys) { return detail::system_failure("injected", sys); }

    int asked(std::string_view call) { return fault ? fault(call) : 0; }
    int note(std::string_view operation, std::string_view name) {
        calls.push_back(std::string(operation).append(" ").append(name));
        return asked(calls.back());
    }
    result<handle> named(result<handle> opened, std::string_view path) {
        if (opened) names_[*opened] = base(path);
        return opened;
    }

    io::file_system& inner_;
    std::map<handle, std::string> names_;
};

}  // namespace lsm::test
