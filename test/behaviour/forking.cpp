#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include <lsm/db/db.hpp>

#include "support/databases.hpp"
#include "support/files.hpp"

using namespace lsm::test;

TEST_CASE("forking: a child lets go of a database and does nothing to it") {
    const scratch_directory directory;
    std::optional<lsm::db> db = must(lsm::db::open(directory / "db"));  // with threads, and space that is reserved
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
