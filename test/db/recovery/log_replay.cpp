#include <lsm/db/recovery/log_replay.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/cursors.hpp"
#include "support/databases.hpp"
#include "support/recording_file_system.hpp"

namespace {

using namespace lsm::test;
using lsm::bytes;
using lsm::errc;

/// A directory of logs that are replayed into one memtable.
struct replayed_logs {
    using alloc = std::allocator<std::byte>;

    explicit replayed_logs(lsm::wal::recovery mode) : replay(files, mode, alloc()) {}

    lsm::result<void> try_add(const std::string& name, const bytes& log, bool frozen = true) {
        directory.with(name, log);
        return replay.replay(name, frozen, *into);
    }
    void add(const std::string& name, const bytes& log, bool frozen = true) { must(try_add(name, log, frozen)); }

    [[nodiscard]] entry_list entries() const {
        lsm::detail::memtable_cursor<alloc> at(into, lsm::detail::newest_sequence);
        at.seek_to_first();
        return walk(at);
    }
    /// One line for each log with cuts: its name and the first and last offsets of the cuts.
    [[nodiscard]] std::string to_keep() const {
        std::string out;
        for (const auto& [name, cuts] : replay.to_keep()) {
            out += name + ":";
            for (const auto& [offset, size] : cuts)
                out += " " + std::to_string(offset) + "-" + std::to_string(offset + size);
            out += "\n";
        }
        return out;
    }

    memory_directory directory;
    recording_file_system fs{directory.fs};
    lsm::detail::db_directory files{fs, "db"};
    std::shared_ptr<lsm::detail::memtable_core<alloc>> into =
        std::make_shared<lsm::detail::memtable_core<alloc>>(alloc());
    lsm::detail::log_replay<alloc> replay;
};

// Three records of the same length, the second one perhaps damaged.
bytes three_records(bool damaged = false) {
    auto out = log_of({{{"a", "1"}}, {{"b", "2"}}, {{"c", "3"}}});
    if (damaged) out[out.size() * 2 / 3 - 1] ^= 1;
    return out;
}
const std::size_t record_size = three_records().size() / 3;

}  // namespace

TEST_CASE("log replay: records are applied in order and counted over all logs") {
    replayed_logs logs(lsm::wal::recovery::strict_tail);
    logs.add("wal-000001.log", log_of({{{"a", "1"}, {"b", "1"}}, {{"a", "2"}}}));
    logs.add("wal-000002.log", log_of({{{"b", deleted}}}));
    logs.add("wal.log", log_of({{{"c", "3"}}}), false);
    CHECK(logs.entries() == entry_list{{"a", "2"}, {"b", deleted}, {"c", "3"}});
    CHECK(logs.replay.written() == 4);
    CHECK(logs.into->newest() == 4);
    CHECK(logs.replay.report().records == 4);
    CHECK(logs.replay.report().cut_bytes == 0);
    CHECK(logs.replay.intact_bytes() == log_of({{{"c", "3"}}}).size());
    CHECK(logs.to_keep() == "");
    CHECK(logs.fs.changes().empty());
}

TEST_CASE("log replay: a torn end is dropped from the active log and is damage in a frozen one") {
    replayed_logs logs(lsm::wal::recovery::strict_tail);
    CHECK(must_fail(logs.try_add("wal-000001.log", three_records() + "torn")).code == errc::corruption);
    replayed_logs last(lsm::wal::recovery::strict_tail);
    last.add("wal.log", three_records() + "torn", false);
    CHECK(last.replay.report().records == 3);
    CHECK(last.replay.report().cut_bytes == 4);
    CHECK(last.replay.intact_bytes() == 3 * record_size);
    CHECK(last.to_keep() == "");
}

TEST_CASE("log replay: point_in_time leaves out and keeps everything after the first defect") {
    replayed_logs logs(lsm::wal::recovery::point_in_time);
    logs.add("wal-000001.log", three_records(true));
    logs.add("wal-000002.log", log_of({{{"d", "4"}}}));
    logs.add("wal.log", "", false);
    CHECK(logs.entries() == entry_list{{"a", "1"}});
    const auto size = std::to_string(record_size), end = std::to_string(3 * record_size);
    CHECK(logs.to_keep() == "wal-000001.log: " + size + "-" + end + "\nwal-000002.log: 0-" + size + "\n");
    CHECK(logs.replay.left_out() == std::vector<std::string>{"wal.log", "wal-000002.log"});
    CHECK(logs.replay.report().records == 1);
    CHECK(logs.replay.report().cut_bytes == 3 * record_size);
    CHECK(logs.replay.written() == 1);
    CHECK(logs.fs.changes().empty());
}

TEST_CASE("log replay: salvage goes on after each defect and keeps the skipped bytes") {
    replayed_logs logs(lsm::wal::recovery::salvage);
    logs.add("wal-000001.log", three_records(true) + "torn");
    logs.add("wal.log", log_of({{{"d", "4"}}}), false);
    CHECK(logs.entries() == entry_list{{"a", "1"}, {"c", "3"}, {"d", "4"}});
    const auto first = std::to_string(record_size), second = std::to_string(2 * record_size),
               end = std::to_string(3 * record_size);
    CHECK(logs.to_keep() ==
          "wal-000001.log: " + first + "-" + second + " " + end + "-" + std::to_string(3 * record_size + 4) + "\n");
    CHECK(logs.replay.left_out().empty());
    CHECK(logs.replay.report().cut_bytes == record_size + 4);
}

TEST_CASE("log replay: a torn end that holds intact records is kept") {
    replayed_logs logs(lsm::wal::recovery::strict_tail);
    // The records after the damage do not reach the end of the log, so this may have been one torn write.
    const auto torn = three_records(true).substr(record_size) + "torn";
    logs.add("wal.log", log_of({{{"a", "1"}}}) + torn, false);
    CHECK(logs.entries() == entry_list{{"a", "1"}});
    CHECK(logs.to_keep() ==
          "wal.log: " + std::to_string(record_size) + "-" + std::to_string(record_size + torn.size()) + "\n");
    CHECK(logs.replay.report().cut_bytes == torn.size());
}

TEST_CASE("log replay: a missing log is damage unless the mode allows cuts") {
    for (const auto mode : {lsm::wal::recovery::strict_tail, lsm::wal::recovery::absolute}) {
        replayed_logs logs(mode);
        CHECK(must_fail(logs.replay.skip_missing("wal-000002.log")).what ==
              "db/wal-000002.log: corruption: missing between an older log and a newer one");
    }
    replayed_logs to_a_point(lsm::wal::recovery::point_in_time), salvaged(lsm::wal::recovery::salvage);
    for (auto* logs : {&to_a_point, &salvaged}) {
        logs->add("wal-000001.log", log_of({{{"a", "1"}}}));
        must(logs->replay.skip_missing("wal-000002.log"));
        logs->add("wal-000003.log", log_of({{{"b", "2"}}}));
    }
    CHECK(to_a_point.entries() == entry_list{{"a", "1"}});
    CHECK(to_a_point.replay.left_out() == std::vector<std::string>{"wal-000003.log"});
    CHECK(salvaged.entries() == entry_list{{"a", "1"}, {"b", "2"}});
}

TEST_CASE("log replay: the cuts are copied in order and compared with a copy") {
    replayed_logs logs(lsm::wal::recovery::salvage);
    const auto log = three_records(true);
    logs.add("wal-000001.log", log + "torn");
    logs.add("wal.log", "rubbish", false);
    const auto& cuts = logs.replay.to_keep();
    must(logs.files.create_with("copy", [&](lsm::io::file& to) { return copy_cuts(logs.files, cuts, to); }));
    const auto kept = log.substr(record_size, record_size) + "torn" + "rubbish";
    CHECK(logs.directory.files().at("copy") == kept);
    CHECK(must(holds_cuts(logs.files, cuts, "copy")));
    for (const auto& other : {kept + "x", kept.substr(1), kept.substr(0, kept.size() - 1), "X" + kept.substr(1),
                              kept.substr(0, kept.size() - 1) + "X", bytes()}) {
        logs.directory.with("other", other);
        CHECK_FALSE(must(holds_cuts(logs.files, cuts, "other")));
    }
    CHECK(must_fail(holds_cuts(logs.files, cuts, "missing")).code == errc::not_found);
}
