#include <lsm/policy/arena.hpp>

#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/seed.hpp"

using lsm::arena;
using lsm::arena_allocator;
using lsm::basic_arena;
using lsm::test::allocation_log;
using lsm::test::logged_allocator;

namespace {

using logged_arena = basic_arena<logged_allocator<std::byte>>;

bool aligned(const void* at, std::size_t alignment) { return reinterpret_cast<std::uintptr_t>(at) % alignment == 0; }

struct piece {
    unsigned char* at;
    std::size_t size;
    unsigned char mark;
};

}  // namespace

TEST_CASE("arena: pieces of all sizes are aligned and do not overlap") {
    const auto seed = lsm::test::seed_or(130);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    arena memory;
    std::vector<piece> pieces;
    for (int i = 0; i < 5000; ++i) {
        const std::size_t alignment = std::size_t{1} << random() % 5;
        const std::size_t size = random() % 100 == 0 ? random() % 100000 : random() % 64;
        void* const at = memory.allocate(size, alignment);
        REQUIRE(aligned(at, alignment));
        pieces.push_back({static_cast<unsigned char*>(at), size, static_cast<unsigned char>(random())});
        if (size != 0) std::memset(at, pieces.back().mark, size);
    }
    for (const auto& p : pieces)
        for (std::size_t i = 0; i < p.size; ++i)
            if (p.at[i] != p.mark) FAIL("two pieces overlap");
}

TEST_CASE("arena: takes no memory until the first piece and then 1 KiB") {
    allocation_log log;
    {
        logged_arena memory{logged_allocator<std::byte>(log)};
        CHECK(memory.memory_bytes() == 0);
        CHECK(log.allocations == 0);
        static_cast<void>(memory.allocate(1));
        CHECK(memory.memory_bytes() == 1024);
        CHECK(log.live_bytes == 1024);
    }
    CHECK(log.live_bytes == 0);
}

TEST_CASE("arena: chunks grow to 1 MiB so that there are few") {
    allocation_log log;
    logged_arena memory{logged_allocator<std::byte>(log)};
    std::size_t handed_out = 0;
    std::size_t held = 0;
    std::size_t largest = 0;
    while (handed_out < (std::size_t{8} << 20)) {
        static_cast<void>(memory.allocate(100));
        handed_out += 100;
        largest = std::max(largest, memory.memory_bytes() - held);
        held = memory.memory_bytes();
        REQUIRE(held == log.live_bytes);
        REQUIRE(held <= 3 * handed_out + 1024);
    }
    CHECK(largest == std::size_t{1} << 20);
    CHECK(log.allocations < 25);
}

TEST_CASE("arena: a piece that is too large for a chunk gets its own and the chunk stays in use") {
    allocation_log log;
    logged_arena memory{logged_allocator<std::byte>(log)};
    auto* const first = static_cast<char*>(memory.allocate(16));
    const auto before = memory.memory_bytes();
    const std::size_t large = std::size_t{3} << 20;
    void* const big = memory.allocate(large);
    std::memset(big, 1, large);
    CHECK(memory.memory_bytes() >= before + large);
    CHECK(memory.memory_bytes() <= before + large + 64);
    const auto allocations = log.allocations;
    auto* const second = static_cast<char*>(memory.allocate(16));
    CHECK(second == first + 16);
    CHECK(log.allocations == allocations);
}

TEST_CASE("arena: a piece that fills a chunk to its last byte stays inside it") {
    for (std::size_t size = 960; size <= 1100; ++size) {
        allocation_log log;
        logged_arena memory{logged_allocator<std::byte>(log)};
        void* const at = memory.allocate(size, 1);
        std::memset(at, 1, size);  // the address sanitizer watches
        void* const next = memory.allocate(1, 1);
        std::memset(next, 2, 1);
        REQUIRE(static_cast<unsigned char*>(at)[size - 1] == 1);
        REQUIRE(memory.memory_bytes() >= size + 1);
    }
}

TEST_CASE("arena: reserved memory is handed out without a call of the allocator") {
    const auto seed = lsm::test::seed_or(131);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    allocation_log log;
    logged_arena memory{logged_allocator<std::byte>(log)};
    for (int round = 0; round < 300; ++round) {
        const std::size_t reserved = random() % (round % 10 == 0 ? 2'000'000 : 5000);
        memory.reserve(reserved);
        REQUIRE(memory.memory_bytes() == log.live_bytes);
        const auto allocations = log.allocations;
        for (std::size_t used = 0;;) {
            const std::size_t alignment = std::size_t{1} << random() % 5;
            const std::size_t size = random() % (reserved / 4 + 1);
            used += size + alignment - 1;
            if (used > reserved) break;
            void* const at = memory.allocate(size, alignment);
            REQUIRE(aligned(at, alignment));
            if (size != 0) std::memset(at, round, size);  // the address sanitizer watches
        }
        REQUIRE(log.allocations == allocations);
    }
}

TEST_CASE("arena: reserving what is left in the chunk changes nothing") {
    allocation_log log;
    logged_arena memory{logged_allocator<std::byte>(log)};
    memory.reserve(0);
    CHECK(log.allocations == 0);
    auto* const first = static_cast<char*>(memory.allocate(16));
    memory.reserve(500);
    memory.reserve(100);
    CHECK(log.allocations == 1);
    CHECK(static_cast<char*>(memory.allocate(16)) == first + 16);
}

TEST_CASE("arena: chunks of reservations grow like others") {
    allocation_log log;
    logged_arena memory{logged_allocator<std::byte>(log)};
    std::size_t handed_out = 0;
    while (handed_out < (std::size_t{8} << 20)) {
        memory.reserve(300);
        static_cast<void>(memory.allocate(100));
        handed_out += 100;
    }
    CHECK(memory.memory_bytes() <= 3 * handed_out);
    CHECK(log.allocations < 25);
}

TEST_CASE("arena: a reservation that fails changes nothing") {
    allocation_log log;
    logged_arena memory{logged_allocator<std::byte>(log)};
    auto* const first = static_cast<char*>(memory.allocate(16));
    const auto held = memory.memory_bytes();
    log.fail_at = log.allocations;
    CHECK_THROWS_AS(memory.reserve(5000), std::bad_alloc);
    log.fail_at = SIZE_MAX;
    CHECK(memory.memory_bytes() == held);
    CHECK(static_cast<char*>(memory.allocate(16)) == first + 16);
}

TEST_CASE("arena: an allocation that fails leaves the arena usable") {
    allocation_log log;
    {
        logged_arena memory{logged_allocator<std::byte>(log)};
        auto* const first = static_cast<char*>(memory.allocate(100));
        std::memset(first, 'x', 100);
        const auto held = memory.memory_bytes();
        for (const std::size_t size : {std::size_t{2000}, std::size_t{1} << 20}) {
            log.fail_at = log.allocations;
            CHECK_THROWS_AS(memory.allocate(size), std::bad_alloc);
            CHECK(memory.memory_bytes() == held);
        }
        log.fail_at = SIZE_MAX;
        CHECK(static_cast<char*>(memory.allocate(16)) == first + 112);
        CHECK(first[99] == 'x');
        static_cast<void>(memory.allocate(2000));
        CHECK(memory.memory_bytes() > held);
    }
    CHECK(log.live_bytes == 0);
}

TEST_CASE("arena: sizes beyond the address space are refused") {
    constexpr auto most = std::numeric_limits<std::size_t>::max();
    arena memory;
    static_cast<void>(memory.allocate(1));
    for (const std::size_t size : {most, most - 1, most - 15, most - 16, most - 31, most / 2 + 1, most / 2}) {
        INFO("size " << size);
        CHECK_THROWS_AS(memory.allocate(size), std::bad_alloc);
        CHECK_THROWS_AS(memory.reserve(size), std::bad_alloc);
    }
    CHECK(memory.allocate(1) != nullptr);
}

TEST_CASE("arena: a refused size takes no memory") {
    allocation_log log;
    logged_arena memory{logged_allocator<std::byte>(log)};
    CHECK_THROWS_AS(memory.allocate(std::numeric_limits<std::size_t>::max() / 2 + 1), std::bad_alloc);
    CHECK(log.live_bytes == 0);
    CHECK(memory.memory_bytes() == 0);
}

TEST_CASE("arena allocator: standard containers work with it") {
    arena memory;
    {
        std::vector<int, arena_allocator<int>> numbers{memory};
        for (int i = 0; i < 10000; ++i) numbers.push_back(i);
        using text = std::basic_string<char, std::char_traits<char>, arena_allocator<char>>;
        using entry = std::pair<const int, text>;
        std::map<int, text, std::less<>, arena_allocator<entry>> texts{arena_allocator<entry>(memory)};
        for (int i = 0; i < 1000; ++i)
            texts.emplace(i, text(static_cast<std::size_t>(i % 50), 'x', arena_allocator<char>(memory)));
        CHECK(numbers[9999] == 9999);
        CHECK(texts.at(999).size() == 49);

        auto copy = numbers;
        copy[0] = 7;
        CHECK(numbers[0] == 0);
        auto moved = std::move(copy);
        CHECK(moved.size() == 10000);
        texts.clear();
    }
    CHECK(memory.memory_bytes() >= 10000 * sizeof(int));
}

TEST_CASE("arena allocator: memory is aligned for the type") {
    arena memory;
    static_cast<void>(memory.allocate(1, 1));
    CHECK(aligned(arena_allocator<std::uint64_t>(memory).allocate(3), alignof(std::uint64_t)));
    static_cast<void>(memory.allocate(1, 1));
    CHECK(aligned(arena_allocator<std::max_align_t>(memory).allocate(1), alignof(std::max_align_t)));
}

TEST_CASE("arena allocator: two are equal if they use the same arena") {
    arena one;
    arena other;
    const arena_allocator<int> a(one);
    const arena_allocator<char> rebound(a);
    CHECK(a == arena_allocator<int>(one));
    CHECK(a == arena_allocator<int>(rebound));
    CHECK(a != arena_allocator<int>(other));
}

TEST_CASE("arena allocator: element counts beyond the address space are refused") {
    arena memory;
    arena_allocator<std::uint64_t> allocator(memory);
    constexpr auto most = std::numeric_limits<std::size_t>::max();
    for (const std::size_t count : {most, most / 8, most / 8 + 1, most / 8 + 2, most / 16 + 1}) {
        INFO("count " << count);
        CHECK_THROWS_AS(allocator.allocate(count), std::bad_alloc);
    }
    CHECK(allocator.allocate(1) != nullptr);
}
