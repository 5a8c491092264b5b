#include <cerrno>
#include <functional>
#include <new>
#include <optional>
#include <string>

#include <lsm/db/db.hpp>
#include <lsm/io/posix_file_system.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/forwarding_file_system.hpp"
#include "support/heap.hpp"

/// Every allocation fails in turn, including those for file names and error texts: alone, with the one after it, or
/// with all later ones. The process must not end, no write may be lost, and no file may be left over.

namespace {

using namespace lsm::test;

const lsm::bytes large(100'000, 'l');

// The system's file system, without waiting for the disk. A memory file system would allocate memory itself.
class unsynced final : public forwarding_file_system {
public:
    unsynced() : forwarding_file_system(lsm::io::default_file_system()) {}
    lsm::result<void> sync_data(handle) override { return {}; }
    lsm::result<void> sync(handle) override { return {}; }
    lsm::result<void> sync_directory(std::string_view) override { return {}; }
};

/// A database with two tables and an entry in memory.
struct scene {
    scene() {
        db.emplace(must(lsm::db::open(directory.path(), opts)));
        must(db->put("a", "1"));
        must(db->flush());
        must(db->put("b", "2"));
        must(db->flush());
        must(db->put("c", "3"));
    }
    [[nodiscard]] std::size_t table_files() {
        const auto names = database_files(fs, directory.path());
        return static_cast<std::size_t>(
            std::ranges::count_if(names, [](const auto& name) { return name.ends_with(".sst"); }));
    }

    const scratch_directory directory;
    unsynced fs;
    const lsm::options opts = plain({.memory_budget_bytes = 64 << 20, .sync = false, .file_system = &fs});
    std::optional<lsm::db> db;
    std::optional<lsm::snapshot> snapshot;
};

const entry_map before{{"a", "1"}, {"b", "2"}, {"c", "3"}};

using action = std::function<lsm::result<void>(scene&)>;

// Runs `act` while allocation number `fail_at` and the next `count` - 1 fail, and checks what is left. At most
// `most_left` table files may be left that belong to no table. Returns whether an allocation failed.
bool survives(const action& act, long fail_at, long count, std::size_t most_left) {
    INFO("allocation " << fail_at << ", " << count);
    scene setup;
    entry_map with_put = before;
    with_put["large"] = large;
    bool done = false;
    heap.fail(fail_at, count);
    try {
        done = act(setup).has_value();
    } catch (const std::bad_alloc&) {
    }
    const bool failed = heap.failed;
    heap.recover();
    CHECK((done || failed));
    if (setup.db) {
        const auto shown = contents_of(*setup.db);
        CHECK((shown == before || shown == with_put));
        if (auto later = setup.db->put("later", "write")) {
            must(setup.db->flush());
            // Removing a table's file needs memory too; the next open removes a file that is left.
            if (count == 1) CHECK(setup.table_files() <= setup.db->live_tables().size() + most_left);
            must(setup.db->del("later"));
            must(setup.db->flush());
            CHECK(contents_of(*setup.db) == shown);
            CHECK_FALSE(setup.db->stats().trouble);
        } else {
            CHECK(later.error().code == lsm::errc::closed);
        }
        setup.snapshot.reset();
        setup.db.reset();
    }
    auto again = must(lsm::db::open(setup.directory.path(), setup.opts));
    const auto shown = contents_of(again);
    CHECK((shown == before || shown == with_put));
    must(again.close());
    return failed;
}

void check_every_failure(const action& act, std::size_t most_left = 0) {
    for (const long count : {1L, 2L, 1'000'000L}) {
        long fail_at = 0;
        while (survives(act, fail_at, count, most_left)) ++fail_at;
        CHECK(fail_at > 0);
    }
}

}  // namespace

TEST_CASE("no memory: a put loses nothing") {
    check_every_failure([](scene& setup) { return setup.db->put("large", large); });
}
TEST_CASE("no memory: a flush loses nothing") {
    check_every_failure([](scene& setup) { return setup.db->flush(); });
}
TEST_CASE("no memory: a compaction loses nothing") {
    check_every_failure([](scene& setup) { return setup.db->compact(); }, 1);
}
TEST_CASE("no memory: releasing a snapshot of an old state loses nothing") {
    check_every_failure(
        [](scene& setup) -> lsm::result<void> {
            auto snapshot = setup.db->snapshot();
            if (!snapshot) return std::move(snapshot).error();
            setup.snapshot = *std::move(snapshot);
            auto compacted = setup.db->compact();
            setup.snapshot.reset();
            return compacted;
        },
        1);
}
TEST_CASE("no memory: a close loses nothing") {
    check_every_failure([](scene& setup) { return setup.db->close(); });
}
TEST_CASE("no memory: the destructor loses nothing") {
    check_every_failure([](scene& setup) -> lsm::result<void> {
        setup.db.reset();
        return {};
    });
}
TEST_CASE("no memory: an open loses nothing") {
    check_every_failure([](scene& setup) -> lsm::result<void> {
        {
            // The failures are meant for the open, not for the close before it.
            const long good = heap.good;
            heap.recover();
            setup.db.reset();
            heap.good = good;
        }
        auto opened = lsm::db::open(setup.directory.path(), setup.opts);
        if (!opened) return std::move(opened).error();
        setup.db = *std::move(opened);
        return {};
    });
}

namespace {

/// Fails a chosen call, and from then on every allocation.
class failing_with_memory final : public forwarding_file_system {
public:
    failing_with_memory() : forwarding_file_system(lsm::io::default_file_system()) {}

    bool sync_fails = false;
    bool remove_fails = false;

    lsm::result<void> sync_data(handle file) override {
        return sync_fails ? fail("fdatasync") : forwarding_file_system::sync_data(file);
    }
    lsm::result<void> remove(std::string_view path) override {
        return remove_fails && path.ends_with(".log") ? fail("unlink") : forwarding_file_system::remove(path);
    }

private:
    lsm::result<void> fail(const char* call) {
        sync_fails = remove_fails = false;
        heap.fail(0, 1'000'000);
        return lsm::detail::system_failure(call, EIO);
    }
};

// Runs `work`, and lets allocations succeed again. Returns whether it reported success.
template <class Work>
bool succeeds(Work work) {
    bool good = false;
    try {
        good = work().has_value();
    } catch (const std::bad_alloc&) {
    }
    heap.recover();
    return good;
}

}  // namespace

TEST_CASE("no memory: a failed sync is not forgotten") {
    const scratch_directory directory;
    failing_with_memory fs;
    auto db = must(lsm::db::open(directory.path(), plain({.file_system = &fs})));
    must(db.put("a", "1"));
    fs.sync_fails = true;
    CHECK_FALSE(succeeds([&] { return db.put("a", "2"); }));
    CHECK(must_fail(db.put("a", "3")).code == lsm::errc::io);
    CHECK(must(db.get("a")) == "1");
    CHECK_FALSE(succeeds([&] { return db.close(); }));
}

TEST_CASE("no memory: a log that cannot be removed refuses all writes") {
    // Replaying the log over a later table would bring older values back.
    const scratch_directory directory;
    failing_with_memory fs;
    {
        auto db = must(lsm::db::open(directory.path(), plain({.file_system = &fs})));
        must(db.put("a", "old"));
        fs.remove_fails = true;
        static_cast<void>(succeeds([&] { return db.flush(); }));
        if (db.put("a", "new")) must(db.flush());
        CHECK(must_fail(db.put("b", "2")).code == lsm::errc::io);
        static_cast<void>(db.close());
    }
    CHECK(must(must(lsm::db::open(directory.path(), plain())).get("a")) == "old");
}
