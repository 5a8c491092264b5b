#pragma once

#include <cstddef>
#include <utility>

#include <lsm/core/error.hpp>
#include <lsm/core/function_ref.hpp>
#include <lsm/core/result.hpp>
#include <lsm/db/state/version.hpp>
#include <lsm/db/verify_report.hpp>
#include <lsm/io/file.hpp>
#include <lsm/sstable/table.hpp>

namespace lsm::detail {

/// Reads the tables of a version from their files again, past every cache.
///
/// `shared` returns whether another process may change the directory; it is called when a file is missing or is
/// another table's. If so, that is stale; otherwise a missing file is damage, and another table's file is read as it
/// is. Other errors are what the system refused: what could not be read may be damaged or not.
template <class Alloc>
result<verify_report> verify_tables(io::file_system& fs, const version<Alloc>& version, function_ref<bool()> shared,
                                    const Alloc& alloc) {
    verify_report out;
    const auto report = [&out](error why) -> result<void> {
        if (why.sys != 0 && why.code != errc::not_found) return why;
        out.damage.push_back(std::move(why));
        return {};
    };
    const auto verify = [&](const table_file& known) -> result<void> {
        ++out.tables;
        auto file = io::file::open(fs, known.path(), io::open_mode::read_no_follow);
        if (!file && file.error().code == errc::not_found && shared()) return known.removed_error();
        if (!file) return report(std::move(file).error());
        auto opened = table<Alloc>::open(*std::move(file), alloc);
        if (!opened) return report(std::move(opened).error());
        if (!known.same_as(opened->file()) && shared()) return known.replaced_error();
        out.bytes += opened->file_bytes();
        for (std::size_t i = 0; i < opened->index().size(); ++i) {
            auto block = opened->load(i);
            ++out.blocks;
            if (block)
                out.entries += block->size();
            else if (auto reported = report(std::move(block).error()); !reported)
                return reported;
        }
        return {};
    };
    for (const auto& level : version.tables->levels)
        for (const auto& t : level)
            if (auto verified = verify(t->file().file()); !verified) return std::move(verified).error();
    return out;
}

}  // namespace lsm::detail
