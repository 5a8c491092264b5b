#pragma once

#include <cstdint>
#include <set>
#include <string>

#include <lsm/io/file.hpp>
#include <lsm/io/simulated_file_system.hpp>

#include "support/file_systems.hpp"
#include "support/files.hpp"
#include "support/results.hpp"

namespace lsm::test {

using names = std::set<std::string>;

inline io::file created(io::simulated_file_system& disk, const std::string& path, bytes_view contents = {}) {
    auto file = must(io::file::open(disk, path, io::open_mode::create_exclusive));
    must(file.append(contents));
    return file;
}
/// Creates a file and makes its bytes and its name durable.
inline io::file durable(io::simulated_file_system& disk, const std::string& path, bytes_view contents) {
    auto file = created(disk, path, contents);
    must(file.sync());
    must(disk.sync_directory(detail::parent_directory(path)));
    return file;
}

/// The contents of a file after a power cut.
inline bytes left_of(const io::simulated_file_system& disk, const std::string& path, io::power_loss loss) {
    auto left = disk.after_power_loss(loss);
    return read_file(left, path);
}
/// The contents that a file has after power cuts with many seeds.
inline std::set<bytes> all_left_of(const io::simulated_file_system& disk, const std::string& path,
                                   io::power_loss::kind survivors) {
    std::set<bytes> out;
    for (std::uint64_t seed = 0; seed < 300; ++seed) out.insert(left_of(disk, path, {survivors, seed}));
    return out;
}
/// The names in a directory after power cuts with many seeds.
inline std::set<names> names_left(const io::simulated_file_system& disk, const std::string& directory,
                                  io::power_loss::kind survivors) {
    std::set<names> out;
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        auto left = disk.after_power_loss({survivors, seed});
        out.insert(names_in(left, directory));
    }
    return out;
}

}  // namespace lsm::test
