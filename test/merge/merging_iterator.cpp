#include <lsm/merge/merging_iterator.hpp>

#include <random>
#include <string>
#include <vector>

#include <lsm/io/memory_file_system.hpp>
#include <lsm/memtable/memtable.hpp>
#include <lsm/sstable/reader.hpp>

#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/entries.hpp"
#include "support/random_moves.hpp"
#include "support/seed.hpp"

namespace {

using namespace lsm::test;
using lsm::merging_iterator;

template <class Cursor = listed_cursor>
merging_iterator<Cursor> merge_of(const std::vector<entry_map>& newest_first, bool drop_tombstones = false) {
    std::vector<Cursor> sources;
    for (const entry_map& source : newest_first) sources.emplace_back(list_of(source));
    return merging_iterator<Cursor>(std::move(sources), {.drop_tombstones = drop_tombstones});
}

void check_merge(const std::vector<entry_map>& newest_first, const entry_list& kept, const entry_list& dropped) {
    auto with = merge_of(newest_first);
    auto without = merge_of(newest_first, true);
    CHECK(walk(with) == kept);
    CHECK(walk(without) == dropped);
}

lsm::memtable memtable_of(const entry_map& entries) {
    lsm::memtable out;
    for (const auto& [key, value] : entries) value ? out.put(key, *value) : out.del(key);
    return out;
}

std::vector<entry_map> random_sources(std::mt19937_64& random) {
    std::vector<entry_map> out(1 + random() % 12);
    for (entry_map& source : out) source = random_entries(random, 40);
    return out;
}

}  // namespace

TEST_CASE("merge: without sources or entries it is at its end") {
    check_merge({}, {}, {});
    check_merge({{}, {}, {}}, {}, {});
    auto none = merge_of({});
    none.seek("k");
    CHECK_FALSE(none.valid());
    none.seek_to_last();
    CHECK_FALSE(none.valid());
    must(none.status());
}

TEST_CASE("merge: a merge made without a position does not move its sources until it seeks") {
    struct counting_cursor : listed_cursor {
        counting_cursor(const entry_map& entries, int& count) : listed_cursor(list_of(entries)), seeks(&count) {}
        void seek_to_first() { ++*seeks, listed_cursor::seek_to_first(); }
        void seek_to_last() { ++*seeks, listed_cursor::seek_to_last(); }
        void seek(lsm::bytes_view key) { ++*seeks, listed_cursor::seek(key); }
        int* seeks;
    };
    int seeks = 0;
    const auto fresh = [&] {
        std::vector<counting_cursor> sources;
        sources.emplace_back(entry_map{{"a", "new"}, {"c", "3"}}, seeks);
        sources.emplace_back(entry_map{{"a", "old"}, {"b", "2"}}, seeks);
        merging_iterator<counting_cursor> out(std::move(sources), {}, {}, lsm::not_positioned);
        CHECK_FALSE(out.valid());
        must(out.status());
        CHECK(seeks == 0);
        return out;
    };
    auto forwards = fresh();
    forwards.seek_to_first();
    CHECK(seeks == 2);
    CHECK(walk(forwards) == entry_list{{"a", "new"}, {"b", "2"}, {"c", "3"}});
    seeks = 0;
    auto backwards = fresh();
    backwards.seek_to_last();
    CHECK(seeks == 2);
    CHECK(backwards.key() == "c");
    backwards.prev();
    CHECK(backwards.key() == "b");
    seeks = 0;
    auto inside = fresh();
    inside.seek("b");
    CHECK(walk(inside) == entry_list{{"b", "2"}, {"c", "3"}});
}

TEST_CASE("merge: a single source is passed through") {
    check_merge({{{"", "empty"}, {"a", "1"}, {"b", ""}}}, {{"", "empty"}, {"a", "1"}, {"b", ""}},
                {{"", "empty"}, {"a", "1"}, {"b", ""}});
}

TEST_CASE("merge: the entries of several sources are interleaved") {
    const entry_list all = {{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}, {"e", "5"}};
    check_merge({{{"b", "2"}, {"d", "4"}}, {{"a", "1"}, {"c", "3"}, {"e", "5"}}}, all, all);
}

TEST_CASE("merge: the newest of several entries of a key wins") {
    const entry_list all = {{"a", "new"}, {"b", "only"}};
    check_merge({{{"a", "new"}}, {{"a", "old"}, {"b", "only"}}}, all, all);
}

TEST_CASE("merge: a tombstone hides older values and is kept or dropped") {
    check_merge({{{"a", deleted}, {"z", deleted}}, {{"a", "1"}, {"b", "2"}}},
                {{"a", deleted}, {"b", "2"}, {"z", deleted}}, {{"b", "2"}});
    check_merge({{{"a", "again"}}, {{"a", deleted}}, {{"a", "first"}}}, {{"a", "again"}}, {{"a", "again"}});
    check_merge({{{"a", deleted}, {"b", deleted}}}, {{"a", deleted}, {"b", deleted}}, {});
}

TEST_CASE("merge: a key in three sources appears once") {
    check_merge({{{"k", "3"}}, {{"k", "2"}, {"l", "2"}}, {{"k", "1"}, {"l", "1"}, {"m", "1"}}},
                {{"k", "3"}, {"l", "2"}, {"m", "1"}}, {{"k", "3"}, {"l", "2"}, {"m", "1"}});
    check_merge({{{"k", "3"}, {"m", deleted}}, {{"k", deleted}, {"l", "2"}}, {{"k", "1"}, {"l", "1"}, {"m", "1"}}},
                {{"k", "3"}, {"l", "2"}, {"m", deleted}}, {{"k", "3"}, {"l", "2"}});
}

TEST_CASE("merge: keys are compared as unsigned bytes") {
    const entry_list all = {{"", "0"},    {std::string("\0", 1), "1"}, {"a", "2"}, {"a\x7f", "3"}, {"a\x80", "4"},
                            {"\xff", "5"}};
    check_merge(
        {{{"", "0"}, {"a\x80", "4"}}, {{std::string("\0", 1), "1"}, {"\xff", "5"}}, {{"a", "2"}, {"a\x7f", "3"}}}, all,
        all);
}

TEST_CASE("merge: it can change direction at every entry") {
    const std::vector<entry_map> sources = {{{"b", "new"}, {"d", deleted}},
                                            {{"a", "1"}, {"b", "old"}, {"d", "x"}, {"e", "5"}}};
    auto at = merge_of(sources, true);
    at.next();
    REQUIRE(at.valid());
    CHECK(at.key() == "b");
    at.prev();
    CHECK(at.key() == "a");
    at.next();
    at.next();
    CHECK(at.key() == "e");
    at.prev();
    CHECK(at.key() == "b");
    CHECK(at.entry().value == "new");
    at.prev();
    at.prev();
    CHECK_FALSE(at.valid());
    must(at.status());
    at.seek_to_last();
    CHECK(at.key() == "e");
    at.next();
    CHECK_FALSE(at.valid());
}

TEST_CASE("merge: random moves in both directions agree with a map") {
    const auto seed = seed_or(4711);
    INFO("LSM_SEED=" << seed);
    std::mt19937_64 random(seed);
    const bool drop_tombstones = GENERATE(false, true);
    for (int round = 0; round < 150; ++round) {
        const auto sources = random_sources(random);
        auto at = merge_of(sources, drop_tombstones);
        check_random_moves(at, merged(sources, drop_tombstones), random, 300);
    }
}

TEST_CASE("merge: sources may be memtables and tables and lists together") {
    const auto seed = seed_or(815);
    INFO("LSM_SEED=" << seed);
    std::mt19937_64 random(seed);
    lsm::io::memory_file_system fs;
    const auto table = [&](const entry_map& source) {
        return open_table(fs, "t", source, static_cast<std::uint32_t>(1 + random() % 99));
    };
    const bool drop_tombstones = GENERATE(false, true);
    for (int round = 0; round < 60; ++round) {
        const auto sources = random_sources(random);
        std::vector<any_cursor> cursors;
        for (const entry_map& source : sources) {
            switch (random() % 4) {
                case 0: cursors.emplace_back(listed_cursor(list_of(source))); break;
                case 1: cursors.emplace_back(memtable_of(source).iter()); break;
                case 2: cursors.emplace_back(table(source).iter()); break;
                default: cursors.emplace_back(table(source).byte_cursor());
            }
        }
        merging_iterator<any_cursor> at(std::move(cursors), {.drop_tombstones = drop_tombstones});
        check_random_moves(at, merged(sources, drop_tombstones), random, 300);
    }
}

TEST_CASE("merge: typed cursors of one kind need no wrapper") {
    const std::vector<entry_map> sources = {{{"a", "new"}, {"c", deleted}}, {{"a", "old"}, {"b", "2"}, {"c", "3"}}};
    std::vector<lsm::memtable::cursor> cursors;
    for (const entry_map& source : sources) cursors.push_back(memtable_of(source).iter());
    merging_iterator<lsm::memtable::cursor> at(std::move(cursors), {.drop_tombstones = true});
    CHECK(walk(at) == entry_list{{"a", "new"}, {"b", "2"}});
}

TEST_CASE("merge: ranges of tables are merged like whole sources") {
    const auto seed = seed_or(99);
    INFO("LSM_SEED=" << seed);
    std::mt19937_64 random(seed);
    lsm::io::memory_file_system fs;
    for (int round = 0; round < 40; ++round) {
        auto sources = random_sources(random);
        std::vector<lsm::sst_reader::cursor> cursors;
        for (entry_map& source : sources) {
            const auto from = random_key(random), to = random_key(random);
            cursors.push_back(open_table(fs, "t", source, 40).iter({.from = from, .to = to}));
            std::erase_if(source, [&](const auto& entry) { return entry.first < from || entry.first >= to; });
        }
        merging_iterator<lsm::sst_reader::cursor> at(std::move(cursors));
        check_random_moves(at, merged(sources, false), random, 200);
    }
}

TEST_CASE("merge: forward-only sources are merged from their positions") {
    const auto seed = seed_or(31);
    INFO("LSM_SEED=" << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 100; ++round) {
        const auto sources = random_sources(random);
        for (const bool drop_tombstones : {false, true}) {
            auto at = merge_of<forward_only_cursor>(sources, drop_tombstones);
            REQUIRE(walk(at) == list_of(merged(sources, drop_tombstones)));
        }
    }
    forward_only_cursor advanced({{"a", "1"}, {"b", "2"}});
    advanced.next();
    std::vector<forward_only_cursor> sources{advanced};
    merging_iterator<forward_only_cursor> at(std::move(sources));
    CHECK(walk(at) == entry_list{{"b", "2"}});
}

namespace {

struct damage_place {
    std::size_t source;
    std::size_t index;
};

// Walks to the end, which must be the damage, and checks the entries shown before it: they begin like `expected`, and
// include all entries before `neighbour`, the key next to the damage in the damaged source.
template <class Cursor, class Step, class Before>
void check_damaged_walk(Cursor& at, const entry_list& expected, const optional_value& neighbour, Step step,
                        Before before) {
    entry_list shown;
    for (; at.valid(); step(at)) shown.emplace_back(at.key(), value_of(at.entry()));
    CHECK(must_fail(at.status()).what == "the damage");
    REQUIRE(shown.size() <= expected.size());
    REQUIRE(std::equal(shown.begin(), shown.end(), expected.begin()));
    std::size_t due = 0;
    while (neighbour && due < expected.size() && before(expected[due].first, *neighbour)) ++due;
    REQUIRE(shown.size() >= due);
}

template <class Cursor>
std::vector<Cursor> damaged_sources(const std::vector<entry_map>& sources, damage_place where) {
    std::vector<Cursor> out;
    for (std::size_t i = 0; i < sources.size(); ++i)
        out.emplace_back(list_of(sources[i]), i == where.source ? where.index : listed_cursor::nowhere, "the damage");
    return out;
}

}  // namespace

TEST_CASE("merge: damage in any source ends the walk with an error and never as an end") {
    const auto seed = seed_or(1234);
    INFO("LSM_SEED=" << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 300; ++round) {
        auto sources = random_sources(random);
        const damage_place where{random() % sources.size(), 0};
        if (sources[where.source].empty()) continue;
        const entry_list damaged = list_of(sources[where.source]);
        const std::size_t index = random() % damaged.size();
        for (const bool drop_tombstones : {false, true}) {
            // The sources are intact up to the damage, so the walk shows a prefix of the intact merge.
            entry_list expected = list_of(merged(sources, drop_tombstones));
            const lsm::merge_options options{.drop_tombstones = drop_tombstones};

            merging_iterator<listed_cursor> at(damaged_sources<listed_cursor>(sources, {where.source, index}), options);
            const auto lower = index == 0 ? std::nullopt : optional_value(damaged[index - 1].first);
            check_damaged_walk(
                at, expected, lower, [](auto& c) { c.next(); }, std::less<>());

            merging_iterator<forward_only_cursor> forward(
                damaged_sources<forward_only_cursor>(sources, {where.source, index}), options);
            check_damaged_walk(
                forward, expected, lower, [](auto& c) { c.next(); }, std::less<>());

            std::reverse(expected.begin(), expected.end());
            const auto upper = index + 1 == damaged.size() ? std::nullopt : optional_value(damaged[index + 1].first);
            at.seek_to_last();
            check_damaged_walk(
                at, expected, upper, [](auto& c) { c.prev(); }, std::greater<>());
        }
    }
}

TEST_CASE("merge: damage that is met while changing direction is reported") {
    // The older source is damaged at "b", which a walk from "c" on does not reach.
    std::vector<listed_cursor> sources;
    sources.emplace_back(entry_list{{"a", "1"}, {"c", "3"}, {"e", "5"}});
    sources.emplace_back(entry_list{{"b", "2"}, {"d", "4"}}, 0, "the damage");
    merging_iterator<listed_cursor> at(std::move(sources));
    CHECK_FALSE(at.valid());
    at.seek("c");
    REQUIRE(at.valid());
    must(at.status());
    at.prev();
    CHECK_FALSE(at.valid());
    CHECK(must_fail(at.status()).what == "the damage");
    at.seek("d");
    REQUIRE(at.valid());
    must(at.status());
    CHECK(at.key() == "d");
}

TEST_CASE("merge: its memory depends on the number of sources and not on their entries") {
    using allocator = logged_allocator<std::byte>;
    constexpr std::size_t sources_count = 9;
    allocation_log log;
    std::size_t before = 0;
    for (const std::size_t entries : {std::size_t{10}, std::size_t{1000}}) {
        entry_map all;
        for (std::size_t i = 0; i < entries; ++i) all[std::to_string(i)] = "v";
        std::vector<listed_cursor> sources(sources_count, listed_cursor(list_of(all)));
        log.reset();
        merging_iterator<listed_cursor, allocator> at(std::move(sources), {}, log);
        CHECK(walk(at) == list_of(all));
        CHECK(log.peak_bytes <= sources_count * (sizeof(listed_cursor) + 4 * sizeof(std::size_t)));
        CHECK((before == 0 || log.peak_bytes == before));
        before = log.peak_bytes;
    }
}
