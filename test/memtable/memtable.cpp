#include <lsm/memtable/memtable.hpp>

#include <cerrno>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <lsm/core/hex.hpp>

#include "support/catch.hpp"
#include "support/cursors.hpp"
#include "support/random_keys.hpp"
#include "support/random_moves.hpp"
#include "support/raw_bytes.hpp"
#include "support/results.hpp"
#include "support/seed.hpp"

using lsm::bytes;
using lsm::memtable;
using namespace lsm::test;

TEST_CASE("memtable: an empty memtable has a dump of 8 bytes") {
    const memtable table;
    CHECK(table.encode() == std::string("MMT1\0\0\0\0", 8));
    CHECK(table.size_bytes() == 8);
    CHECK(table.len() == 0);
    CHECK_FALSE(table.iter().valid());
}

TEST_CASE("memtable: an overwrite keeps one entry with the newest value") {
    memtable table;
    table.put("key", "old");
    table.put("key", "newer");
    CHECK(table.len() == 1);
    CHECK(table.get("key").value() == "newer");
    CHECK(table.size_bytes() == table.encode().size());
}

TEST_CASE("memtable: get distinguishes found and tombstone and absent") {
    memtable table;
    table.put("found", "value");
    table.put("empty value", "");
    table.put("deleted", "value");
    table.del("deleted");
    table.del("never put");
    table.del("put again");
    table.put("put again", "back");

    CHECK(table.get("found") == memtable::lookup("value"));
    CHECK(table.get("empty value") == memtable::lookup(""));
    CHECK(table.get("deleted").tombstone());
    CHECK(table.get("never put").tombstone());
    CHECK(table.get("put again") == memtable::lookup("back"));
    for (const auto* const key : {"", "foun", "found\x01", "g", "zzz"}) CHECK(table.get(key).absent());
    CHECK(table.len() == 5);
}

TEST_CASE("memtable: a tombstone takes the value out of the size and keeps the key") {
    memtable table;
    table.put("alpha", "first");
    table.put("beta", "second");
    table.put("alpha", "first-updated");
    table.del("beta");
    CHECK(table.len() == 2);
    CHECK(table.size_bytes() == 8 + (9 + 5 + 13) + (9 + 4));
    CHECK(table.encode() == raw_dump({{"alpha", "first-updated"}, {"beta", std::nullopt}}));
}

TEST_CASE("memtable: keys are ordered by unsigned bytes with the empty key first") {
    const std::vector<bytes> ordered = {"",
                                        bytes(1, '\0'),
                                        bytes(2, '\0'),
                                        "a",
                                        bytes("a\0", 2),
                                        "a\x01",
                                        "aa",
                                        "b",
                                        "\x7f",
                                        "\x80",
                                        "\x80\x80",
                                        "\xfe",
                                        "\xff",
                                        "\xff\xff",
                                        "\xff\xff\xff\xff\xff\xff\xff\xff",
                                        "\xff\xff\xff\xff\xff\xff\xff\xff\xff"};
    memtable table;
    for (std::size_t i = 0; i < ordered.size(); ++i) table.put(ordered[(i * 7 + 3) % ordered.size()], "v");

    std::vector<bytes> seen;
    for (auto at = table.iter(); at.valid(); at.next()) seen.emplace_back(at.key());
    CHECK(seen == ordered);
}

TEST_CASE("memtable: keys that start alike are distinguished by the rest and by their length") {
    // A fixed-width prefix cannot distinguish zeros at the end of a key from the end itself.
    memtable table;
    std::map<bytes, bytes> expected;
    for (const auto* const stem : {"", "abcdefg", "abcdefgh", "abcdefghi"})
        for (std::size_t zeros = 0; zeros < 11; ++zeros) {
            const bytes key = stem + bytes(zeros, '\0');
            table.put(key, lsm::hex(key));
            expected[key] = lsm::hex(key);
        }
    CHECK(table.len() == expected.size());
    auto at = table.iter();
    for (const auto& [key, value] : expected) {
        CHECK(table.get(key) == memtable::lookup(value));
        REQUIRE(at.valid());
        CHECK(at.key() == key);
        at.next();
    }
    CHECK_FALSE(at.valid());
}

TEST_CASE("memtable: the dump of fifty entries decodes to the same entries") {
    memtable table;
    for (int i = 0; i < 50; ++i) {
        const auto key = "key" + std::to_string(i);
        if (i % 7 == 3)
            table.del(key);
        else
            table.put(key, "value" + std::to_string(i * i));
    }
    const bytes dump = table.encode();
    const memtable back = must(memtable::decode(dump));
    CHECK(back.len() == 50);
    CHECK(back.size_bytes() == dump.size());
    CHECK(back.encode() == dump);
    CHECK(rest_of(back.iter()) == rest_of(table.iter()));
    CHECK(back.get("key3").tombstone());
    CHECK(back.get("key4") == memtable::lookup("value16"));
}

TEST_CASE("memtable: random operations agree with a map and size_bytes is always the length of the dump") {
    const auto seed = seed_or(20240117);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    memtable table;
    std::map<bytes, std::optional<bytes>> model;
    std::uint64_t model_bytes = 8;
    for (int step = 0; step < 20000; ++step) {
        const bytes key = random_key(random);
        std::optional<bytes> value;
        if (random() % 3 != 0) value = random_value(random);
        if (const auto old = model.find(key); old != model.end())
            model_bytes -= 9 + key.size() + old->second.value_or("").size();
        model_bytes += 9 + key.size() + value.value_or("").size();
        if (value)
            table.put(key, *value);
        else
            table.del(key);
        model[key] = value;

        REQUIRE(table.len() == model.size());
        REQUIRE(table.size_bytes() == model_bytes);
        if (step % 500 == 0) {
            const entry_list expected(model.begin(), model.end());
            REQUIRE(table.encode() == raw_dump(expected));
            auto at = table.iter();
            check_random_moves(at, expected, random, 300);
        }
        const bytes other = random_key(random);
        const auto looked = table.get(other);
        const auto known = model.find(other);
        REQUIRE(looked.absent() == (known == model.end()));
        if (known != model.end()) {
            REQUIRE(looked.tombstone() == !known->second.has_value());
            if (known->second) REQUIRE(looked.value() == *known->second);
        }
    }
}

TEST_CASE("memtable: ascending and descending and mixed runs of keys are all kept") {
    // The path of the last write is reused for a key that follows, so ascending runs and breaks in them are different
    // cases.
    memtable table;
    std::map<bytes, std::optional<bytes>> model;
    const auto put = [&](int i) {
        const bytes key = std::to_string(1000 + i);
        table.put(key, key);
        model[key] = key;
    };
    for (int i = 0; i < 300; i += 3) put(i);
    for (int i = 299; i >= 0; i -= 3) put(i);
    for (int i = 150; i < 200; ++i) put(i);
    put(0);
    for (int i = 1; i < 50; ++i) put(i);
    for (int i = 0; i < 300; i += 10) put(i);
    CHECK(rest_of(table.iter()) == entry_list(model.begin(), model.end()));
    CHECK(table.len() == model.size());
}

TEST_CASE("memtable: views of values stay valid while more is written") {
    memtable table;
    table.put("key", "the first value");
    const auto early = table.get("key");
    for (int i = 0; i < 2000; ++i) table.put("key" + std::to_string(i % 50), bytes(100, 'x'));
    table.put("key", "another");
    CHECK(early.value() == "the first value");
}

TEST_CASE("memtable: keys and values of megabytes are kept with small ones") {
    memtable table;
    const bytes large(3 << 20, 'L');
    table.put("large", large);
    table.put("small", "s");
    table.put(large, "large key");
    CHECK(table.get("large").value() == large);
    CHECK(table.get("small").value() == "s");
    CHECK(table.get(large).value() == "large key");
    CHECK(table.memory_bytes() >= 2 * large.size());
    CHECK(table.memory_bytes() < 2 * large.size() + (2 << 20));
}

TEST_CASE("memtable: a move takes the entries along and the source can be assigned again") {
    memtable from;
    from.put("key", "value");
    memtable to = std::move(from);
    CHECK(to.get("key").value() == "value");
    to.put("other", "value");
    from = memtable();
    from.put("fresh", "value");
    CHECK(from.len() == 1);
    CHECK(to.len() == 2);
    to = std::move(from);
    CHECK(to.get("key").absent());
    CHECK(to.get("fresh").found());
}

TEST_CASE("memtable: encode reports the error of its sink and stops writing") {
    struct full final : lsm::io::sink {
        lsm::result<void> append(lsm::bytes_view) override {
            ++calls;
            if (calls == last) return lsm::detail::system_failure("write", ENOSPC);
            return {};
        }
        int last = 0, calls = 0;
    } to;
    memtable table;
    for (const auto* const key : {"a", "b", "c"}) table.put(key, "value");
    must(table.encode(to));
    for (int pieces = to.calls; to.last < pieces;) {
        ++to.last;
        to.calls = 0;
        CHECK(must_fail(table.encode(to)).code == lsm::errc::no_space);
        CHECK(to.calls == to.last);
    }
}

TEST_CASE("memtable: a dump written while entries are added has as many entries as its count") {
    // A sink that writes to the memtable acts as another thread would at the worst moment.
    memtable table;
    for (const auto* const key : {"a", "b", "c"}) table.put(key, "value");
    struct meddling final : lsm::io::sink {
        explicit meddling(memtable& t) : table(t) {}
        lsm::result<void> append(lsm::bytes_view data) override {
            written += data;
            if (std::exchange(first, false)) {
                table.put("b", "a longer value");
                table.put("d", "added after");
                table.put("0", "added before");
            }
            return {};
        }
        memtable& table;
        bool first = true;
        bytes written;
    } to(table);
    must(table.encode(to));
    CHECK(must(memtable::decode(to.written)).encode() == to.written);
}
