#include <lsm/db/write/write_path.hpp>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/parts.hpp"
#include "support/raw_bytes.hpp"
#include "support/threads.hpp"

namespace {

using namespace lsm::test;
using lsm::bytes;
using lsm::errc;

/// A write path whose log has no preallocated zeros. Flushes are held unless the options have an executor.
struct written_parts : writing_parts {
    explicit written_parts(lsm::options opts = {}) : writing_parts(without_preallocation(opts)) {}

    static lsm::options without_preallocation(lsm::options opts) {
        opts.log_preallocation_bytes = 0;
        return opts;
    }
    lsm::result<void> write(const entry_list& operations, bool sync = false) {
        const auto batch = raw_batch(operations);
        return writes.write(lsm::bytes_view(batch).substr(4), static_cast<std::uint32_t>(operations.size()), sync);
    }
    /// What readers see in the active memtable.
    [[nodiscard]] entry_list visible() {
        const auto now = versions.pin();
        auto at = lsm::detail::cursor_of(*now->memtables.front(), now.at());
        at.seek_to_first();
        return walk(at);
    }
    [[nodiscard]] bytes log() { return directory.files().at("wal.log"); }
    [[nodiscard]] std::size_t frozen() { return versions.pin()->memtables.size() - 1; }
};

}  // namespace

TEST_CASE("write path: a write is logged and in the memtable and counted when it returns") {
    written_parts parts;
    must(parts.write({{"a", "1"}, {"b", "22"}, {"a", deleted}}));
    must(parts.write({{"c", "3"}}, true));
    CHECK(parts.log() == log_of({{{"a", "1"}, {"b", "22"}, {"a", deleted}}, {{"c", "3"}}}));
    CHECK(parts.visible() == entry_list{{"a", deleted}, {"b", "22"}, {"c", "3"}});
    CHECK(parts.versions.visible() == 2);
    const auto& counters = parts.context.counters;
    CHECK(counters.writes == 2);
    CHECK(counters.operations == 4);
    CHECK(counters.groups == 2);
    CHECK(counters.syncs == 1);
    CHECK(counters.user_bytes == 2 + 3 + 1 + 2);
    CHECK(counters.log_bytes == parts.log().size());
    CHECK(counters.write_latency.summary().count == 2);
}

TEST_CASE("write path: readers see a write only after it is logged and complete") {
    written_parts parts;
    must(parts.write({{"a", "1"}}));
    const auto now = parts.versions.pin();
    parts.fs.fault = [&](std::string_view call) {
        if (call == "write db/wal.log" || call == "fdatasync db/wal.log")
            CHECK(parts.visible() == entry_list{{"a", "1"}});
        return 0;
    };
    must(parts.write({{"a", "2"}, {"b", "2"}}, true));
    CHECK(parts.fs.calls.back() == "fdatasync db/wal.log");
    CHECK(parts.visible() == entry_list{{"a", "2"}, {"b", "2"}});
    CHECK(now.at() == 1);
}

TEST_CASE("write path: a batch that is too large for a log record is refused") {
    written_parts parts;
    const char byte = 0;
    const lsm::bytes_view huge(&byte, lsm::max_length - 3);
    CHECK(must_fail(parts.writes.write(huge, 1, false)).code == errc::too_large);
    CHECK_FALSE(parts.directory.files().contains("wal.log"));
    must(parts.write({{"a", "1"}}));
}

TEST_CASE("write path: a full disk refuses one write and a failed sync all that follow") {
    written_parts parts;
    must(parts.write({{"a", "1"}}));
    parts.fs.fault = [](std::string_view call) { return call == "write db/wal.log" ? ENOSPC : 0; };
    CHECK(must_fail(parts.write({{"b", "2"}})).code == errc::no_space);
    parts.fs.fault = nullptr;
    CHECK(parts.visible() == entry_list{{"a", "1"}});
    must(parts.write({{"c", "3"}}));
    CHECK(parts.log() == log_of({{{"a", "1"}}, {{"c", "3"}}}));

    parts.fs.fault = [](std::string_view call) { return call == "fdatasync db/wal.log" ? EIO : 0; };
    CHECK(must_fail(parts.write({{"d", "4"}}, true)).sys == EIO);
    parts.fs.fault = nullptr;
    CHECK_FALSE(parts.context.health.good());
    CHECK(must_fail(parts.write({{"e", "5"}})).sys == EIO);
    CHECK(parts.visible() == entry_list{{"a", "1"}, {"c", "3"}});
}

TEST_CASE("write path: a memtable freezes together with its log and a new one takes its place") {
    written_parts parts;
    CHECK_FALSE(must(parts.writes.freeze()));
    must(parts.write({{"a", "1"}}));
    const auto number = must(parts.writes.freeze());
    const auto now = parts.versions.pin();
    REQUIRE(now->memtables.size() == 2);
    CHECK(number == now->memtables[1]->number);
    CHECK(now->memtables[0]->number > now->memtables[1]->number);
    CHECK(now->memtables[1]->logs == std::vector<std::string>{"wal-000001.log"});
    CHECK(parts.directory.files().at("wal-000001.log") == log_of({{{"a", "1"}}}));
    // Freezing an empty memtable does nothing.
    CHECK(must(parts.writes.freeze()) == number);
    CHECK(parts.frozen() == 1);
    must(parts.write({{"b", "2"}}));
    CHECK(parts.log() == log_of({{{"b", "2"}}}));
    CHECK(now->memtables[1]->entries.len() == 1);
    CHECK(must(parts.writes.freeze()).value() > *number);
    CHECK(parts.directory.files().contains("wal-000002.log"));
}

TEST_CASE("write path: a full memtable freezes before the next write and its flush is scheduled after it") {
    written_parts parts({.write_buffer_bytes = 0});
    must(parts.write({{"a", "1"}}));
    CHECK(parts.frozen() == 0);
    CHECK(parts.executor.held() == 0);
    must(parts.write({{"b", "2"}}));
    CHECK(parts.frozen() == 1);
    CHECK(parts.executor.held() == 1);
    CHECK(parts.visible() == entry_list{{"b", "2"}});
    parts.executor.run_all();
    CHECK(parts.frozen() == 0);
    CHECK(parts.listed() == "L0 1\n");
    CHECK_FALSE(parts.directory.files().contains("wal-000001.log"));
}

TEST_CASE("write path: a write goes into a full memtable if no other may freeze") {
    written_parts parts({.write_buffer_bytes = 10'000, .max_write_buffers = 2});
    must(parts.write({{"a", bytes(10'000, 'v')}}));
    must(parts.write({{"b", bytes(10'000, 'v')}}));
    CHECK(parts.frozen() == 1);
    must(parts.write({{"c", bytes(100, 'v')}}));
    CHECK(parts.frozen() == 1);
    CHECK(parts.visible().size() == 2);
    CHECK(parts.context.counters.stalls == 1);
}

TEST_CASE("write path: a log that cannot be renamed refuses a write and stays the active log") {
    written_parts parts({.write_buffer_bytes = 0});
    must(parts.write({{"a", "1"}}));
    parts.fs.fault = [](std::string_view call) { return call.starts_with("rename ") ? EIO : 0; };
    CHECK(must_fail(parts.write({{"b", "2"}})).sys == EIO);
    CHECK(must_fail(parts.writes.freeze()).sys == EIO);
    parts.fs.fault = nullptr;
    CHECK(parts.frozen() == 0);
    CHECK(parts.context.health.good());
    must(parts.write({{"b", "2"}}));
    CHECK(parts.directory.files().at("wal-000001.log") == log_of({{{"a", "1"}}}));
}

TEST_CASE("write path: a replayed log is continued after its intact records") {
    written_parts parts;
    const auto intact = log_of({{{"a", "1"}}});
    parts.directory.with("wal.log", intact + "torn");
    auto active = parts.writes.new_memtable();
    active->entries.add("a", view_of("1"), 1);
    parts.publish(parts.versions.tables(), {active});
    parts.versions.show(1);
    parts.writes.begin(active, intact.size());
    must(parts.write({{"b", "2"}}));
    CHECK(parts.log() == intact + log_of({{{"b", "2"}}}));
    CHECK(parts.visible() == entry_list{{"a", "1"}, {"b", "2"}});
}

TEST_CASE("write path: no thread writes during between_writes") {
    written_parts parts;
    std::atomic<bool> written = false;
    thread_group threads;
    parts.writes.between_writes([&] {
        threads.start([&] { written = parts.write({{"a", "1"}}).has_value(); });
        sleep_ms(30);
        CHECK_FALSE(written);
        CHECK(parts.versions.visible() == 0);
    });
    threads.join();
    CHECK(written);
    CHECK(parts.versions.visible() == 1);
}

TEST_CASE("write path: writes that wait together get one record and one sequence") {
    written_parts parts;
    findings wrong;
    thread_group threads;
    parts.writes.between_writes([&] {
        for (const char* key : {"a", "b", "c"}) {
            threads.start([&, key] { wrong.succeeded(parts.write({{key, ""}})); });
            sleep_ms(20);  // so that they queue up in this order
        }
    });
    threads.join();
    CHECK(wrong.text() == "");
    CHECK(parts.log() == log_of({{{"a", ""}, {"b", ""}, {"c", ""}}}));
    CHECK(parts.versions.visible() == 1);
    CHECK(parts.context.counters.groups == 1);
    CHECK(parts.context.counters.writes == 3);
}

TEST_CASE("write path: closing makes the log and its name durable") {
    written_parts parts;
    must(parts.write({{"a", "1"}}));
    parts.fs.forget();
    must(parts.writes.close_log());
    CHECK(parts.fs.changes() == std::vector<std::string>{"fsync-directory db", "fdatasync db/wal.log"});
    CHECK(parts.fs.open_files() == 0);
}
