#include <lsm/merge/serialize_stream.hpp>

#include <random>

#include <lsm/memtable/memtable.hpp>
#include <lsm/merge/merging_iterator.hpp>

#include "support/catch.hpp"
#include "support/entries.hpp"
#include "support/seed.hpp"

namespace {

using namespace lsm::test;

lsm::bytes stream_of_cursor(auto at) {
    lsm::bytes out;
    lsm::io::string_sink to(out);
    must(lsm::serialize_stream(at, to));
    return out;
}

/// A sink that fails once it has taken `room` bytes. Counts the calls after the failure.
class small_sink final : public lsm::io::sink {
public:
    explicit small_sink(std::size_t room) : room_(room) {}

    lsm::result<void> append(lsm::bytes_view data) override {
        if (failed_) ++calls_after_failure;
        if (taken.size() + data.size() > room_) {
            failed_ = true;
            return lsm::error{lsm::errc::no_space, 28, "no room"};
        }
        taken.append(data);
        return {};
    }

    lsm::bytes taken;
    int calls_after_failure = 0;

private:
    std::size_t room_;
    bool failed_ = false;
};

}  // namespace

TEST_CASE("serialize stream: no entries make no bytes") { CHECK(stream_of_cursor(forward_only_cursor({})).empty()); }

TEST_CASE("serialize stream: a value has a length and a tombstone ends after its type") {
    const entry_list entries = {{"", ""}, {"a", "1"}, {"key5", std::nullopt}};
    const lsm::bytes expected(
        "\0\0\0\0"
        "\0"
        "\0\0\0\0"  //
        "\1\0\0\0"
        "a"
        "\0"
        "\1\0\0\0"
        "1"  //
        "\4\0\0\0"
        "key5"
        "\1",
        9 + 11 + 9);
    CHECK(stream_of_cursor(forward_only_cursor(entries)) == expected);
}

TEST_CASE("serialize stream: it starts at the position of the cursor") {
    forward_only_cursor at({{"a", "1"}, {"b", "2"}});
    at.next();
    CHECK(stream_of_cursor(at) == stream_of({{"b", "2"}}));
}

TEST_CASE("serialize stream: the merges of the format page have the sizes and bytes that it lists") {
    lsm::memtable newer, older;
    for (int i = 0; i < 50; ++i) newer.put("key" + std::to_string(i), "val" + std::to_string(i));
    newer.put("key10", "NEW-10");
    newer.del("key5");
    for (int i = 0; i < 100; ++i) older.put("key" + std::to_string(i), "val" + std::to_string(i));
    older.put("key50", "OLD-50");
    const auto merged_bytes = [&](bool drop) {
        std::vector<lsm::memtable::cursor> sources;
        sources.push_back(newer.iter());
        sources.push_back(older.iter());
        return stream_of_cursor(
            lsm::merging_iterator<lsm::memtable::cursor>(std::move(sources), {.drop_tombstones = drop}));
    };
    const auto kept = merged_bytes(false), dropped = merged_bytes(true);
    CHECK(kept.size() == 1874);
    CHECK(dropped.size() == 1865);
    const lsm::bytes tombstone("\4\0\0\0key5\1", 9);
    CHECK(kept.find(tombstone) != lsm::bytes::npos);
    CHECK(dropped.find(tombstone) == lsm::bytes::npos);
    CHECK(merged_bytes(false) == kept);
}

TEST_CASE("serialize stream: random merges have the bytes that the format page specifies") {
    const auto seed = seed_or(77);
    INFO("LSM_SEED=" << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 100; ++round) {
        std::vector<entry_map> sources(1 + random() % 5);
        for (entry_map& source : sources) source = random_entries(random, 30);
        for (const bool drop : {false, true}) {
            std::vector<listed_cursor> cursors;
            for (const entry_map& source : sources) cursors.emplace_back(list_of(source));
            lsm::merging_iterator<listed_cursor> at(std::move(cursors), {.drop_tombstones = drop});
            REQUIRE(stream_of_cursor(std::move(at)) == stream_of(merged(sources, drop)));
        }
    }
}

TEST_CASE("serialize stream: an error of the sink ends it and is returned") {
    entry_map entries;
    for (int i = 0; i < 40; ++i) entries["key" + std::to_string(i)] = lsm::bytes(5000, 'v');
    entries["large"] = lsm::bytes(200'000, 'L');
    const auto whole = stream_of(entries);
    for (const std::size_t room : {std::size_t{0}, std::size_t{70'000}, std::size_t{210'000}, whole.size() - 1}) {
        small_sink to(room);
        forward_only_cursor at(list_of(entries));
        const auto why = must_fail(lsm::serialize_stream(at, to));
        CHECK(why.code == lsm::errc::no_space);
        CHECK(why.what == "no room");
        CHECK(to.calls_after_failure == 0);
        CHECK(whole.starts_with(to.taken));
    }
    small_sink enough(whole.size());
    forward_only_cursor at(list_of(entries));
    must(lsm::serialize_stream(at, enough));
    CHECK(enough.taken == whole);
}

TEST_CASE("serialize stream: damage ends it after the entries before and is returned") {
    forward_only_cursor at({{"a", "1"}, {"b", "2"}, {"c", "3"}}, 2, "the damage");
    lsm::bytes out;
    lsm::io::string_sink to(out);
    CHECK(must_fail(lsm::serialize_stream(at, to)).what == "the damage");
    CHECK(out == stream_of({{"a", "1"}, {"b", "2"}}));
}
