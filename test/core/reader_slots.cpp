#include <atomic>
#include <cstdint>
#include <memory>

#include <lsm/core/reader_slots.hpp>

#include "support/catch.hpp"
#include "support/threads.hpp"

using namespace lsm::test;
using lsm::detail::read_counters;
using lsm::detail::reader_slots;

namespace {

// While it is alive, twice == 2 * number and number is not 0.
struct target {
    explicit target(std::uint64_t n) : number(n), twice(2 * n) {}
    ~target() { number = 0; }
    std::uint64_t number;
    std::uint64_t twice;
};

}  // namespace

TEST_CASE("reader slots: an object that a reader has loaded lives until the reader leaves") {
    reader_slots slots;
    std::atomic<target*> current = new target(1);
    std::atomic<bool> done = false;
    findings wrong;
    thread_group readers;
    readers.start(4, [&](int) {
        std::uint64_t last = 0;
        while (!done) {
            const auto pass = slots.enter();
            const target* const seen = current.load(std::memory_order_seq_cst);
            const std::uint64_t number = seen->number;
            wrong.expect(number != 0 && seen->twice == 2 * number, "a reader saw a freed object");
            wrong.expect(number >= last, "a reader saw an older object after a newer one");
            last = number;
            pass.counters().gets.fetch_add(1, std::memory_order_relaxed);
        }
    });
    for (std::uint64_t n = 2; n < 2000; ++n) {
        const std::unique_ptr<target> old(current.exchange(new target(n), std::memory_order_seq_cst));
        slots.wait();
    }
    while (slots.sum(&read_counters::gets) == 0) sleep_ms(1);
    done = true;
    readers.join();
    delete current.load();
    CHECK(wrong.text() == "");
    CHECK(slots.sum(&read_counters::gets) > 0);
}

TEST_CASE("reader slots: wait returns when the readers that were inside have left and not before") {
    reader_slots slots;
    std::atomic<bool> inside = false, leave = false, waited = false;
    thread_group threads;
    threads.start([&] {
        const auto pass = slots.enter();
        inside = true;
        while (!leave) sleep_ms(1);
    });
    while (!inside) sleep_ms(1);
    threads.start([&] {
        slots.wait();
        waited = true;
    });
    sleep_ms(20);
    CHECK_FALSE(waited);
    leave = true;
    threads.join();
    CHECK(waited);
}

TEST_CASE("reader slots: readers that keep entering do not delay wait") {
    reader_slots slots;
    std::atomic<bool> done = false;
    thread_group readers;
    // Without phases, readers that take turns in one slot could keep it occupied forever.
    readers.start(4, [&](int) {
        while (!done) {
            const auto first = slots.enter();
            const auto second = slots.enter();
        }
    });
    const auto begun = lsm::test::clock::now();
    for (int i = 0; i < 20; ++i) slots.wait();
    CHECK(since(begun) < within(2000));
    done = true;
}

TEST_CASE("reader slots: an epoch is not safe until the readers inside have left") {
    reader_slots slots;
    std::uint64_t outside = slots.epoch();
    for (int i = 0; i < 3; ++i) slots.try_advance();
    CHECK(slots.safe(outside));
    for (int shift = 0; shift < 3; ++shift) {
        const auto before = slots.epoch();
        {
            const auto pass = slots.enter();
            for (int i = 0; i < 10; ++i) slots.try_advance();
            CHECK_FALSE(slots.safe(before));
        }
        for (int i = 0; i < 3; ++i) slots.try_advance();
        CHECK(slots.safe(before));
        slots.try_advance();
    }
}
