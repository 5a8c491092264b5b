#include <lsm/db/compact.hpp>
#include <lsm/db/db.hpp>

#include <cstdint>
#include <tuple>
#include <type_traits>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/memories.hpp"

/// An allocator decides where memory comes from and nothing else: the files are the same with every allocator.

namespace {

using namespace lsm::test;

template <class Key>
Key key_number(std::uint64_t i) {
    if constexpr (std::is_same_v<Key, lsm::bytes>)
        return "key" + std::to_string(i);
    else if constexpr (std::is_same_v<Key, std::uint64_t>)
        return i * 1'000'003;
    else
        return {i % 5, "part" + std::to_string(i)};
}

// Runs a history with every kind of call. Returns the directory's files, and other outputs, at several points of it.
template <class Key, class Memory>
std::vector<image> files_of_history() {
    using policies = lsm::policies<Key, lsm::bytes, typename Memory::allocator>;
    using database = lsm::basic_db<policies>;
    Memory memory;
    memory_directory directory;
    std::vector<image> out;
    const auto allocator = memory.get();
    for (std::uint64_t round = 0; round < 3; ++round) {
        auto db =
            must(database::open("db", directory.opts({.block_cache_bytes = 2000, .block_bytes = 200}), allocator));
        for (std::uint64_t i = 0; i < 60; ++i)
            must(db.put(key_number<Key>(i + 20 * round), std::to_string(round) + lsm::bytes(i % 50, 'v')));
        typename database::batch batch(allocator);
        for (std::uint64_t i = 0; i < 60; i += 3) batch.del(key_number<Key>(i));
        batch.put(key_number<Key>(7), "from a batch");
        must(db.write(batch));
        out.push_back(directory.files());
        must(db.flush());
        must(db.put(key_number<Key>(8), "in the log"));
        CHECK(must(db.get(key_number<Key>(7))) == "from a batch");
        CHECK_FALSE(must(db.contains(key_number<Key>(9))));
        std::size_t seen = 0;
        for (auto at = db.scan(); at.valid(); at.next()) ++seen;
        for (auto at = db.scan({.reverse = true}); at.valid(); at.next()) --seen;
        CHECK(seen == 0);
        out.push_back({{"the view", view_bytes(db)}});
        must(db.close());
    }
    out.push_back(directory.files());

    std::vector<lsm::basic_sst_reader<policies>> tables;
    for (const char* name : {"db/sst-000003.sst", "db/sst-000002.sst"})
        tables.push_back(must(lsm::basic_sst_reader<policies>::open(open_file(directory.fs, name), allocator)));
    lsm::bytes together;
    lsm::io::string_sink to(together);
    must(lsm::compact(tables, to, {}, allocator));
    out.push_back({{"two tables together", together}});
    return out;
}

template <class Key, class Memory>
void check_same_files() {
    CHECK(files_of_history<Key, Memory>() == files_of_history<Key, standard_memory>());
}

}  // namespace

TEMPLATE_TEST_CASE("policies: byte keys make the same files with every allocator", "", monotonic_memory, arena_memory,
                   logged_memory) {
    check_same_files<lsm::bytes, TestType>();
}

TEMPLATE_TEST_CASE("policies: number keys make the same files with every allocator", "", monotonic_memory, arena_memory,
                   logged_memory) {
    check_same_files<std::uint64_t, TestType>();
}

TEMPLATE_TEST_CASE("policies: tuple keys make the same files with every allocator", "", monotonic_memory, arena_memory,
                   logged_memory) {
    check_same_files<std::tuple<std::uint64_t, lsm::bytes>, TestType>();
}

TEMPLATE_TEST_CASE("policies: a moved-from db can be assigned to with every allocator", "", standard_memory,
                   monotonic_memory, arena_memory, logged_memory) {
    using policies = lsm::policies<lsm::bytes, lsm::bytes, typename TestType::allocator>;
    CHECK(std::is_move_assignable_v<lsm::basic_db<policies>>);
    CHECK(std::is_move_assignable_v<lsm::basic_memtable<policies>>);
    CHECK(std::is_move_assignable_v<lsm::basic_sst_reader<policies>>);
    CHECK(std::is_move_assignable_v<lsm::basic_write_batch<policies>>);
}

TEST_CASE("policies: a db returns all memory to its allocator") {
    using policies = lsm::policies<lsm::bytes, lsm::bytes, logged_allocator<std::byte>>;
    allocation_log log;
    {
        memory_directory directory;
        auto db = must(lsm::basic_db<policies>::open("db", directory.opts(), log));
        for (int i = 0; i < 100; ++i) must(db.put(std::to_string(i), lsm::bytes(500, 'v')));
        must(db.flush());
        must(db.put("a", "1"));
        auto at = db.scan();
        must(db.close());
        CHECK(log.live_bytes > 0);
        while (at.valid()) at.next();
        must(at.status());
    }
    CHECK(log.live_bytes == 0);
}
