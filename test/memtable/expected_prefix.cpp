#include <cstddef>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <lsm/memtable/memtable.hpp>

#include "support/catch.hpp"
#include "support/seed.hpp"

namespace {

using core = lsm::detail::memtable_core<std::allocator<std::byte>>;
using cursor = lsm::detail::memtable_cursor<std::allocator<std::byte>>;
using lsm::bytes;

// A key that begins with the expected prefix or a part of it, or sorts before or after it, and may go on with the
// smallest and the greatest bytes.
bytes some_key(std::mt19937_64& random, const bytes& expected) {
    bytes out = expected.substr(0, random() % 3 == 0 ? random() % (expected.size() + 1) : expected.size());
    if (random() % 4 == 0 && !out.empty()) out.back() = static_cast<char>(out.back() + (random() % 2 == 0 ? 1 : -1));
    for (std::size_t n = random() % 12; n > 0; --n)
        out.push_back(
            "\x00\x01"
            "az\x7f\x80\xff"[random() % 7]);
    return out;
}

}  // namespace

TEST_CASE("memtable: any expected prefix leaves the entries in key order and every key findable") {
    const auto expected = GENERATE(bytes(), bytes("k"), bytes("customer/0000"), bytes(3, '\xff'), bytes(9, '\0'));
    const auto seed = lsm::test::seed_or(20);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    const auto table = std::make_shared<core>(std::allocator<std::byte>());
    table->expect_prefix(expected);
    std::map<bytes, bytes> model;
    for (lsm::detail::sequence n = 1; n <= 3000; ++n) {
        const bytes key = some_key(random, expected);
        const bytes value = std::to_string(n);
        table->add(key, {lsm::entry_type::value, value}, n);
        model[key] = value;
    }
    CHECK(table->len() == model.size());

    std::vector<bytes> up, down, sorted;
    for (const auto& [key, value] : model) sorted.push_back(key);
    cursor at(table, lsm::detail::newest_sequence);
    for (at.seek_to_first(); at.valid(); at.next()) up.emplace_back(at.key());
    for (at.seek_to_last(); at.valid(); at.prev()) down.emplace(down.begin(), at.key());
    CHECK(up == sorted);
    CHECK(down == sorted);

    for (int i = 0; i < 3000; ++i) {
        const bytes key = some_key(random, expected);
        const auto there = model.find(key);
        const auto* const found = table->find(key, lsm::detail::newest_sequence);
        REQUIRE((found != nullptr) == (there != model.end()));
        if (found != nullptr) REQUIRE(found->entry().value == there->second);
        const auto lower = model.lower_bound(key);
        at.seek(key);
        REQUIRE(at.valid() == (lower != model.end()));
        if (at.valid()) REQUIRE(at.key() == lower->first);
    }
}

TEST_CASE("memtable: common_prefix is the longest prefix that all keys share") {
    core table({});
    CHECK(table.common_prefix().empty());
    const auto add = [&](lsm::bytes_view key) { table.add(key, {lsm::entry_type::value, ""}, 1); };
    add("key00012");
    CHECK(table.common_prefix() == "key00012");
    add("key00345");
    CHECK(table.common_prefix() == "key00");
    add("key001");
    CHECK(table.common_prefix() == "key00");
    add("key");
    CHECK(table.common_prefix() == "key");
    add("");
    CHECK(table.common_prefix().empty());
}
