#include <lsm/memtable/memtable.hpp>

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>

#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/raw_bytes.hpp"

// Counts allocations that bypass a memtable's allocator. No other file of this executable may replace the operators.
namespace {
std::atomic<std::size_t> news = 0;
}

// All forms except the aligned ones: memory from a form of ours must not be freed by one of a sanitizer's.
#define LSM_TEST_NOINLINE __attribute__((noinline))
LSM_TEST_NOINLINE void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    ++news;
    return std::malloc(size + (size == 0));
}
LSM_TEST_NOINLINE void* operator new(std::size_t size) {
    if (void* const out = operator new(size, std::nothrow)) return out;
    throw std::bad_alloc();
}
LSM_TEST_NOINLINE void operator delete(void* at) noexcept { std::free(at); }
LSM_TEST_NOINLINE void operator delete(void* at, std::size_t) noexcept { std::free(at); }
LSM_TEST_NOINLINE void operator delete(void* at, const std::nothrow_t&) noexcept { std::free(at); }
void* operator new[](std::size_t size) { return operator new(size); }
void* operator new[](std::size_t size, const std::nothrow_t& tag) noexcept { return operator new(size, tag); }
void operator delete[](void* at) noexcept { operator delete(at); }
void operator delete[](void* at, std::size_t) noexcept { operator delete(at); }
void operator delete[](void* at, const std::nothrow_t&) noexcept { operator delete(at); }

using lsm::bytes;
using namespace lsm::test;

namespace {

using alloc = logged_allocator<std::byte>;

std::size_t news_in(const auto& work) {
    const std::size_t before = news;
    work();
    return news - before;
}

}  // namespace

TEST_CASE("memtable memory: the counter of operator new counts") {
    CHECK(news_in([] { ::operator delete(::operator new(1)); }) == 1);
}

TEST_CASE("memtable memory: put and get and iter and decode of bytes take every byte from the allocator") {
    using table_type = lsm::basic_memtable<lsm::policies<bytes, bytes, alloc>>;
    const bytes long_key(500, 'k');
    const bytes value(5000, 'v');
    const bytes dump = raw_dump({{"", value}, {"a", std::nullopt}, {"b", value}, {long_key, "1"}});
    allocation_log log;
    std::size_t seen = 0;
    const auto work = [&] {
        table_type table{alloc(log)};
        table.put("key", "value");
        table.put(long_key, value);
        table.del(long_key);
        for (const auto* const key : {"key", "none"}) seen += table.get(key).found() ? 1u : 0u;
        seen += table.get(long_key).tombstone() ? 1u : 0u;
        auto at = table.iter();
        for (; at.valid(); at.next()) ++seen;
        at.seek(long_key);
        at.seek_to_last();
        at.prev();
        auto decoded = table_type::decode(dump, alloc(log));
        seen += decoded.has_value() ? decoded->len() : 0;
        table = *std::move(decoded);
    };
    CHECK(news_in(work) == 0);
    CHECK(seen == 2 + 2 + 4);
    CHECK(log.allocations > 0);
    CHECK(log.live_bytes == 0);
}

TEST_CASE("memtable memory: keys and values of fixed size take every byte from the allocator") {
    using table_type = lsm::basic_memtable<lsm::policies<std::uint64_t, double, alloc>>;
    allocation_log log;
    double sum = 0;
    const auto work = [&] {
        table_type table{alloc(log)};
        for (std::uint64_t i = 0; i < 100; ++i) table.put(i, static_cast<double>(i));
        sum += table.get(50).value();
        for (auto at = table.iter(); at.valid(); at.next()) sum += at.value();
    };
    CHECK(news_in(work) == 0);
    CHECK(sum == 50 + 99 * 100 / 2);
}
