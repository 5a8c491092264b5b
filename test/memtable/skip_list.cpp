#include <lsm/memtable/skip_list.hpp>

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/random_keys.hpp"
#include "support/seed.hpp"

using lsm::bytes;
using lsm::entry_type;
using lsm::entry_view;
using lsm::detail::newest_sequence;
using namespace lsm::test;

namespace {

using list = lsm::detail::skip_list<std::allocator<std::byte>>;

struct written_entry {
    lsm::detail::sequence at;
    std::optional<bytes> value;

    [[nodiscard]] entry_view view() const {
        return value ? entry_view{entry_type::value, *value} : entry_view{entry_type::tombstone, {}};
    }
};
// All versions of each key, oldest first.
using model = std::map<bytes, std::vector<written_entry>>;

std::optional<entry_view> model_at(const std::vector<written_entry>& versions, lsm::detail::sequence at) {
    std::optional<entry_view> out;
    for (const auto& v : versions)
        if (v.at <= at) out = v.view();
    return out;
}

}  // namespace

TEST_CASE("skip list: an empty list has no nodes") {
    const list entries{std::allocator<std::byte>()};
    CHECK(entries.first() == nullptr);
    CHECK(entries.last() == nullptr);
    CHECK(entries.find_greater_or_equal("") == nullptr);
    CHECK(entries.find_less_than("\xff") == nullptr);
}

TEST_CASE("skip list: add returns the version it supersedes") {
    list entries{std::allocator<std::byte>()};
    CHECK(entries.add("key", {entry_type::value, "one"}, 1) == nullptr);
    const auto* const superseded = entries.add("key", {entry_type::tombstone, {}}, 2);
    REQUIRE(superseded != nullptr);
    CHECK(superseded->entry() == entry_view{entry_type::value, "one"});
    CHECK(superseded->written_at == 1);
    CHECK(entries.add("kez", {entry_type::value, "other"}, 3) == nullptr);
}

TEST_CASE("skip list: of two versions with the same sequence the later one is visible") {
    list entries{std::allocator<std::byte>()};
    entries.add("key", {entry_type::value, "one"}, 5);
    entries.add("key", {entry_type::value, "two"}, 5);
    CHECK(entries.first()->visible_at(5)->entry().value == "two");
    CHECK(entries.first()->visible_at(4) == nullptr);
}

TEST_CASE("skip list: random operations agree with a map at every sequence") {
    const auto seed = seed_or(4242);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    list entries{std::allocator<std::byte>()};
    model expected;
    lsm::detail::sequence now = 0;

    const auto check_everything = [&](lsm::detail::sequence at) {
        const auto* node = entries.first();
        for (const auto& [key, versions] : expected) {
            REQUIRE(node != nullptr);
            REQUIRE(node->key() == key);
            const auto* const visible = node->visible_at(at);
            const auto known = model_at(versions, at);
            REQUIRE((visible != nullptr) == known.has_value());
            if (known) REQUIRE(visible->entry() == *known);
            node = node->next(0);
        }
        REQUIRE(node == nullptr);
    };

    for (int step = 0; step < 10'000; ++step) {
        const bytes key = random_key(random);
        now += random() % 3;  // the operations of one batch share a sequence
        written_entry fresh{now, std::nullopt};
        if (random() % 4 != 0) fresh.value = random_value(random);
        auto& versions = expected[key];
        const auto* const superseded = entries.add(key, fresh.view(), now);
        REQUIRE((superseded == nullptr) == versions.empty());
        if (superseded != nullptr) REQUIRE(superseded->entry() == versions.back().view());
        versions.push_back(std::move(fresh));

        const bytes other = random_key(random);
        const auto above = expected.lower_bound(other);
        const auto* const at_or_above = entries.find_greater_or_equal(other);
        REQUIRE((at_or_above == nullptr) == (above == expected.end()));
        if (at_or_above != nullptr) REQUIRE(at_or_above->key() == above->first);
        const auto* const below = entries.find_less_than(other);
        REQUIRE((below == nullptr) == (above == expected.begin()));
        if (below != nullptr) REQUIRE(below->key() == std::prev(above)->first);
        REQUIRE(entries.last()->key() == expected.rbegin()->first);
        if (step % 1000 == 999)
            for (int i = 0; i < 5; ++i) check_everything(random() % (now + 2));
    }
    check_everything(newest_sequence);
}

TEST_CASE("skip list: prepare and link_in do what add does") {
    list added{std::allocator<std::byte>()};
    list linked{std::allocator<std::byte>()};
    const std::vector<std::pair<bytes, bytes>> writes = {{"m", "1"}, {"z", "2"}, {"a", "3"}, {"m", "4"}, {"", "5"}};
    std::vector<list::node*> prepared;
    lsm::detail::sequence at = 0;
    for (const auto& [key, value] : writes) prepared.push_back(linked.prepare(key, {entry_type::value, value}, ++at));
    CHECK(linked.first() == nullptr);
    at = 0;
    for (list::node* const node : prepared) {
        const auto& [key, value] = writes[at];
        const auto* const expected = added.add(key, {entry_type::value, value}, ++at);
        const auto* const superseded = linked.link_in(node, linked.number_of(key));
        REQUIRE((superseded == nullptr) == (expected == nullptr));
        if (superseded != nullptr) CHECK(superseded->entry() == expected->entry());
    }
    const auto* other = added.first();
    for (const auto* node = linked.first(); node != nullptr; node = node->next(0), other = other->next(0)) {
        REQUIRE(other != nullptr);
        CHECK(node->key() == other->key());
        for (at = 0; at <= writes.size(); ++at) {
            const auto* const visible = node->visible_at(at);
            REQUIRE((visible == nullptr) == (other->visible_at(at) == nullptr));
            if (visible != nullptr) CHECK(visible->entry() == other->visible_at(at)->entry());
        }
    }
    CHECK(other == nullptr);
}

TEST_CASE("skip list: adds within what was reserved take nothing from the allocator") {
    allocation_log log;
    lsm::detail::skip_list<logged_allocator<std::byte>> entries{logged_allocator<std::byte>(log)};
    std::mt19937_64 random(1);
    for (const std::size_t count : {1u, 7u, 500u, 3000u}) {
        std::vector<std::pair<bytes, bytes>> writes;
        std::size_t size = 0;
        for (std::size_t i = 0; i < count; ++i) {
            writes.emplace_back(random_key(random), random_value(random));
            size += writes.back().first.size() + writes.back().second.size();
        }
        entries.reserve(count, size);
        const auto allocations = log.allocations;
        for (const auto& [key, value] : writes) entries.add(key, {entry_type::value, value}, 1);
        CHECK(log.allocations == allocations);
    }
}

TEST_CASE("skip list: an allocation that fails changes nothing") {
    // Long keys and values get chunks of their own, so that each of their allocations reaches the allocator and can
    // fail.
    allocation_log log;
    using failing = lsm::detail::skip_list<logged_allocator<std::byte>>;
    {
        failing entries{logged_allocator<std::byte>(log)};
        const bytes value(3 << 20, 'v');
        const bytes key(2 << 20, 'k');
        entries.add("a", {entry_type::value, "small"}, 1);
        entries.add("z", {entry_type::value, "small"}, 1);
        int failures = 0;
        for (std::size_t n = 0;; ++n) {
            log.fail_at = log.allocations + n;
            try {
                entries.add(key, {entry_type::value, value}, 2);
                break;
            } catch (const std::bad_alloc&) {
                ++failures;
                REQUIRE(entries.first()->key() == "a");
                REQUIRE(entries.first()->next(0)->key() == "z");
                REQUIRE(entries.last()->key() == "z");
                REQUIRE(entries.find_greater_or_equal("b")->key() == "z");
            }
        }
        CHECK(failures == 2);
        CHECK(entries.find_greater_or_equal("b")->key() == key);
        CHECK(entries.find_less_than("z")->visible_at(2)->entry().value == value);
        log.fail_at = SIZE_MAX;
        entries.add("y", {entry_type::value, "in order"}, 3);
        CHECK(entries.find_less_than("z")->key() == "y");
    }
    CHECK(log.live_bytes == 0);
}
