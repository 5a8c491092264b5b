#include <atomic>
#include <cstdint>
#include <string>

#include <lsm/db/db.hpp>
#include <lsm/io/memory_file_system.hpp>
#include <lsm/memtable/memtable.hpp>

#include "support/catch.hpp"
#include "support/results.hpp"
#include "support/threads.hpp"

using namespace lsm::test;

// Without a sanitizer these tests check what readers see; ThreadSanitizer also checks what they access. Catch's macros
// are for one thread only, so the readers count what is wrong.

namespace {

constexpr int key_count = 300;
std::string key_of(int i) { return "key" + std::to_string(i * 7919 % key_count); }

constexpr int inserts = 100'000;
// Ascending, and all less than "z".
std::string neighbour(int i) { return "y" + std::to_string(100'000 + i); }

}  // namespace

TEST_CASE("concurrent memtable: while one thread writes the others read whole entries in key order") {
    constexpr int reader_count = 3;
    lsm::memtable table;
    std::atomic<bool> done = false;
    std::atomic<std::uint64_t> defects = 0;
    std::atomic<std::uint64_t> walks = 0;
    thread_group readers;
    readers.start(reader_count, [&](int) {
        bool last_walk = false;
        while (!last_walk) {
            last_walk = done;
            std::string previous;
            std::size_t entries = 0;
            auto at = table.iter();
            for (; at.valid(); at.next()) {
                if (entries++ != 0 && at.key() <= lsm::bytes_view(previous)) ++defects;
                previous = at.key();
                if (!at.tombstone() && !at.value().starts_with(at.key())) ++defects;
            }
            std::size_t backwards = 0;
            for (at.seek_to_last(); at.valid(); at.prev()) ++backwards;
            if (backwards != entries) ++defects;
            if (entries > table.len() || table.size_bytes() < 8 || table.memory_bytes() == 0) ++defects;
            for (int i = 0; i < key_count; i += 17) {
                const auto found = table.get(key_of(i));
                if (found.found() && !found.value().starts_with(key_of(i))) ++defects;
            }
            ++walks;
        }
    });
    for (std::size_t round = 0; round < 40; ++round)
        for (int i = 0; i < key_count; ++i) {
            if ((static_cast<std::size_t>(i) + round) % 5 == 0)
                table.del(key_of(i));
            else
                table.put(key_of(i), key_of(i) + std::string(round, 'x'));
        }
    done = true;
    readers.join();
    CHECK(defects == 0);
    CHECK(walks >= reader_count);
    CHECK(table.len() == key_count);
}

TEST_CASE("concurrent memtable: a key is found while keys are inserted directly before it") {
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

TEST_CASE("concurrent memtable: a get does not fall back to an older value while keys are inserted directly before") {
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
