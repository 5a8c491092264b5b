#pragma once

#include <cstddef>
#include <memory>
#include <memory_resource>

#include <lsm/fwd.hpp>
#include <lsm/policy/arena.hpp>

/// The engine's types as the tools use them: keys and values are bytes, and a build may choose the allocator. The
/// choice does not change the files, which scripts/cross_test.sh checks.
namespace cli {

#if defined(LSM_TOOLS_USE_PMR)
using allocator_type = std::pmr::polymorphic_allocator<std::byte>;
inline allocator_type allocator() {
    static std::pmr::unsynchronized_pool_resource pool;
    return &pool;
}
#elif defined(LSM_TOOLS_USE_ARENA)
using allocator_type = lsm::arena_allocator<std::byte>;
inline allocator_type allocator() {
    static lsm::arena memory;
    return memory;
}
#else
using allocator_type = std::allocator<std::byte>;
inline allocator_type allocator() { return {}; }
#endif

using policies = lsm::policies<lsm::bytes, lsm::bytes, allocator_type>;
using memtable = lsm::basic_memtable<policies>;
using dump_reader = lsm::basic_dump_reader<allocator_type>;
using sst_writer = lsm::basic_sst_writer<policies>;
using sst_reader = lsm::basic_sst_reader<policies>;
using write_batch = lsm::basic_write_batch<policies>;
using db = lsm::basic_db<policies>;

}  // namespace cli
