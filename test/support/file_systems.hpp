#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>

#include <lsm/io/memory_file_system.hpp>
#include <lsm/io/posix_file_system.hpp>
#include <lsm/io/simulated_file_system.hpp>

#include "support/files.hpp"
#include "support/forwarding_file_system.hpp"
#include "support/results.hpp"

namespace lsm::test {

/// File systems with a directory to work in, for test bodies that hold for every file system: root() is the directory,
/// path() a name in it.
struct on_disk {
    io::posix_file_system system;
    scratch_directory directory;

    [[nodiscard]] std::string root() const { return directory.path(); }
    [[nodiscard]] std::string path(std::string_view name) const { return directory / name; }
};

template <class System>
struct in_root {
    System system;

    in_root() { must(system.make_directory("/root")); }
    [[nodiscard]] std::string root() const { return "/root"; }
    [[nodiscard]] std::string path(std::string_view name) const { return "/root/" + std::string(name); }
};
using in_memory = in_root<io::memory_file_system>;
using simulated = in_root<io::simulated_file_system>;

/// The names in a directory; requires that each is listed once.
inline std::set<std::string> names_in(io::file_system& fs, std::string_view directory) {
    std::set<std::string> out;
    must(fs.list(directory,
                 [&](std::string_view name) { require(out.emplace(name).second, "a name was listed twice"); }));
    return out;
}

/// Whether there is a file that can be opened.
inline bool is_there(io::file_system& fs, std::string_view path) {
    return io::file::open(fs, path, io::open_mode::read).has_value();
}

/// Reads and writes one byte at a time, and fails every other call that a signal may interrupt with EINTR.
class trickling_file_system final : public forwarding_file_system {
public:
    using forwarding_file_system::forwarding_file_system;

    std::size_t interruptions = 0;
    std::size_t reads = 0;

    result<std::size_t> read_at(handle file, std::uint64_t offset, std::span<char> into) override {
        if (interrupted()) return interruption();
        ++reads;
        return forwarding_file_system::read_at(file, offset, into.first(std::min<std::size_t>(into.size(), 1)));
    }
    result<std::size_t> write_at(handle file, std::uint64_t offset, bytes_view data) override {
        if (interrupted()) return interruption();
        return forwarding_file_system::write_at(file, offset, data.substr(0, 1));
    }
    result<void> sync_data(handle file) override {
        if (interrupted()) return interruption();
        return forwarding_file_system::sync_data(file);
    }
    result<void> sync(handle file) override {
        if (interrupted()) return interruption();
        return forwarding_file_system::sync(file);
    }
    result<void> truncate(handle file, std::uint64_t size) override {
        if (interrupted()) return interruption();
        return forwarding_file_system::truncate(file, size);
    }
    result<void> allocate(handle file, std::uint64_t size) override {
        if (interrupted()) return interruption();
        return forwarding_file_system::allocate(file, size);
    }

private:
    bool interrupted() {
        turn_ = !turn_;
        if (turn_) ++interruptions;
        return turn_;
    }
    static error interruption() { return detail::system_failure("injected", EINTR); }

    bool turn_ = false;
};

}  // namespace lsm::test
