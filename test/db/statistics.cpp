#include <lsm/db/statistics.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <lsm/db/db.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/hooked_file_system.hpp"
#include "support/recording_file_system.hpp"
#include "support/seed.hpp"

namespace {

using namespace lsm::test;
using lsm::compaction_style;

/// Counts the bytes written to logs and tables, and the syncs of logs.
class counting_file_system final : public hooked_file_system {
public:
    explicit counting_file_system(lsm::io::file_system& inner) : hooked_file_system(inner) {}
    std::uint64_t log_bytes = 0;
    std::uint64_t table_bytes = 0;
    std::uint64_t log_syncs = 0;

    lsm::result<std::size_t> write_at(handle file, std::uint64_t offset, lsm::bytes_view data) override {
        if (is_log(name(file))) log_bytes += data.size();
        if (is_table(name(file))) table_bytes += data.size();
        return hooked_file_system::write_at(file, offset, data);
    }
    lsm::result<void> sync_data(handle file) override {
        if (is_log(name(file))) ++log_syncs;
        return hooked_file_system::sync_data(file);
    }
};

// The smallest of the values that at least `percent` percent of them do not exceed.
std::uint64_t percentile(const std::vector<std::uint64_t>& sorted, std::size_t percent) {
    return sorted[(sorted.size() * percent + 99) / 100 - 1];
}

}  // namespace

TEST_CASE("stats: writes and reads are counted") {
    memory_directory directory;
    auto db = directory.open({.block_cache_bytes = std::size_t{1} << 20});
    must(db.put("a", "123"));
    must(db.put("bb", "", {.sync = false}));
    must(db.del("a"));
    must(db.write(batch_of({{"c", "1"}, {"d", "22"}, {"c", std::nullopt}})));
    must(db.write(lsm::write_batch()));
    auto stats = db.stats();
    CHECK(stats.writes == 4);
    CHECK(stats.operations == 6);
    CHECK(stats.groups == 4);
    CHECK(stats.syncs == 3);
    CHECK(stats.user_bytes == 4 + 2 + 1 + (2 + 3 + 1));
    CHECK(stats.log_bytes == read_file(directory.fs, "db/wal.log").size());
    CHECK(stats.write_latency.count == 4);
    CHECK(stats.write_latency.longest > 0);
    CHECK(stats.memory.memtables > 0);

    for (const char* key : {"a", "bb", "d", "nowhere"}) static_cast<void>(value_in(db, key));
    CHECK(must(db.contains("d")));
    CHECK(must(db.multi_get({"a", "d", "bb"})).size() == 3);
    static_cast<void>(contents_of(db));
    const auto snapshot = must(db.snapshot());
    static_cast<void>(db.scan({.at = &snapshot}));
    stats = db.stats();
    CHECK(stats.gets == 8);
    CHECK(stats.gets_found == 5);
    CHECK(stats.cursors == 2);
    CHECK(stats.read_latency.count == 1);
    CHECK(stats.tables_searched == 0);

    must(db.flush());
    stats = db.stats();
    CHECK(stats.flushes == 1);
    CHECK(stats.flush_bytes == db.live_tables().front().file_bytes);
    CHECK(stats.levels[0].tables == 1);
    CHECK(stats.levels[0].bytes == stats.flush_bytes);
    CHECK(stats.memory.indexes > 0);
    CHECK(value_in(db, "d") == "22");
    CHECK(value_in(db, "d") == "22");
    CHECK(value_in(db, "b") == std::nullopt);  // between the first and the last key
    CHECK(value_in(db, "zzz") == std::nullopt);
    stats = db.stats();
    CHECK(stats.tables_searched + stats.filter_misses == 3);
    CHECK(stats.filter_misses == 1);
    CHECK(stats.cache_misses == 1);
    CHECK(stats.cache_hits == 1);
    CHECK(stats.memory.cache > 0);
    CHECK_FALSE(stats.trouble);
}

TEST_CASE("stats: refused writes do not count as written") {
    lsm::io::memory_file_system memory;
    recording_file_system fs(memory);
    auto db = must(lsm::db::open("db", plain({.file_system = &fs})));
    must(db.put("a", "1"));
    const auto before = db.stats();
    fs.fault = [](std::string_view call) { return call == "write db/wal.log" ? ENOSPC : 0; };
    CHECK_FALSE(db.put("b", "2"));
    const auto stats = db.stats();
    CHECK(stats.writes == before.writes);
    CHECK(stats.operations == before.operations);
    CHECK(stats.user_bytes == before.user_bytes);
    CHECK(stats.log_bytes == before.log_bytes);
}

TEST_CASE("stats: write amplification is the bytes written to the disk per byte of the user") {
    const auto style = GENERATE(compaction_style::leveled, compaction_style::size_tiered, compaction_style::none);
    lsm::io::memory_file_system memory;
    counting_file_system fs(memory);
    auto db = must(lsm::db::open("db", tiny(style, {.file_system = &fs})));
    CHECK(db.stats().write_amplification() == 0);
    random_writes writes(seed_or(71));
    writes.write_to(db, 800);
    must(db.compact());
    const auto stats = db.stats();
    CHECK(stats.log_bytes == fs.log_bytes);
    CHECK(stats.flush_bytes + stats.compaction_bytes == fs.table_bytes);
    CHECK(stats.syncs == fs.log_syncs);
    const double written = static_cast<double>(fs.log_bytes + fs.table_bytes);
    CHECK(stats.write_amplification() == Approx(written / static_cast<double>(stats.user_bytes)));
    CHECK(stats.write_amplification() > 2);
    CHECK(stats.compaction_bytes_read > 0);
}

TEST_CASE("stats: latency percentiles are at most one eighth too high") {
    const auto seed = seed_or(72);
    INFO("LSM_SEED=" << seed);
    std::mt19937_64 random(seed);
    const int range = GENERATE(3, 10, 20, 40, 64);
    lsm::detail::latency_histogram histogram;
    CHECK(histogram.summary().count == 0);
    CHECK(histogram.summary().p99 == 0);
    std::vector<std::uint64_t> values;
    for (int i = 0; i < 1000; ++i) {
        values.push_back(random() >> (64 - range) >> random() % static_cast<unsigned>(range));
        histogram.add(values.back());
        auto sorted = values;
        if (i > 3 && i != 99 && i != 999) continue;
        std::ranges::sort(sorted);
        const auto summary = histogram.summary();
        CHECK(summary.count == sorted.size());
        CHECK(summary.longest == sorted.back());
        const std::pair<std::uint64_t, std::size_t> reported[] = {
            {summary.p50, 50}, {summary.p95, 95}, {summary.p99, 99}};
        for (const auto& [value, percent] : reported) {
            const auto exact = percentile(sorted, percent);
            CHECK(value >= exact);
            CHECK(value - exact <= exact / 8);
        }
    }
}

TEST_CASE("stats: levels and memory agree with the live tables") {
    memory_directory directory;
    auto db = must(lsm::db::open("db", tiny(compaction_style::leveled, {.file_system = &directory.fs})));
    random_writes(seed_or(73)).write_to(db, 600);
    std::array<lsm::statistics::level, 7> expected{};
    for (const auto& t : db.live_tables()) {
        ++expected[static_cast<std::size_t>(t.level)].tables;
        expected[static_cast<std::size_t>(t.level)].bytes += t.file_bytes;
    }
    const auto stats = db.stats();
    for (std::size_t i = 0; i < 7; ++i) {
        CHECK(stats.levels[i].tables == expected[i].tables);
        CHECK(stats.levels[i].bytes == expected[i].bytes);
    }
    CHECK(stats.memory.total() ==
          stats.memory.memtables + stats.memory.cache + stats.memory.indexes + stats.memory.pinned);
    CHECK(stats.pins.empty());
}

TEST_CASE("listener: the events of flushes and compactions agree with stats and the live tables") {
    memory_directory directory;
    event_log events;
    auto db =
        must(lsm::db::open("db", tiny(compaction_style::leveled, {.listener = &events, .file_system = &directory.fs})));
    random_writes(seed_or(74)).write_to(db, 800);
    must(db.compact({.from = "key1", .to = "key2"}));
    const auto stats = db.stats();
    CHECK(events.flushes.size() == stats.flushes);
    CHECK(events.compactions.size() == stats.compactions + stats.moves);
    CHECK(events.failures.empty());
    CHECK(events.stalls.size() == stats.stalls);
    std::uint64_t flushed = 0, read = 0, written = 0;
    std::map<std::uint64_t, int> level_of;  // the live tables, by the events
    for (const auto& e : events.flushes) {
        flushed += e.file_bytes;
        CHECK(level_of.emplace(e.table_id, 0).second);
    }
    for (const auto& e : events.compactions) {
        read += e.bytes_read;
        written += e.bytes_written;
        CHECK_FALSE(e.inputs.empty());
        for (const auto id : e.inputs) CHECK(level_of.erase(id) == 1);
        for (const auto id : e.outputs) level_of[id] = e.output_level;
        if (e.inputs == e.outputs) CHECK(e.bytes_written == 0);
    }
    CHECK(flushed == stats.flush_bytes);
    CHECK(read == stats.compaction_bytes_read);
    CHECK(written == stats.compaction_bytes);
    std::map<std::uint64_t, int> live;
    for (const auto& t : db.live_tables()) live[t.id] = t.level;
    CHECK(level_of == live);
}

TEST_CASE("listener: a listener may read the database that calls it") {
    struct reader final : lsm::event_listener {
        void flushed(const lsm::flush_event&) noexcept override { look(); }
        void compacted(const lsm::compaction_event&) noexcept override { look(); }
        void look() {
            if (db == nullptr) return;
            const auto held = must(db->snapshot());
            sum += contents_of(*db).size() + db->stats().flushes + must(db->verify()).tables;
            static_cast<void>(must(db->get("key1", {.at = &held})));
        }
        const lsm::db* db = nullptr;
        std::size_t sum = 0;
    } listener;
    memory_directory directory;
    auto db = must(
        lsm::db::open("db", tiny(compaction_style::leveled, {.listener = &listener, .file_system = &directory.fs})));
    listener.db = &db;
    random_writes writes(seed_or(75));
    writes.write_to(db, 300);
    CHECK(listener.sum > 0);
    CHECK(contents_of(db) == writes.model);
}

TEST_CASE("listener: stalls are reported and counted") {
    memory_directory directory;
    event_log events;
    const lsm::options opts{.write_buffer_bytes = 20'000,
                            .compaction = {.level0_trigger = 100, .level0_slowdown = 1, .level0_stop = 2},
                            .listener = &events,
                            .file_system = &directory.fs};
    auto db = must(lsm::db::open("db", opts));
    for (int i = 0; i < 12 || (i < 1000 && db.stats().stalls == 0); ++i)
        must(db.put("key" + std::to_string(i), lsm::bytes(10'000, 'v'), {.sync = false}));
    must(db.close());
    const auto stats = db.stats();
    CHECK(stats.stalls > 0);
    REQUIRE(events.stalls.size() == stats.stalls);
    std::uint64_t sum = 0, longest = 0;
    for (const auto& e : events.stalls) {
        sum += e.nanoseconds;
        longest = std::max(longest, e.nanoseconds);
    }
    CHECK(sum == stats.stall_nanoseconds);
    CHECK(longest == stats.longest_stall_nanoseconds);
}
