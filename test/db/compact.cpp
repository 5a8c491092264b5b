#include <lsm/db/compact.hpp>

#include <random>

#include <lsm/io/memory_file_system.hpp>

#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/entries.hpp"
#include "support/seed.hpp"

namespace {

using namespace lsm::test;

std::vector<lsm::sst_reader> readers_of(lsm::io::file_system& fs, const std::vector<entry_map>& sources,
                                        std::uint32_t block_size = 64) {
    std::vector<lsm::sst_reader> out;
    for (std::size_t i = 0; i < sources.size(); ++i)
        out.push_back(open_table(fs, "source" + std::to_string(i), sources[i], block_size));
    return out;
}

lsm::bytes compacted(const std::vector<lsm::sst_reader>& newest_first, lsm::compact_options options) {
    lsm::bytes out;
    lsm::io::string_sink to(out);
    must(lsm::compact(newest_first, to, options));
    return out;
}

}  // namespace

TEST_CASE("compact: without inputs the result is the table without entries") {
    const auto out = compacted({}, {});
    CHECK(out.size() == 36);
    CHECK(out == table_of({}));
}

TEST_CASE("compact: if no entry is left the result is the table without entries") {
    lsm::io::memory_file_system fs;
    CHECK(compacted(readers_of(fs, {{}, {}}), {}) == table_of({}));
    CHECK(compacted(readers_of(fs, {{{"a", std::nullopt}}}), {.drop_tombstones = true}) == table_of({}));
}

TEST_CASE("compact: the result is the table of the merged inputs") {
    const auto seed = seed_or(5150);
    INFO("LSM_SEED=" << seed);
    std::mt19937_64 random(seed);
    lsm::io::memory_file_system fs;
    for (int round = 0; round < 60; ++round) {
        std::vector<entry_map> sources(1 + random() % 6);
        for (entry_map& source : sources) source = random_entries(random, 50);
        const auto readers = readers_of(fs, sources, static_cast<std::uint32_t>(1 + random() % 200));
        for (const bool drop : {false, true}) {
            const auto target = static_cast<std::uint32_t>(1 + random() % 500);
            REQUIRE(compacted(readers, {.drop_tombstones = drop, .table = {.block_size = target}}) ==
                    table_of(merged(sources, drop), target));
        }
    }
}

TEST_CASE("compact: the result does not depend on how the entries are split among the inputs") {
    const auto seed = seed_or(606);
    INFO("LSM_SEED=" << seed);
    std::mt19937_64 random(seed);
    lsm::io::memory_file_system fs;
    entry_map all;
    while (all.size() < 50) all.merge(random_entries(random, 100));
    for (std::size_t parts = 1; parts <= 8; ++parts) {
        std::vector<entry_map> sources(parts);
        for (const auto& [key, value] : all) {
            const std::size_t newest = random() % parts;
            sources[newest][key] = value;
            for (std::size_t older = newest + 1; older < parts; ++older)
                if (random() % 3 == 0) sources[older][key] = "hidden";
        }
        CHECK(compacted(readers_of(fs, sources), {.table = {.block_size = 100}}) == table_of(all, 100));
    }
}

TEST_CASE("compact: compacting the result again changes nothing") {
    std::mt19937_64 random(seed_or(17));
    lsm::io::memory_file_system fs;
    const entry_map all = random_entries(random, 100);
    const auto once = compacted(readers_of(fs, {all}), {.table = {.block_size = 77}});
    write_file(fs, "once", once);
    CHECK(compacted({must(lsm::sst_reader::open(open_file(fs, "once")))}, {.table = {.block_size = 77}}) == once);
}

TEST_CASE("compact: damage in an input is an error and not a shorter table") {
    lsm::io::memory_file_system fs;
    entry_map entries;
    for (int i = 0; i < 50; ++i) entries["key" + std::to_string(i)] = "value";
    const auto intact_readers = readers_of(fs, {entries, {{"zz", "1"}}});
    int refused = 0;
    for (std::size_t at = 0; at < 400; at += 7) {
        auto broken = table_of(entries, 64);
        broken[at + 4] = '\xff';  // makes a count, a length, a type or a key of a block too large
        broken[at + 5] = '\xff';
        write_file(fs, "broken", broken);
        const auto reader = lsm::sst_reader::open(open_file(fs, "broken"));
        if (!reader) continue;
        std::vector<lsm::sst_reader> readers = intact_readers;
        readers.push_back(*reader);
        lsm::bytes out;
        lsm::io::string_sink to(out);
        const auto done = lsm::compact(readers, to);
        const auto counted = reader->len();
        CHECK(done.has_value() == counted.has_value());
        if (done || counted) continue;
        CHECK(done.error().what == counted.error().what);
        ++refused;
    }
    CHECK(refused > 10);
}

TEST_CASE("compact: an error of the sink is returned") {
    class full_sink final : public lsm::io::sink {
        lsm::result<void> append(lsm::bytes_view) override { return lsm::error{lsm::errc::no_space, 28, "full"}; }
    };
    lsm::io::memory_file_system fs;
    full_sink to;
    CHECK(must_fail(lsm::compact(readers_of(fs, {{{"a", "1"}}}), to)).what == "full");
    CHECK(must_fail(lsm::compact(std::vector<lsm::sst_reader>(), to)).what == "full");
}

TEST_CASE("compact: memory does not grow with the number of entries") {
    using byte_policies = lsm::policies<lsm::bytes, lsm::bytes, logged_allocator<std::byte>>;
    lsm::io::memory_file_system fs;
    std::size_t peaks[2] = {};
    std::size_t indexes[2] = {};
    const std::size_t sizes[2] = {10'000, 50'000};
    for (int i = 0; i < 2; ++i) {
        entry_map entries;
        for (std::size_t n = 0; n < sizes[i]; ++n) entries[std::to_string(n)] = lsm::bytes(20, 'v');
        write_file(fs, "in", table_of(entries));
        allocation_log log;
        {
            std::vector<lsm::basic_sst_reader<byte_policies>> readers;
            readers.push_back(must(lsm::basic_sst_reader<byte_policies>::open(open_file(fs, "in"), log)));
            indexes[i] = log.live_bytes;
            lsm::bytes out;
            lsm::io::string_sink to(out);
            must(lsm::compact(readers, to, {}, log));
            peaks[i] = log.peak_bytes - indexes[i];
        }
        CHECK(log.live_bytes == 0);
    }
    // The index of the new table grows with the number of blocks, as that of the old table does, and needs room for the
    // old and the new buffer when the buffer doubles. What a long walk reads at once has a limit.
    CHECK(peaks[1] <= peaks[0] + 3 * indexes[1]);
}
