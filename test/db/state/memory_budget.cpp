#include <lsm/db/state/memory_budget.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <lsm/db/db.hpp>

#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/databases.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;
using budget_db = lsm::basic_db<lsm::policies<lsm::bytes, lsm::bytes, logged_allocator<std::byte>>>;

constexpr std::size_t mebibyte = std::size_t{1} << 20;
constexpr std::size_t budget = 4 * mebibyte;
constexpr std::size_t smallest_buffer = std::size_t{256} << 10;

/// A database with a budget of 4 MiB, whose allocations are counted.
struct limited {
    explicit limited(std::size_t write_buffer = mebibyte / 2) {
        lsm::options opts;
        opts.write_buffer_bytes = write_buffer;
        opts.max_write_buffers = 2;
        opts.block_cache_bytes = 64 * mebibyte;
        opts.memory_budget_bytes = budget;
        opts.sync = false;
        opts.compaction.style = lsm::compaction_style::none;
        opts.compaction.level0_stop = opts.compaction.level0_slowdown;  // no delays
        opts.listener = &events;
        opts.file_system = &directory.fs;
        db.emplace(must(budget_db::open("db", at_once(opts), memory)));
    }

    void put(int from, int to) {
        for (int i = from; i < to; ++i) must(db->put(key(i), lsm::bytes(1000, 'v')));
        highest = std::max(highest, to);
    }
    // Uses gets, because a long walk does not fill the cache.
    void read_all() {
        for (int i = 0; i < highest; ++i) REQUIRE(must(db->get(key(i))).has_value());
    }
    // Takes a snapshot that alone keeps this many kilobytes of entries in memory.
    void pin(int kilobytes) {
        put(0, kilobytes);
        pins.push_back(must(db->snapshot()));
        must(db->flush());
    }
    [[nodiscard]] std::uint64_t cache() const { return db->stats().memory.cache; }
    [[nodiscard]] static std::string key(int i) { return "key" + std::to_string(100'000 + i); }

    memory_directory directory;
    allocation_log memory;
    event_log events;
    std::optional<budget_db> db;
    std::vector<budget_db::snapshot_type> pins;
    int highest = 0;
};

}  // namespace

TEST_CASE("memory budget: memory in use agrees with the statistics and with the budget to a quarter of it") {
    limited with;
    for (int round = 0; round < 8; ++round) {
        with.put(round * 2000, round * 2000 + 2000);
        with.read_all();
        const auto memory = with.db->stats().memory;
        CHECK(memory.budget == budget);
        CHECK(memory.total() <= budget + budget / 4);
        CHECK(with.memory.live_bytes <= budget + budget / 4);
        CHECK(with.memory.live_bytes <= memory.total() + budget / 4);
        CHECK(with.memory.live_bytes + budget / 4 >= memory.total());
    }
    CHECK(with.memory.peak_bytes <= budget + budget / 2);
    CHECK(with.cache() > budget / 4);
}

TEST_CASE("memory budget: the cache gets what buffers and pins leave and grows again when pins are released") {
    limited with;
    with.put(0, 8000);
    must(with.db->flush());
    with.read_all();
    const auto full = with.cache();
    CHECK(full > budget / 2);
    CHECK(full <= budget - 2 * mebibyte / 2);
    with.pin(400);
    with.pin(400);
    const auto less = with.cache();
    CHECK(less < full - 500'000);
    with.read_all();
    CHECK(with.cache() <= budget - with.db->stats().memory.pinned - 2 * mebibyte / 2);
    with.pins.clear();
    CHECK(with.db->stats().memory.pinned == 0);
    with.read_all();
    CHECK(with.cache() > full - full / 10);
}

TEST_CASE("memory budget: without a budget each part is limited only by its own option") {
    memory_directory directory;
    auto db = directory.open({.block_cache_bytes = 2 * mebibyte});
    std::vector<lsm::db::snapshot_type> pins;
    for (int i = 0; i < 30; ++i) {
        must(db.put("key", lsm::bytes(mebibyte, 'v')));
        pins.push_back(must(db.snapshot()));
        if (i % 10 == 9) must(db.flush());
    }
    CHECK(db.stats().memory.pinned > 20 * mebibyte);
    CHECK(db.stats().memory.budget == 0);
}

TEST_CASE("memory budget: under pressure the write buffers shrink to a floor") {
    limited with(mebibyte);
    const auto largest_flush = [&] {
        with.events.flushes.clear();
        with.put(0, 4000);
        std::uint64_t largest = 0;
        for (const auto& e : with.events.flushes) largest = std::max(largest, e.file_bytes);
        CHECK(with.events.flushes.size() > 1);
        return largest;
    };
    const auto wide = largest_flush();
    CHECK(wide > smallest_buffer);
    while (with.db->stats().memory.pinned < 3 * mebibyte) with.pin(500);
    must(with.db->flush());
    CHECK(largest_flush() <= wide / 2);
    CHECK(with.cache() == 0);
    with.pins.clear();
    must(with.db->flush());
    CHECK(largest_flush() == wide);
}

TEST_CASE("memory budget: another pin is refused while the existing ones take what the rest needs") {
    limited with;
    int taken = 0;
    lsm::result<budget_db::snapshot_type> last = with.db->snapshot();
    for (; last && taken < 30; ++taken) {
        with.pins.push_back(*std::move(last));
        with.put(0, 400);
        must(with.db->flush());
        last = with.db->snapshot();
    }
    CHECK(taken > 4);
    CHECK(taken < 12);
    CHECK(must_fail(std::move(last)).code == errc::over_budget);
    {
        auto at = with.db->scan();
        CHECK_FALSE(at.valid());
        CHECK(must_fail(at.status()).code == errc::over_budget);
        at.seek_to_first();
        CHECK_FALSE(at.valid());
        CHECK(must_fail(at.status()).code == errc::over_budget);
    }
    CHECK(must_fail(with.db->digest()).code == errc::over_budget);
    lsm::bytes out;
    lsm::io::string_sink to(out);
    CHECK(must_fail(with.db->serialize_view(to)).code == errc::over_budget);

    // Reads that pin nothing go on, and so do reads of existing pins.
    const lsm::bytes key = "key100000";
    CHECK(must(with.db->get(key)));
    CHECK(must(with.db->multi_get({key})).front());
    must(with.db->put("b", "2"));
    must(with.db->flush());
    must(with.db->compact());
    auto held = with.db->scan({.at = &with.pins.back()});
    CHECK(held.valid());
    CHECK(must(with.db->digest(&with.pins.back())) != must(with.db->digest(&with.pins.front())));
    CHECK(with.db->stats().memory.total() <= budget + budget / 4);

    with.pins.clear();
    held = with.db->scan();  // releases the last pin of an old state
    must(held.status());
    CHECK(held.valid());
    CHECK(with.db->snapshot());
    CHECK(with.db->digest());
    CHECK(with.db->stats().memory.pinned < mebibyte);
}

TEST_CASE("memory budget: it applies to a read-only database too") {
    memory_directory directory;
    {
        auto db = directory.open({.sync = false});
        for (int i = 0; i < 4000; ++i) must(db.put("key" + std::to_string(i), lsm::bytes(1000, 'v')));
        must(db.compact());
    }
    auto db = directory.open({.read_only = true, .memory_budget_bytes = mebibyte});
    CHECK(contents_of(db).size() == 4000);
    CHECK(db.stats().memory.total() <= mebibyte + mebibyte / 4);
}
