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

TEST_CASE("skip list: an empty one has no first or last node") {
    const list entries{std::allocator<std::byte>()};
    CHECK(entries.first() == nullptr);
    CHECK(entries.last() == nullptr);
    CHECK(entries.not_below("") == nullptr);
    CHECK(entries.last_below("\xff") == nullptr);
}

TEST_CASE("skip list: add returns the version it hides") {
    list entries{std::allocator<std::byte>()};
    CHECK(entries.add("key", {entry_type::value, "one"}, 1) == nullptr);
    const auto* const hidden = entries.add("key", {entry_type::tombstone, {}}, 2);
    REQUIRE(hidden != nullptr);
    CHECK(hidden->entry() == entry_view{entry_type::value, "one"});
    CHECK(hidden->written == 1);
    CHECK(entries.add("kez", {entry_type::value, "other"}, 3) == nullptr);
}

TEST_CASE("skip list: of two versions with one sequence the later one is seen") {
    list entries{std::allocator<std::byte>()};
    entries.add("key", {entry_type::value, "one"}, 5);
    entries.add("key", {entry_type::value, "two"}, 5);
    CHECK(entries.first()->seen(5)->entry().value == "two");
    CHECK(entries.first()->seen(4) == nullptr);
}

TEST_CASE("skip list: random operations agree with a map at old sequences too") {
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
            const auto* const seen = node->seen(at);
            const auto known = model_at(versions, at);
            REQUIRE((seen != nullptr) == known.has_value());
            if (known) REQUIRE(seen->entry() == *known);
            node = node->next(0);
        }
        REQUIRE(node == nullptr);
    };

    for (int step = 0; step < 10'000; ++step) {
        const bytes key = random_key(random);
        now += random() % 3;  // several operations of one batch have one sequence
        written_entry fresh{now, std::nullopt};
        if (random() % 4 != 0) fresh.value = random_value(random);
        auto& versions = expected[key];
        const auto* const hidden = entries.add(key, fresh.view(), now);
        REQUIRE((hidden == nullptr) == versions.empty());
        if (hidden != nullptr) REQUIRE(hidden->entry() == versions.back().view());
        versions.push_back(std::move(fresh));

        const bytes other = random_key(random);
        const auto above = expected.lower_bound(other);
        const auto* const not_below = entries.not_below(other);
        REQUIRE((not_below == nullptr) == (above == expected.end()));
        if (not_below != nullptr) REQUIRE(not_below->key() == above->first);
        const auto* const below = entries.last_below(other);
        REQUIRE((below == nullptr) == (above == expected.begin()));
        if (below != nullptr) REQUIRE(below->key() == std::prev(above)->first);
        REQUIRE(entries.last()->key() == expected.rbegin()->first);
        if (step % 1000 == 999)
            for (int i = 0; i < 5; ++i) check_everything(random() % (now + 2));
    }
    check_everything(newest_sequence);
}

TEST_CASE("skip list: an allocation that fails leaves it as it was") {
    // Long keys and values get chunks of their own, so that every allocation is one that can fail.
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
                REQUIRE(entries.not_below("b")->key() == "z");
            }
        }
        CHECK(failures == 2);
        CHECK(entries.not_below("b")->key() == key);
        CHECK(entries.last_below("z")->seen(2)->entry().value == value);
        log.fail_at = SIZE_MAX;
        entries.add("y", {entry_type::value, "in order"}, 3);
        CHECK(entries.last_below("z")->key() == "y");
    }
    CHECK(log.live_bytes == 0);
}
