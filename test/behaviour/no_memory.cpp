#include <cerrno>
#include <functional>
#include <new>
#include <optional>
#include <string>

#include <lsm/db/db.hpp>
#include <lsm/io/posix_file_system.hpp>

#include "support/databases.hpp"
#include "support/forwarding_file_system.hpp"
#include "support/heap.hpp"

/// Any allocation fails, those of names and of the texts of errors included, alone or with those after it. Nothing may
/// end the process, be lost, or stay behind.

namespace {

using namespace lsm::test;

const lsm::bytes large(100'000, 'l');

// The system's, without waiting for the disk: a memory file system would need memory itself.
class unsynced final : public forwarding_file_system {
public:
    unsynced() : forwarding_file_system(lsm::io::default_file_system()) {}
    lsm::result<void> sync_data(handle) override { return {}; }
    lsm::result<void> sync(handle) override { return {}; }
    lsm::result<void> sync_directory(std::string_view) override { return {}; }
};

struct scene {
    scene() {
        db.emplace(must(lsm::db::open(directory.path(), how)));
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
    const lsm::options how = plain({.memory_budget_bytes = 64 << 20, .sync = false, .file_system = &fs});
    std::optional<lsm::db> db;
    std::optional<lsm::snapshot> then;
};

const entry_map before{{"a", "1"}, {"b", "2"}, {"c", "3"}};

using action = std::function<lsm::result<void>(scene&)>;

// Lets `act` meet `count` failures from the allocation after `fail_at` on. Whether it came so far.
bool survives(const action& act, long fail_at, long count, std::size_t most_left) {
    INFO("allocation " << fail_at << ", " << count);
    scene with;
    entry_map with_put = before;
    with_put["large"] = large;
    bool done = false;
    heap.fail(fail_at, count);
    try {
        done = act(with).has_value();
    } catch (const std::bad_alloc&) {
    }
    const bool failed = heap.failed;
    heap.recover();
    CHECK((done || failed));
    if (with.db) {
        const auto shown = contents_of(*with.db);
        CHECK((shown == before || shown == with_put));
        if (auto later = with.db->put("later", "write")) {
            must(with.db->flush());
            // To remove a table's file takes memory, too; what stays is for the next open.
            if (count == 1) CHECK(with.table_files() <= with.db->live_tables().size() + most_left);
            must(with.db->del("later"));
            must(with.db->flush());
            CHECK(contents_of(*with.db) == shown);
            CHECK_FALSE(with.db->stats().trouble);
        } else {
            CHECK(later.error().code == lsm::errc::closed);
        }
        with.then.reset();
        with.db.reset();
    }
    auto again = must(lsm::db::open(with.directory.path(), with.how));
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

TEST_CASE("no memory: a put") {
    check_every_failure([](scene& with) { return with.db->put("large", large); });
}
TEST_CASE("no memory: a flush") {
    check_every_failure([](scene& with) { return with.db->flush(); });
}
TEST_CASE("no memory: a compaction") {
    check_every_failure([](scene& with) { return with.db->compact(); }, 1);
}
TEST_CASE("no memory: a snapshot that is let go when it is history") {
    check_every_failure(
        [](scene& with) -> lsm::result<void> {
            auto then = with.db->snapshot();
            if (!then) return std::move(then).error();
            with.then = *std::move(then);
            auto compacted = with.db->compact();
            with.then.reset();
            return compacted;
        },
        1);
}
TEST_CASE("no memory: closing") {
    check_every_failure([](scene& with) { return with.db->close(); });
}
TEST_CASE("no memory: destruction") {
    check_every_failure([](scene& with) -> lsm::result<void> {
        with.db.reset();
        return {};
    });
}
TEST_CASE("no memory: opening") {
    check_every_failure([](scene& with) -> lsm::result<void> {
        {
            const long good = heap.good;
            heap.recover();
            with.db.reset();
            heap.good = good;
        }
        auto opened = lsm::db::open(with.directory.path(), with.how);
        if (!opened) return std::move(opened).error();
        with.db = *std::move(opened);
        return {};
    });
}

namespace {

/// The first of some calls fails, and from then on there is no memory.
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

// Whether `work` said that all went well. Afterwards there is memory again.
template <class Work>
bool well(Work work) {
    bool good = false;
    try {
        good = work().has_value();
    } catch (const std::bad_alloc&) {
    }
    heap.recover();
    return good;
}

}  // namespace

TEST_CASE("no memory: a sync that fails meanwhile is not forgotten") {
    const scratch_directory directory;
    failing_with_memory fs;
    auto db = must(lsm::db::open(directory.path(), plain({.file_system = &fs})));
    must(db.put("a", "1"));
    fs.sync_fails = true;
    CHECK_FALSE(well([&] { return db.put("a", "2"); }));
    CHECK(must_fail(db.put("a", "3")).code == lsm::errc::io);
    CHECK(must(db.get("a")) == "1");
    CHECK_FALSE(well([&] { return db.close(); }));
}

TEST_CASE("no memory: a log that cannot be removed meanwhile ends all writing") {
    // Replayed over a later table it would bring older values back.
    const scratch_directory directory;
    failing_with_memory fs;
    {
        auto db = must(lsm::db::open(directory.path(), plain({.file_system = &fs})));
        must(db.put("a", "old"));
        fs.remove_fails = true;
        static_cast<void>(well([&] { return db.flush(); }));
        if (db.put("a", "new")) must(db.flush());
        CHECK(must_fail(db.put("b", "2")).code == lsm::errc::io);
        static_cast<void>(db.close());
    }
    CHECK(must(must(lsm::db::open(directory.path(), plain())).get("a")) == "old");
}
