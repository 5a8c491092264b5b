#include <cstddef>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/entries.hpp"
#include "support/files.hpp"
#include "support/raw_bytes.hpp"
#include "support/seed.hpp"
#include "tools/tools.hpp"

using lsm::bytes;
using namespace lsm::test;

namespace {

// Enough entries to fill a pipe several times: output has begun long before the damage in the middle is reached.
entry_map numbered(std::size_t count, const bytes& value) {
    entry_map out;
    for (std::size_t i = 0; i < count; ++i) out["key" + std::to_string(1'000'000 + i)] = value;
    return out;
}
constexpr std::size_t many = 4000;
const bytes long_value(100, 'v');

std::string table_file(const scratch_directory& directory, const std::string& name, const entry_map& entries) {
    write_file(disk(), directory / name, table_of(entries));
    return directory / name;
}

}  // namespace

TEST_CASE("merge_iter: the stream of one input is its entries") {
    const scratch_directory directory;
    const entry_map entries = {{"", ""}, {"a", "1"}, {"b", std::nullopt}, {"\xff", "2"}};
    const std::string table = table_file(directory, "table", entries);
    prints({"merge_iter", table}, stream_of(entries));
    prints({"merge_iter", "--drop-tombstones", table}, stream_of(merged({entries}, true)));
    prints({"merge_iter", table, table}, stream_of(entries));
}

TEST_CASE("merge_iter: tables without entries give an empty stream") {
    const scratch_directory directory;
    const std::string empty = table_file(directory, "empty", {});
    const std::string without = table_file(directory, "deleted", {{"a", std::nullopt}});
    prints({"merge_iter", empty}, "");
    prints({"merge_iter", empty, empty}, "");
    prints({"merge_iter", "--drop-tombstones", without}, "");
}

TEST_CASE("merge_iter: the first input that has a key decides its entry") {
    const scratch_directory directory;
    const entry_map newer = {{"a", "new"}, {"b", std::nullopt}, {"d", ""}};
    const entry_map older = {{"a", "old"}, {"b", "old"}, {"c", "old"}, {"d", std::nullopt}};
    const std::string a = table_file(directory, "newer", newer), b = table_file(directory, "older", older);
    prints({"merge_iter", a, b}, stream_of({{"a", "new"}, {"b", std::nullopt}, {"c", "old"}, {"d", ""}}));
    prints({"merge_iter", "--drop-tombstones", a, b}, stream_of({{"a", "new"}, {"c", "old"}, {"d", ""}}));
    prints({"merge_iter", b, a}, stream_of(older));
    prints({"merge_iter", "--drop-tombstones", b, a}, stream_of({{"a", "old"}, {"b", "old"}, {"c", "old"}}));
}

TEST_CASE("merge_iter: random tables merge as maps do") {
    const std::uint64_t seed = seed_or(20250611);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 10; ++round) {
        const scratch_directory directory;
        std::vector<entry_map> sources(1 + random() % 6);
        command_line kept = {"merge_iter"};
        for (std::size_t i = 0; i < sources.size(); ++i) {
            sources[i] = random_entries(random, 200);
            kept.push_back(table_file(directory, std::to_string(i), sources[i]));
        }
        command_line dropped = kept;
        dropped.push_back("--drop-tombstones");
        prints(kept, stream_of(merged(sources, false)));
        prints(dropped, stream_of(merged(sources, true)));
    }
}

TEST_CASE("merge_iter: hundreds of inputs merge in one run") {
    constexpr std::size_t inputs = 300;
    const scratch_directory directory;
    command_line line = {"merge_iter"};
    entry_map expected;
    for (std::size_t i = 0; i < inputs; ++i) {
        const entry_map entries = {{"own" + std::to_string(i), "1"}, {"shared", std::to_string(i)}};
        line.push_back(table_file(directory, std::to_string(i), entries));
        expected.insert(entries.begin(), entries.end());
    }
    CHECK(expected.at("shared") == "0");
    prints(line, stream_of(expected));
}

TEST_CASE("merge_iter: an input that does not open is reported before the first byte of output") {
    const scratch_directory directory;
    const std::string good = table_file(directory, "good", numbered(many, long_value));
    const std::string bad = directory / "bad";
    fails({"merge_iter", good, bad}, bad);
    const bytes whole = table_of({{"a", "1"}});
    for (const bytes& contents : {bytes(), whole.substr(1), whole + "x", bytes("MMT1"),
                                  // an index key longer than the index
                                  with_flipped_bit(whole, 8 * (whole.size() - 32 - 21) + 1)}) {
        write_file(disk(), bad, contents);
        fails({"merge_iter", good, bad}, bad);
        fails({"merge_iter", good, good, bad, good}, bad);
        fails({"merge_iter", "--drop-tombstones", bad, good}, bad);
    }
}

TEST_CASE("merge_iter: damage found later ends the run after a part of the stream") {
    const scratch_directory directory;
    const entry_map entries = numbered(many, long_value);
    const bytes whole = table_of(entries);
    const std::string good = table_file(directory, "good", numbered(many / 2, "new"));
    const std::string bad = directory / "bad";
    // Damage the type of a record: nothing checks the bytes of a value.
    const std::size_t middle = whole.find("key" + std::to_string(1'000'000 + many / 2)) - 1;
    write_file(disk(), bad, with_flipped_bit(whole, 8 * middle + 7));

    const outcome alone = run_tool({"merge_iter", bad});
    check_failed(alone, 1, "merge_iter", bad);
    CHECK_FALSE(alone.out.empty());
    CHECK(stream_of(entries).starts_with(alone.out));
    CHECK(alone.out.size() < stream_of(entries).size());

    const bytes merged_stream = stream_of(merged({numbered(many / 2, "new"), entries}, false));
    const outcome both = run_tool({"merge_iter", good, bad});
    check_failed(both, 1, "merge_iter", bad);
    CHECK_FALSE(both.out.empty());
    CHECK(merged_stream.starts_with(both.out));
    CHECK(both.out.size() < merged_stream.size());
}
