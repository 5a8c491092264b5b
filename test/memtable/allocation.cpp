#include <lsm/memtable/memtable.hpp>

#include <new>
#include <optional>
#include <string>

#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/cursors.hpp"
#include "support/raw_bytes.hpp"
#include "support/results.hpp"

using lsm::bytes;
using namespace lsm::test;

namespace {

using alloc = logged_allocator<std::byte>;
using logged_memtable = lsm::basic_memtable<lsm::policies<bytes, bytes, alloc>>;
using typed_memtable = lsm::basic_memtable<lsm::policies<std::tuple<bytes, int>, bytes, alloc>>;

// Calls `attempt` with its first allocation failing, then with its second, and so on until it succeeds, and `unchanged`
// after each failure. Returns the number of failures.
template <class Attempt, class Check>
int fail_each_allocation(allocation_log& log, Attempt attempt, Check unchanged) {
    for (int failures = 0;; ++failures) {
        log.fail_at = log.allocations + static_cast<std::size_t>(failures);
        try {
            attempt();
            log.fail_at = SIZE_MAX;
            return failures;
        } catch (const std::bad_alloc&) {
            log.fail_at = SIZE_MAX;
            unchanged();
        }
    }
}

}  // namespace

TEST_CASE("memtable allocation: a put that fails changes nothing") {
    allocation_log log;
    {
        logged_memtable table{alloc(log)};
        table.put("a", "1");
        table.put("z", "26");
        const bytes before = table.encode();
        const auto unchanged = [&] {
            CHECK(table.encode() == before);
            CHECK(table.len() == 2);
            CHECK(table.size_bytes() == before.size());
            CHECK(rest_of(table.iter()).size() == 2);
        };
        const bytes long_key(2 << 20, 'k');
        const bytes long_value(2 << 20, 'v');
        CHECK(fail_each_allocation(
                  log, [&] { table.put(long_key, long_value); }, unchanged) == 2);
        CHECK(table.get(long_key).value() == long_value);
        CHECK(table.size_bytes() == table.encode().size());
    }
    CHECK(log.live_bytes == 0);
}

TEST_CASE("memtable allocation: an overwrite that fails keeps the old value") {
    allocation_log log;
    {
        logged_memtable table{alloc(log)};
        table.put("key", "old");
        const auto unchanged = [&] {
            CHECK(table.get("key").value() == "old");
            CHECK(table.size_bytes() == table.encode().size());
        };
        const bytes large(2 << 20, 'v');
        CHECK(fail_each_allocation(
                  log, [&] { table.put("key", large); }, unchanged) == 1);
        CHECK(table.get("key").value() == large);
        CHECK(table.len() == 1);
    }
    CHECK(log.live_bytes == 0);
}

TEST_CASE("memtable allocation: an encoded key takes its memory from the allocator too") {
    allocation_log log;
    {
        typed_memtable table{alloc(log)};
        const std::tuple<bytes, int> key(bytes(2 << 20, 'k'), 1);
        const auto unchanged = [&] { CHECK(table.len() == 0); };
        CHECK(fail_each_allocation(
                  log, [&] { table.put(key, "value"); }, unchanged) >= 2);
        CHECK(table.get(key).value() == "value");
        const auto kept = log.live_bytes;
        static_cast<void>(table.get(key));
        CHECK(log.live_bytes == kept);
    }
    CHECK(log.live_bytes == 0);
}

TEST_CASE("memtable allocation: a constructor that fails leaks nothing") {
    allocation_log log;
    const int failures = fail_each_allocation(
        log, [&] { logged_memtable table{alloc(log)}; }, [&] { CHECK(log.live_bytes == 0); });
    CHECK(failures >= 1);
    CHECK(log.live_bytes == 0);
}

TEST_CASE("memtable allocation: a decode that fails leaks nothing") {
    entry_list entries;
    for (int i = 0; i < 40; ++i) entries.emplace_back("key " + std::to_string(100 + i), bytes(300, 'v'));
    entries.emplace_back(bytes(5000, 'z'), std::nullopt);
    const bytes dump = raw_dump(entries);
    allocation_log log;
    std::optional<logged_memtable> table;
    const int failures = fail_each_allocation(
        log, [&] { table = must(logged_memtable::decode(dump, alloc(log))); }, [&] { CHECK(log.live_bytes == 0); });
    CHECK(failures > 3);
    CHECK(table->encode() == dump);
    table.reset();
    CHECK(log.live_bytes == 0);
}

TEST_CASE("memtable allocation: a decode of a malformed dump leaks nothing") {
    allocation_log log;
    const bytes dump = raw_dump({{"a", bytes(4000, 'v')}, {"c", "1"}, {"b", "unsorted"}});
    CHECK(must_fail(logged_memtable::decode(dump, alloc(log))).code == lsm::errc::unsorted);
    CHECK(log.allocations > 0);
    CHECK(log.live_bytes == 0);
}

TEST_CASE("memtable allocation: memory_bytes is what the allocator gave for entries") {
    allocation_log log;
    logged_memtable table{alloc(log)};
    const auto own = log.live_bytes - table.memory_bytes();
    for (int i = 0; i < 5000; ++i) table.put("key" + std::to_string(i), bytes(50, 'v'));
    CHECK(log.live_bytes == own + table.memory_bytes());
    CHECK(table.memory_bytes() >= table.size_bytes());
}
