#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include <lsm/db/state/version_store.hpp>

#include "support/catch.hpp"
#include "support/threads.hpp"

using namespace lsm::test;

namespace {

using alloc = std::allocator<std::byte>;
using version = lsm::detail::version<alloc>;
using store = lsm::detail::version_store<alloc>;
using pin = lsm::detail::pinned_version<alloc>;
using memtable = lsm::detail::db_memtable<alloc>;
using lsm::detail::unpin_notifier;

// Publishes a version with `fresh` as its only memtable.
void publish(store& versions, std::shared_ptr<const memtable> fresh) {
    auto next = versions.prepare();
    next->memtables.push_back(std::move(fresh));
    next->tables = std::make_shared<lsm::detail::table_set<alloc>>(alloc());
    versions.publish(std::move(next), [](const version*, version&) {});
}

struct counting_listener : unpin_notifier::listener {
    void pin_released() noexcept override { ++releases; }
    std::atomic<int> releases = 0;
};

struct fixture {
    counting_listener listener;
    std::shared_ptr<unpin_notifier> notifier = std::make_shared<unpin_notifier>(&listener);
    std::optional<store> versions{std::in_place, std::make_shared<lsm::detail::reader_slots>(), notifier, alloc()};
    std::uint64_t number = 0;

    // Publishes a new version, and returns its memtable, to see whether it still exists.
    std::weak_ptr<const memtable> next() {
        auto fresh = std::make_shared<memtable>(++number, 0, alloc());
        fresh->entries.add("number", {lsm::entry_type::value, std::to_string(number)}, number);
        publish(*versions, fresh);
        versions->show(number);
        return fresh;
    }
};

}  // namespace

TEST_CASE("version store: reclaiming frees a superseded version that nothing holds") {
    fixture f;
    const auto first = f.next();
    const auto second = f.next();
    CHECK_FALSE(first.expired());
    f.versions->reclaim();
    CHECK(first.expired());
    CHECK_FALSE(second.expired());
}

TEST_CASE("version store: a pin keeps its version and notifies when it is released") {
    fixture f;
    const auto first = f.next();
    std::optional<pin> held = f.versions->pin();
    auto copy = held;
    const auto second = f.next();
    const auto third = f.next();
    f.versions->reclaim();
    CHECK_FALSE(first.expired());
    CHECK(second.expired());
    const auto pins = f.versions->pins();
    REQUIRE(pins.size() == 1);
    CHECK(pins[0].holders == 2);
    CHECK(pins[0].memory_bytes > 0);
    CHECK((*held)->memtables.front()->number == 1);
    held.reset();
    f.versions->reclaim();
    CHECK_FALSE(first.expired());
    copy.reset();
    CHECK(f.listener.releases == 2);
    f.versions->reclaim();
    CHECK(first.expired());
    CHECK(f.versions->pins().empty());
    { const pin of_the_current = f.versions->pin(); }
    CHECK(f.listener.releases == 2);  // the current version need not be reclaimed
}

TEST_CASE("version store: pins may outlive it and keep only their own version") {
    fixture f;
    const auto first = f.next();
    std::optional<pin> old = f.versions->pin();
    const auto second = f.next();
    std::optional<pin> newer = f.versions->pin();
    const auto third = f.next();
    const auto fourth = f.next();
    f.notifier->disconnect();
    f.versions.reset();
    CHECK(third.expired());
    CHECK(fourth.expired());
    CHECK((*newer)->memtables.front()->number == 2);
    newer.reset();
    CHECK(second.expired());
    CHECK_FALSE(first.expired());
    old.reset();
    CHECK(first.expired());
    CHECK(f.listener.releases == 0);
}

TEST_CASE("version store: readers and pins see whole versions while other threads publish and reclaim") {
    fixture f;
    f.next();
    std::atomic<bool> done = false;
    findings wrong;
    const auto look = [&](const version& v, lsm::detail::sequence at, std::uint64_t& last) {
        const std::uint64_t number = v.memtables.front()->number;
        wrong.expect(number >= last, "a reader went back");
        last = number;
        const auto* const seen = v.memtables.front()->entries.find("number", lsm::detail::newest_sequence);
        wrong.expect(seen != nullptr && seen->entry().value == std::to_string(number), "a version is not whole");
        wrong.expect(at + 1 >= number, "a sequence is older than its version");
    };
    thread_group threads;
    threads.start(2, [&](int) {
        std::uint64_t last = 0;
        while (!done) {
            const store::reading now(*f.versions);
            look(*now, now.at(), last);
        }
    });
    threads.start(2, [&](int) {
        std::uint64_t last = 0;
        std::vector<pin> pins;
        while (!done) {
            pins.push_back(f.versions->pin());
            look(*pins.back(), pins.back().at(), last);
            if (pins.size() > 20) pins.erase(pins.begin(), pins.begin() + 15);
        }
    });
    threads.start([&] {
        while (!done) {
            f.versions->reclaim();
            wrong.expect(f.versions->pins().size() < 1000, "superseded versions are never freed");
        }
    });
    for (int i = 0; i < 1000; ++i) {
        f.next();
        if (i % 8 == 0) f.versions->reclaim();
    }
    done = true;
    threads.join();
    CHECK(wrong.text() == "");
    f.versions->reclaim();
    CHECK(f.versions->pins().empty());
}

// The memory budget is divided by what pins() returns, so no pin may be missing from it for a moment.
TEST_CASE("version store: a pin is listed while another thread reclaims") {
    fixture f;
    f.next();
    const pin held = f.versions->pin();
    f.next();
    std::atomic<bool> inside = false, leave = false;
    thread_group threads;
    threads.start([&] {
        const store::reading now(*f.versions);
        inside = true;
        while (!leave) sleep_ms(1);
    });
    while (!inside) sleep_ms(1);
    threads.start([&] { f.versions->reclaim(); });
    sleep_ms(20);
    CHECK(f.versions->pins().size() == 1);
    leave = true;
    threads.join();
    CHECK(f.versions->pins().size() == 1);
}
