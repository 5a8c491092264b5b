#include <lsm/wal/writer.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include <lsm/io/posix_file_system.hpp>

#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/hooked_file_system.hpp"
#include "wal/watched_log.hpp"

using lsm::bytes;
using lsm::errc;
using lsm::wal::writer;
using namespace lsm::test;

TEST_CASE("log writer: len counts the bytes of whole records") {
    watched w;
    auto log = must(writer::open(w.fs, w.path));
    CHECK(log.len() == 0);
    must(log.append(one));
    CHECK(log.len() == 8 + one.size());
    must(log.append(two));
    CHECK(log.len() == 16 + one.size() + two.size());
    CHECK(log.len() == w.log().size());
    CHECK(log.path() == w.path);
}

TEST_CASE("log writer: a missing log stays missing until the first append") {
    watched w;
    {
        auto log = must(writer::open(w.fs, w.path));
        must(log.sync());
        must(log.close());
    }
    CHECK(w.fs.changes().empty());
    CHECK_FALSE(w.exists(w.path));
}

TEST_CASE("log writer: an empty batch is not written") {
    watched w;
    auto log = must(writer::open(w.fs, w.path));
    must(log.append(raw_batch({})));
    CHECK(w.fs.changes().empty());
    CHECK(log.len() == 0);
    CHECK(must_fail(log.append(raw_batch({}) + "x")).code == errc::trailing_bytes);
}

TEST_CASE("log writer: opening an existing log changes nothing on the disk") {
    const bytes old = raw_log_record(one) + raw_log_record(two).substr(0, 13);
    watched w(old);
    {
        auto log = must(writer::open(w.fs, w.path));
        CHECK(log.len() == raw_log_record(one).size());
        must(log.sync());
    }
    CHECK(w.fs.changes().empty());
    CHECK(w.fs.open_files() == 0);
    CHECK(w.log() == old);
}

TEST_CASE("log writer: the first sync of a new log makes its name durable") {
    watched w;
    auto log = must(writer::open(w.fs, w.path));
    w.fs.forget();
    must(log.append(one));
    must(log.append(two));
    must(log.sync());
    CHECK(w.fs.calls_without_reads() == calls{"create db/wal.log", "write db/wal.log", "write db/wal.log",
                                              "fsync-directory db", "fdatasync db/wal.log"});
}

TEST_CASE("log writer: an existing log is copied and synced and replaced and never written to") {
    const bytes kept = raw_log_record(one);
    watched w(kept + raw_log_record(two).substr(0, 9));
    const auto old = open_file(w.inner, w.path);
    auto log = must(writer::open(w.fs, w.path));
    w.fs.forget();
    must(log.append(two));
    must(log.sync());
    CHECK(w.fs.calls_without_reads() == calls{"remove db/wal.log.tmp", "create db/wal.log.tmp", "open db/wal.log",
                                              "write db/wal.log.tmp", "close db/wal.log", "fsync db/wal.log.tmp",
                                              "rename db/wal.log.tmp db/wal.log", "fsync-directory db",
                                              "write db/wal.log", "fdatasync db/wal.log"});
    CHECK(w.log() == kept + raw_log_record(two));
    CHECK(must(old.size()) == kept.size() + 9);  // the replaced file, through a handle that is still open
}

TEST_CASE("log writer: sync without new records does not go to the disk") {
    watched w;
    auto log = must(writer::open(w.fs, w.path));
    must(log.append(one));
    must(log.sync());
    w.fs.forget();
    must(log.sync());
    must(log.sync());
    CHECK(w.fs.calls.empty());
    must(log.append(two));
    must(log.close());
    CHECK(w.fs.calls_without_reads() == calls{"write db/wal.log", "fdatasync db/wal.log", "close db/wal.log"});
}

TEST_CASE("log writer: an existing log larger than the copy buffer is kept whole") {
    const sample_log old({raw_batch({{"a", bytes(200'000, 'v')}}), raw_batch({{"b", bytes(65'536, 'w')}}), one});
    watched w(old.raw);
    auto log = must(writer::open(w.fs, w.path));
    must(log.append(two));
    CHECK(w.log() == old.raw + raw_log_record(two));
}

TEST_CASE("log writer: batches around and over 64 KiB are one record each") {
    watched w;
    auto log = must(writer::open(w.fs, w.path));
    bytes expected;
    for (const std::size_t size : {65'535u, 65'536u, 65'537u, 131'072u, 1'000'000u, 20u}) {
        const bytes batch = raw_batch({{"k", bytes(size - raw_batch({{"k", ""}}).size(), 'v')}});
        REQUIRE(batch.size() == size);
        must(log.append(batch));
        expected += raw_log_record(batch);
        REQUIRE(w.log() == expected);
    }
    CHECK(read_log(expected).records.size() == 6);
}

TEST_CASE("log writer: short writes are continued") {
    watched w;
    w.fs.longest_write = 3;
    auto log = must(writer::open(w.fs, w.path));
    must(log.append(one));
    must(log.append(two));
    CHECK(w.log() == raw_log_record(one) + raw_log_record(two));
}

TEST_CASE("log writer: interrupted calls are repeated") {
    watched w;
    bool interrupt = false;
    w.fs.fault = [&](std::string_view call) {
        return call.starts_with("write") && (interrupt = !interrupt) ? EINTR : 0;
    };
    auto log = must(writer::open(w.fs, w.path));
    must(log.append(one));
    CHECK(w.log() == raw_log_record(one));
}

TEST_CASE("log writer: a stale temporary file in the way is removed") {
    watched w(raw_log_record(one));
    write_file(w.inner, w.path + ".tmp", bytes(500, 'x'));
    auto log = must(writer::open(w.fs, w.path));
    must(log.append(two));
    CHECK(w.log() == raw_log_record(one) + raw_log_record(two));
    CHECK_FALSE(w.exists(w.path + ".tmp"));
}

TEST_CASE("log writer: on a full disk a partial record is removed and the writer goes on") {
    for (const auto& batch : {two, raw_batch({{"large", bytes(200'000, 'v')}})}) {
        const std::size_t longest = batch.size() < 100 ? 7 : 50'000;
        const std::size_t pieces = (raw_log_record(batch).size() + longest - 1) / longest;
        for (std::size_t full_at = 0; full_at < pieces; ++full_at) {
            watched w;
            auto log = must(writer::open(w.fs, w.path));
            must(log.append(one));
            must(log.sync());
            const auto len = log.len();
            w.fs.longest_write = longest;
            std::size_t writes = 0;
            w.fs.fault = [&](std::string_view call) {
                return call.starts_with("write") && writes++ == full_at ? ENOSPC : 0;
            };
            const auto error = must_fail(log.append(batch));
            CHECK(error.code == errc::no_space);
            CHECK(error.sys == ENOSPC);
            CHECK(log.len() == len);
            CHECK(w.log() == raw_log_record(one));
            CHECK_FALSE(log.failure());

            w.fs.fault = nullptr;
            must(log.append(batch));
            must(log.append(one));
            must(log.sync());
            CHECK(w.log() == raw_log_record(one) + raw_log_record(batch) + raw_log_record(one));
        }
    }
}

TEST_CASE("log writer: the removal of a partial record is synced before the log counts as synced") {
    // Until a sync a power cut may bring the partial record back.
    watched w;
    auto log = must(writer::open(w.fs, w.path));
    must(log.append(one));
    must(log.sync());
    w.fs.longest_write = 7;
    std::size_t writes = 0;
    w.fs.fault = [&](std::string_view call) { return call.starts_with("write") && writes++ == 1 ? ENOSPC : 0; };
    CHECK(must_fail(log.append(two)).code == errc::no_space);
    w.fs.fault = nullptr;
    w.fs.forget();
    SECTION("when it is rotated") {
        must(log.rotate("db/wal-000001.log"));
        const auto made = w.fs.calls_without_reads();
        REQUIRE_FALSE(made.empty());
        CHECK(made.front() == "fdatasync db/wal.log");
    }
    SECTION("when it is closed") {
        must(log.close());
        CHECK(std::ranges::count(w.fs.calls, "fdatasync db/wal.log") == 1);
    }
    SECTION("when it is synced") {
        must(log.sync());
        CHECK(std::ranges::count(w.fs.calls, "fdatasync db/wal.log") == 1);
    }
}

TEST_CASE("log writer: an exception from a write or sync stops it for good") {
    const auto call = GENERATE(as<std::string>(), "write db/wal.log", "fdatasync db/wal.log", "fsync-directory db");
    watched w;
    auto log = must(writer::open(w.fs, w.path));
    must(log.append(one));
    if (call != "fsync-directory db") must(log.sync());
    w.fs.fault = [&](std::string_view made) -> int {
        if (made == call) throw std::bad_alloc();
        return 0;
    };
    const auto write = [&] {
        if (auto appended = log.append(two); !appended) return appended;
        return log.sync();
    };
    CHECK_THROWS_AS(write(), std::bad_alloc);
    w.fs.fault = nullptr;
    w.fs.forget();
    CHECK(must_fail(write()).sys == ENOMEM);
    CHECK(log.failure());
    CHECK(must_fail(log.rotate("db/wal-000001.log")).sys == ENOMEM);
    CHECK(w.fs.calls.empty());
    CHECK(must_fail(log.close()).sys == ENOMEM);
}

TEST_CASE("log writer: an exceeded quota is a full disk") {
    watched w;
    auto log = must(writer::open(w.fs, w.path));
    must(log.append(one));
    w.fs.fault = [](std::string_view call) { return call.starts_with("write") ? EDQUOT : 0; };
    CHECK(must_fail(log.append(two)).code == errc::no_space);
    w.fs.fault = nullptr;
    must(log.append(two));
    CHECK(w.log() == raw_log_record(one) + raw_log_record(two));
}

TEST_CASE("log writer: a full disk stops it for good if the partial record cannot be removed") {
    watched w;
    auto log = must(writer::open(w.fs, w.path));
    must(log.append(one));
    w.fs.fault = [](std::string_view call) {
        return call.starts_with("write") ? ENOSPC : call.starts_with("truncate") ? EIO : 0;
    };
    const auto first = must_fail(log.append(two));
    CHECK(first.code == errc::no_space);
    w.fs.fault = nullptr;
    w.fs.forget();
    CHECK(must_fail(log.append(one)).what == first.what);
    CHECK(must_fail(log.sync()).what == first.what);
    CHECK(w.fs.calls.empty());
    CHECK(must_fail(log.close()).what == first.what);
    CHECK(w.fs.open_files() == 0);
}

TEST_CASE("log writer: the first failed write or sync stops it for good") {
    for (const std::string_view operation : {"write", "fdatasync"}) {
        watched w;
        auto log = must(writer::open(w.fs, w.path));
        must(log.append(one));
        must(log.sync());
        w.fs.fault = [&](std::string_view call) { return call.starts_with(operation) ? EIO : 0; };
        auto appended = log.append(two);
        const auto first = appended ? must_fail(log.sync()) : std::move(appended).error();
        CHECK(first.code == errc::io);
        CHECK(first.sys == EIO);
        CHECK(first.what.find("wal.log") != std::string::npos);
        REQUIRE(log.failure());
        CHECK(log.failure()->what == first.what);

        w.fs.fault = nullptr;
        w.fs.forget();
        CHECK(must_fail(log.append(one)).what == first.what);
        CHECK(must_fail(log.append_record()).what == first.what);
        CHECK(must_fail(log.sync()).what == first.what);
        CHECK(w.fs.calls.empty());
        CHECK(must_fail(log.close()).what == first.what);
        CHECK(w.fs.open_files() == 0);
        // Records synced before are there for the next writer.
        CHECK(read_log(w.log()).records.front() == one);
    }
}

TEST_CASE("log writer: a full disk at a sync stops it for good") {
    watched w;
    auto log = must(writer::open(w.fs, w.path));
    must(log.append(one));
    w.fs.fault = [](std::string_view call) { return call.starts_with("fdatasync") ? ENOSPC : 0; };
    const auto first = must_fail(log.sync());
    w.fs.fault = nullptr;
    CHECK(must_fail(log.sync()).what == first.what);
    CHECK(must_fail(log.append(two)).what == first.what);
}

TEST_CASE("log writer: any failure before the rename leaves the old log and no temporary file") {
    const bytes old = raw_log_record(one) + "torn";
    for (const std::string_view operation :
         {"create", "open db/wal.log", "read", "write db/wal.log.tmp", "fsync db/wal.log.tmp", "rename"}) {
        for (const int sys : {EIO, ENOSPC}) {
            INFO(operation << " " << sys);
            watched w(old);
            auto log = must(writer::open(w.fs, w.path));
            w.fs.fault = [&](std::string_view call) { return call.starts_with(operation) ? sys : 0; };
            CHECK(must_fail(log.append(two)).sys == sys);
            CHECK(w.log() == old);
            CHECK_FALSE(w.exists(w.path + ".tmp"));
            CHECK(w.fs.open_files() == 0);
        }
    }
}

TEST_CASE("log writer: a failed write or sync of the new file stops it for good") {
    for (const std::string_view operation : {"write db/wal.log.tmp", "fsync db/wal.log.tmp"}) {
        INFO(operation);
        watched w(raw_log_record(one));
        auto log = must(writer::open(w.fs, w.path));
        w.fs.fault = [&](std::string_view call) { return call.starts_with(operation) ? EIO : 0; };
        const auto first = must_fail(log.append(two));
        w.fs.fault = nullptr;
        w.fs.forget();
        CHECK(must_fail(log.append(two)).what == first.what);
        CHECK(w.fs.calls.empty());
    }
}

TEST_CASE("log writer: a full disk at the first append does not stop it") {
    watched w(raw_log_record(one));
    auto log = must(writer::open(w.fs, w.path));
    w.fs.fault = [&](std::string_view call) { return call.starts_with("write db/wal.log.tmp") ? ENOSPC : 0; };
    CHECK(must_fail(log.append(two)).code == errc::no_space);
    w.fs.fault = nullptr;
    must(log.append(two));
    CHECK(w.log() == raw_log_record(one) + raw_log_record(two));
}

TEST_CASE("log writer: a failure to create the log does not stop it and the next append tries again") {
    const int sys = GENERATE(EIO, EMFILE, ENOSPC);
    watched w;
    auto log = must(writer::open(w.fs, w.path));
    w.fs.fault = [&](std::string_view call) { return call == "create db/wal.log" ? sys : 0; };
    const auto first = must_fail(log.append(one));
    CHECK(first.sys == sys);
    w.fs.fault = nullptr;
    CHECK_FALSE(w.exists(w.path));
    must(log.append(two));
    CHECK(w.log() == raw_log_record(two));
}

TEST_CASE("log writer: a failure to make the name of a new log durable stops it for good") {
    watched w;
    auto log = must(writer::open(w.fs, w.path));
    must(log.append(one));
    w.fs.fault = [](std::string_view call) { return call.starts_with("fsync-directory") ? EIO : 0; };
    const auto first = must_fail(log.sync());
    CHECK(first.sys == EIO);
    w.fs.fault = nullptr;
    w.fs.forget();
    CHECK(must_fail(log.sync()).what == first.what);
    CHECK(must_fail(log.append(one)).what == first.what);
    CHECK(w.fs.calls.empty());
}

TEST_CASE("log writer: a failed sync of the directory after a replacement stops it for good") {
    watched w(raw_log_record(one));
    auto log = must(writer::open(w.fs, w.path));
    w.fs.fault = [](std::string_view call) { return call.starts_with("fsync-directory") ? EIO : 0; };
    const auto first = must_fail(log.append(two));
    CHECK(first.sys == EIO);
    w.fs.fault = nullptr;
    CHECK(must_fail(log.append(two)).what == first.what);
    CHECK(read_log(w.log()).records == std::vector<bytes>{one});
}

TEST_CASE("log writer: opening fails if the log cannot be read") {
    watched w(raw_log_record(one));
    w.fs.fault = [](std::string_view call) { return call.starts_with("read") ? EIO : 0; };
    CHECK(must_fail(writer::open(w.fs, w.path)).sys == EIO);
    w.fs.fault = [](std::string_view call) { return call.starts_with("open") ? EACCES : 0; };
    CHECK(must_fail(writer::open(w.fs, w.path)).sys == EACCES);
    hooked_file_system sizeless(w.inner, [](std::string_view call, auto) { return call == "size" ? EIO : 0; });
    CHECK(must_fail(writer::open(sizeless, w.path)).sys == EIO);
}

TEST_CASE("log writer: bytes that are not a write batch are refused and nothing is written") {
    watched w;
    auto log = must(writer::open(w.fs, w.path));
    w.fs.forget();
    for (const bytes& malformed : {bytes(), bytes("abc"), bytes("abcdefgh"), one + "x", one.substr(0, one.size() - 1)})
        CHECK_FALSE(log.append(malformed).has_value());
    CHECK(w.fs.calls.empty());
    must(log.append(one));
}

TEST_CASE("log writer: a record in pieces is the record of the whole batch") {
    watched w;
    auto log = must(writer::open(w.fs, w.path));
    log.begin_record();
    log.add_to_record("begun and never appended");
    for (int again = 0; again < 2; ++again) {
        log.begin_record();
        log.add_to_record(std::uint32_t{2});
        log.add_to_record(two.substr(4, 9));
        log.add_to_record("");
        log.add_to_record(two.substr(13));
        must(log.append_record());
    }
    CHECK(w.log() == raw_log_record(two) + raw_log_record(two));
    CHECK(log.len() == w.log().size());
}

TEST_CASE("log writer: memory for a record is allocated before the log is touched") {
    allocation_log memory;
    using writer_over = lsm::wal::basic_writer<logged_allocator<std::byte>>;
    const bytes batch = raw_batch({{"large", bytes(5000, 'v')}});
    for (std::size_t fail_at = 0;; ++fail_at) {
        watched w;
        memory.reset();
        writer_over log(w.fs, w.path, std::nullopt, memory);
        memory.fail_at = fail_at;
        bool failed = false;
        try {
            must(log.append(batch));
        } catch (const std::bad_alloc&) {
            failed = true;
            CHECK(w.fs.calls.empty());
        }
        if (!failed) break;
        must(log.append(one));
        CHECK(w.log() == raw_log_record(one));
    }
    CHECK(memory.allocations > 0);
}

TEST_CASE("log writer: a batch beyond 32 bits is refused before anything is written") {
    // Address space only; never touched.
    constexpr std::size_t size = lsm::max_length + std::size_t{1};
    void* const reserved = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(reserved != MAP_FAILED);
    watched w;
    auto log = must(writer::open(w.fs, w.path));
    w.fs.forget();
    CHECK(must_fail(log.append({static_cast<const char*>(reserved), size})).code == errc::too_large);
    CHECK(w.fs.calls.empty());
    must(log.append(one));
    ::munmap(reserved, size);
}

TEST_CASE("log writer: works the same on a real disk") {
    const scratch_directory dir;
    auto& fs = lsm::io::default_file_system();
    const std::string path = dir / "wal.log";
    {
        auto log = must(writer::open(fs, path));
        must(log.append(one));
        must(log.close());
    }
    {
        auto log = must(writer::open(fs, path));
        CHECK(log.len() == raw_log_record(one).size());
        must(log.append(two));
        must(log.sync());
    }
    CHECK(read_file(fs, path) == raw_log_record(one) + raw_log_record(two));
}
