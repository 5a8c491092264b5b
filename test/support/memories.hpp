#pragma once

#include <cstddef>
#include <memory>
#include <memory_resource>

#include <lsm/policy/arena.hpp>

#include "support/allocators.hpp"

/// One allocator of each kind with the memory it allocates from: types for TEMPLATE_TEST_CASE.
namespace lsm::test {

struct standard_memory {
    using allocator = std::allocator<std::byte>;
    allocator get() { return {}; }
};

/// During its lifetime an allocation from the default resource throws.
struct monotonic_memory {
    using allocator = std::pmr::polymorphic_allocator<std::byte>;
    monotonic_memory() : before_(std::pmr::set_default_resource(std::pmr::null_memory_resource())) {}
    monotonic_memory(const monotonic_memory&) = delete;
    ~monotonic_memory() { std::pmr::set_default_resource(before_); }
    allocator get() { return &resource_; }

private:
    std::pmr::monotonic_buffer_resource resource_{std::pmr::new_delete_resource()};
    std::pmr::memory_resource* before_;
};

struct arena_memory {
    using allocator = arena_allocator<std::byte>;
    allocator get() { return arena_; }

private:
    arena arena_;
};

struct logged_memory {
    using allocator = logged_allocator<std::byte>;
    allocator get() { return log; }

    allocation_log log;
};

}  // namespace lsm::test
