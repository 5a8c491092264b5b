#include <lsm/wal/writer.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include <lsm/io/posix_file_system.hpp>

#include "support/catch.hpp"
#include "wal/watched_log.hpp"

using lsm::bytes;
using lsm::errc;
using lsm::wal::writer;
using namespace lsm::test;

namespace {

const std::string frozen = "db/wal-000001.log";

// What the tests of preallocation reserve beyond the records.
constexpr std::uint64_t ahead = 4096;

// A new log to which `one` was appended.
writer log_with_one(watched& w, std::uint64_t preallocation = 0) {
    auto log = must(writer::open(w.fs, w.path));
    if (preallocation != 0) log.preallocate(preallocation);
    must(log.append(one));
    return log;
}
// The same, after the sync that reserves the space ahead.
writer preallocated_log(watched& w) {
    auto log = log_with_one(w, ahead);
    must(log.sync());
    return log;
}

std::size_t allocations_in(const calls& made) {
    return static_cast<std::size_t>(std::count(made.begin(), made.end(), "allocate db/wal.log"));
}

// The records of a log that must be intact up to its end or to zeros that fill the rest.
std::vector<bytes> records_in(const bytes& log) {
    const auto found = read_log(log, lsm::wal::recovery::absolute);
    CHECK_FALSE(found.failure);
    return found.records;
}

}  // namespace

TEST_CASE("log rotation: the log is synced and renamed and its new name is made durable") {
    watched w;
    auto log = log_with_one(w);
    w.fs.forget();
    must(log.rotate(frozen));
    CHECK(w.fs.calls_without_reads() == calls{"fdatasync db/wal.log", "rename db/wal.log db/wal-000001.log",
                                              "fsync-directory db", "close db/wal-000001.log"});
    CHECK(log.len() == 0);
    CHECK(log.path() == w.path);
    CHECK_FALSE(w.exists(w.path));
    CHECK(w.fs.open_files() == 0);
    CHECK(read_file(w.inner, frozen) == raw_log_record(one));
}

TEST_CASE("log rotation: the next append creates a new log") {
    watched w;
    auto log = log_with_one(w);
    must(log.sync());
    w.fs.forget();
    must(log.rotate(frozen));
    must(log.append(two));
    must(log.sync());
    CHECK(w.fs.calls_without_reads() == calls{"rename db/wal.log db/wal-000001.log", "fsync-directory db",
                                              "close db/wal-000001.log", "create db/wal.log", "write db/wal.log",
                                              "fsync-directory db", "fdatasync db/wal.log"});
    CHECK(log.len() == raw_log_record(two).size());
    CHECK(read_file(w.inner, frozen) == raw_log_record(one));
    CHECK(w.log() == raw_log_record(two));
}

TEST_CASE("log rotation: without another append no log is left at the old name") {
    watched w;
    auto log = log_with_one(w);
    must(log.rotate(frozen));
    w.fs.forget();
    must(log.sync());
    must(log.close());
    CHECK(w.fs.calls.empty());
    CHECK_FALSE(w.exists(w.path));
}

TEST_CASE("log rotation: an existing log is replaced by a copy before it is renamed") {
    watched w(raw_log_record(one) + "torn");
    auto log = must(writer::open(w.fs, w.path));
    w.fs.forget();
    must(log.rotate(frozen));
    CHECK(w.fs.calls_without_reads() ==
          calls{"remove db/wal.log.tmp", "create db/wal.log.tmp", "open db/wal.log", "write db/wal.log.tmp",
                "close db/wal.log", "fsync db/wal.log.tmp", "rename db/wal.log.tmp db/wal.log", "fsync-directory db",
                "rename db/wal.log db/wal-000001.log", "fsync-directory db", "close db/wal-000001.log"});
    CHECK(read_file(w.inner, frozen) == raw_log_record(one));
}

TEST_CASE("log rotation: after a failed rename the writer goes on with the log at its old name") {
    const int sys = GENERATE(EIO, ENOSPC);
    watched w;
    auto log = log_with_one(w);
    w.fs.fault = [&](std::string_view call) { return call.starts_with("rename") ? sys : 0; };
    CHECK(must_fail(log.rotate(frozen)).sys == sys);
    CHECK_FALSE(log.failure());
    CHECK_FALSE(w.exists(frozen));
    must(log.append(two));
    w.fs.fault = nullptr;
    must(log.rotate(frozen));
    CHECK(read_file(w.inner, frozen) == raw_log_record(one) + raw_log_record(two));
}

TEST_CASE("log rotation: a failed sync stops the writer for good") {
    const std::string call = GENERATE(as<std::string>(), "fdatasync db/wal.log", "fsync-directory db");
    watched w;
    auto log = log_with_one(w);
    w.fs.fault = [&](std::string_view made) { return made == call ? EIO : 0; };
    const auto first = must_fail(log.rotate(frozen));
    CHECK(first.sys == EIO);
    REQUIRE(log.failure());
    w.fs.fault = nullptr;
    w.fs.forget();
    CHECK(must_fail(log.append(two)).what == first.what);
    CHECK(must_fail(log.rotate(frozen)).what == first.what);
    CHECK(w.fs.calls.empty());
    CHECK(must_fail(log.close()).what == first.what);
    CHECK(w.fs.open_files() == 0);
    CHECK(w.exists(call == "fdatasync db/wal.log" ? w.path : frozen));
}

TEST_CASE("log rotation: an error from closing the frozen log is ignored") {
    watched w;
    auto log = log_with_one(w);
    w.fs.fault = [](std::string_view call) { return call.starts_with("close") ? EIO : 0; };
    must(log.rotate(frozen));
    must(log.append(two));
    CHECK(w.log() == raw_log_record(two));
}

TEST_CASE("log preallocation: the log ends in zeros until it is closed") {
    watched w;
    auto log = preallocated_log(w);
    CHECK(w.log() == raw_log_record(one) + bytes(ahead, '\0'));
    CHECK(log.len() == raw_log_record(one).size());
    must(log.append(two));
    must(log.sync());
    CHECK(w.log().size() == raw_log_record(one).size() + ahead);
    CHECK(records_in(w.log()) == std::vector<bytes>{one, two});
    must(log.close());
    CHECK(w.log() == raw_log_record(one) + raw_log_record(two));
}

TEST_CASE("log preallocation: a log that was never synced has no zeros when it is closed") {
    watched w;
    auto log = log_with_one(w, ahead);
    must(log.close());
    CHECK(w.log() == raw_log_record(one));
}

TEST_CASE("log preallocation: close syncs after it has cut the zeros") {
    watched w;
    auto log = preallocated_log(w);
    w.fs.forget();
    must(log.close());
    CHECK(w.fs.calls_without_reads() == calls{"truncate db/wal.log", "fdatasync db/wal.log", "close db/wal.log"});
}

TEST_CASE("log preallocation: space is reserved only when the last reservation is used up") {
    watched w;
    auto log = must(writer::open(w.fs, w.path));
    log.preallocate(ahead);
    const bytes batch = raw_batch({{"k", bytes(200, 'v')}});
    for (int i = 0; i < 100; ++i) {
        must(log.append(batch));
        must(log.sync());
        REQUIRE(w.log().size() >= log.len());
        REQUIRE(w.log().size() <= log.len() + ahead);
    }
    CHECK(allocations_in(w.fs.calls) >= log.len() / (ahead + raw_log_record(batch).size()));
    CHECK(allocations_in(w.fs.calls) <= log.len() / ahead + 1);
    CHECK(records_in(w.log()).size() == 100);
}

TEST_CASE("log preallocation: a writer without it reserves nothing") {
    watched w;
    auto log = log_with_one(w);
    must(log.sync());
    must(log.close());
    CHECK(allocations_in(w.fs.calls) == 0);
}

TEST_CASE("log preallocation: a disk that cannot reserve space is not an error") {
    const int sys = GENERATE(ENOSPC, EOPNOTSUPP, EIO);
    watched w;
    auto log = must(writer::open(w.fs, w.path));
    log.preallocate(ahead);
    w.fs.fault = [&](std::string_view call) { return call.starts_with("allocate") ? sys : 0; };
    for (const auto& batch : {one, two}) {
        must(log.append(batch));
        must(log.sync());
    }
    CHECK_FALSE(log.failure());
    CHECK(w.log() == raw_log_record(one) + raw_log_record(two));
    CHECK(allocations_in(w.fs.calls) == 1);  // not tried again at every sync
    must(log.close());
    CHECK(w.log() == raw_log_record(one) + raw_log_record(two));
}

TEST_CASE("log preallocation: on a full disk a partial record is removed together with the zeros") {
    watched w;
    auto log = preallocated_log(w);
    w.fs.longest_write = 7;
    std::size_t writes = 0;
    w.fs.fault = [&](std::string_view call) { return call.starts_with("write") && ++writes == 2 ? ENOSPC : 0; };
    CHECK(must_fail(log.append(two)).code == errc::no_space);
    CHECK(w.log() == raw_log_record(one));
    must(log.append(two));
    must(log.sync());
    CHECK(records_in(w.log()) == std::vector<bytes>{one, two});
    must(log.close());
    CHECK(w.log() == raw_log_record(one) + raw_log_record(two));
}

TEST_CASE("log preallocation: a log left with zeros is continued after its records") {
    watched w;
    static_cast<void>(preallocated_log(w));  // destroyed without close()
    REQUIRE(w.log().size() > ahead);
    auto log = must(writer::open(w.fs, w.path));
    CHECK(log.len() == raw_log_record(one).size());
    must(log.append(two));
    CHECK(w.log() == raw_log_record(one) + raw_log_record(two));
}

TEST_CASE("log preallocation: a frozen log has no reserved space and the next log starts without any") {
    watched w;
    auto log = preallocated_log(w);
    must(log.rotate(frozen));
    CHECK(read_file(w.inner, frozen) == raw_log_record(one));
    must(log.append(two));
    CHECK(w.log() == raw_log_record(two));
    must(log.sync());
    CHECK(w.log() == raw_log_record(two) + bytes(ahead, '\0'));
    must(log.close());
    CHECK(w.log() == raw_log_record(two));
}

TEST_CASE("log preallocation: a log that cannot be truncated is frozen with zeros at its end") {
    watched w;
    auto log = preallocated_log(w);
    w.fs.fault = [](std::string_view call) { return call.starts_with("truncate") ? EIO : 0; };
    must(log.rotate(frozen));
    CHECK(read_file(w.inner, frozen) == raw_log_record(one) + bytes(ahead, '\0'));
    CHECK(records_in(read_file(w.inner, frozen)) == std::vector<bytes>{one});
    must(log.append(two));
    CHECK(w.log() == raw_log_record(two));
}

TEST_CASE("log preallocation: the sync of a rotation reserves nothing") {
    watched w;
    auto log = log_with_one(w, ahead);
    must(log.rotate(frozen));
    CHECK(read_file(w.inner, frozen) == raw_log_record(one));
    CHECK(allocations_in(w.fs.calls) == 0);
}

TEST_CASE("log preallocation: works the same on a real disk") {
    const scratch_directory dir;
    auto& fs = lsm::io::default_file_system();
    const std::string path = dir / "wal.log";
    auto log = must(writer::open(fs, path));
    log.preallocate(ahead);
    must(log.append(one));
    must(log.sync());
    CHECK(records_in(read_file(fs, path)) == std::vector<bytes>{one});
    must(log.rotate(dir / "wal-000001.log"));
    must(log.append(two));
    must(log.sync());
    must(log.close());
    CHECK(records_in(read_file(fs, dir / "wal-000001.log")) == std::vector<bytes>{one});
    CHECK(read_file(fs, path) == raw_log_record(two));
}
