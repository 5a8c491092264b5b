#include <lsm/core/batch_coding.hpp>

#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/entry_list.hpp"
#include "support/random_keys.hpp"
#include "support/raw_bytes.hpp"
#include "support/results.hpp"
#include "support/seed.hpp"

using lsm::bytes;
using lsm::bytes_view;
using lsm::entry_type;
using lsm::entry_view;
using lsm::errc;
using lsm::test::entry_list;
using lsm::test::must;
using lsm::test::must_fail;
using lsm::test::u32;
using namespace lsm::detail;

namespace {

bytes batch_of(const entry_list& operations) {
    bytes out = u32(static_cast<std::uint32_t>(operations.size()));
    for (const auto& operation : operations)
        append_batch_operation(out, operation.first, lsm::test::view_of(operation.second));
    return out;
}

entry_list operations_of(batch_reader& batch) {
    entry_list out;
    bytes_view key;
    entry_view entry;
    while (batch.next(key, entry)) {
        REQUIRE((!entry.tombstone() || entry.value.empty()));
        out.emplace_back(key, lsm::test::value_of(entry));
    }
    return out;
}

std::optional<errc> defect_of(bytes_view raw) {
    const auto checked = check_batch(raw);
    if (checked) return std::nullopt;
    return checked.error().code;
}

entry_list::value_type put(bytes key, bytes value) { return {std::move(key), std::move(value)}; }
entry_list::value_type del(bytes key) { return {std::move(key), lsm::test::deleted}; }

const bytes no_bytes;
const bytes type_put(1, '\0');
const bytes type_delete(1, '\1');

}  // namespace

TEST_CASE("write batch: is laid out as the format page says") {
    CHECK(batch_of({put("a", "1")}) == bytes("\1\0\0\0\0\1\0\0\0a\1\0\0\0"
                                             "1",
                                             15));
    CHECK(batch_of({put("a", "1"), del("a"), put("", "")}) == bytes("\3\0\0\0\0\1\0\0\0a\1\0\0\0"
                                                                    "1\1\1\0\0\0a\0\0\0\0\0\0\0\0\0",
                                                                    30));
    CHECK(batch_of({}) == bytes(4, '\0'));
}

TEST_CASE("write batch: random operations are read back in order") {
    const auto seed = lsm::test::seed_or(30);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 300; ++round) {
        entry_list operations(random() % 12);
        for (auto& operation : operations) {
            const bytes key = lsm::test::random_key(random);
            operation = random() % 3 == 0 ? del(key) : put(key, lsm::test::random_value(random));
        }
        const bytes raw = batch_of(operations);
        batch_reader batch(raw);
        REQUIRE(batch.left() == operations.size());
        REQUIRE(operations_of(batch) == operations);
        REQUIRE_FALSE(batch.defect());
        REQUIRE(batch.offset() == raw.size());
        REQUIRE(batch.left() == 0);
        must(check_batch(raw));
    }
}

TEST_CASE("write batch: keys and values are views of the batch") {
    const bytes raw = batch_of({put("key", "value")});
    batch_reader batch(raw);
    bytes_view key;
    entry_view entry;
    REQUIRE(batch.next(key, entry));
    CHECK(key.data() == raw.data() + 9);
    CHECK(entry.value.data() == raw.data() + 16);
    REQUIRE_FALSE(batch.next(key, entry));
}

TEST_CASE("write batch: a delete after a put has no value") {
    const bytes raw = batch_of({put("a", "1"), del("b")});
    batch_reader batch(raw);
    bytes_view key;
    entry_view entry;
    REQUIRE(batch.next(key, entry));
    REQUIRE(batch.next(key, entry));
    CHECK(key == "b");
    CHECK(entry == entry_view{entry_type::tombstone, ""});
}

TEST_CASE("write batch: a batch that is cut off anywhere is short") {
    const entry_list operations = {put("key", "value"), del("other"), put("", ""), put("z", "1")};
    const bytes raw = batch_of(operations);
    for (std::size_t size = 0; size < raw.size(); ++size) {
        INFO("size " << size);
        const bytes_view cut(raw.data(), size);
        const auto failure = must_fail(check_batch(cut));
        REQUIRE(failure.code == errc::short_input);

        // The operations before the cut are read, and none after the defect.
        batch_reader batch(cut);
        const auto intact = operations_of(batch);
        REQUIRE(intact.size() < operations.size());
        REQUIRE(std::equal(intact.begin(), intact.end(), operations.begin()));
        REQUIRE(batch.defect() == errc::short_input);
        REQUIRE(operations_of(batch).empty());
        REQUIRE(batch.offset() <= size);
        REQUIRE(failure.what.starts_with("offset " + std::to_string(batch.offset()) + ": short_input"));
    }
}

TEST_CASE("write batch: every type above 1 is bad") {
    const bytes good = batch_of({put("a", "1")});
    for (unsigned type = 2; type < 256; ++type) {
        bytes bad = batch_of({put("a", "1"), put("b", "2")});
        bad[good.size()] = static_cast<char>(type);
        REQUIRE(defect_of(bad) == errc::bad_type);
        batch_reader batch(bad);
        REQUIRE(operations_of(batch).size() == 1);
        REQUIRE(batch.defect() == errc::bad_type);
    }
}

TEST_CASE("write batch: bytes after the last operation are refused") {
    for (const bytes& tail : {bytes(1, '\0'), bytes("x"), batch_of({put("a", "1")})}) {
        CHECK(defect_of(batch_of({}) + tail) == errc::trailing_bytes);
        CHECK(defect_of(batch_of({put("a", "1")}) + tail) == errc::trailing_bytes);
        CHECK(defect_of(batch_of({del("a")}) + tail) == errc::trailing_bytes);
    }
}

TEST_CASE("write batch: trailing bytes are reported only after the last operation") {
    const bytes raw = batch_of({put("a", "1")}) + "x";
    batch_reader batch(raw);
    CHECK_FALSE(batch.defect());
    CHECK(operations_of(batch).size() == 1);
    CHECK(batch.defect() == errc::trailing_bytes);
}

TEST_CASE("write batch: the first defect in field order is reported") {
    // A bad type, and then the end.
    CHECK(defect_of(u32(1) + "\2") == errc::bad_type);
    // A bad type before a key length that is too large.
    CHECK(defect_of(u32(1) + "\2" + u32(0xffffffff)) == errc::bad_type);
    // A key length that is too large before an operation with a bad type.
    CHECK(defect_of(u32(2) + type_put + u32(100) + "a" + u32(0) + "\2") == errc::short_input);
    // A count that is greater than the number of operations.
    CHECK(defect_of(u32(2) + type_delete + u32(1) + "a") == errc::short_input);
    // No complete count.
    CHECK(defect_of(no_bytes) == errc::short_input);
    CHECK(defect_of("\2\2\2") == errc::short_input);
}

TEST_CASE("write batch: lengths beyond the end of the batch are short") {
    CHECK(defect_of(u32(1) + type_put + u32(0xffffffff) + "key") == errc::short_input);
    CHECK(defect_of(u32(1) + type_delete + u32(0xffffffff) + "key") == errc::short_input);
    CHECK(defect_of(u32(1) + type_put + u32(1) + "k" + u32(0xffffffff) + "v") == errc::short_input);
    CHECK(defect_of(u32(0xffffffff)) == errc::short_input);
    CHECK(defect_of(u32(0xffffffff) + type_delete + u32(0)) == errc::short_input);
}

TEST_CASE("write batch: a delete has no value length") {
    CHECK(defect_of(u32(1) + type_delete + u32(1) + "a" + u32(0)) == errc::trailing_bytes);
}

TEST_CASE("write batch: random changes that are accepted are encoded to the same bytes") {
    const auto seed = lsm::test::seed_or(31);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    int accepted = 0;
    for (int round = 0; round < 50000; ++round) {
        bytes raw = batch_of({put("k", "v"), del("d"), put("", "w")});
        for (auto flips = random() % 3; flips > 0; --flips)
            raw[random() % raw.size()] = static_cast<char>(random() % 2 == 0 ? random() % 4 : random());
        batch_reader batch(raw);
        const auto operations = operations_of(batch);
        REQUIRE(batch.defect() == defect_of(raw));
        if (batch.defect()) continue;
        ++accepted;
        REQUIRE(batch_of(operations) == raw);
    }
    CHECK(accepted > 0);
}

TEST_CASE("write batch: operations are read from bytes that do not begin with the count") {
    const entry_list operations{put("a", "1"), del("a"), put("", "")};
    const bytes raw = batch_of(operations).substr(batch_header_bytes);
    batch_reader all(raw, 3);
    CHECK(all.left() == 3);
    CHECK(operations_of(all) == operations);
    CHECK_FALSE(all.defect());
    CHECK(all.offset() == raw.size());

    batch_reader fewer(raw, 2);
    CHECK(operations_of(fewer) == entry_list{put("a", "1"), del("a")});
    CHECK(fewer.defect() == errc::trailing_bytes);

    batch_reader more(raw, 4);
    CHECK(operations_of(more) == operations);
    CHECK(more.defect() == errc::short_input);

    batch_reader none("", 0);
    CHECK(operations_of(none).empty());
    CHECK_FALSE(none.defect());
    batch_reader missing("", 1);
    CHECK(operations_of(missing).empty());
    CHECK(missing.defect() == errc::short_input);
}
