#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <string>

#include <lsm/db/db.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/files.hpp"

using namespace lsm::test;

TEST_CASE("forking: a child process releases a database without changing it") {
    const scratch_directory directory;
    std::optional<lsm::db> db = must(lsm::db::open(directory / "db"));  // with threads and preallocated space
    must(db->put("a", "1"));
    must(db->flush());
    must(db->put("b", "2"));
    std::optional<lsm::db> moved_to;
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const bool refused = !db->close();
        moved_to = std::move(*db);
        moved_to.reset();
        db.reset();
        ::_exit(refused ? 0 : 1);
    }
    for (int i = 0; i < 100; ++i) must(db->put("c" + std::to_string(i), "3"));
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    must(db->put("d", "4"));
    must(db->close());
    const auto again = must(lsm::db::open(directory / "db"));
    CHECK(contents_of(again).size() == 103);
}

TEST_CASE("forking: a child that drops snapshots and cursors and views starts no thread and waits for none") {
    const scratch_directory directory;
    auto db = must(lsm::db::open(directory / "db", {.sync = false, .background_threads = 16}));
    for (int round = 0; round < 20; ++round) {
        for (int n = 0; n < 100; ++n) must(db.put("key" + std::to_string(n), std::string(100, 'v')));
        std::optional<lsm::snapshot> snapshot = must(db.snapshot());
        std::optional<lsm::db::cursor> cursor = db.scan();
        auto view = must(db.get_view("key1"));
        must(db.flush());  // releasing the state that they hold is now work for maintenance
        must(db.put("busy", std::to_string(round)));
        const pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            ::alarm(10);  // kills a child that hangs
            view.reset();
            cursor.reset();
            snapshot.reset();
            ::usleep(10'000);
            int threads = 0;
            for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) threads += task.exists();
            ::_exit(threads == 1 ? 0 : 1);
        }
        int status = -1;
        REQUIRE(::waitpid(child, &status, 0) == child);
        INFO("round " << round);
        REQUIRE(WIFEXITED(status));
        REQUIRE(WEXITSTATUS(status) == 0);
    }
    CHECK(contents_of(db).size() == 101);
}
