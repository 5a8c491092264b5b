#include <lsm/io/executor.hpp>

#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace {

using lsm::io::executor;
using lsm::io::inline_executor;
using lsm::io::thread_executor;

struct job final : executor::job {
    explicit job(std::function<void()> to_do) : work(std::move(to_do)) {}
    void run() noexcept override { work(); }
    std::function<void()> work;
};

// Whether the condition becomes true within ten seconds.
bool soon(const std::function<bool()>& condition) {
    for (int i = 0; i < 10'000; ++i) {
        if (condition()) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
}

}  // namespace

TEST_CASE("inline executor: a job runs inside submit and in the thread that submits it") {
    inline_executor runner;
    CHECK(runner.threads() == 0);
    std::optional<std::thread::id> ran_in;
    job one([&] { ran_in = std::this_thread::get_id(); });
    runner.submit(one);
    CHECK(ran_in == std::this_thread::get_id());
}

TEST_CASE("inline executor: a job may submit another job and itself") {
    inline_executor runner;
    std::vector<int> order;
    job inner([&] { order.push_back(2); });
    std::optional<job> outer;
    outer.emplace([&] {
        order.push_back(1);
        runner.submit(inner);
        if (order.size() < 4) runner.submit(*outer);
        order.push_back(3);
    });
    runner.submit(*outer);
    CHECK(order == std::vector<int>{1, 2, 1, 2, 3, 3});
}

TEST_CASE("thread executor: the number of threads is clamped") {
    CHECK(thread_executor().threads() == 2);
    CHECK(thread_executor(0).threads() == 1);
    CHECK(thread_executor(3).threads() == 3);
    CHECK(thread_executor(1000).threads() == thread_executor::most_threads);
}

TEST_CASE("thread executor: a job runs once in another thread") {
    std::atomic<int> runs = 0;
    std::atomic<bool> elsewhere = false;
    const auto here = std::this_thread::get_id();
    job one([&] {
        elsewhere = std::this_thread::get_id() != here;
        ++runs;
    });
    {
        thread_executor runner;
        runner.submit(one);
        CHECK(soon([&] { return runs == 1; }));
    }
    CHECK(runs == 1);
    CHECK(elsewhere);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // the sanitizers need memory of their own
TEST_CASE("thread executor: submit runs the job itself if the system cannot start a thread and threads is then 0") {
    const auto here = std::this_thread::get_id();
    std::thread::id there;
    std::atomic<int> runs = 0;
    thread_executor runner(3);
    unsigned threads_inside = 99;
    job one([&] {
        there = std::this_thread::get_id();
        threads_inside = runner.threads();
        ++runs;
    });
    // These threads use up the stacks that the C library keeps of ended threads, which a new thread could take.
    std::atomic<bool> done = false;
    std::vector<std::thread> others;
    for (int i = 0; i < 20; ++i) others.emplace_back([&] { done.wait(false); });
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_AS, &before) == 0);
    rlimit none = before;
    none.rlim_cur = 1;  // no page more, so no stack for a thread
    REQUIRE(::setrlimit(RLIMIT_AS, &none) == 0);
    runner.submit(one);
    REQUIRE(::setrlimit(RLIMIT_AS, &before) == 0);
    CHECK(runs == 1);
    CHECK(there == here);
    CHECK(threads_inside == 0);

    runner.submit(one);
    CHECK(soon([&] { return runs == 2; }));
    CHECK(there != here);
    CHECK(threads_inside == 3);
    done = true;
    done.notify_all();
    for (std::thread& other : others) other.join();
}
#endif

TEST_CASE("thread executor: one thread runs jobs in the order of their submission") {
    std::vector<int> order;
    std::vector<std::unique_ptr<job>> jobs;
    {
        thread_executor runner(1);
        for (int i = 0; i < 200; ++i) {
            jobs.push_back(std::make_unique<job>([&order, i] { order.push_back(i); }));
            runner.submit(*jobs.back());
        }
    }
    std::vector<int> expected(200);
    for (int i = 0; i < 200; ++i) expected[static_cast<std::size_t>(i)] = i;
    CHECK(order == expected);
}

TEST_CASE("thread executor: the destructor runs the jobs that are left") {
    std::atomic<bool> go = false;
    std::atomic<int> runs = 0;
    job blocked([&] { static_cast<void>(soon([&] { return go.load(); })); });
    std::vector<std::unique_ptr<job>> jobs;
    std::thread opener;
    {
        thread_executor runner(1);
        runner.submit(blocked);
        for (int i = 0; i < 50; ++i) {
            jobs.push_back(std::make_unique<job>([&] { ++runs; }));
            runner.submit(*jobs.back());
        }
        CHECK(runs == 0);
        opener = std::thread([&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            go = true;
        });
    }
    CHECK(runs == 50);
    opener.join();
}

TEST_CASE("thread executor: a job that is submitted by a job during destruction is run too") {
    std::atomic<bool> go = false;
    std::atomic<bool> ran = false;
    job last([&] { ran = true; });
    std::optional<thread_executor> runner(std::in_place, 1u);
    job first([&, to = &*runner] {
        static_cast<void>(soon([&] { return go.load(); }));
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        to->submit(last);
    });
    runner->submit(first);
    go = true;
    runner.reset();
    CHECK(ran);
}

TEST_CASE("thread executor: as many jobs run at the same time as there are threads") {
    constexpr int threads = 3;
    std::atomic<int> inside = 0;
    std::atomic<bool> met = true;
    std::vector<std::unique_ptr<job>> jobs;
    {
        thread_executor runner(threads);
        for (int i = 0; i < threads; ++i) {
            jobs.push_back(std::make_unique<job>([&] {
                ++inside;
                if (!soon([&] { return inside == threads; })) met = false;
            }));
            runner.submit(*jobs.back());
        }
    }
    CHECK(met);
}

TEST_CASE("thread executor: a job may be submitted again as soon as it has begun to run") {
    thread_executor runner(2);
    std::atomic<int> runs = 0;
    std::optional<job> again;
    again.emplace([&] {
        if (++runs < 500) runner.submit(*again);
    });
    runner.submit(*again);
    CHECK(soon([&] { return runs == 500; }));
}

TEST_CASE("thread executor: jobs that many threads submit run once each") {
    constexpr std::size_t submitters = 4;
    constexpr std::size_t each = 300;
    std::vector<std::atomic<int>> runs(submitters * each);
    std::vector<std::unique_ptr<job>> jobs;
    for (auto& count : runs) jobs.push_back(std::make_unique<job>([&count] { ++count; }));
    {
        thread_executor runner(3);
        std::vector<std::thread> threads;
        for (std::size_t t = 0; t < submitters; ++t)
            threads.emplace_back([&, t] {
                for (std::size_t i = 0; i < each; ++i) {
                    runner.submit(*jobs[t * each + i]);
                    if (i % 50 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
                }
            });
        for (auto& t : threads) t.join();
    }
    int defects = 0;
    for (const auto& count : runs)
        if (count != 1) ++defects;
    CHECK(defects == 0);
}
