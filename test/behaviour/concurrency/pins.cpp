#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include <lsm/db/db.hpp>
#include <lsm/io/memory_file_system.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/hooked_file_system.hpp"
#include "support/seed.hpp"
#include "support/threads.hpp"

using namespace lsm::test;

namespace {

constexpr int key_count = 20;

std::string numbered_key(int i) { return "key" + std::to_string(10 + i); }
std::string value(int moment) { return std::to_string(moment) + std::string(100, 'v'); }

lsm::options busy(lsm::io::file_system& fs) {
    return {
        .write_buffer_bytes = 16 << 10,
        .block_cache_bytes = 64 << 10,
        .compaction = {.level0_trigger = 2, .level_factor = 2, .level1_bytes = 8 << 10, .target_table_bytes = 4 << 10},
        .sync = false,
        .file_system = &fs};
}

// The contents after put number `moment`: the put of a moment writes the moment to the next key in turn.
entry_map contents_at(int moment) {
    entry_map out;
    for (int m = std::max(0, moment - key_count + 1); m <= moment; ++m) out[numbered_key(m % key_count)] = value(m);
    return out;
}

entry_map contents_of(lsm::db::cursor& at) {
    at.seek_to_first();
    const auto all = walk(at);
    return {all.begin(), all.end()};
}

std::size_t tables_in(lsm::io::file_system& fs) {
    const auto names = database_files(fs, "db");
    return static_cast<std::size_t>(std::ranges::count_if(names, [](const auto& name) { return is_table(name); }));
}

}  // namespace

TEST_CASE("pins: a thousand snapshots and cursors show their moments and release everything") {
    constexpr int moments = 1000;
    lsm::io::memory_file_system memory;
    hooked_file_system fs(memory);
    auto db = must(lsm::db::open("db", busy(fs)));
    std::vector<std::optional<std::variant<lsm::snapshot, lsm::db::cursor>>> pins;
    for (int moment = 0; moment < moments; ++moment) {
        must(db.put(numbered_key(moment % key_count), value(moment)));
        if (moment % 2 == 0)
            pins.emplace_back(must(db.snapshot()));
        else
            pins.emplace_back(db.scan());
        for (int i = 0; i < 5; ++i) {  // to fill memtables
            must(db.put("other", value(i)));
            must(db.del("other"));
        }
        if (moment % 50 == 0) must(db.flush());
        if (moment % 300 == 299) must(db.compact({}));
    }
    CHECK(db.stats().flushes > 20);
    CHECK(db.stats().compactions > 3);
    CHECK(db.stats().pins.size() > 20);
    CHECK(db.stats().memory.pinned > 0);
    for (int moment = 0; moment < moments; ++moment) {
        auto& pin = *pins[static_cast<std::size_t>(moment)];
        if (auto* const at = std::get_if<lsm::db::cursor>(&pin)) {
            CHECK(contents_of(*at) == contents_at(moment));
        } else {
            auto then = db.scan({.at = &std::get<lsm::snapshot>(pin)});
            CHECK(contents_of(then) == contents_at(moment));
            CHECK(must(db.get(numbered_key(moment % key_count), {.at = &std::get<lsm::snapshot>(pin)})) ==
                  value(moment));
        }
    }
    must(db.flush());
    std::shuffle(pins.begin(), pins.end(), std::mt19937_64(seed_or(1)));
    for (auto& pin : pins) pin.reset();
    must(db.settle());
    CHECK(db.stats().pins.empty());
    CHECK(db.stats().memory.pinned == 0);
    CHECK(db.stats().memory.memtables < 16 << 10);
    CHECK(tables_in(fs) == db.live_tables().size());
    CHECK(fs.open_files() <= db.live_tables().size() + 2);  // the log and LOCK
    CHECK(contents_of(db) == contents_at(moments - 1));
}

TEST_CASE("pins: snapshots that threads release while others write leave nothing pinned") {
    lsm::io::memory_file_system memory;
    hooked_file_system fs(memory);
    auto db = must(lsm::db::open("db", busy(fs)));
    findings wrong;
    thread_group threads;
    std::atomic<bool> done = false;
    threads.start(3, [&](int self) {
        std::mt19937_64 random(seed_or(1) + static_cast<std::uint64_t>(self));
        std::vector<lsm::snapshot> held;
        while (!done) {
            auto fresh = db.snapshot();
            if (!wrong.succeeded(fresh)) return;
            held.push_back(*std::move(fresh));
            if (held.size() > 8) held.erase(held.begin() + static_cast<std::ptrdiff_t>(random() % 8));
            const auto seen = db.get("a", {.at = &held[random() % held.size()]});
            wrong.succeeded(seen);
        }
    });
    for (int i = 0; i < 5000; ++i) must(db.put("a", value(i)));
    done = true;
    threads.join();
    CHECK(wrong.text() == "");
    must(db.settle());
    CHECK(db.stats().pins.empty());
    CHECK(fs.open_files() <= db.live_tables().size() + 2);
}

TEST_CASE("pins: a compaction has freed its space on the disk when it returns") {
    lsm::io::memory_file_system memory;
    hooked_file_system fs(memory);
    auto opts = busy(fs);
    opts.compaction.style = lsm::compaction_style::none;
    auto db = must(lsm::db::open("db", opts));
    for (int i = 0; i < 4; ++i) {
        must(db.put("a", value(i)));
        must(db.flush());
    }
    must(db.settle());
    must(db.compact({}));
    CHECK(db.live_tables().size() == 1);
    CHECK(tables_in(fs) == 1);
    CHECK(fs.open_files() <= 3);
}

TEST_CASE("pins: a memory budget refuses snapshots until others are released") {
    lsm::io::memory_file_system memory;
    auto opts = busy(memory);
    opts.memory_budget_bytes = 1 << 20;
    auto db = must(lsm::db::open("db", opts));
    std::vector<lsm::snapshot> held;
    std::optional<lsm::error> refused;
    for (int i = 0; i < 20000 && !refused; ++i) {
        must(db.put("a", value(i)));
        if (i % 100 != 0) continue;
        auto fresh = db.snapshot();
        if (fresh)
            held.push_back(*std::move(fresh));
        else
            refused = fresh.error();
    }
    REQUIRE(refused);
    CHECK(refused->code == lsm::errc::over_budget);
    CHECK(db.stats().memory.pinned > 0);
    auto at = db.scan();
    CHECK_FALSE(at.valid());
    CHECK(must_fail(at.status()).code == lsm::errc::over_budget);
    held.clear();
    must(db.settle());
    CHECK(db.snapshot());
    CHECK(db.stats().memory.pinned == 0);
}

TEST_CASE("pins: a snapshot that is released while another one is being freed is freed too") {
    lsm::io::memory_file_system memory;
    std::atomic<bool> armed = false;
    std::atomic<bool> closing = false, go_on = false;
    hooked_file_system fs(memory, [&](std::string_view operation, std::string_view path) {
        if (operation == "close" && is_table(path) && armed.exchange(false)) {
            closing = true;
            while (!go_on) sleep_ms(1);
        }
        return 0;
    });
    auto opts = busy(fs);
    opts.compaction.style = lsm::compaction_style::none;
    auto db = must(lsm::db::open("db", opts));
    std::optional<lsm::snapshot> first, second;
    must(db.put("a", "1"));
    must(db.flush());
    first = must(db.snapshot());
    must(db.put("a", "2"));
    must(db.compact());
    second = must(db.snapshot());
    must(db.put("a", "3"));
    must(db.compact());
    must(db.settle());
    armed = true;
    first.reset();
    CHECK(eventually([&] { return closing.load(); }));
    second.reset();
    go_on = true;
    CHECK(eventually([&] { return fs.open_files() <= 3; }));  // the table, the log and LOCK
}

TEST_CASE("pins: a state that is superseded while threads read it is freed once they are done") {
    lsm::io::memory_file_system memory;
    hooked_file_system fs(memory);
    auto opts = busy(fs);
    opts.compaction.style = lsm::compaction_style::none;
    auto db = must(lsm::db::open("db", opts));
    findings wrong;
    const bool with_snapshots = GENERATE(false, true);
    for (int round = 0; round < 60; ++round) {
        std::atomic<bool> done = false;
        thread_group looking;
        looking.start(3, [&](int) {
            while (!done) {
                if (with_snapshots)
                    wrong.succeeded(db.snapshot());
                else
                    static_cast<void>(db.stats());
            }
        });
        for (int i = 0; i < 5; ++i) {
            must(db.put(numbered_key(i), value(round)));
            must(db.compact());
        }
        done = true;
        looking.join();
        REQUIRE(eventually([&] { return fs.open_files() <= 3; }));
    }
    CHECK(wrong.text() == "");
}
