#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <lsm/db/write/write_queue.hpp>

#include "support/catch.hpp"
#include "support/results.hpp"
#include "support/threads.hpp"

using namespace lsm::test;
using lsm::bytes;
using lsm::errc;
using lsm::detail::waiting_write;
using lsm::detail::write_queue;

namespace {

constexpr std::size_t plenty = 1 << 20;

/// A leader that keeps its turn until release(), and writers that queue up after it in a known order.
class queued_writers {
public:
    explicit queued_writers(write_queue& queue) : queue_(queue), leader_("first", 1, true) {
        REQUIRE(queue_.join(leader_));
        turn_.emplace(queue_, leader_);
    }
    ~queued_writers() {
        if (turn_) release();
    }

    /// Adds a writer at the end of the queue. If it comes to lead, it records its group.
    void add(const bytes& operations, bool sync, bool alone = false) {
        const std::size_t before = joined_;
        threads_.start([this, operations, sync, alone] {
            auto mine = alone ? std::optional<waiting_write>(std::in_place)
                              : std::optional<waiting_write>(std::in_place, operations, 1u, sync);
            ++joined_;
            if (!queue_.join(*mine)) return;
            write_queue::turn turn(queue_, *mine);
            turn.gather(plenty);
            groups.push_back(group(turn));
            turn.finish({});
        });
        while (joined_ == before) sleep_ms(1);
        sleep_ms(20);  // the thread is about to call join()
    }
    [[nodiscard]] static bytes group(const write_queue::turn& turn) {
        bytes out;
        turn.for_each([&](lsm::bytes_view operations, std::uint32_t) { out.append(operations).append(" "); });
        return out;
    }
    [[nodiscard]] write_queue::turn& turn() { return *turn_; }
    void release() {
        turn_->finish({});
        turn_.reset();
        threads_.join();
    }

    std::vector<bytes> groups;  // of the later leaders; one writes at a time

private:
    write_queue& queue_;
    waiting_write leader_;
    std::optional<write_queue::turn> turn_;
    std::atomic<std::size_t> joined_ = 0;
    thread_group threads_;
};

}  // namespace

TEST_CASE("write queue: a leader gathers the waiting writes in their order") {
    write_queue queue;
    queued_writers writers(queue);
    writers.add("second", true);
    writers.add("third", false);
    writers.turn().gather(plenty);
    CHECK(writers.group(writers.turn()) == "first second third ");
    CHECK(writers.turn().operations() == 3);
    writers.release();
    CHECK(writers.groups.empty());
}

TEST_CASE("write queue: the first write that was not gathered leads next") {
    write_queue queue;
    queued_writers writers(queue);
    SECTION("because the group is large enough") {
        writers.add("second", true);
        writers.add("third", true);
        writers.turn().gather(12);
        CHECK(writers.group(writers.turn()) == "first second ");
        writers.release();
        CHECK(writers.groups == std::vector<bytes>{"third "});
    }
    SECTION("because it shares its turn with no other write") {
        writers.add("", false, true);
        writers.add("third", true);
        writers.turn().gather(plenty);
        CHECK(writers.group(writers.turn()) == "first ");
        writers.release();
        CHECK(writers.groups == std::vector<bytes>{" ", "third "});
    }
    SECTION("because it is synced and the leader is not") {
        writers.add("second", false);
        writers.add("third", true);
        writers.add("fourth", false);
        writers.release();
        CHECK(writers.groups == std::vector<bytes>{"second ", "third fourth "});
    }
}

TEST_CASE("write queue: every member of a group gets the outcome of its leader") {
    write_queue queue;
    std::atomic<int> failed = 0, written = 0;
    {
        waiting_write leader("first", 1, true);
        REQUIRE(queue.join(leader));
        std::atomic<int> about_to_join = 0;
        thread_group threads;
        threads.start(3, [&](int) {
            waiting_write mine("other", 1, true);
            ++about_to_join;
            const bool leads = queue.join(mine);
            if (leads) write_queue::turn(queue, mine).finish({});
            mine.outcome ? ++written : ++failed;
        });
        while (about_to_join != 3) sleep_ms(1);
        sleep_ms(20);
        write_queue::turn turn(queue, leader);
        turn.gather(plenty);
        SECTION("that it reports") {
            turn.finish(lsm::detail::failure(errc::io, "the disk is gone"));
            CHECK(must_fail(leader.outcome).code == errc::io);
        }
        SECTION("an error if it reports none") {}
    }
    CHECK(failed == 3);
    CHECK(written == 0);
}

TEST_CASE("write queue: many writers write one after the other and each write is done once") {
    constexpr int writers = 6;
    constexpr int rounds = 1000;
    write_queue queue;
    findings wrong;
    int inside = 0;  // used by the leader alone
    std::uint64_t sum = 0;
    std::atomic<std::uint64_t> groups = 0;
    in_threads(writers, [&](int self) {
        for (int round = 0; round < rounds; ++round) {
            const bool alone = (self + round) % 50 == 0;
            const bytes operations = std::to_string(self);
            auto mine = alone ? std::optional<waiting_write>(std::in_place)
                              : std::optional<waiting_write>(std::in_place, operations, 1u, round % 3 == 0);
            if (queue.join(*mine)) {
                write_queue::turn turn(queue, *mine);
                turn.gather(3);
                wrong.expect(++inside == 1, "two writers lead at once");
                std::uint64_t count = 0;
                turn.for_each([&](lsm::bytes_view, std::uint32_t one) { count += one; });
                wrong.expect(count == turn.operations(), "the operations of a group do not add up");
                wrong.expect(alone ? count == 0 : count <= 3, "a group is too large");
                sum += count;
                ++groups;
                --inside;
                turn.finish({});
            }
            wrong.expect(mine->outcome.has_value(), "a write failed");
        }
    });
    int alone = 0;
    for (int self = 0; self < writers; ++self)
        for (int round = 0; round < rounds; ++round) alone += (self + round) % 50 == 0;
    CHECK(wrong.text() == "");
    CHECK(sum == static_cast<std::uint64_t>(writers * rounds - alone));
    CHECK(groups <= static_cast<std::uint64_t>(writers * rounds));
}
