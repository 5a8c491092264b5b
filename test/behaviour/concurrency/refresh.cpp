#include <atomic>
#include <cstdint>
#include <string>

#include <lsm/db/db.hpp>
#include <lsm/io/memory_file_system.hpp>

#include "support/catch.hpp"
#include "support/results.hpp"
#include "support/threads.hpp"

using namespace lsm::test;

TEST_CASE("refresh: concurrent readers never go back in time and never see half a batch") {
    lsm::io::memory_file_system memory;
    auto writer = must(lsm::db::open("db", {.write_buffer_bytes = 64 << 10, .sync = false, .file_system = &memory}));
    must(writer.put("a", "0"));
    auto reader = must(lsm::db::open("db", {.read_only = true, .file_system = &memory}));
    std::atomic<bool> done = false;
    findings wrong;
    thread_group threads;
    threads.start(2, [&](int) {
        std::uint64_t last = 0;
        while (!done) {
            const auto seen = reader.multi_get({"a", "b"});
            if (!wrong.succeeded(seen) || !(*seen)[0]) return wrong.note("a key is missing");
            const auto number = std::stoull(*(*seen)[0]);
            wrong.expect(number >= last, "went back from " + std::to_string(last) + " to " + std::to_string(number));
            wrong.expect(number == 0 || (*seen)[0] == (*seen)[1], "half a batch");
            last = number;
        }
    });
    for (int i = 1; i < 400; ++i) {
        lsm::write_batch both;
        both.put("a", std::to_string(i));
        both.put("b", std::to_string(i));
        must(writer.write(both));
        if (i % 20 == 0) must(writer.flush());
        if (i % 3 == 0) must(reader.refresh());
    }
    done = true;
    threads.join();
    CHECK(wrong.text() == "");
}

TEST_CASE("refresh: threads may refresh concurrently while one of them closes") {
    lsm::io::memory_file_system memory;
    auto writer = must(lsm::db::open("db", {.sync = false, .file_system = &memory}));
    must(writer.put("a", "0"));
    auto reader = must(lsm::db::open("db", {.read_only = true, .file_system = &memory}));
    findings wrong;
    thread_group threads;
    threads.start(3, [&](int self) {
        for (int i = 0; i < 30; ++i) {
            const auto done = reader.refresh();
            if (!done) wrong.expect(done.error().code == lsm::errc::closed, done.error().what);
            wrong.expect(reader.recovered().records <= 31, "a torn report");
            if (self == 2 && i == 20) wrong.succeeded(reader.close());
        }
    });
    for (int i = 1; i <= 30; ++i) must(writer.put("a", std::to_string(i)));
    threads.join();
    CHECK(wrong.text() == "");
    CHECK(must(reader.get("a")));
}
