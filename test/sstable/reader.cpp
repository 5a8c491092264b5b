#include <lsm/sstable/reader.hpp>

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <random>
#include <vector>

#include "sstable/tables.hpp"
#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/cursors.hpp"
#include "support/random_keys.hpp"
#include "support/random_moves.hpp"
#include "support/recording_file_system.hpp"
#include "support/seed.hpp"

using lsm::bytes;
using lsm::errc;
using lsm::sst_reader;
using namespace lsm::test;

namespace {

entry_list between(const entry_list& entries, const std::optional<bytes>& from, const std::optional<bytes>& to,
                   bool reverse) {
    entry_list out;
    for (const auto& e : entries)
        if ((!from || e.first >= *from) && (!to || e.first < *to)) out.push_back(e);
    if (reverse) std::reverse(out.begin(), out.end());
    return out;
}

sst_reader::range range_of(const std::optional<bytes>& from, const std::optional<bytes>& to, bool reverse) {
    sst_reader::range out;
    if (from) out.from = *from;
    if (to) out.to = *to;
    out.reverse = reverse;
    return out;
}

}  // namespace

TEST_CASE("sst reader: an empty table has no entries") {
    const opened_table<> t(written_table({}));
    CHECK(t->num_blocks() == 0);
    CHECK(must(t->len()) == 0);
    CHECK(must(t->get("")).absent());
    CHECK(must(t->get("key")).absent());
    for (const bool reverse : {false, true}) {
        auto at = t->iter(range_of("a", "z", reverse));
        CHECK_FALSE(at.valid());
        CHECK(at.status().has_value());
        at.seek_to_last();
        CHECK_FALSE(at.valid());
        at.seek("k");
        CHECK_FALSE(at.valid());
        CHECK(at.status().has_value());
    }
}

TEST_CASE("sst opening: read_footer reads the footer of a damaged file and reports a wrong magic") {
    bytes table = written_table(numbered_entries(3));
    table.back() = 'x';
    lsm::io::memory_file_system fs;
    write_file(fs, table_path, table);
    const auto footer = must(sst_reader::read_footer(open_file(fs, table_path)));
    CHECK_FALSE(footer.magic_ok);
    CHECK(footer.num_blocks == 1);
    CHECK(footer.index_offset + footer.index_size + 32 == table.size());
    write_file(fs, table_path, table.substr(table.size() - 35));
    CHECK(must_fail(sst_reader::read_footer(open_file(fs, table_path))).code == errc::short_input);
}

TEST_CASE("sst reader: tombstones are found and are not absent") {
    const opened_table<> t(raw_table({{{"", std::nullopt}, {"b", "2"}}, {{"c", std::nullopt}}}));
    CHECK(must(t->get("")).tombstone());
    CHECK(must(t->get("b")).value() == "2");
    CHECK(must(t->get("c")).tombstone());
    CHECK(must(t->get("a")).absent());
    CHECK(must(t->get("d")).absent());
    CHECK(must(t->len()) == 3);
}

TEST_CASE("sst reader: lookups find keys inside blocks and miss keys between them") {
    const opened_table<> t(raw_table({{{"b", "1"}, {"d", "2"}}, {{"h", "3"}, {"j", "4"}}, {{"n", "5"}}}));
    const std::vector<std::pair<bytes, bytes>> present = {{"b", "1"}, {"d", "2"}, {"h", "3"}, {"j", "4"}, {"n", "5"}};
    for (const auto& [key, value] : present) CHECK(must(t->get(key)).value() == value);
    // Below the first, inside blocks, between them, and above the last.
    for (const auto* const key : {"", "a", "c", "e", "g", "i", "k", "m", "o", "\xff"})
        CHECK(must(t->get(key)).absent());
}

TEST_CASE("sst reader: bytes between blocks and after the last one are ignored") {
    const bytes first = raw_block({{"a", "1"}, {"c", "2"}});
    const bytes second = raw_block({{"m", "3"}});
    const bytes gap = "an extension";
    const opened_table<> t(
        raw_table(gap + first + gap + second + gap,
                  {{"a", gap.size(), first.size()}, {"m", 2 * gap.size() + first.size(), second.size()}}));
    CHECK(rest_of(t->iter()) == entry_list{{"a", "1"}, {"c", "2"}, {"m", "3"}});
    CHECK(must(t->get("m")).value() == "3");
    CHECK(must(t->len()) == 3);
    const opened_table<> none(raw_table(gap, {}));
    CHECK(must(none->len()) == 0);
}

TEST_CASE("sst reader: ranges may be bounded on each side and iterated in both directions") {
    const auto entries = numbered_entries(100);
    const opened_table<> t(written_table(entries, 128));
    const std::vector<std::optional<bytes>> bounds = {
        std::nullopt,      "", "key", entries[0].first, entries[1].first, entries[50].first + "x", entries[50].first,
        entries[99].first, "z"};
    for (const auto& from : bounds)
        for (const auto& to : bounds)
            for (const bool reverse : {false, true}) {
                INFO((from ? *from : "-") << " to " << (to ? *to : "-") << (reverse ? " reverse" : ""));
                auto at = t->iter(range_of(from, to, reverse));
                REQUIRE(rest_of(at) == between(entries, from, to, reverse));
                REQUIRE(at.status().has_value());
            }
}

TEST_CASE("sst reader: random moves of cursors over random tables and ranges agree with a map") {
    const auto seed = seed_or(1234);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 150; ++round) {
        std::map<bytes, std::optional<bytes>> sorted;
        for (auto n = random() % 200; n > 0; --n) {
            std::optional<bytes> value;
            if (random() % 4 != 0) value = random_value(random);
            sorted[random_key(random)] = value;
        }
        const entry_list entries(sorted.begin(), sorted.end());
        const opened_table<> t(written_table(entries, static_cast<std::uint32_t>(random() % 300 + 1)));
        for (int part = 0; part < 6; ++part) {
            std::optional<bytes> from;
            std::optional<bytes> to;
            if (random() % 2 == 0) from = random_key(random);
            if (random() % 2 == 0) to = random_key(random);
            const bool reverse = random() % 2 == 0;
            auto at = t->iter(range_of(from, to, reverse));
            check_random_moves(at, between(entries, from, to, reverse), random, 100, reverse);
        }
    }
}

TEST_CASE("sst reader: copies share the file and cursors outlive them all") {
    const auto entries = numbered_entries(100);
    lsm::io::memory_file_system inner;
    write_file(inner, table_path, written_table(entries, 64));
    recording_file_system fs(inner);
    std::optional<sst_reader::cursor> at;
    {
        std::optional<sst_reader> reader = must(sst_reader::open(open_file(fs, table_path)));
        const sst_reader copy = *reader;
        CHECK(fs.open_files() == 1);
        reader.reset();
        CHECK(must(copy.get(entries[1].first)).value() == *entries[1].second);
        at = copy.iter();
    }
    must(inner.remove(table_path));
    CHECK(rest_of(*at) == entries);
    at->seek(entries[40].first);
    auto second = std::move(*at);
    at.reset();
    CHECK(second.key() == entries[40].first);
    CHECK(fs.open_files() == 1);
    second.next();
    CHECK(second.key() == entries[41].first);
    {
        const auto last = std::move(second);
        CHECK(last.key() == entries[41].first);
    }
}

TEST_CASE("sst reader: the file is closed with the last reader or cursor") {
    lsm::io::memory_file_system inner;
    write_file(inner, table_path, written_table(numbered_entries(10)));
    recording_file_system fs(inner);
    {
        std::optional<sst_reader> reader = must(sst_reader::open(open_file(fs, table_path)));
        const auto at = reader->iter();
        reader.reset();
        CHECK(fs.open_files() == 1);
    }
    CHECK(fs.open_files() == 0);
}

TEST_CASE("sst reader: a disk error ends a cursor until the next seek and fails lookups") {
    const auto entries = numbered_entries(50);
    lsm::io::memory_file_system inner;
    write_file(inner, table_path, written_table(entries, 64));
    recording_file_system fs(inner);
    const auto reader = must(sst_reader::open(open_file(fs, table_path)));
    auto at = reader.iter();
    fs.fault = [](std::string_view call) { return call.starts_with("read") ? EIO : 0; };
    const auto before = rest_of(at);
    CHECK(before.size() < entries.size());
    CHECK_FALSE(at.valid());
    CHECK(must_fail(at.status()).sys == EIO);
    CHECK(must_fail(reader.get(entries[30].first)).sys == EIO);
    CHECK(must_fail(reader.len()).sys == EIO);
    fs.fault = nullptr;
    at.seek_to_first();
    CHECK(at.status().has_value());
    CHECK(rest_of(at) == entries);
}

TEST_CASE("sst reader: a file truncated after opening is short input and not an end") {
    const auto entries = numbered_entries(50);
    opened_table<> t(written_table(entries, 64));
    const auto handle = must(t.fs.lock(table_path));  // the only way to open an existing file for writing
    must(t.fs.truncate(handle, 100));
    must(t.fs.close(handle));
    CHECK(must_fail(t->get(entries[49].first)).code == errc::short_input);
    auto at = t->iter();
    static_cast<void>(rest_of(at));
    CHECK(must_fail(at.status()).code == errc::short_input);
}

TEST_CASE("sst reader: a failed allocation leaks nothing and leaves the cursor usable") {
    using counted = logged_allocator<std::byte>;
    using reader_type = lsm::basic_sst_reader<lsm::policies<bytes, bytes, counted>>;
    const auto entries = numbered_entries(40);
    lsm::io::memory_file_system fs;
    write_file(fs, table_path, written_table(entries, 128));
    allocation_log log;
    std::size_t failures = 0;
    for (;; ++failures) {
        log.fail_at = log.allocations + failures;
        try {
            const auto reader = must(reader_type::open(open_file(fs, table_path), counted(log)));
            auto at = reader.iter();
            entry_list seen;
            try {
                seen = rest_of(at);
            } catch (const std::bad_alloc&) {
                at.seek_to_first();
                seen = rest_of(at);
                CHECK(seen == entries);
                throw;
            }
            CHECK(seen == entries);
            break;
        } catch (const std::bad_alloc&) {
        }
        REQUIRE(log.live_bytes == 0);
    }
    CHECK(failures > 10);
    CHECK(log.live_bytes == 0);
}
