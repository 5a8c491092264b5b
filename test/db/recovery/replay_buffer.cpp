#include <lsm/db/recovery/replay_buffer.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <lsm/db/write_batch.hpp>
#include <lsm/memtable/memtable.hpp>

#include "support/catch.hpp"
#include "support/random_keys.hpp"
#include "support/seed.hpp"

using lsm::bytes;
using namespace lsm::test;

namespace {

using alloc = std::allocator<std::byte>;
using core = lsm::detail::memtable_core<alloc>;

/// The dump of a memtable: every key with its newest entry.
bytes dump_of(const std::shared_ptr<core>& table) {
    bytes out;
    lsm::io::string_sink to(out);
    lsm::detail::memtable_cursor<alloc> at(table, table->newest());
    at.seek_to_first();
    REQUIRE(lsm::detail::write_dump(at, table->len(), to));
    return out;
}

using batches = std::vector<bytes>;  // encoded batches

/// Replays the batches of some logs into one memtable and adds their operations one by one to another. Requires that
/// the two have the same entries.
void check_replay(const std::vector<batches>& logs) {
    const auto replayed = std::make_shared<core>(alloc(), 4096), added = std::make_shared<core>(alloc());
    lsm::detail::sequence added_at = 0, replayed_at = 0;
    for (const batches& of_log : logs) {
        lsm::detail::replay_buffer<alloc> buffer(*replayed, alloc());
        for (const bytes& batch : of_log) buffer.add(batch, ++replayed_at);
        buffer.finish();
        for (const bytes& batch : of_log) {
            ++added_at;
            lsm::detail::batch_reader operations(batch);
            lsm::bytes_view key;
            lsm::entry_view entry;
            while (operations.next(key, entry)) added->add(key, entry, added_at);
        }
    }
    CHECK(replayed->len() == added->len());
    CHECK(replayed->size_bytes() == added->size_bytes());
    CHECK(replayed->newest() == added->newest());
    CHECK(dump_of(replayed) == dump_of(added));
    bool found = true;
    for (const auto* n = added->entries().first(); n != nullptr; n = n->next(0)) {
        const auto* const there = replayed->find(n->key(), lsm::detail::newest_sequence);
        found = found && there != nullptr && there->entry() == n->newest()->entry() &&
                replayed->may_contain(lsm::detail::xxh64(n->key()));
    }
    CHECK(found);
}

template <class Key>
batches random_log(std::mt19937_64& random, std::size_t count, Key key) {
    batches out;
    for (; count > 0; --count) {
        lsm::write_batch batch;
        for (auto operations = random() % 5; operations > 0; --operations)
            random() % 4 == 0 ? batch.del(key()) : batch.put(key(), random_value(random));
        out.emplace_back(batch.encode());
    }
    return out;
}

}  // namespace

TEST_CASE("replay buffer: logs without operations leave the memtable empty") {
    const bytes none(lsm::write_batch().encode());
    check_replay({});
    check_replay({batches()});
    check_replay({batches{none}, batches()});
}

TEST_CASE("replay buffer: the last operation on a key wins within a batch and across batches and logs") {
    lsm::write_batch one, two;
    one.put("key", "1");
    one.del("key");
    one.put("key", "2");
    two.put("key", "3");
    two.put("other", "4");
    two.del("other");
    const bytes first(one.encode()), second(two.encode());
    check_replay({batches{first}});
    check_replay({batches{first, second}});
    check_replay({batches{first, second}, batches{first}});
}

TEST_CASE("replay buffer: replaying has the outcome of adding one by one whatever prefix the keys share") {
    std::mt19937_64 random(seed_or(1));
    const auto any = [&] { return random_key(random); };
    const auto number = [&] { return "user/" + std::to_string(1'000'000 + random() % 1000); };
    // Keys that share more than the eight bytes that the buffer sorts by.
    const auto similar = [&] { return std::string(1, "ab"[random() % 2]) + "the same in all of them" + any(); };
    for (int round = 0; round < 20; ++round) {
        check_replay({random_log(random, 200, any)});
        check_replay({random_log(random, 200, number)});
        check_replay({random_log(random, 200, similar)});
        check_replay({random_log(random, 50, number), random_log(random, 50, any), random_log(random, 50, similar)});
    }
}
