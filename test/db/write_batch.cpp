#include <lsm/db/write_batch.hpp>

#include <random>
#include <tuple>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/seed.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;
using lsm::write_batch;

}  // namespace

TEST_CASE("write batch: an empty one is encoded as a count of 0") {
    const write_batch batch;
    CHECK(batch.encode() == lsm::bytes(4, '\0'));
    CHECK(batch.count() == 0);
    CHECK(batch.size_bytes() == 4);
    CHECK_FALSE(batch.too_large());
}

TEST_CASE("write batch: the bytes are those of the format page") {
    write_batch batch;
    batch.put("a", "1");
    batch.del("a");
    batch.put("", "");
    const lsm::bytes expected(
        "\3\0\0\0"
        "\0"
        "\1\0\0\0"
        "a"
        "\1\0\0\0"
        "1"  //
        "\1"
        "\1\0\0\0"
        "a"  //
        "\0"
        "\0\0\0\0"
        "\0\0\0\0",
        30);
    CHECK(batch.encode() == expected);
    CHECK(batch.count() == 3);
    CHECK(batch.size_bytes() == expected.size());
}

TEST_CASE("write batch: an encoded batch decodes to the same operations") {
    const auto seed = seed_or(303);
    INFO("LSM_SEED=" << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 200; ++round) {
        entry_list operations;
        for (auto left = random() % 20; left > 0; --left)
            operations.emplace_back(random_key(random),
                                    random() % 3 == 0 ? std::nullopt : optional_value(random_value(random)));
        const write_batch batch = batch_of(operations);
        const write_batch again = must(write_batch::decode(batch.encode()));
        REQUIRE(again.encode() == batch.encode());
        REQUIRE(again.count() == operations.size());
    }
}

TEST_CASE("write batch: trailing bytes are refused") {
    const auto encoded = batch_of({{"a", "1"}, {"b", std::nullopt}});
    const auto why = must_fail(write_batch::decode(lsm::bytes(encoded.encode()) + '\0'));
    CHECK(why.code == errc::trailing_bytes);
    CHECK(why.what.find("offset " + std::to_string(encoded.size_bytes())) != std::string::npos);
    CHECK(must_fail(write_batch::decode(lsm::bytes(5, '\0'))).code == errc::trailing_bytes);
}

TEST_CASE("write batch: one that is cut off anywhere is refused as short") {
    const lsm::bytes whole(batch_of({{"key", "value"}, {"gone", std::nullopt}, {"", ""}}).encode());
    for (std::size_t size = 0; size < whole.size(); ++size)
        CHECK(must_fail(write_batch::decode(whole.substr(0, size))).code == errc::short_input);
}

TEST_CASE("write batch: a type above 1 is refused before the lengths after it are read") {
    CHECK(must_fail(write_batch::decode(lsm::bytes("\1\0\0\0\2", 5))).code == errc::bad_type);
    CHECK(must_fail(write_batch::decode(lsm::bytes("\1\0\0\0\xff\xff\xff\xff\xff", 9))).code == errc::bad_type);
}

TEST_CASE("write batch: a huge count or length is refused without allocating for it") {
    CHECK(must_fail(write_batch::decode(lsm::bytes("\xff\xff\xff\xff\0\xff\xff\xff\xff", 9))).code ==
          errc::short_input);
    CHECK(must_fail(write_batch::decode(lsm::bytes("\xff\xff\xff\xff", 4))).code == errc::short_input);
}

TEST_CASE("write batch: clear leaves it empty and usable") {
    write_batch batch = batch_of({{"a", "1"}});
    batch.clear();
    CHECK(batch.encode() == write_batch().encode());
    batch.put("b", "2");
    CHECK(batch.encode() == batch_of({{"b", "2"}}).encode());
}

TEST_CASE("write batch: one that was moved from is empty and usable") {
    write_batch batch = batch_of({{"a", "1"}});
    write_batch sent = std::move(batch);
    CHECK(sent.encode() == batch_of({{"a", "1"}}).encode());
    batch.put("b", "2");
    CHECK(batch.encode() == batch_of({{"b", "2"}}).encode());
    sent = std::move(batch);
    CHECK(batch.encode() == write_batch().encode());
    CHECK(sent.encode() == batch_of({{"b", "2"}}).encode());
}

TEST_CASE("write batch: a typed one refuses bytes that are not a key or value of its types") {
    using typed = lsm::basic_write_batch<lsm::policies<std::uint32_t, std::uint16_t>>;
    typed batch;
    batch.put(1, 2);
    batch.del(3);
    CHECK(must(typed::decode(batch.encode())).encode() == batch.encode());
    CHECK(must_fail(typed::decode(batch_of({{"abc", "12"}}).encode())).code == errc::bad_key);
    CHECK(must_fail(typed::decode(batch_of({{"abcd", "123"}}).encode())).code == errc::bad_value);
    CHECK(must_fail(typed::decode(batch_of({{"abc", std::nullopt}}).encode())).code == errc::bad_key);
}
