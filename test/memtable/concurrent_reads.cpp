#include <atomic>
#include <string>

#include <lsm/db/db.hpp>
#include <lsm/io/memory_file_system.hpp>
#include <lsm/memtable/memtable.hpp>

#include "support/results.hpp"
#include "support/threads.hpp"

using namespace lsm::test;

namespace {

constexpr int inserts = 100'000;

// Ascending, all below "z".
std::string neighbour(int i) { return "y" + std::to_string(100'000 + i); }

}  // namespace

TEST_CASE("concurrent memtable: a key is found while others are inserted right in front of it") {
    lsm::memtable table;
    table.put("z", "v");
    std::atomic<bool> done = false;
    std::atomic<int> missed = 0;
    thread_group readers;
    readers.start(2, [&](int) {
        while (!done) missed += !table.get("z").found();
    });
    for (int i = 0; i < inserts; ++i) table.put(neighbour(i), "v");
    done = true;
    readers.join();
    CHECK(missed == 0);
}

TEST_CASE("concurrent memtable: a get does not fall back to an older value while neighbours are inserted") {
    lsm::io::memory_file_system memory;
    auto db = must(lsm::db::open("db", {.sync = false, .file_system = &memory}));
    must(db.put("z", "older"));
    must(db.flush());
    must(db.put("z", "newer"));
    std::atomic<bool> done = false;
    std::atomic<int> older = 0;
    thread_group readers;
    readers.start(2, [&](int) {
        while (!done) older += db.get("z").value_or(std::nullopt) != "newer";
    });
    for (int i = 0; i < inserts; ++i) must(db.put(neighbour(i), "v"));
    done = true;
    readers.join();
    CHECK(older == 0);
}
