#include <lsm/db/compaction/compaction.hpp>

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/parts.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;
using compaction_of_tables = lsm::detail::compaction<db_parts::alloc>;
using id_list = std::vector<std::uint64_t>;

/// Tables, and compactions of them whose results are not installed.
struct merged_tables : db_parts {
    explicit merged_tables(const std::vector<placed_table>& listed, lsm::options opts = {}) : db_parts(opts) {
        set_tables(listed);
    }

    [[nodiscard]] compaction_of_tables work(id_list inputs, int output_level) {
        return {versions.tables(), {std::move(inputs), output_level}, alloc()};
    }
    lsm::result<id_list> try_run(id_list inputs, int output_level, std::uint64_t target_bytes = 1'000'000) {
        const auto next_id = [this] { return tables.new_id(); };
        return work(std::move(inputs), output_level)
            .run({context.directory, lsm::detail::table_format(context.options), target_bytes, cancelled, next_id});
    }
    /// The entries of the only new table.
    entry_map merged(id_list inputs, int output_level) {
        const auto ids = must(try_run(std::move(inputs), output_level));
        REQUIRE(ids.size() == 1);
        return entries_of(ids[0]);
    }

    std::atomic<bool> cancelled = false;
};

}  // namespace

TEST_CASE("compaction of tables: the newest entry of each key is written") {
    merged_tables f({{0, 4, {{"a", "4"}, {"b", deleted}}},
                     {0, 3, {{"a", "3"}, {"c", "3"}}},
                     {1, 1, {{"b", "1"}, {"c", "1"}}},
                     {1, 2, {{"d", "2"}}}});
    CHECK(f.merged({1, 2, 3, 4}, 1) == entry_map{{"a", "4"}, {"c", "3"}, {"d", "2"}});
    // The database still has the inputs.
    CHECK(f.listed() == "L0 4\nL0 3\nL1 1\nL1 2\n");
    CHECK(f.entries_of(4) == entry_map{{"a", "4"}, {"b", deleted}});
}

TEST_CASE("compaction of tables: above level 0 a table ends when its entries take the target size") {
    entry_map entries;
    for (char c = 'a'; c <= 'j'; ++c) entries[lsm::bytes(1, c)] = lsm::bytes(10, c);  // 20 bytes each
    merged_tables f({{0, 1, entries}});
    const auto sizes = [&](int output_level, std::uint64_t target_bytes) {
        std::vector<std::size_t> out;
        entry_map all;
        for (const auto id : must(f.try_run({1}, output_level, target_bytes))) {
            const auto part = f.entries_of(id);
            out.push_back(part.size());
            all.insert(part.begin(), part.end());
        }
        CHECK(all == entries);
        return out;
    };
    CHECK(sizes(1, 60) == std::vector<std::size_t>{3, 3, 3, 1});
    CHECK(sizes(1, 61) == std::vector<std::size_t>{4, 4, 2});
    CHECK(sizes(1, 0) == std::vector<std::size_t>(10, 1));
    CHECK(sizes(1, 200) == std::vector<std::size_t>{10});
    CHECK(sizes(0, 60) == std::vector<std::size_t>{10});
}

TEST_CASE("compaction of tables: a tombstone is kept while an older table that is not an input may have its key") {
    merged_tables f({{0, 4, {{"a", deleted}, {"c", deleted}, {"k", deleted}, {"z", deleted}}},
                     {0, 3, {{"k", "3"}}},
                     {1, 2, {{"a", "2"}}},
                     {3, 1, {{"b", "1"}, {"c", "1"}}}});
    // For an output in level 0, the older tables there count, too.
    CHECK(f.merged({4}, 0) == entry_map{{"a", deleted}, {"c", deleted}, {"k", deleted}});
    CHECK(f.merged({4, 3}, 0) == entry_map{{"a", deleted}, {"c", deleted}});
    CHECK(f.merged({4, 3, 2}, 1) == entry_map{{"c", deleted}});
    CHECK(f.merged({4, 3, 2}, 2) == entry_map{{"c", deleted}});
    CHECK(f.merged({4, 3, 2, 1}, 3) == entry_map{{"b", "1"}});
}

TEST_CASE("compaction of tables: a merge without entries writes no table") {
    merged_tables f({{0, 2, {{"a", deleted}}}, {1, 1, {{"a", "1"}}}});
    CHECK(must(f.try_run({1, 2}, 1)).empty());
}

TEST_CASE("compaction of tables: a single input moves unless it stays in its level or would lose tombstones") {
    merged_tables f({{0, 3, {{"m", "3"}}}, {1, 1, {{"a", deleted}, {"b", "1"}}}, {1, 2, {{"k", "2"}}}});
    CHECK(f.work({3}, 1).moved()->id() == 3);
    CHECK(f.work({2}, 4).moved()->id() == 2);
    CHECK(f.work({2}, 1).moved() == nullptr);
    CHECK(f.work({1, 2}, 2).moved() == nullptr);
    // Table 1 has a tombstone that no deeper table needs.
    CHECK(f.work({1}, 2).moved() == nullptr);
    f.set_tables({{1, 1, {{"a", deleted}, {"b", "1"}}}, {3, 2, {{"k", "2"}}}});
    CHECK(f.work({1}, 2).moved()->id() == 1);
}

TEST_CASE("compaction of tables: it knows its inputs and their bounds") {
    merged_tables f({{0, 5, {}},
                     {0, 4, {{"m", "4"}}},
                     {0, 3, {{"c", "3"}}},
                     {1, 1, {{"a", "1"}, {"d", "1"}}},
                     {1, 2, {{"x", "2"}}}});
    const auto work = f.work({1, 5, 3}, 1);
    std::string inputs;
    work.for_each_input(
        [&](int level, const auto& t) { inputs += std::to_string(level) + ":" + std::to_string(t->id()) + " "; });
    CHECK(inputs == "0:5 0:3 1:1 ");
    for (const std::uint64_t id : {1u, 3u, 5u}) CHECK(work.has_input(id));
    for (const std::uint64_t id : {2u, 4u}) CHECK_FALSE(work.has_input(id));
    CHECK(work.output_level() == 1);
    const auto& levels = f.versions.tables()->levels;
    CHECK(work.input_bytes() == levels[0][0]->file_bytes() + levels[0][2]->file_bytes() + levels[1][0]->file_bytes());
    REQUIRE(work.hull());
    CHECK(work.hull()->first == "a");
    CHECK(work.hull()->second == "d");
    CHECK_FALSE(f.work({5}, 0).hull());
}

TEST_CASE("compaction of tables: a cancelled one ends with an error") {
    merged_tables f({{0, 2, {{"a", "2"}}}, {0, 1, {{"a", "1"}}}});
    f.cancelled = true;
    CHECK(must_fail(f.try_run({1, 2}, 1)).code == errc::closed);
    CHECK(f.directory.names() == std::vector<std::string>{"MANIFEST", "sst-000001.sst", "sst-000002.sst"});
}

TEST_CASE("compaction of tables: damage in an input is an error and not a shorter table") {
    merged_tables f({{0, 1, {{"b", "1"}}}});
    auto damaged = table_of({{"a", "2"}, {"c", "2"}, {"e", "2"}}, 16);
    damaged[16] = '\x09';  // in the second block
    f.directory.with("sst-000002.sst", damaged);
    f.publish(must(f.tables.open_listed({{0, 2}, {0, 1}}, 2)), {f.memtable_of(1, {})});
    CHECK(must_fail(f.try_run({1, 2}, 1)).what.starts_with("db/sst-000002.sst: "));
    CHECK_FALSE(f.directory.files().contains("sst-000003.sst"));
}

TEST_CASE("compaction of tables: reading the inputs leaves the cache empty") {
    merged_tables f({{0, 2, {{"a", "2"}}}, {0, 1, {{"b", "1"}}}});
    must(f.try_run({1, 2}, 1));
    CHECK(f.resources->cache.used() == 0);
}
