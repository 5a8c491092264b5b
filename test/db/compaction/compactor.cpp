#include <lsm/db/compaction/compactor.hpp>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/parts.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;
using call_list = std::vector<std::string>;

const std::atomic<bool> not_cancelled = false;

/// A frozen memtable with two logs, beside an empty active one.
struct frozen_parts : db_parts {
    frozen_parts() {
        directory.with("wal-000001.log", "").with("wal-000002.log", "");
        publish(versions.tables(), {memtable_of(2, {}), frozen});
    }
    std::shared_ptr<memtable> frozen =
        memtable_of(1, {{"a", "1"}, {"b", "1"}, {"a", deleted}}, {"wal-000001.log", "wal-000002.log"});
};

lsm::result<void> compact_tables(db_parts& parts, std::vector<std::uint64_t> inputs, int output_level,
                                 const std::atomic<bool>& cancelled = not_cancelled) {
    const lsm::detail::compaction<db_parts::alloc> work(parts.versions.tables(), {std::move(inputs), output_level}, {});
    return parts.worker.compact(work, cancelled);
}

}  // namespace

TEST_CASE("compactor: a flush lists a durable table and then removes its logs oldest first") {
    frozen_parts parts;
    must(parts.worker.flush(*parts.frozen));
    CHECK(parts.fs.changes() ==
          call_list{"create db/sst-000001.sst.tmp", "write db/sst-000001.sst.tmp", "fsync db/sst-000001.sst.tmp",
                    "rename db/sst-000001.sst.tmp db/sst-000001.sst", "fsync-directory db", "remove db/MANIFEST.tmp",
                    "create db/MANIFEST.tmp", "write db/MANIFEST.tmp", "fsync db/MANIFEST.tmp",
                    "rename db/MANIFEST.tmp db/MANIFEST", "fsync-directory db", "remove db/wal-000001.log",
                    "fsync-directory db", "remove db/wal-000002.log", "fsync-directory db"});
    CHECK(parts.entries_of(1) == entry_map{{"a", deleted}, {"b", "1"}});
    CHECK(parts.listed() == "L0 1\n");
    CHECK(parts.versions.pin()->memtables.size() == 1);

    const auto size = parts.directory.files().at("sst-000001.sst").size();
    CHECK(parts.context.counters.flushes == 1);
    CHECK(parts.context.counters.flush_bytes == size);
    REQUIRE(parts.events.flushes.size() == 1);
    CHECK(parts.events.flushes[0].table_id == 1);
    CHECK(parts.events.flushes[0].file_bytes == size);
}

TEST_CASE("compactor: a flush that fails before MANIFEST is replaced changes nothing and can be repeated") {
    const std::string failing =
        GENERATE(as<std::string>(), "create db/sst-000001.sst.tmp", "write db/sst-000001.sst.tmp",
                 "fsync db/sst-000001.sst.tmp", "open db/sst-000001.sst", "create db/MANIFEST.tmp");
    frozen_parts parts;
    parts.fs.fault = [&](std::string_view call) { return call == failing ? EIO : 0; };
    CHECK(must_fail(parts.worker.flush(*parts.frozen)).sys == EIO);
    parts.fs.fault = nullptr;
    CHECK(parts.directory.names() == call_list{"wal-000001.log", "wal-000002.log"});
    CHECK(parts.versions.pin()->memtables.size() == 2);
    CHECK(parts.events.flushes.empty());
    CHECK(parts.context.counters.flushes == 0);
    must(parts.worker.flush(*parts.frozen));
    CHECK(parts.listed() == "L0 2\n");
}

TEST_CASE("compactor: a log that cannot be removed durably poisons the database") {
    const std::string failing = GENERATE(as<std::string>(), "remove db/wal-000001.log", "fsync-directory db");
    frozen_parts parts;
    bool listed = false;
    parts.fs.fault = [&](std::string_view call) {
        listed = listed || call == "remove db/wal-000001.log";
        return listed && call == failing ? EIO : 0;
    };
    CHECK(must_fail(parts.worker.flush(*parts.frozen)).sys == EIO);
    CHECK_FALSE(parts.context.health.good());
    CHECK(parts.directory.files().contains("wal-000002.log"));
    // The table is listed, and its file stays.
    CHECK(parts.listed() == "L0 1\n");
    CHECK(parts.directory.files().contains("sst-000001.sst"));
}

TEST_CASE("compactor: removing a log that is missing is no error") {
    frozen_parts parts;
    must(parts.directory.fs.remove("db/wal-000001.log"));
    CHECK(parts.worker.log_paths(*parts.frozen) == call_list{"db/wal-000001.log", "db/wal-000002.log"});
    must(parts.worker.remove_logs(parts.worker.log_paths(*parts.frozen)));
    CHECK(parts.directory.names().empty());
}

TEST_CASE("compactor: a merge replaces its inputs by the new tables and removes their files") {
    db_parts parts({.compaction = {.target_table_bytes = 1}});
    parts.set_tables({{0, 3, {{"a", "3"}}}, {0, 2, {{"b", "2"}}}, {1, 1, {{"a", "1"}, {"c", "1"}}}});
    std::uint64_t read = 0, written = 0;
    for (const auto id : {1, 2, 3})
        read += parts.directory.files().at(lsm::detail::table_name(static_cast<std::uint64_t>(id))).size();
    must(compact_tables(parts, {1, 2, 3}, 1));
    CHECK(parts.listed() == "L1 4\nL1 5\nL1 6\n");
    CHECK(parts.directory.files().at("MANIFEST") == parts.listed());
    CHECK(parts.directory.names() == call_list{"MANIFEST", "sst-000004.sst", "sst-000005.sst", "sst-000006.sst"});
    CHECK(parts.entries_of(4) == entry_map{{"a", "3"}});

    for (const auto& t : parts.versions.tables()->levels[1]) written += t->file_bytes();
    CHECK(parts.context.counters.compactions == 1);
    CHECK(parts.context.counters.moves == 0);
    CHECK(parts.context.counters.compaction_bytes == written);
    CHECK(parts.context.counters.compaction_bytes_read == read);
    REQUIRE(parts.events.compactions.size() == 1);
    const auto& event = parts.events.compactions[0];
    CHECK(event.inputs == std::vector<std::uint64_t>{3, 2, 1});
    CHECK(event.outputs == std::vector<std::uint64_t>{4, 5, 6});
    CHECK(event.output_level == 1);
    CHECK(event.bytes_read == read);
    CHECK(event.bytes_written == written);
}

TEST_CASE("compactor: a single table is moved without a new file") {
    db_parts parts;
    parts.set_tables({{0, 1, {{"a", "1"}}}});
    must(compact_tables(parts, {1}, 1));
    CHECK(parts.listed() == "L1 1\n");
    CHECK(parts.directory.names() == call_list{"MANIFEST", "sst-000001.sst"});
    CHECK(parts.context.counters.moves == 1);
    CHECK(parts.context.counters.compactions == 0);
    REQUIRE(parts.events.compactions.size() == 1);
    CHECK(parts.events.compactions[0].outputs == std::vector<std::uint64_t>{1});
    CHECK(parts.events.compactions[0].bytes_written == 0);
}

TEST_CASE("compactor: a merge that fails or is cancelled leaves no new file") {
    db_parts parts({.compaction = {.target_table_bytes = 1}});
    parts.set_tables({{0, 2, {{"a", "2"}}}, {0, 1, {{"b", "1"}}}});
    const auto before = parts.directory.files();
    SECTION("at its second table") {
        parts.fs.fault = [](std::string_view call) { return call == "write db/sst-000004.sst.tmp" ? ENOSPC : 0; };
        CHECK(must_fail(compact_tables(parts, {1, 2}, 1)).code == errc::no_space);
    }
    SECTION("at MANIFEST") {
        parts.fs.fault = [](std::string_view call) { return call == "create db/MANIFEST.tmp" ? EMFILE : 0; };
        CHECK(must_fail(compact_tables(parts, {1, 2}, 1)).sys == EMFILE);
    }
    SECTION("by the end of the database") {
        CHECK(must_fail(compact_tables(parts, {1, 2}, 1, true)).code == errc::closed);
    }
    CHECK(parts.directory.files() == before);
    CHECK(parts.context.health.good());
    CHECK(parts.context.counters.compactions == 0);
    CHECK(parts.events.compactions.empty());
}

TEST_CASE("compactor: if MANIFEST is in doubt both the inputs and the new tables are kept") {
    db_parts parts;
    parts.set_tables({{0, 2, {{"a", "2"}}}, {0, 1, {{"b", "1"}}}});
    parts.fs.fault = [](std::string_view call) { return call == "rename db/MANIFEST.tmp db/MANIFEST" ? EIO : 0; };
    CHECK_FALSE(compact_tables(parts, {1, 2}, 1));
    CHECK_FALSE(parts.context.health.good());
    for (const char* name : {"sst-000001.sst", "sst-000002.sst", "sst-000003.sst"})
        CHECK(parts.directory.files().contains(name));
}
