#include <sys/wait.h>
#include <unistd.h>

#include <lsm/db/db.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;

// Opens `path` in a process of its own. Returns 0 for success, else the error's code.
int open_in_child(const std::string& path) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const auto opened = lsm::db::open(path);
        ::_exit(opened ? 0 : static_cast<int>(opened.error().code));
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("locking: a second open in one process is refused and changes nothing") {
    scratch_directory scratch;
    auto& fs = lsm::io::default_file_system();
    auto db = must(lsm::db::open(scratch.path()));
    must(db.put("a", "1"));
    write_file(fs, scratch / "sst-000009.sst", "a left-over that an open would remove");
    const auto before = image_of(fs, scratch.path());
    const auto error = must_fail(lsm::db::open(scratch.path()));
    CHECK(error.code == errc::locked);
    CHECK(error.what.find(scratch / "LOCK") == 0);
    CHECK(image_of(fs, scratch.path()) == before);
    must(db.put("b", "2"));
    must(db.close());
    CHECK(contents_of(must(lsm::db::open(scratch.path()))) == entry_map{{"a", "1"}, {"b", "2"}});
}

TEST_CASE("locking: a second open in another process is refused and changes nothing") {
    scratch_directory scratch;
    auto& fs = lsm::io::default_file_system();
    auto db = must(lsm::db::open(scratch.path()));
    must(db.put("a", "1"));
    write_file(fs, scratch / "wal.log.tmp", "a left-over that an open would remove");
    const auto before = image_of(fs, scratch.path());
    CHECK(open_in_child(scratch.path()) == static_cast<int>(errc::locked));
    CHECK(image_of(fs, scratch.path()) == before);
    must(db.close());
    CHECK(open_in_child(scratch.path()) == 0);
}

TEST_CASE("locking: the end of a process releases its lock") {
    scratch_directory scratch;
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        auto db = lsm::db::open(scratch.path());
        const bool good = db && db->put("a", "1");
        ::_exit(good ? 0 : 1);  // no destructor runs
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(contents_of(must(lsm::db::open(scratch.path()))) == entry_map{{"a", "1"}});
}

TEST_CASE("locking: a second open on a memory file system is refused too") {
    memory_directory directory;
    auto db = directory.open();
    CHECK(must_fail(directory.try_open()).code == errc::locked);
    auto moved = std::move(db);
    CHECK(must_fail(directory.try_open()).code == errc::locked);
    must(moved.close());
    CHECK(directory.try_open());
}

TEST_CASE("locking: a cursor does not hold the lock") {
    memory_directory directory;
    auto db = directory.open();
    must(db.put("a", "1"));
    const auto at = db.scan();
    must(db.close());
    CHECK(directory.try_open());
    CHECK(at.valid());
}

TEST_CASE("locking: an open that fails releases the lock") {
    memory_directory directory;
    directory.with("MANIFEST", "rubbish\n");
    CHECK(must_fail(directory.try_open()).code == errc::bad_manifest);
    CHECK(must_fail(directory.try_open()).code == errc::bad_manifest);
    directory.with("MANIFEST", "");
    CHECK(directory.try_open());
}
