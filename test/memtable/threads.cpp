#include <lsm/memtable/memtable.hpp>

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using lsm::bytes;
using lsm::memtable;

namespace {

constexpr int keys = 300;
constexpr int rounds = 40;
constexpr int readers = 3;

bytes key_of(int i) { return "key" + std::to_string(i * 7919 % keys); }

}  // namespace

// Without a sanitizer this sees what readers see; with ThreadSanitizer also what they touch. Catch's macros are not for
// threads, so readers count.
TEST_CASE("memtable threads: one writes while others read sound and ordered entries") {
    memtable table;
    std::atomic<bool> done = false;
    std::atomic<std::uint64_t> defects = 0;
    std::atomic<std::uint64_t> walks = 0;

    const auto read = [&] {
        bool last_walk = false;
        while (!last_walk) {
            last_walk = done;
            bytes previous;
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
            for (int i = 0; i < keys; i += 17) {
                const auto found = table.get(key_of(i));
                if (found.found() && !found.value().starts_with(key_of(i))) ++defects;
            }
            ++walks;
        }
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < readers; ++i) threads.emplace_back(read);
    for (int round = 0; round < rounds; ++round)
        for (int i = 0; i < keys; ++i) {
            if ((i + round) % 5 == 0)
                table.del(key_of(i));
            else
                table.put(key_of(i), key_of(i) + bytes(static_cast<std::size_t>(round), 'x'));
        }
    done = true;
    for (auto& t : threads) t.join();

    CHECK(defects == 0);
    CHECK(walks >= readers);
    CHECK(table.len() == keys);
}
