#include <lsm/core/vector_of.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "support/allocators.hpp"
#include "support/catch.hpp"

using lsm::detail::vector_of;

TEST_CASE("vector_of: is a std::vector whose allocator is rebound to the element type") {
    STATIC_REQUIRE(std::is_same_v<vector_of<int, std::allocator<std::byte>>, std::vector<int>>);
    STATIC_REQUIRE(std::is_same_v<vector_of<int, std::allocator<int>>, std::vector<int>>);
}

TEST_CASE("vector_of: takes its memory from the allocator") {
    lsm::test::allocation_log log;
    {
        vector_of<std::uint64_t, lsm::test::logged_allocator<std::byte>> numbers{
            lsm::test::logged_allocator<std::byte>(log)};
        numbers.reserve(100);
        CHECK(log.allocations == 1);
        CHECK(log.live_bytes == 800);
    }
    CHECK(log.live_bytes == 0);
}
