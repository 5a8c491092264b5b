#include <lsm/db/admin/checkpoint.hpp>

#include <cerrno>
#include <functional>
#include <optional>
#include <utility>

#include <lsm/db/db.hpp>
#include <lsm/io/posix_file_system.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/forwarding_file_system.hpp"
#include "support/recording_file_system.hpp"
#include "support/seed.hpp"
#include "support/threads.hpp"

namespace {

using namespace lsm::test;
using lsm::compaction_style;
using lsm::errc;

/// Calls `at_link` before each link; the link fails if that returns an errno.
class linking final : public forwarding_file_system {
public:
    using forwarding_file_system::forwarding_file_system;
    std::function<int()> at_link;

    lsm::result<void> link(std::string_view from, std::string_view to) override {
        if (const int sys = at_link ? at_link() : 0) return lsm::detail::system_failure("link", sys);
        return forwarding_file_system::link(from, to);
    }
};

/// A database with tables, some of them above level 0, and entries in memory.
struct filled {
    explicit filled(lsm::io::file_system& fs)
        : db(must(lsm::db::open("db", tiny(compaction_style::leveled, {.file_system = &fs})))) {
        writes.write_to(db, 400);
    }
    lsm::db db;
    random_writes writes{seed_or(31)};
};

lsm::db open_copy(lsm::io::file_system& fs, const std::string& directory = "copy") {
    return must(lsm::db::open(directory, plain({.create_if_missing = false, .file_system = &fs})));
}

}  // namespace

TEST_CASE("checkpoint: it opens to the same contents and both databases go on independently") {
    lsm::io::memory_file_system fs;
    filled from(fs);
    const auto digest = must(from.db.digest());
    must(from.db.checkpoint("a/b/copy"));
    CHECK(must(from.db.digest()) == digest);
    CHECK(contents_of(from.db) == from.writes.model);
    auto copy = open_copy(fs, "a/b/copy");
    CHECK(must(copy.digest()) == digest);
    CHECK(contents_of(copy) == from.writes.model);
    CHECK(strays(image_of(fs, "a/b/copy"), copy.live_tables()).empty());

    const auto then = from.writes.model;
    from.writes.write_to(from.db, 300);
    must(from.db.compact());
    CHECK(contents_of(copy) == then);
    CHECK(must(copy.verify()).damage.empty());
    must(copy.put("only", "here"));
    must(copy.compact());
    CHECK(contents_of(from.db) == from.writes.model);
    CHECK(must(from.db.verify()).damage.empty());
}

TEST_CASE("checkpoint: tables are linked and not copied where the file system can link") {
    lsm::io::memory_file_system memory;
    recording_file_system fs(memory);
    filled from(fs);
    must(from.db.flush());
    must(from.db.settle());
    const auto tables = from.db.live_tables();
    fs.calls.clear();
    must(from.db.checkpoint("copy"));
    std::size_t links = 0;
    for (const auto& call : fs.calls) {
        links += call.starts_with("link db/sst-");
        CHECK_FALSE(call.starts_with("write copy/sst-"));
    }
    CHECK(links == tables.size());
    CHECK(open_copy(fs).live_tables() == tables);
}

TEST_CASE("checkpoint: a checkpoint of an empty database is an empty database") {
    memory_directory directory;
    const auto db = directory.open();
    must(db.checkpoint("copy"));
    CHECK(database_files(directory.fs, "copy") == std::vector<std::string>{"MANIFEST"});
    CHECK(contents_of(open_copy(directory.fs)).empty());
}

TEST_CASE("checkpoint: tombstones in memory hide entries in tables") {
    memory_directory directory;
    auto db = directory.open();
    must(db.put("a", "1"));
    must(db.put("b", "1"));
    must(db.flush());
    must(db.del("a"));
    must(db.checkpoint("copy"));
    CHECK(contents_of(open_copy(directory.fs)) == entry_map{{"b", "1"}});
}

TEST_CASE("checkpoint: it has the state of the call although writes and compactions go on during it") {
    lsm::io::memory_file_system memory;
    linking fs(memory);
    const bool copied = GENERATE(false, true);
    filled from(fs);
    const auto then = from.writes.model;
    int links = 0;
    fs.at_link = [&] {
        if (++links == 1) {
            from.writes.write_to(from.db, 100);
            must(from.db.compact());
            for (const auto& [key, value] : then) must(from.db.del(key));
            must(from.db.compact());
            from.writes.model = contents_of(from.db);
        }
        return copied ? EXDEV : 0;
    };
    must(from.db.checkpoint("copy"));
    CHECK(links > 2);
    CHECK(contents_of(from.db) == from.writes.model);
    // The tables that only the checkpoint needed are removed when it ends.
    CHECK(strays(image_of(memory, "db"), from.db.live_tables()).empty());
    const auto copy = open_copy(memory);
    CHECK(contents_of(copy) == then);
    CHECK(must(copy.verify()).damage.empty());
}

TEST_CASE("checkpoint: a directory with any file of a database is refused and left unchanged") {
    const std::string name = GENERATE(as<std::string>(), "MANIFEST", "wal.log", "wal-000001.log", "sst-000009.sst",
                                      "sst-000009.sst.tmp", "MANIFEST.tmp");
    memory_directory directory;
    auto db = directory.open();
    must(db.put("a", "1"));
    must(db.flush());
    must(directory.fs.make_directory("copy"));
    write_file(directory.fs, "copy/" + name, "");
    CHECK(must_fail(db.checkpoint("copy")).code == errc::exists);
    CHECK(database_files(directory.fs, "copy") == std::vector<std::string>{name});
    CHECK(must_fail(db.checkpoint("db")).code == errc::exists);
    CHECK(contents_of(db) == entry_map{{"a", "1"}});
}

TEST_CASE("checkpoint: foreign files in the directory are ignored") {
    memory_directory directory;
    auto db = directory.open();
    must(db.put("a", "1"));
    must(directory.fs.make_directory("copy"));
    write_file(directory.fs, "copy/notes.txt", "theirs");
    must(db.checkpoint("copy"));
    CHECK(contents_of(open_copy(directory.fs)) == entry_map{{"a", "1"}});
    CHECK(read_file(directory.fs, "copy/notes.txt") == "theirs");
}

TEST_CASE("checkpoint: tables are copied on a file system without links") {
    lsm::io::memory_file_system memory;
    linking fs(memory);
    fs.at_link = [] { return EXDEV; };
    filled from(fs);
    must(from.db.checkpoint("copy"));
    const auto copy = open_copy(memory);
    CHECK(contents_of(copy) == from.writes.model);
    for (const auto& [name, contents] : image_of(memory, "db"))
        if (name.ends_with(".sst")) CHECK(read_file(memory, "copy/" + name) == contents);
}

TEST_CASE("checkpoint: whichever call fails the copy is whole or absent and the database is unchanged") {
    const bool links = GENERATE(true, false);
    const bool lasting = GENERATE(true, false);
    INFO((links ? "links" : "copies") << (lasting ? ", that call and all later ones" : ", one call"));
    std::size_t fail_at = 0;
    for (bool reached = true; reached; fail_at += sanitized ? 3 : 1) {
        lsm::io::memory_file_system memory;
        linking inner(memory);
        if (!links) inner.at_link = [] { return EXDEV; };
        recording_file_system fs(inner);
        filled from(fs);
        const auto before = image_of(memory, "db");
        fs.calls.clear();
        fs.fail_call(fail_at, EIO, lasting);
        const auto done = from.db.checkpoint("copy");
        fs.fault = nullptr;
        reached = fs.calls.size() > fail_at;
        INFO("call " << fail_at << (reached ? ": " + fs.calls[fail_at] : ""));
        REQUIRE((done || reached));
        REQUIRE(image_of(memory, "db") == before);
        const auto copy = lsm::db::open("copy", plain({.create_if_missing = false, .file_system = &memory}));
        if (copy)
            REQUIRE(contents_of(*copy) == from.writes.model);
        else
            REQUIRE((!done && (copy.error().code == errc::not_found || copy.error().code == errc::bad_manifest)));
        from.writes.write_to(from.db, 1);
        REQUIRE(contents_of(from.db) == from.writes.model);
        must(from.db.checkpoint("again"));
    }
    CHECK(fail_at > 10);
}

TEST_CASE("checkpoint: everything else is durable before MANIFEST gets its name") {
    lsm::io::memory_file_system memory;
    linking inner(memory);
    inner.at_link = [] { return EXDEV; };
    recording_file_system fs(inner);
    auto db = must(lsm::db::open("db", plain({.file_system = &fs})));
    must(db.put("a", "1"));
    must(db.flush());
    must(db.put("b", "2"));
    fs.calls.clear();
    must(db.checkpoint("copy"));
    CHECK(fs.changes() ==
          std::vector<std::string>{
              "mkdir copy", "fsync-directory .", "fsync-directory .", "link db/sst-000001.sst copy/sst-000001.sst",
              "create copy/sst-000001.sst", "write copy/sst-000001.sst", "fsync copy/sst-000001.sst",
              "create copy/sst-000002.sst.tmp", "write copy/sst-000002.sst.tmp", "fsync copy/sst-000002.sst.tmp",
              "rename copy/sst-000002.sst.tmp copy/sst-000002.sst", "fsync-directory copy", "fsync-directory copy",
              "remove copy/MANIFEST.tmp", "create copy/MANIFEST.tmp", "write copy/MANIFEST.tmp",
              "fsync copy/MANIFEST.tmp", "rename copy/MANIFEST.tmp copy/MANIFEST", "fsync-directory copy"});
}

TEST_CASE("checkpoint: it works in directories on the disk") {
    const scratch_directory scratch;
    const auto opts = tiny(compaction_style::leveled, {.sync = false});
    auto db = must(lsm::db::open(scratch / "db", opts));
    random_writes writes(seed_or(32));
    writes.write_to(db, 400);
    must(db.checkpoint(scratch / "copy"));
    const auto then = writes.model;
    writes.write_to(db, 100);
    must(db.compact());
    const auto copy = must(lsm::db::open(scratch / "copy", opts));
    CHECK(contents_of(copy) == then);
    CHECK(contents_of(db) == writes.model);
}

TEST_CASE("checkpoint: one that ends after its database was closed removes no table of the next database") {
    lsm::io::memory_file_system memory;
    linking fs(memory);
    recording_file_system recorded(fs);
    const auto opts = plain({.file_system = &recorded});
    std::optional<lsm::db> db(must(lsm::db::open("db", opts))), next;
    must(db->put("a", "1"));
    must(db->flush());
    must(db->put("b", "2"));
    fs.at_link = [&, seen = false]() mutable {
        if (std::exchange(seen, true)) return 0;
        recorded.fault = [](std::string_view call) { return call.starts_with("write db/sst-000002") ? ENOSPC : 0; };
        CHECK_FALSE(db->flush());  // takes id 2 and makes no table
        recorded.fault = nullptr;
        must(db->close());
        next.emplace(must(lsm::db::open("db", opts)));
        must(next->put("c", "3"));
        must(next->flush());
        return 0;
    };
    static_cast<void>(db->checkpoint("copy"));
    REQUIRE(next);
    must(next->close());
    CHECK(contents_of(must(lsm::db::open("db", opts))) == entry_map{{"a", "1"}, {"b", "2"}, {"c", "3"}});
}

TEST_CASE("checkpoint: one that continues after its database was closed takes no table of the next database") {
    const bool extended = GENERATE(true, false);
    const bool copied = GENERATE(false, true);
    lsm::io::memory_file_system memory;
    linking fs(memory);
    rewrite(memory, "db", extended, {{"a", "old"}});
    auto db = must(lsm::db::open("db", plain({.file_system = &fs})));
    fs.at_link = [&] {
        must(db.close());
        rewrite(memory, "db", extended, {{"a", "new"}});
        return copied ? EXDEV : 0;
    };
    CHECK(must_fail(db.checkpoint("copy")).code == errc::stale);
    CHECK_FALSE(image_of(memory, "copy").contains("MANIFEST"));
}
