#include <lsm/db/compaction/compaction.hpp>

#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
#include <thread>

#include <lsm/db/db.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/hooked_file_system.hpp"
#include "support/recording_file_system.hpp"
#include "support/seed.hpp"
#include "support/threads.hpp"

namespace {

using namespace lsm::test;
using lsm::compaction_choice;
using lsm::compaction_style;
using lsm::errc;

/// Always makes the same choice. Unless `insists`, it makes none while an input is missing or busy.
class fixed_choice final : public lsm::compaction_policy {
public:
    explicit fixed_choice(compaction_choice choice, bool insists = false)
        : choice_(std::move(choice)), insists_(insists) {}
    std::optional<compaction_choice> choose(const lsm::table_layout& layout) const override {
        ++asked;
        for (const auto id : choice_.inputs) {
            bool available = false;
            for (const auto& level : layout.levels)
                for (const auto& t : level) available = available || (t.id == id && !t.busy);
            if (!available && !insists_) return std::nullopt;
        }
        return choice_;
    }
    mutable int asked = 0;

private:
    compaction_choice choice_;
    bool insists_;
};

using place_list = std::vector<std::pair<int, std::uint64_t>>;

/// The level and id of every live table.
place_list places(const lsm::db& db) {
    place_list out;
    for (const auto& t : db.live_tables()) out.emplace_back(t.level, t.id);
    return out;
}

entry_map table_contents(memory_directory& directory, std::uint64_t id) {
    return entries_in(directory.table(lsm::detail::table_name(id)));
}

std::uint64_t record_bytes(const entry_map& entries) {
    std::uint64_t out = 0;
    for (const auto& [key, value] : entries) out += 9 + key.size() + (value ? value->size() : 0);
    return out;
}

// Checks that MANIFEST lists the live tables, that the tables of each level above 0 are in key order without overlap,
// and that there is no other file.
void check_directory(memory_directory& directory, const lsm::db& db) {
    const auto tables = db.live_tables();
    const auto files = directory.files();
    CHECK(files.at("MANIFEST") == manifest_of(tables));
    CHECK(strays(files, tables).empty());
    std::map<int, lsm::bytes> largest;
    for (const auto& t : tables) {
        CHECK(t.file_bytes == files.at(lsm::detail::table_name(t.id)).size());
        if (t.level == 0) continue;
        const auto entries = table_contents(directory, t.id);
        REQUIRE_FALSE(entries.empty());
        if (const auto before = largest.find(t.level); before != largest.end())
            CHECK(before->second < entries.begin()->first);
        largest[t.level] = entries.rbegin()->first;
    }
}

// Three tables in level 0 that do not overlap: 1 has a to c, 2 has d to f, and 3, the newest, has g to i.
void put_three_tables(memory_directory& directory) {
    directory.with("MANIFEST", "L0 3\nL0 2\nL0 1\n")
        .with("sst-000001.sst", table_of({{"a", "1"}, {"c", "1"}}))
        .with("sst-000002.sst", table_of({{"d", "2"}, {"f", "2"}}))
        .with("sst-000003.sst", table_of({{"g", "3"}, {"i", "3"}}));
}

}  // namespace

TEST_CASE("compaction: a database of any style is a map and its levels have the shape of the style") {
    const auto style = GENERATE(compaction_style::leveled, compaction_style::size_tiered, compaction_style::none);
    const bool extended = GENERATE(true, false);
    const auto seed = seed_or(11);
    INFO("LSM_SEED=" << seed << ", style " << static_cast<int>(style) << ", extended " << extended);
    memory_directory directory;
    const auto opts = tiny(style, {.extended_tables = extended, .file_system = &directory.fs});
    random_writes writes(seed);
    for (int round = 0; round < 3; ++round) {
        auto db = must(lsm::db::open("db", opts));
        REQUIRE(contents_of(db) == writes.model);
        for (int part = 0; part < 4; ++part) {
            writes.write_to(db, 300);
            REQUIRE(contents_of(db) == writes.model);
        }
        for (const auto& [key, value] : writes.model) REQUIRE(value_in(db, key) == value);
        for (int i = 0; i < 400; ++i) {
            const auto key = "key" + std::to_string(i);
            if (!writes.model.contains(key)) REQUIRE(value_in(db, key) == deleted);
        }
        must(db.flush());
        must(db.settle());
        check_directory(directory, db);
        const auto stats = db.stats();
        CHECK_FALSE(stats.trouble);
        if (style == compaction_style::leveled) {
            CHECK(stats.levels[0].tables <= 12);
            CHECK(stats.levels[1].bytes <= 8192);
            CHECK(stats.levels[2].bytes <= 3 * 8192);
            CHECK(stats.compactions > 3);
        } else {
            CHECK(stats.levels[0].tables == db.live_tables().size());
            if (style == compaction_style::size_tiered) CHECK(stats.levels[0].tables <= 12);
            if (style == compaction_style::none) CHECK(stats.compactions + stats.moves == 0);
        }
        must(db.close());
    }
}

TEST_CASE("compaction: a tombstone is dropped only when no older table can have its key") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 4\nL1 3\nL2 2\nL3 1\n")
        .with("sst-000004.sst", table_of({{"a", deleted}, {"b", deleted}, {"c", deleted}, {"d", "4"}, {"m", deleted}}))
        .with("sst-000003.sst", table_of({{"b", "3"}, {"c", "3"}}))
        .with("sst-000002.sst", table_of({{"a", "2"}}))
        .with("sst-000001.sst", table_of({{"l", "1"}, {"n", "1"}}));
    const fixed_choice policy({.inputs = {4, 3}, .output_level = 1});
    auto db = must(lsm::db::open("db", at_once({.compaction = {.policy = &policy}, .file_system = &directory.fs})));
    must(db.settle());
    CHECK(places(db) == place_list{{1, 5}, {2, 2}, {3, 1}});
    // Level 3 does not have m, but without a filter only the range of its table is known.
    CHECK(table_contents(directory, 5) == entry_map{{"a", deleted}, {"d", "4"}, {"m", deleted}});
    CHECK(contents_of(db) == entry_map{{"d", "4"}, {"l", "1"}, {"n", "1"}});
    must(db.compact());
    CHECK(places(db) == place_list{{3, 6}});
    CHECK(table_contents(directory, 6) == entry_map{{"d", "4"}, {"l", "1"}, {"n", "1"}});
}

TEST_CASE("compaction: in level 0 a tombstone stays while an older table there has its key") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 3\nL0 2\nL0 1\n")
        .with("sst-000003.sst", table_of({{"a", deleted}, {"b", deleted}}))
        .with("sst-000002.sst", table_of({{"a", "2"}, {"b", "2"}}))
        .with("sst-000001.sst", table_of({{"a", "1"}}));
    const fixed_choice policy({.inputs = {3, 2}, .output_level = 0});
    auto db = must(lsm::db::open("db", at_once({.compaction = {.policy = &policy}, .file_system = &directory.fs})));
    must(db.settle());
    CHECK(places(db) == place_list{{0, 4}, {0, 1}});
    CHECK(table_contents(directory, 4) == entry_map{{"a", deleted}});
    CHECK(contents_of(db).empty());
}

TEST_CASE("compaction: in level 0 the output takes the place of its newest input") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 4\nL0 3\nL0 2\nL0 1\n")
        .with("sst-000004.sst", table_of({{"a", "4"}}))
        .with("sst-000003.sst", table_of({{"a", "3"}, {"b", "3"}}))
        .with("sst-000002.sst", table_of({{"b", "2"}, {"c", "2"}}))
        .with("sst-000001.sst", table_of({{"c", "1"}, {"d", "1"}}));
    const fixed_choice policy({.inputs = {2, 3}, .output_level = 0});
    auto db = must(lsm::db::open("db", at_once({.compaction = {.policy = &policy}, .file_system = &directory.fs})));
    must(db.settle());
    CHECK(directory.files().at("MANIFEST") == "L0 4\nL0 5\nL0 1\n");
    CHECK(contents_of(db) == entry_map{{"a", "4"}, {"b", "3"}, {"c", "2"}, {"d", "1"}});
}

TEST_CASE("compaction: a table above level 0 ends at the target size") {
    memory_directory directory;
    auto opts = at_once({.file_system = &directory.fs});
    opts.compaction.target_table_bytes = 1000;
    auto db = must(lsm::db::open("db", opts));
    entry_map all;
    for (int i = 100; i < 300; ++i) all["key" + std::to_string(i)] = lsm::bytes(30, 'v');  // 45 bytes each
    for (const auto& [key, value] : all) must(db.put(key, *value));
    must(db.compact());
    const auto tables = db.live_tables();
    CHECK(tables.size() == 1);  // moved, because there is nothing to merge it with
    must(db.compact());
    const auto parts = db.live_tables();
    CHECK(parts.size() == 9);  // of 23 entries each
    for (const auto& t : parts) {
        CHECK(t.level == 1);
        const auto held = record_bytes(table_contents(directory, t.id));
        CHECK(held < 1000 + 45);
        if (t != parts.back()) CHECK(held >= 1000);
    }
    CHECK(contents_of(db) == all);
    check_directory(directory, db);
}

TEST_CASE("compaction: a table has at least one entry however small the target size is") {
    memory_directory directory;
    auto opts = at_once({.file_system = &directory.fs});
    opts.compaction.level0_trigger = 2;
    opts.compaction.target_table_bytes = GENERATE(0u, 1u);
    auto db = must(lsm::db::open("db", opts));
    entry_map all;
    for (int i = 0; i < 60; ++i) {
        const auto key = std::to_string(i * 7 % 30);
        all[key] = std::to_string(i);
        must(db.put(key, *all[key]));
        if (i % 10 == 9) must(db.flush());
    }
    must(db.del("3"));
    all.erase("3");
    must(db.compact());
    CHECK(contents_of(db) == all);
    CHECK(db.live_tables().size() == all.size());
    check_directory(directory, db);
    must(db.close());
    CHECK(contents_of(must(lsm::db::open("db", opts))) == all);
}

TEST_CASE("compaction: data loaded in key order is moved and never rewritten") {
    memory_directory directory;
    auto db = must(lsm::db::open("db", tiny(compaction_style::leveled, {.file_system = &directory.fs})));
    entry_map all;
    for (int i = 10'000; i < 12'000; ++i) {
        const auto key = std::to_string(i);
        must(db.put(key, "value"));
        all[key] = "value";
    }
    must(db.flush());
    must(db.settle());
    const auto stats = db.stats();
    CHECK(stats.moves > 3);
    CHECK(stats.compactions == 0);
    CHECK(stats.compaction_bytes == 0);
    CHECK(stats.levels[0].tables <= 12);
    CHECK(contents_of(db) == all);
    check_directory(directory, db);
}

TEST_CASE("compaction: a range includes its lower bound and excludes its upper one") {
    memory_directory directory;
    put_three_tables(directory);
    auto db = directory.open();
    const entry_map all = contents_of(db);
    SECTION("between the tables") {
        must(db.compact({.from = "cc", .to = "d"}));
        must(db.compact({.from = "f\x01", .to = "g"}));
        must(db.compact({.from = "j"}));
        must(db.compact({.to = "a"}));
        must(db.compact({.from = "i", .to = "a"}));
        must(db.compact({.from = "e", .to = "e"}));
        CHECK(places(db) == place_list{{0, 3}, {0, 2}, {0, 1}});
    }
    SECTION("the last key of a table") {
        must(db.compact({.from = "f", .to = "g"}));
        CHECK(places(db) == place_list{{0, 3}, {0, 1}, {1, 2}});
    }
    SECTION("the first key of a table") {
        must(db.compact({.from = "cc", .to = "d\x01"}));
        CHECK(places(db) == place_list{{0, 3}, {0, 1}, {1, 2}});
    }
    SECTION("from somewhere on") {
        must(db.compact({.from = "f"}));
        CHECK(places(db) == place_list{{0, 1}, {1, 4}});
    }
    SECTION("up to somewhere") {
        must(db.compact({.to = "d"}));
        CHECK(places(db) == place_list{{0, 3}, {0, 2}, {1, 1}});
    }
    SECTION("all") {
        must(db.compact());
        CHECK(places(db) == place_list{{1, 4}});
    }
    CHECK(contents_of(db) == all);
    check_directory(directory, db);
}

TEST_CASE("compaction: a range includes tables that overlap its tables") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 4\nL0 3\nL1 1\nL1 2\n")
        .with("sst-000004.sst", table_of({{"a", "4"}, {"f", "4"}}))
        .with("sst-000003.sst", table_of({{"e", "3"}, {"h", "3"}}))
        .with("sst-000001.sst", table_of({{"b", "1"}, {"c", "1"}}))
        .with("sst-000002.sst", table_of({{"x", "2"}, {"z", "2"}}));
    auto db = directory.open();
    const auto all = contents_of(db);
    must(db.compact({.from = "a", .to = "b"}));
    CHECK(places(db) == place_list{{1, 5}, {1, 2}});
    CHECK(contents_of(db) == all);
    check_directory(directory, db);
}

TEST_CASE("compaction: deleting everything and compacting frees all space") {
    const auto style = GENERATE(compaction_style::leveled, compaction_style::size_tiered, compaction_style::none);
    memory_directory directory;
    recording_file_system fs(directory.fs);
    auto db = must(lsm::db::open("db", tiny(style, {.file_system = &fs})));
    random_writes writes(seed_or(12));
    writes.write_to(db, 600);
    CHECK(bytes_of(directory.files()) > 10'000);
    for (const auto& [key, value] : writes.model) must(db.del(key));
    must(db.compact());
    CHECK(contents_of(db).empty());
    CHECK(db.live_tables().empty());
    const auto files = directory.files();
    CHECK(files.at("MANIFEST").empty());
    CHECK(bytes_of(files) == 0);
    // An unlinked file takes space while it is open: only LOCK may be.
    CHECK(fs.open_files() == 1);
}

TEST_CASE("compaction: a choice that would expose an old entry is refused and nothing is lost") {
    const auto choice = GENERATE(values<compaction_choice>({
        {.inputs = {}, .output_level = 1},
        {.inputs = {5}, .output_level = 1},         // 4 is older and overlaps it, and would stay above it
        {.inputs = {4, 4}, .output_level = 1},      // twice
        {.inputs = {77}, .output_level = 1},        // no such table
        {.inputs = {5, 3}, .output_level = 0},      // 4 lies between
        {.inputs = {4}, .output_level = 1},         // overlaps 2
        {.inputs = {2}, .output_level = 0},         // upwards
        {.inputs = {4, 3, 2}, .output_level = 7},   // no such level
        {.inputs = {4, 3, 2}, .output_level = -1},  // no such level
    }));
    memory_directory directory;
    directory.with("MANIFEST", "L0 5\nL0 4\nL0 3\nL1 2\n")
        .with("sst-000005.sst", table_of({{"a", "5"}, {"c", "5"}}))
        .with("sst-000004.sst", table_of({{"b", "4"}, {"c", "4"}, {"d", deleted}}))
        .with("sst-000003.sst", table_of({{"a", "3"}, {"d", "3"}}))
        .with("sst-000002.sst", table_of({{"a", "2"}, {"b", "2"}, {"c", "2"}, {"d", "2"}}));
    const fixed_choice policy(choice, true);
    const auto before = directory.files();
    auto db = must(lsm::db::open("db", at_once({.compaction = {.policy = &policy}, .file_system = &directory.fs})));
    must(db.settle());
    CHECK(policy.asked > 0);
    CHECK(directory.files() == before);
    CHECK(contents_of(db) == entry_map{{"a", "5"}, {"b", "4"}, {"c", "5"}});
    must(db.put("e", "6"));
    must(db.flush());
    must(db.settle());
    CHECK(contents_of(db) == entry_map{{"a", "5"}, {"b", "4"}, {"c", "5"}, {"e", "6"}});
}

TEST_CASE("compaction: a policy in the options replaces the style") {
    memory_directory directory;
    put_three_tables(directory);
    const fixed_choice policy({.inputs = {3, 1}, .output_level = 4});
    auto opts = tiny(compaction_style::leveled, {.file_system = &directory.fs});
    opts.compaction.policy = &policy;
    auto db = must(lsm::db::open("db", opts));
    must(db.settle());
    CHECK(places(db) == place_list{{0, 2}, {4, 4}});
    CHECK(contents_of(db) == entry_map{{"a", "1"}, {"c", "1"}, {"d", "2"}, {"f", "2"}, {"g", "3"}, {"i", "3"}});
}

TEST_CASE("compaction: damage is reported and keeps the inputs and everything else goes on") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 2\nL0 1\n")
        .with("sst-000001.sst", table_of({{"a", "1"}, {"b", "1"}, {"c", "1"}}, 1))
        .with("sst-000002.sst", table_of({{"a", "2"}, {"d", "2"}}, 1));
    auto damaged = directory.files().at("sst-000001.sst");
    damaged[15 + 4 + 8] = 7;  // the type of b, in the second block
    directory.with("sst-000001.sst", damaged);
    event_log events;
    const auto opts = tiny(compaction_style::leveled, {.listener = &events, .file_system = &directory.fs});
    {
        auto db = must(lsm::db::open("db", opts));
        must(db.put("a", "3"));
        must(db.put("x", "3"));
        must(db.flush());
        CHECK(must_fail(db.settle()).code == errc::bad_type);
        const auto stats = db.stats();
        REQUIRE(stats.trouble);
        CHECK(stats.trouble->code == errc::bad_type);
        CHECK(stats.trouble->what.find("sst-000001.sst") != std::string::npos);
        REQUIRE(events.failures.size() == 1);
        CHECK(events.failures[0].what == stats.trouble->what);
        CHECK(stats.compactions == 0);
        CHECK(places(db) == place_list{{0, 3}, {0, 2}, {0, 1}});
        CHECK(strays(directory.files(), db.live_tables()).empty());

        CHECK(value_in(db, "a") == "3");
        CHECK(value_in(db, "c") == "1");
        CHECK(value_in(db, "d") == "2");
        CHECK(must_fail(db.get("b")).code == errc::bad_type);
        for (int i = 0; i < 5; ++i) {
            must(db.put("y", std::to_string(i)));
            must(db.flush());
        }
        CHECK(value_in(db, "y") == "4");
        CHECK(events.failures.size() == 1);
        must(db.close());
    }
    auto again = must(lsm::db::open("db", opts));
    CHECK(value_in(again, "x") == "3");
    CHECK(value_in(again, "y") == "4");
    CHECK(directory.files().at("sst-000001.sst") == damaged);
}

TEST_CASE("compaction: compact returns damage as its error and keeps the inputs") {
    memory_directory directory;
    {
        auto db = directory.open();
        must(db.put("a", "1"));
        must(db.flush());
        must(db.put("a", "2"));
        must(db.flush());
        must(db.close());
    }
    auto damaged = directory.files().at("sst-000002.sst");
    damaged[4 + 9] = 'b';
    directory.with("sst-000002.sst", damaged);
    auto db = directory.open();
    CHECK(must_fail(db.compact()).code == errc::bad_checksum);
    CHECK(places(db) == place_list{{0, 2}, {0, 1}});
    CHECK(strays(directory.files(), db.live_tables()).empty());
    must(db.put("e", "3"));
    must(db.flush());
    CHECK(value_in(db, "e") == "3");
}

TEST_CASE("compaction: close cancels a compaction and the next open does it") {
    memory_directory directory;
    entry_map all;
    {
        auto db = directory.open();
        for (int table = 0; table < 4; ++table) {
            for (int i = 0; i < 1000; ++i) {
                const auto key = std::to_string(i);
                must(db.put(key, std::to_string(table), {.sync = false}));
                all[key] = std::to_string(table);
            }
            must(db.flush());
        }
    }
    const auto before = directory.files();
    std::atomic<bool> held = true, reached = false;
    hooked_file_system fs(directory.fs, [&](std::string_view operation, std::string_view path) {
        if (operation == "create" && is_table(path)) {
            reached = true;
            while (held) sleep_ms(1);
        }
        return 0;
    });
    {
        auto db = must(lsm::db::open("db", {.log_preallocation_bytes = 0, .file_system = &fs}));
        while (!reached) sleep_ms(1);
        std::thread release([&] {
            sleep_ms(50);  // until close() has begun
            held = false;
        });
        must(db.close());
        release.join();
        CHECK(contents_of(db) == all);
    }
    CHECK(directory.files() == before);
    auto db = must(lsm::db::open("db", {.file_system = &directory.fs}));
    must(db.settle());
    CHECK(db.stats().levels[0].tables == 0);
    CHECK(db.stats().levels[1].tables == 1);
    CHECK(contents_of(db) == all);
}
