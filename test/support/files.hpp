#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include <lsm/io/file.hpp>
#include <lsm/io/memory_file_system.hpp>

#include "support/results.hpp"

namespace lsm::test {

/// A directory of its own on the disk, gone with the object.
class scratch_directory {
public:
    scratch_directory() {
        std::string name = (std::filesystem::temp_directory_path() / "lsm-test-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) FAIL("no scratch directory");
        path_ = name;
    }
    scratch_directory(const scratch_directory&) = delete;
    ~scratch_directory() { std::filesystem::remove_all(path_); }

    [[nodiscard]] std::string path() const { return path_; }
    [[nodiscard]] std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

private:
    std::string path_;
};

/// Makes `path` a file with these contents, whatever was there.
inline void write_file(io::file_system& fs, const std::string& path, bytes_view contents) {
    static_cast<void>(fs.remove(path));
    auto out = must(io::file::open(fs, path, io::open_mode::create_exclusive));
    must(out.append(contents));
}

inline bytes read_file(io::file_system& fs, const std::string& path) {
    const auto in = must(io::file::open(fs, path, io::open_mode::read));
    bytes out(must(in.size()), '\0');
    must(in.read_exactly(0, {out.data(), out.size()}));
    return out;
}

inline io::file open_file(io::file_system& fs, const std::string& path) {
    return must(io::file::open(fs, path, io::open_mode::read));
}

}  // namespace lsm::test
