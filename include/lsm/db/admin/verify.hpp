#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <lsm/core/error.hpp>
#include <lsm/core/function_ref.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/state/version.hpp>
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

/// Reads the tables of a version from their files again, past every cache. A file that is gone, or sound and another
/// table's, is stale if `shared`, asked when that is found, tells that another process may change the directory.
/// Otherwise a file that is gone is damage, and any other is read as it is. Other errors are what the system refused:
/// of what could not be read nobody knows whether it is damaged.
template <class Alloc>
result<verify_report> verify_tables(io::file_system& fs, const version<Alloc>& what, function_ref<bool()> shared,
                                    const Alloc& alloc) {
    verify_report out;
    const auto note = [&out](error why) -> result<void> {
        if (why.sys != 0 && why.code != errc::not_found) return why;
        out.damage.push_back(std::move(why));
        return {};
    };
    const auto check = [&](const table_file& known) -> result<void> {
        ++out.tables;
        auto file = io::file::open(fs, known.path(), io::open_mode::read_no_follow);
        if (!file && file.error().code == errc::not_found && shared()) return known.gone();
        auto opened =
            file ? table<Alloc>::open(*std::move(file), alloc) : result<table<Alloc>>(std::move(file).error());
        if (!opened) return note(std::move(opened).error());
        if (!known.same_as(opened->file()) && shared()) return known.replaced();
        out.bytes += opened->file_bytes();
        for (std::size_t i = 0; i < opened->index().size(); ++i) {
            auto block = opened->load(i);
            ++out.blocks;
            if (block)
                out.entries += block->size();
            else if (auto noted = note(std::move(block).error()); !noted)
                return noted;
        }
        return {};
    };
    for (const auto& level : what.tables->levels)
        for (const auto& t : level)
            if (auto checked = check(t->file().file()); !checked) return std::move(checked).error();
    return out;
}

}  // namespace detail
}  // namespace lsm
