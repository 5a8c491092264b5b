#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/error.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/file_names.hpp>
#include <lsm/db/version.hpp>
#include <lsm/io/file.hpp>
#include <lsm/sstable/table.hpp>

namespace lsm {

/// What reading every byte of a database's tables has shown.
struct verify_report {
    std::uint64_t tables = 0;
    std::uint64_t blocks = 0;
    std::uint64_t entries = 0;
    std::uint64_t bytes = 0;
    /// One for each table that is not there or whose bytes do not open, and each damaged block, with file and offset.
    std::vector<error> damage;
};

namespace detail {

/// Reads the tables of a version from their files again, past every cache. Requires that the files keep their names
/// meanwhile, unless another process may take them away, which is stale; otherwise a file that is gone is damage. An
/// error is what the system refused: of what could not be read nobody knows whether it is damaged.
template <class Alloc>
result<verify_report> verify_tables(io::file_system& fs, std::string_view directory, const version<Alloc>& what,
                                    bool shared, const Alloc& alloc) {
    verify_report out;
    const auto note = [&out](error why) -> result<void> {
        if (why.sys != 0 && why.code != errc::not_found) return why;
        out.damage.push_back(std::move(why));
        return {};
    };
    for (const auto& line : what.tables->lines()) {
        ++out.tables;
        auto file = io::file::open(fs, joined(directory, table_name(line.id)), io::open_mode::read_no_follow);
        if (shared && !file && file.error().code == errc::not_found)
            return failure(errc::stale, "another process has taken it away").in(joined(directory, table_name(line.id)));
        auto opened =
            file ? table<Alloc>::open(*std::move(file), alloc) : result<table<Alloc>>(std::move(file).error());
        if (!opened) {
            if (auto noted = note(std::move(opened).error()); !noted) return std::move(noted).error();
            continue;
        }
        out.bytes += opened->file_bytes();
        for (std::size_t i = 0; i < opened->index().size(); ++i) {
            auto block = opened->load(i);
            ++out.blocks;
            if (block)
                out.entries += block->size();
            else if (auto noted = note(std::move(block).error()); !noted)
                return std::move(noted).error();
        }
    }
    return out;
}

}  // namespace detail
}  // namespace lsm
