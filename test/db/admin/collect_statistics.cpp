#include <lsm/db/admin/collect_statistics.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "support/catch.hpp"
#include "support/parts.hpp"
#include "support/threads.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;

lsm::statistics statistics_of(db_parts& parts, std::optional<lsm::error> trouble = {}) {
    return lsm::detail::collect_statistics(parts.context, parts.versions, *parts.resources, std::move(trouble));
}

}  // namespace

TEST_CASE("collect statistics: every counter of writes and maintenance is copied to its own field") {
    db_parts parts;
    auto& counters = parts.context.counters;
    const std::pair<std::atomic<std::uint64_t>&, std::uint64_t lsm::statistics::*> all[] = {
        {counters.writes, &lsm::statistics::writes},
        {counters.operations, &lsm::statistics::operations},
        {counters.groups, &lsm::statistics::groups},
        {counters.syncs, &lsm::statistics::syncs},
        {counters.user_bytes, &lsm::statistics::user_bytes},
        {counters.log_bytes, &lsm::statistics::log_bytes},
        {counters.flush_bytes, &lsm::statistics::flush_bytes},
        {counters.compaction_bytes, &lsm::statistics::compaction_bytes},
        {counters.compaction_bytes_read, &lsm::statistics::compaction_bytes_read},
        {counters.flushes, &lsm::statistics::flushes},
        {counters.compactions, &lsm::statistics::compactions},
        {counters.moves, &lsm::statistics::moves},
        {counters.stalls, &lsm::statistics::stalls},
        {counters.stall_nanoseconds, &lsm::statistics::stall_nanoseconds},
        {counters.longest_stall_nanoseconds, &lsm::statistics::longest_stall_nanoseconds}};
    std::uint64_t number = 0;
    for (auto& [counter, member] : all) counter = ++number;
    counters.write_latency.add(101);
    counters.read_latency.add(103);
    const auto stats = statistics_of(parts);
    number = 0;
    for (auto& [counter, member] : all) CHECK(stats.*member == ++number);
    CHECK(stats.write_latency.longest == 101);
    CHECK(stats.read_latency.longest == 103);
}

TEST_CASE("collect statistics: the counters of readers are summed over their slots") {
    db_parts parts;
    using lsm::detail::read_counters;
    const std::pair<std::atomic<std::uint64_t> read_counters::*, std::uint64_t lsm::statistics::*> all[] = {
        {&read_counters::gets, &lsm::statistics::gets},
        {&read_counters::found, &lsm::statistics::gets_found},
        {&read_counters::cursors, &lsm::statistics::cursors},
        {&read_counters::filter_misses, &lsm::statistics::filter_misses},
        {&read_counters::tables_searched, &lsm::statistics::tables_searched},
        {&read_counters::cache_hits, &lsm::statistics::cache_hits},
        {&read_counters::cache_misses, &lsm::statistics::cache_misses},
        {&read_counters::tombstones_skipped, &lsm::statistics::tombstones_skipped}};
    in_threads(3, [&](int) {
        const auto pass = parts.readers->enter();
        std::uint64_t number = 0;
        for (const auto& [counter, member] : all) pass.counters().*counter += ++number;
    });
    const auto stats = statistics_of(parts);
    std::uint64_t number = 0;
    for (const auto& [counter, member] : all) CHECK(stats.*member == 3 * ++number);
}

TEST_CASE("collect statistics: levels and memory are those of the current version") {
    db_parts parts({.memory_budget_bytes = 12345});
    parts.set_tables({{0, 3, {{"a", "3"}}}, {0, 2, {{"b", "2"}}}, {4, 1, {{"c", "1"}}}});
    const auto& levels = parts.versions.tables()->levels;
    const auto active = parts.memtable_of(2, {{"a", "1"}}), frozen = parts.memtable_of(1, {{"b", "1"}});
    parts.publish(parts.versions.tables(), {active, frozen});
    must(levels[4][0]->load(0, {}));
    const auto stats = statistics_of(parts);
    CHECK(stats.levels[0].tables == 2);
    CHECK(stats.levels[0].bytes == levels[0][0]->file_bytes() + levels[0][1]->file_bytes());
    CHECK(stats.levels[4].tables == 1);
    CHECK(stats.levels[4].bytes == levels[4][0]->file_bytes());
    CHECK(stats.levels[1].tables == 0);
    CHECK(stats.memory.memtables == active->entries.memory_bytes() + frozen->entries.memory_bytes());
    CHECK(stats.memory.indexes == parts.versions.tables()->memory_bytes());
    CHECK(stats.memory.cache == parts.resources->cache.used());
    CHECK(stats.memory.cache > 0);
    CHECK(stats.memory.budget == 12345);
    CHECK(stats.memory.pinned == 0);
    CHECK(stats.pins.empty());
}

TEST_CASE("collect statistics: memory and files that only pins hold are reported as pinned") {
    db_parts parts;
    parts.set_tables({{0, 1, {{"a", "1"}}}});
    parts.versions.reclaim();
    const auto before = parts.memtable_of(1, {{"a", "2"}});
    parts.publish(parts.versions.tables(), {before});
    const auto pinned = parts.versions.pin();
    const auto table = parts.versions.tables()->levels[0][0];
    parts.publish(std::make_shared<const db_parts::table_set>(db_parts::alloc()), {parts.memtable_of(2, {})});
    parts.versions.reclaim();
    const auto stats = statistics_of(parts);
    REQUIRE(stats.pins.size() == 1);
    CHECK(stats.pins[0].disk_bytes == table->file_bytes());
    CHECK(stats.memory.pinned == before->entries.memory_bytes() + table->memory_bytes());
    CHECK(stats.levels[0].tables == 0);
}

TEST_CASE("collect statistics: the reason why writes are refused comes before the reason why maintenance pauses") {
    db_parts parts;
    CHECK_FALSE(statistics_of(parts).trouble);
    const auto full = lsm::detail::failure(errc::no_space, "the disk is full");
    CHECK(statistics_of(parts, full).trouble.value().what == full.what);
    parts.context.health.refuse(lsm::detail::failure(errc::closed, "the database was closed"));
    CHECK(statistics_of(parts, full).trouble.value().code == errc::closed);
    CHECK(statistics_of(parts).trouble.value().code == errc::closed);
}
