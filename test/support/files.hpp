#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include <lsm/io/file.hpp>
#include <lsm/io/memory_file_system.hpp>

#include "support/results.hpp"

namespace lsm::test {

/// A new directory on the disk, removed with its contents by the destructor.
class scratch_directory {
public:
    explicit scratch_directory(const std::filesystem::path& parent = std::filesystem::temp_directory_path())
        : path_((parent / "lsm-test-XXXXXX").string()) {
        require(::mkdtemp(path_.data()) != nullptr, "cannot make a scratch directory");
    }
    scratch_directory(const scratch_directory&) = delete;
    ~scratch_directory() { std::filesystem::remove_all(path_); }

    [[nodiscard]] std::string path() const { return path_; }
    [[nodiscard]] std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

private:
    std::string path_;
};

/// Creates a file with these contents, replacing any file there.
inline void write_file(io::file_system& fs, const std::string& path, bytes_view contents) {
    static_cast<void>(fs.remove(path));
    auto out = must(io::file::open(fs, path, io::open_mode::create_exclusive));
    must(out.append(contents));
}

inline io::file open_file(io::file_system& fs, const std::string& path) {
    return must(io::file::open(fs, path, io::open_mode::read));
}

inline bytes read_file(io::file_system& fs, const std::string& path) {
    const auto in = open_file(fs, path);
    bytes out(static_cast<std::size_t>(must(in.size())), '\0');
    must(in.read_exactly(0, out));
    return out;
}

}  // namespace lsm::test
