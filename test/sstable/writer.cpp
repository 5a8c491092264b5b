#include <lsm/sstable/writer.hpp>

#include <sys/mman.h>

#include <cerrno>
#include <map>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <lsm/io/posix_file_system.hpp>
#include <lsm/io/replacement.hpp>
#include <lsm/memtable/memtable.hpp>

#include "sstable/tables.hpp"
#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/cursors.hpp"
#include "support/random_keys.hpp"
#include "support/seed.hpp"

using lsm::bytes;
using lsm::errc;
using namespace lsm::test;

namespace {

// A model of the block boundary rule, written from the format page.
std::vector<entry_list> model_blocks(const entry_list& entries, std::size_t target) {
    std::vector<entry_list> blocks;
    std::size_t size = 0;
    for (const auto& e : entries) {
        const std::size_t record = 9 + e.first.size() + e.second.value_or("").size();
        if (blocks.empty() || size + record > target) {
            blocks.emplace_back();
            size = 4;
        }
        blocks.back().push_back(e);
        size += record;
    }
    return blocks;
}

struct failing_sink final : lsm::io::sink {
    explicit failing_sink(int good_calls) : left(good_calls) {}
    lsm::result<void> append(lsm::bytes_view data) override {
        ++calls;
        if (left-- <= 0) return lsm::detail::system_failure("write", EIO);
        written += data;
        return {};
    }
    int left;
    int calls = 0;
    bytes written;
};

}  // namespace

TEST_CASE("sst writer: a table of no entries is 36 bytes") {
    CHECK(written_table({}) == unhex("00000000 0000000000000000 0400000000000000 0000000000000000 5353543100000000"));
}

TEST_CASE("sst writer: one entry makes one block and one index entry") {
    const entry_list entries = {{"key", "value"}};
    CHECK(written_table(entries) == unhex("01000000 03000000 05000000 00 6b6579 76616c7565"
                                          "01000000 03000000 0000000000000000 1500000000000000 6b6579"
                                          "1500000000000000 1b00000000000000 0100000000000000 5353543100000000"));
}

TEST_CASE("sst writer: a block may reach the target size and not exceed it") {
    // Records of 20 bytes: two fill a block of 44.
    const entry_list entries = {
        {"a", bytes(10, 'v')}, {"b", bytes(10, 'v')}, {"c", bytes(10, 'v')}, {"d", bytes(10, 'v')}};
    const auto blocks = [&](std::uint32_t target) {
        return opened_table<>(written_table(entries, target))->num_blocks();
    };
    CHECK(blocks(43) == 4);
    CHECK(blocks(44) == 2);
    CHECK(blocks(63) == 2);
    CHECK(blocks(64) == 2);
    CHECK(blocks(83) == 2);
    CHECK(blocks(84) == 1);
}

TEST_CASE("sst writer: an entry larger than the target has a block of its own") {
    const entry_list entries = {{"a", "1"}, {"b", bytes(500, 'v')}, {"c", "3"}, {"d", "4"}};
    const bytes table = written_table(entries, 64);
    CHECK(table == raw_table({{entries[0]}, {entries[1]}, {entries[2], entries[3]}}));
    CHECK(opened_table<>(written_table(entries, 1))->num_blocks() == entries.size());
}

TEST_CASE("sst writer: tables of random sizes match the block boundary rule to the byte") {
    const auto seed = seed_or(64);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 300; ++round) {
        std::map<bytes, std::optional<bytes>> sorted;
        for (auto n = random() % 60; n > 0; --n) {
            std::optional<bytes> value;
            if (random() % 5 != 0) value = bytes(static_cast<std::size_t>(random() % 40), 'v');
            sorted[random_key(random)] = value;
        }
        const entry_list entries(sorted.begin(), sorted.end());
        std::vector<std::uint32_t> targets = {1, 64, static_cast<std::uint32_t>(random() % 200 + 1), 4096};
        // The target that the first block fills exactly, and its neighbours.
        if (!entries.empty()) {
            const auto some = static_cast<std::ptrdiff_t>(random() % entries.size() + 1);
            const auto exact = static_cast<std::uint32_t>(raw_block({entries.begin(), entries.begin() + some}).size());
            targets.insert(targets.end(), {exact - 1, exact, exact + 1});
        }
        for (const auto target : targets) {
            INFO("round " << round << " target " << target);
            REQUIRE(written_table(entries, target) == raw_table(model_blocks(entries, target)));
        }
    }
}

TEST_CASE("sst writer: the file ends with the footer that the reader returns") {
    const bytes table = written_table(numbered_entries(200), 256);
    opened_table<> t(table);
    const auto& footer = t->footer();
    CHECK(footer.magic_ok);
    CHECK(footer.index_offset + footer.index_size + 32 == table.size());
    CHECK(footer.num_blocks == t->num_blocks());
    CHECK(table.substr(table.size() - 32) == raw_footer(footer.index_offset, footer.index_size, footer.num_blocks));
    CHECK(t->file_bytes() == table.size());
    CHECK(must(lsm::sst_reader::read_footer(open_file(t.fs, table_path))) == footer);
}

TEST_CASE("sst writer: a table has the entries of the memtable that was written") {
    lsm::memtable table;
    for (int i = 0; i < 1000; ++i) table.put("key" + std::to_string(i), "val" + std::to_string(i));
    for (int i = 0; i < 1000; i += 9) table.del("key" + std::to_string(i));
    table.put("", "the empty key");
    const auto entries = rest_of(table.iter());
    for (const std::uint32_t target : {1u, 64u, 4096u, 1u << 20}) {
        const opened_table<> t(written_table(entries, target));
        CHECK(rest_of(t->iter()) == entries);
        CHECK(must(t->len()) == entries.size());
        for (const auto& [key, value] : entries) {
            const auto found = must(t->get(key));
            REQUIRE(found.tombstone() == !value.has_value());
            if (value) REQUIRE(found.value() == *value);
        }
    }
}

TEST_CASE("sst writer: after a key that is not greater than the last every call returns unsorted") {
    for (const auto& [first, second] : std::vector<std::pair<bytes, bytes>>{
             {"b", "a"}, {"a", "a"}, {"", ""}, {"a", ""}, {"\x80", "\x7f"}, {bytes("a\0", 2), "a"}}) {
        for (const std::uint32_t target : {1u, 4096u}) {
            bytes out;
            lsm::io::string_sink to(out);
            lsm::sst_writer writer(to, {target});
            must(writer.add(first, "1"));
            const auto error = must_fail(writer.add(second, "2"));
            CHECK(error.code == errc::unsorted);
            const bytes before = out;
            CHECK(must_fail(writer.add("z", "3")).what == error.what);
            CHECK(must_fail(writer.finish()).what == error.what);
            CHECK(out == before);
        }
    }
}

TEST_CASE("sst writer: a failure inside an io::replacement leaves neither table nor temporary file") {
    const scratch_directory dir;
    auto& fs = lsm::io::default_file_system();
    const std::string temporary = dir / "table.sst.tmp";
    const std::string target = dir / "table.sst";
    {
        auto out = must(lsm::io::replacement::create(fs, temporary, target));
        lsm::io::file_sink to(out.file());
        lsm::sst_writer writer(to, {16});
        must(writer.add("b", "written before the failure"));
        must(writer.add("c", "written before the failure"));
        CHECK(must(out.file().size()) > 0);
        CHECK(must_fail(writer.add("a", "out of order")).code == errc::unsorted);
    }
    CHECK(must_fail(lsm::io::file::open(fs, temporary, lsm::io::open_mode::read)).code == errc::not_found);
    CHECK(must_fail(lsm::io::file::open(fs, target, lsm::io::open_mode::read)).code == errc::not_found);
}

TEST_CASE("sst writer: after the first error of the sink nothing is written") {
    const auto entries = numbered_entries(20);
    for (int good = 0;; ++good) {
        failing_sink to(good);
        lsm::sst_writer writer(to, {64});
        std::optional<lsm::error> first;
        for (const auto& [key, value] : entries)
            if (auto added = writer.add(key, value); !added && !first) first = std::move(added).error();
        auto finished = writer.finish();
        if (finished) {
            CHECK_FALSE(first);
            CHECK(good > 5);
            break;
        }
        if (!first) first = finished.error();
        CHECK(first->sys == EIO);
        CHECK(finished.error().what == first->what);
        CHECK(must_fail(writer.add("zzz", "more")).what == first->what);
        CHECK(must_fail(writer.finish()).what == first->what);
        CHECK(to.calls == good + 1);
    }
}

TEST_CASE("sst writer: keys and values beyond 32 bits are too large") {
    // Address space only: the pages are never touched.
    constexpr std::size_t size = lsm::max_length + std::size_t{1};
    void* const reserved = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(reserved != MAP_FAILED);
    const lsm::bytes_view huge(static_cast<const char*>(reserved), size);
    bytes out;
    lsm::io::string_sink to(out);
    {
        lsm::sst_writer writer(to);
        must(writer.add("a", "1"));
        CHECK(must_fail(writer.add("b", huge)).code == errc::too_large);
        CHECK(must_fail(writer.finish()).code == errc::too_large);
    }
    lsm::sst_writer writer(to);
    CHECK(must_fail(writer.add(huge, std::nullopt)).code == errc::too_large);
    CHECK(out.empty());
    ::munmap(reserved, size);
}

TEST_CASE("sst writer: a call that failed for lack of memory can be repeated") {
    using alloc = logged_allocator<std::byte>;
    auto entries = numbered_entries(30, 40);
    for (std::size_t i = 0; i < entries.size(); ++i)
        entries[i].first.append(3 * i, 'k');  // so that each needs more memory
    const auto write = [&](std::size_t fail_at, bool& failed) {
        allocation_log memory;
        memory.fail_at = fail_at;
        bytes out;
        lsm::io::string_sink to(out);
        lsm::basic_sst_writer<lsm::policies<bytes, bytes, alloc>> writer(to, {.block_size = 256, .extended = true},
                                                                         alloc(memory));
        const auto again = [&](auto step) {
            try {
                must(step());
            } catch (const std::bad_alloc&) {
                failed = true;
                must(step());
            }
        };
        for (const auto& e : entries) again([&] { return writer.add(e.first, e.second); });
        again([&] { return writer.finish(); });
        return out;
    };
    bool failed = false;
    const bytes expected = write(SIZE_MAX, failed);
    // The constructor allocates too. Skip its allocations.
    std::size_t first = 0;
    for (bool constructed = false; !constructed; first += !constructed) {
        try {
            static_cast<void>(write(first, failed));
            constructed = true;
        } catch (const std::bad_alloc&) {
        }
    }
    failed = true;
    for (std::size_t fail_at = first; std::exchange(failed, false); ++fail_at) {
        INFO("allocation " << fail_at);
        const bytes made = write(fail_at, failed);
        CHECK(made == expected);
    }
}
