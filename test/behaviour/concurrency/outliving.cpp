#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <lsm/db/db.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/hooked_file_system.hpp"
#include "support/threads.hpp"

using namespace lsm::test;

namespace {

constexpr int keys = 300;

std::string key(int i) { return "key" + std::to_string(1000 + i); }

void fill(lsm::db& db, const std::string& value) {
    for (int i = 0; i < keys; ++i) must(db.put(key(i), value));
}

// Whether a cursor shows all keys, each with this value.
bool shows(lsm::db::cursor& at, const std::string& value) {
    int count = 0;
    at.seek_to_first();
    for (; at.valid(); at.next(), ++count)
        if (at.key() != key(count) || at.value() != value) return false;
    return at.status().has_value() && count == keys;
}

}  // namespace

TEST_CASE("outliving: cursors outlive the db and close its files when they are gone") {
    lsm::io::memory_file_system memory;
    hooked_file_system fs(memory);
    const lsm::options opts{.write_buffer_bytes = 4096,
                            .block_cache_bytes = 0,
                            .compaction = {.level0_trigger = 2, .level1_bytes = 8192, .target_table_bytes = 4096},
                            .sync = false,
                            .file_system = &fs};
    std::vector<lsm::db::cursor> cursors;
    std::vector<lsm::snapshot> snapshots;
    {
        auto db = must(lsm::db::open("db", opts));
        for (int round = 0; round < 6; ++round) {
            fill(db, std::to_string(round));
            snapshots.push_back(must(db.snapshot()));
            cursors.push_back(db.scan({.at = &snapshots.back()}));
            cursors.push_back(db.scan({.from = key(0)}));
            if (round == 3) must(db.compact({}));
        }
        if (GENERATE(false, true)) must(db.close());
    }
    for (int round = 0; round < 6; ++round) {
        CHECK(shows(cursors[static_cast<std::size_t>(2 * round)], std::to_string(round)));
        CHECK(shows(cursors[static_cast<std::size_t>(2 * round + 1)], std::to_string(round)));
    }
    CHECK(fs.open_files() > 0);
    int seen = 0;
    cursors.front().seek_to_first();
    for (const auto [k, v] : cursors.front()) seen += k >= key(0) && v == "0";
    CHECK(seen == keys);
    in_threads(3, [&](int self) {
        for (std::size_t i = static_cast<std::size_t>(self); i < cursors.size(); i += 3) {
            auto gone = std::move(cursors[i]);
        }
    });
    snapshots.clear();
    CHECK(fs.open_files() == 0);
}

TEST_CASE("outliving: threads release snapshots and cursors while the db closes and is destroyed") {
    lsm::io::memory_file_system memory;
    hooked_file_system fs(memory);
    findings wrong;
    for (int round = 0; round < 20; ++round) {
        std::optional<lsm::db> db = must(lsm::db::open(
            "db",
            {.write_buffer_bytes = 4096, .compaction = {.level0_trigger = 2}, .sync = false, .file_system = &fs}));
        std::vector<std::vector<lsm::snapshot>> snapshots(3);
        std::vector<std::vector<lsm::db::cursor>> cursors(3);
        for (std::size_t i = 0; i < 3; ++i)
            for (int n = 0; n < 5; ++n) {
                fill(*db, std::to_string(n));
                snapshots[i].push_back(must(db->snapshot()));
                cursors[i].push_back(db->scan());
            }
        std::atomic<int> ready = 0;
        thread_group threads;
        threads.start(3, [&](int self) {
            const auto i = static_cast<std::size_t>(self);
            ++ready;
            while (!snapshots[i].empty()) {
                snapshots[i].pop_back();
                wrong.expect(shows(cursors[i].back(), std::to_string(cursors[i].size() - 1)),
                             "a cursor shows something else");
                cursors[i].pop_back();
            }
        });
        while (ready != 3) std::this_thread::yield();
        if (round % 2 == 0) wrong.succeeded(db->close());
        db.reset();
        threads.join();
        CHECK(fs.open_files() == 0);
    }
    CHECK(wrong.text() == "");
}

TEST_CASE("outliving: snapshots and cursors outlive a db that was opened read-only") {
    lsm::io::memory_file_system memory;
    auto writer = must(lsm::db::open("db", {.file_system = &memory}));
    must(writer.put("a", "1"));
    std::optional<lsm::snapshot> held;
    std::optional<lsm::db::cursor> at;
    {
        auto reader = must(lsm::db::open("db", {.read_only = true, .file_system = &memory}));
        held = must(reader.snapshot());
        at = reader.scan();
        must(writer.put("a", "2"));
        must(reader.refresh());
        CHECK(value_in(reader, "a") == "2");
        if (GENERATE(false, true)) must(reader.close());
    }
    CHECK(at->value() == "1");
    held.reset();
    at.reset();
}

TEST_CASE("outliving: a listener may keep snapshots and replace them when it is called") {
    struct keeper final : lsm::event_listener {
        void flushed(const lsm::flush_event&) noexcept override { renew(at_flush); }
        void compacted(const lsm::compaction_event&) noexcept override { renew(at_compaction); }
        void renew(std::optional<lsm::snapshot>& kept) noexcept {
            if (auto fresh = db->snapshot()) kept = *std::move(fresh);
        }
        lsm::db* db = nullptr;
        std::optional<lsm::snapshot> at_flush, at_compaction;
    };
    const bool beside = GENERATE(true, false);
    lsm::io::memory_file_system memory;
    lsm::io::inline_executor at_once;
    keeper listener;
    auto db =
        must(lsm::db::open("db", {.write_buffer_bytes = 4096,
                                  .compaction = {.level0_trigger = 2, .level1_bytes = 8192, .target_table_bytes = 4096},
                                  .sync = false,
                                  .executor = beside ? nullptr : &at_once,
                                  .listener = &listener,
                                  .file_system = &memory}));
    listener.db = &db;
    for (int round = 0; round < 5; ++round) fill(db, std::to_string(round));
    must(db.settle());
    must(db.close());
    CHECK(listener.at_flush);
    CHECK(listener.at_compaction);
}
