#include <lsm/db/compaction/compaction.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <optional>
#include <thread>

#include <lsm/db/db.hpp>

#include "support/engines.hpp"
#include "support/forwarding_file_system.hpp"
#include "support/seed.hpp"
#include "support/watched_file_system.hpp"

namespace {

using namespace lsm::test;
using lsm::compaction_choice;
using lsm::compaction_style;
using lsm::errc;

/// Wants one thing, as long as all inputs are there.
class one_wish final : public lsm::compaction_policy {
public:
    explicit one_wish(compaction_choice what) : what_(std::move(what)) {}
    std::optional<compaction_choice> choose(const lsm::table_layout& layout) const override {
        ++asked;
        for (const auto id : what_.inputs) {
            bool there = false;
            for (const auto& level : layout.levels)
                for (const auto& t : level) there = there || (t.id == id && !t.busy);
            if (!there && only_if_there) return deleted;
        }
        return what_;
    }
    bool only_if_there = true;
    mutable int asked = 0;

private:
    compaction_choice what_;
};

std::vector<std::pair<int, std::uint64_t>> places(const lsm::db& of) {
    std::vector<std::pair<int, std::uint64_t>> out;
    for (const auto& t : of.live_tables()) out.emplace_back(t.level, t.id);
    return out;
}

entry_map table_contents(memory_directory& in, std::uint64_t id) {
    return entries_in(in.table(lsm::detail::table_name(id)));
}

std::uint64_t record_bytes(const entry_map& entries) {
    std::uint64_t out = 0;
    for (const auto& [key, value] : entries) out += 9 + key.size() + (value ? value->size() : 0);
    return out;
}

// MANIFEST says what live_tables() says; tables of a level above 0 stand in key order without overlap; no other file.
void check_directory(memory_directory& in, const lsm::db& of) {
    const auto tables = of.live_tables();
    const auto files = in.files();
    CHECK(files.at("MANIFEST") == manifest_of(tables));
    CHECK(strays(files, tables).empty());
    std::map<int, lsm::bytes> largest;
    for (const auto& t : tables) {
        CHECK(t.file_bytes == files.at(lsm::detail::table_name(t.id)).size());
        if (t.level == 0) continue;
        const auto entries = table_contents(in, t.id);
        REQUIRE_FALSE(entries.empty());
        if (const auto before = largest.find(t.level); before != largest.end())
            CHECK(before->second < entries.begin()->first);
        largest[t.level] = entries.rbegin()->first;
    }
}

// Three tables of level 0 that do not overlap, newest first: 3 has g to i, 2 has d to f, 1 has a to c.
void put_three_tables(memory_directory& in) {
    in.with("MANIFEST", "L0 3\nL0 2\nL0 1\n")
        .with("sst-000001.sst", table_of({{"a", "1"}, {"c", "1"}}))
        .with("sst-000002.sst", table_of({{"d", "2"}, {"f", "2"}}))
        .with("sst-000003.sst", table_of({{"g", "3"}, {"i", "3"}}));
}

}  // namespace

TEST_CASE("compaction: whatever the style a database is a map and its levels are as the style says") {
    const auto style = GENERATE(compaction_style::leveled, compaction_style::size_tiered, compaction_style::none);
    const bool extended = GENERATE(true, false);
    const auto seed = seed_or(11);
    INFO("LSM_SEED=" << seed << ", style " << static_cast<int>(style) << ", extended " << extended);
    memory_directory directory;
    auto how = tiny(style, {.extended_tables = extended, .file_system = &directory.fs});
    random_writes writes(seed);
    for (int round = 0; round < 3; ++round) {
        auto db = must(lsm::db::open("db", how));
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

TEST_CASE("compaction: a tombstone goes only when nothing older can have its key") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 4\nL1 3\nL2 2\nL3 1\n")
        .with("sst-000004.sst", table_of({{"a", deleted}, {"b", deleted}, {"c", deleted}, {"d", "4"}, {"m", deleted}}))
        .with("sst-000003.sst", table_of({{"b", "3"}, {"c", "3"}}))
        .with("sst-000002.sst", table_of({{"a", "2"}}))
        .with("sst-000001.sst", table_of({{"l", "1"}, {"n", "1"}}));
    const one_wish wish({.inputs = {4, 3}, .output_level = 1});
    auto db = must(lsm::db::open("db", at_once({.compaction = {.policy = &wish}, .file_system = &directory.fs})));
    must(db.settle());
    CHECK(places(db) == std::vector<std::pair<int, std::uint64_t>>{{1, 5}, {2, 2}, {3, 1}});
    // Level 3 does not have m, but without a filter only its range is known.
    CHECK(table_contents(directory, 5) == entry_map{{"a", deleted}, {"d", "4"}, {"m", deleted}});
    CHECK(contents_of(db) == entry_map{{"d", "4"}, {"l", "1"}, {"n", "1"}});
    must(db.compact());
    CHECK(places(db) == std::vector<std::pair<int, std::uint64_t>>{{3, 6}});
    CHECK(table_contents(directory, 6) == entry_map{{"d", "4"}, {"l", "1"}, {"n", "1"}});
}

TEST_CASE("compaction: in level 0 a tombstone stays while an older table there has its key") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 3\nL0 2\nL0 1\n")
        .with("sst-000003.sst", table_of({{"a", deleted}, {"b", deleted}}))
        .with("sst-000002.sst", table_of({{"a", "2"}, {"b", "2"}}))
        .with("sst-000001.sst", table_of({{"a", "1"}}));
    const one_wish wish({.inputs = {3, 2}, .output_level = 0});
    auto db = must(lsm::db::open("db", at_once({.compaction = {.policy = &wish}, .file_system = &directory.fs})));
    must(db.settle());
    CHECK(places(db) == std::vector<std::pair<int, std::uint64_t>>{{0, 4}, {0, 1}});
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
    const one_wish wish({.inputs = {2, 3}, .output_level = 0});
    auto db = must(lsm::db::open("db", at_once({.compaction = {.policy = &wish}, .file_system = &directory.fs})));
    must(db.settle());
    CHECK(directory.files().at("MANIFEST") == "L0 4\nL0 5\nL0 1\n");
    CHECK(contents_of(db) == entry_map{{"a", "4"}, {"b", "3"}, {"c", "2"}, {"d", "1"}});
}

TEST_CASE("compaction: a table above level 0 ends at the target size") {
    memory_directory directory;
    auto how = at_once({.file_system = &directory.fs});
    how.compaction.target_table_bytes = 1000;
    auto db = must(lsm::db::open("db", how));
    entry_map all;
    for (int i = 100; i < 300; ++i) all["key" + std::to_string(i)] = lsm::bytes(30, 'v');  // 45 bytes each
    for (const auto& [key, value] : all) must(db.put(key, *value));
    must(db.compact());
    const auto tables = db.live_tables();
    CHECK(tables.size() == 1);  // nothing to be merged with: it is only moved
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

TEST_CASE("compaction: however small the target size a table has an entry") {
    memory_directory directory;
    auto how = at_once({.file_system = &directory.fs});
    how.compaction.level0_trigger = 2;
    how.compaction.target_table_bytes = GENERATE(0u, 1u);
    auto db = must(lsm::db::open("db", how));
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
    CHECK(contents_of(must(lsm::db::open("db", how))) == all);
}

TEST_CASE("compaction: what is loaded in order is moved and never written again") {
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

TEST_CASE("compaction: a range has its first bound and not its last one") {
    memory_directory directory;
    put_three_tables(directory);
    auto db = directory.open();
    const entry_map all = contents_of(db);
    using list = std::vector<std::pair<int, std::uint64_t>>;
    SECTION("between the tables") {
        must(db.compact({.from = "cc", .to = "d"}));
        must(db.compact({.from = "f\x01", .to = "g"}));
        must(db.compact({.from = "j"}));
        must(db.compact({.to = "a"}));
        must(db.compact({.from = "i", .to = "a"}));
        must(db.compact({.from = "e", .to = "e"}));
        CHECK(places(db) == list{{0, 3}, {0, 2}, {0, 1}});
    }
    SECTION("the last key of a table") {
        must(db.compact({.from = "f", .to = "g"}));
        CHECK(places(db) == list{{0, 3}, {0, 1}, {1, 2}});
    }
    SECTION("the first key of a table") {
        must(db.compact({.from = "cc", .to = "d\x01"}));
        CHECK(places(db) == list{{0, 3}, {0, 1}, {1, 2}});
    }
    SECTION("from somewhere on") {
        must(db.compact({.from = "f"}));
        CHECK(places(db) == list{{0, 1}, {1, 4}});
    }
    SECTION("up to somewhere") {
        must(db.compact({.to = "d"}));
        CHECK(places(db) == list{{0, 3}, {0, 2}, {1, 1}});
    }
    SECTION("all") {
        must(db.compact());
        CHECK(places(db) == list{{1, 4}});
    }
    CHECK(contents_of(db) == all);
    check_directory(directory, db);
}

TEST_CASE("compaction: a range takes along what overlaps its tables") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 4\nL0 3\nL1 1\nL1 2\n")
        .with("sst-000004.sst", table_of({{"a", "4"}, {"f", "4"}}))
        .with("sst-000003.sst", table_of({{"e", "3"}, {"h", "3"}}))
        .with("sst-000001.sst", table_of({{"b", "1"}, {"c", "1"}}))
        .with("sst-000002.sst", table_of({{"x", "2"}, {"z", "2"}}));
    auto db = directory.open();
    const auto all = contents_of(db);
    must(db.compact({.from = "a", .to = "b"}));
    CHECK(places(db) == std::vector<std::pair<int, std::uint64_t>>{{1, 5}, {1, 2}});
    CHECK(contents_of(db) == all);
    check_directory(directory, db);
}

TEST_CASE("compaction: to delete everything and compact gives the space back") {
    const auto style = GENERATE(compaction_style::leveled, compaction_style::size_tiered, compaction_style::none);
    memory_directory directory;
    watched_file_system fs(directory.fs);
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
    // An unlinked file that is open still takes space: LOCK alone is left.
    CHECK(fs.open_files() == 1);
}

TEST_CASE("compaction: a choice that would show an old entry is refused and nothing is lost") {
    const auto choice = GENERATE(values<compaction_choice>({
        {.inputs = {}, .output_level = 1},
        {.inputs = {5}, .output_level = 1},         // 4 is older, overlaps it and would stay above
        {.inputs = {4, 4}, .output_level = 1},      // twice
        {.inputs = {77}, .output_level = 1},        // none of ours
        {.inputs = {5, 3}, .output_level = 0},      // 4 lies between
        {.inputs = {4}, .output_level = 1},         // overlaps 2
        {.inputs = {2}, .output_level = 0},         // upwards
        {.inputs = {4, 3, 2}, .output_level = 7},   // no such level
        {.inputs = {4, 3, 2}, .output_level = -1},  // nor this
    }));
    memory_directory directory;
    directory.with("MANIFEST", "L0 5\nL0 4\nL0 3\nL1 2\n")
        .with("sst-000005.sst", table_of({{"a", "5"}, {"c", "5"}}))
        .with("sst-000004.sst", table_of({{"b", "4"}, {"c", "4"}, {"d", deleted}}))
        .with("sst-000003.sst", table_of({{"a", "3"}, {"d", "3"}}))
        .with("sst-000002.sst", table_of({{"a", "2"}, {"b", "2"}, {"c", "2"}, {"d", "2"}}));
    one_wish wish(choice);
    wish.only_if_there = false;
    const auto before = directory.files();
    auto db = must(lsm::db::open("db", at_once({.compaction = {.policy = &wish}, .file_system = &directory.fs})));
    must(db.settle());
    CHECK(wish.asked > 0);
    CHECK(directory.files() == before);
    CHECK(contents_of(db) == entry_map{{"a", "5"}, {"b", "4"}, {"c", "5"}});
    must(db.put("e", "6"));
    must(db.flush());
    must(db.settle());
    CHECK(contents_of(db) == entry_map{{"a", "5"}, {"b", "4"}, {"c", "5"}, {"e", "6"}});
}

TEST_CASE("compaction: a policy of the caller's decides instead of the style") {
    memory_directory directory;
    put_three_tables(directory);
    const one_wish wish({.inputs = {3, 1}, .output_level = 4});
    auto how = tiny(compaction_style::leveled, {.file_system = &directory.fs});
    how.compaction.policy = &wish;
    auto db = must(lsm::db::open("db", how));
    must(db.settle());
    CHECK(places(db) == std::vector<std::pair<int, std::uint64_t>>{{0, 2}, {4, 4}});
    CHECK(contents_of(db) == entry_map{{"a", "1"}, {"c", "1"}, {"d", "2"}, {"f", "2"}, {"g", "3"}, {"i", "3"}});
}

TEST_CASE("compaction: damage keeps the inputs and is told and everything else goes on") {
    memory_directory directory;
    directory.with("MANIFEST", "L0 2\nL0 1\n")
        .with("sst-000001.sst", table_of({{"a", "1"}, {"b", "1"}, {"c", "1"}}, 1))
        .with("sst-000002.sst", table_of({{"a", "2"}, {"d", "2"}}, 1));
    auto damaged = directory.files().at("sst-000001.sst");
    damaged[15 + 4 + 8] = 7;  // the type of b, in the second block
    directory.with("sst-000001.sst", damaged);
    event_log events;
    auto how = tiny(compaction_style::leveled, {.listener = &events, .file_system = &directory.fs});
    {
        auto db = must(lsm::db::open("db", how));
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
        CHECK(places(db) == std::vector<std::pair<int, std::uint64_t>>{{0, 3}, {0, 2}, {0, 1}});
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
    auto again = must(lsm::db::open("db", how));
    CHECK(value_in(again, "x") == "3");
    CHECK(value_in(again, "y") == "4");
    CHECK(directory.files().at("sst-000001.sst") == damaged);
}

TEST_CASE("compaction: one that is asked for tells of damage itself and keeps the inputs") {
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
    CHECK(places(db) == std::vector<std::pair<int, std::uint64_t>>{{0, 2}, {0, 1}});
    CHECK(strays(directory.files(), db.live_tables()).empty());
    must(db.put("e", "3"));
    must(db.flush());
    CHECK(value_in(db, "e") == "3");
}

TEST_CASE("compaction: closing breaks one off and the next open does it") {
    // Holds up the first write to a table while it is told to.
    struct slow_tables final : forwarding_file_system {
        using forwarding_file_system::forwarding_file_system;
        lsm::result<handle> open(std::string_view path, lsm::io::open_mode mode) override {
            if (mode == lsm::io::open_mode::create_exclusive && path.ends_with(".sst.tmp") && hold) {
                reached = true;
                while (hold) std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
            return forwarding_file_system::open(path, mode);
        }
        std::atomic<bool> hold = false;
        std::atomic<bool> reached = false;
    };
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
    slow_tables fs(directory.fs);
    fs.hold = true;
    {
        auto db = must(lsm::db::open("db", {.log_preallocation_bytes = 0, .file_system = &fs}));
        while (!fs.reached) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        std::thread release([&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(50));  // close() has begun
            fs.hold = false;
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
