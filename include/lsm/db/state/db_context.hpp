#pragma once

#include <string_view>

#include <lsm/db/disk/db_directory.hpp>
#include <lsm/db/options.hpp>
#include <lsm/db/state/counters.hpp>
#include <lsm/db/state/health.hpp>
#include <lsm/io/file_system.hpp>

namespace lsm::detail {

/// What every part of an open database uses. Owned by db_core, which outlives the parts.
template <class Alloc>
struct db_context {
    db_context(io::file_system& fs, std::string_view path, const lsm::options& opts, const Alloc& allocator)
        : alloc(allocator), directory(fs, path), options(opts), health(opts.listener) {}

    [[no_unique_address]] const Alloc alloc;
    const db_directory directory;
    const lsm::options options;
    detail::health health;
    db_counters counters;
};

}  // namespace lsm::detail
