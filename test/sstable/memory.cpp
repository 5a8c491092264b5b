#include <lsm/sstable/reader.hpp>
#include <lsm/sstable/writer.hpp>

#include <string>

#include "sstable/tables.hpp"
#include "support/allocators.hpp"
#include "support/catch.hpp"

using lsm::bytes;
using namespace lsm::test;

namespace {

using alloc = logged_allocator<std::byte>;
using logged = lsm::policies<bytes, bytes, alloc>;

constexpr std::size_t block_bytes = 4096;
constexpr std::size_t large_table = 10 << 20;

}  // namespace

TEST_CASE("sst memory: writer and reader hold only index and one block of a ten megabyte table") {
    lsm::io::memory_file_system fs;
    int entries = 0;
    allocation_log writing;
    {
        auto out = must(lsm::io::file::open(fs, table_path, lsm::io::open_mode::create_exclusive));
        lsm::io::file_sink to(out);
        lsm::basic_sst_writer<logged> writer(to, {block_bytes}, alloc(writing));
        const bytes value(100, 'v');
        for (std::size_t written = 0; written < large_table; written += 9 + 10 + value.size())
            must(writer.add("key" + std::to_string(1'000'000 + entries++), value));
        must(writer.finish());
    }
    allocation_log reading;
    {
        const auto reader = must(lsm::basic_sst_reader<logged>::open(open_file(fs, table_path), alloc(reading)));
        // A string that grows holds its old and its new bytes at the same time: at worst three times its size.
        const std::size_t bound = 3 * (reader.footer().index_size + 32) + 3 * block_bytes;
        REQUIRE(bound < large_table / 10);
        CHECK(writing.peak_bytes < bound);
        CHECK(writing.live_bytes == 0);

        int seen = 0;
        auto at = reader.iter();
        for (; at.valid(); at.next()) ++seen;
        CHECK(at.status().has_value());
        CHECK(seen == entries);
        CHECK(must(reader.len()) == static_cast<std::uint64_t>(entries));
        CHECK(reading.peak_bytes < bound);
    }
    CHECK(reading.live_bytes == 0);
}

TEST_CASE("sst memory: a walk over large blocks holds one block at a time") {
    // Each block is larger than the one before, so that no memory can be reused for the next one.
    const auto value_bytes = [](char c) {
        return (std::size_t{1} << 20) + static_cast<std::size_t>(c - 'a') * 100'000;
    };
    lsm::io::memory_file_system fs;
    {
        auto out = must(lsm::io::file::open(fs, table_path, lsm::io::open_mode::create_exclusive));
        lsm::io::file_sink to(out);
        lsm::sst_writer writer(to, {.block_size = block_bytes, .extended = GENERATE(true, false)});
        for (char c = 'a'; c < 'i'; ++c) must(writer.add(bytes(1, c), bytes(value_bytes(c), c)));
        must(writer.finish());
    }
    allocation_log reading;
    const auto reader = must(lsm::basic_sst_reader<logged>::open(open_file(fs, table_path), alloc(reading)));
    for (const bool reverse : {false, true}) {
        auto at = reader.iter({.reverse = reverse});
        int seen = 0;
        for (; at.valid(); at.next()) ++seen;
        must(at.status());
        CHECK(seen == 8);
    }
    CHECK(reading.peak_bytes < value_bytes('h') + value_bytes('h') / 4);
}
