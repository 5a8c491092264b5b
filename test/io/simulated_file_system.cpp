#include <lsm/io/simulated_file_system.hpp>

#include <atomic>
#include <cerrno>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/file_systems.hpp"
#include "support/files.hpp"
#include "support/results.hpp"

using lsm::bytes;
using lsm::errc;
using lsm::io::fault;
using lsm::io::open_mode;
using lsm::io::operation;
using lsm::io::power_loss;
using lsm::io::simulated_file_system;
using lsm::test::is_there;
using lsm::test::must;
using lsm::test::must_fail;
using lsm::test::names_in;
using lsm::test::read_file;
using lsm::test::write_file;

namespace {

using kind = power_loss::kind;
using names = std::set<std::string>;

lsm::io::file created(simulated_file_system& disk, const std::string& path, lsm::bytes_view contents = {}) {
    auto file = must(lsm::io::file::open(disk, path, open_mode::create_exclusive));
    must(file.append(contents));
    return file;
}
// A file that is on the disk, name and all.
lsm::io::file durable(simulated_file_system& disk, const std::string& path, lsm::bytes_view contents) {
    auto file = created(disk, path, contents);
    must(file.sync());
    must(disk.sync_directory(lsm::detail::parent_directory(path)));
    return file;
}

bytes left_of(const simulated_file_system& disk, const std::string& path, power_loss loss) {
    auto left = disk.after_power_loss(loss);
    return read_file(left, path);
}
/// What a file can be after a power cut, by many seeds.
std::set<bytes> all_left_of(const simulated_file_system& disk, const std::string& path, kind survivors) {
    std::set<bytes> out;
    for (std::uint64_t seed = 0; seed < 300; ++seed) out.insert(left_of(disk, path, {survivors, seed}));
    return out;
}
std::set<names> names_left(const simulated_file_system& disk, const std::string& directory, kind survivors) {
    std::set<names> out;
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        auto left = disk.after_power_loss({survivors, seed});
        out.insert(names_in(left, directory));
    }
    return out;
}

}  // namespace

TEST_CASE("simulated file system: a name is durable after a sync of its directory and bytes after one of the file") {
    simulated_file_system disk;
    auto file = created(disk, "file", "data");
    CHECK(names_left(disk, ".", kind::nothing) == std::set<names>{{}});
    must(file.sync_data());
    CHECK(names_left(disk, ".", kind::nothing) == std::set<names>{{}});
    must(disk.sync_directory("."));
    CHECK(left_of(disk, "file", {kind::nothing}) == "data");
    must(file.append(" and more"));
    CHECK(left_of(disk, "file", {kind::nothing}) == "data");
    CHECK(left_of(disk, "file", {kind::everything}) == "data and more");
    CHECK(read_file(disk, "file") == "data and more");

    auto other = created(disk, "other", "data");
    must(disk.sync_directory("./"));
    CHECK(left_of(disk, "other", {kind::nothing}).empty());
}

TEST_CASE("simulated file system: a power cut leaves any of the sizes and sectors and front pieces of sectors") {
    simulated_file_system disk;
    auto file = durable(disk, "file", bytes(512, 'a'));
    must(file.append(bytes(512, 'b') + bytes(512, 'c')));
    must(file.append(bytes(512, 'd')));
    const auto left = all_left_of(disk, "file", kind::some);
    for (const bytes& one : left) {
        REQUIRE(one.size() % 512 == 0);
        CHECK(one.substr(0, 512) == bytes(512, 'a'));
        for (std::size_t at = 512; at < one.size(); ++at) {
            const char written = static_cast<char>('a' + at / 512);
            REQUIRE((one[at] == written || one[at] == '\0'));
            if (at % 512 != 0 && one[at] == written) REQUIRE(one[at - 1] == written);  // only the front of it
        }
    }
    const auto has = [&](const bytes& what) { return left.contains(what); };
    CHECK(has(bytes(512, 'a')));
    CHECK(has(bytes(512, 'a') + bytes(1024, '\0')));
    CHECK(has(bytes(512, 'a') + bytes(512, '\0') + bytes(512, 'c') + bytes(512, 'd')));
    CHECK(has(bytes(512, 'a') + bytes(512, 'b') + bytes(512, 'c') + bytes(512, '\0')));
    CHECK(std::any_of(left.begin(), left.end(),
                      [](const bytes& one) { return one.size() > 1023 && one[512] == 'b' && one[1023] == '\0'; }));
}

TEST_CASE("simulated file system: a sector may hold any of what was written to it since the sync and nothing older") {
    simulated_file_system disk;
    const auto handle = must(disk.open("file", open_mode::create_exclusive));
    const auto write = [&](char c) { CHECK(must(disk.write_at(handle, 0, bytes(10, c))) == 10); };
    write('0');
    write('1');
    must(disk.sync(handle));
    must(disk.sync_directory("."));
    write('2');
    write('3');
    std::set<char> first;
    for (const bytes& one : all_left_of(disk, "file", kind::some)) first.insert(one.at(0));
    CHECK(first == std::set<char>{'1', '2', '3'});
    must(disk.close(handle));
}

TEST_CASE("simulated file system: in order a power cut leaves what was done up to some moment") {
    simulated_file_system disk;
    auto one = durable(disk, "one", "1");
    auto two = durable(disk, "two", "1");
    must(one.append("2"));
    must(two.append("2"));
    must(disk.rename("one", "three"));
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        auto left = disk.after_power_loss({kind::prefix, seed});
        const bool renamed = is_there(left, "three");
        const bytes of_two = read_file(left, "two");
        if (renamed) CHECK(of_two == "12");
        if (of_two == "12") CHECK(read_file(left, renamed ? "three" : "one") == "12");
    }
    CHECK(names_left(disk, ".", kind::prefix) == std::set<names>{{"one", "two"}, {"three", "two"}});
}

TEST_CASE("simulated file system: names are lost one without the other but for those of one name") {
    simulated_file_system disk;
    static_cast<void>(durable(disk, "old", "1"));
    must(disk.rename("old", "new"));
    static_cast<void>(created(disk, "old", "2"));
    static_cast<void>(created(disk, "other", "3"));
    CHECK(
        names_left(disk, ".", kind::some) ==
        std::set<names>{{"old"}, {"new"}, {"new", "old"}, {"old", "other"}, {"new", "other"}, {"new", "old", "other"}});
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        auto left = disk.after_power_loss({kind::some, seed});
        if (!is_there(left, "new")) CHECK(read_file(left, "old") == "1");
    }
    must(disk.sync_directory("."));
    CHECK(names_left(disk, ".", kind::nothing) == std::set<names>{{"new", "old", "other"}});
}

TEST_CASE("simulated file system: a lost directory takes along what is in it") {
    simulated_file_system disk;
    must(disk.make_directory("a"));
    must(disk.make_directory("a/b"));
    static_cast<void>(durable(disk, "a/b/file", "data"));
    CHECK(names_left(disk, ".", kind::nothing) == std::set<names>{{}});
    must(disk.sync_directory("."));
    CHECK(names_left(disk, "a", kind::nothing) == std::set<names>{{}});
    must(disk.sync_directory("a"));
    CHECK(left_of(disk, "a/b/file", {kind::nothing}) == "data");
}

TEST_CASE("simulated file system: a rename between directories is one change") {
    simulated_file_system disk;
    must(disk.make_directory("from"));
    must(disk.make_directory("to"));
    must(disk.sync_directory("."));
    static_cast<void>(durable(disk, "from/file", "data"));
    must(disk.rename("from/file", "to/file"));
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        auto left = disk.after_power_loss({kind::some, seed});
        CHECK(names_in(left, "from").size() + names_in(left, "to").size() == 1);
    }
    must(disk.sync_directory("from"));
    CHECK(names_left(disk, "to", kind::nothing) == std::set<names>{{"file"}});
    CHECK(names_left(disk, "from", kind::nothing) == std::set<names>{{}});
}

TEST_CASE("simulated file system: two names of one file are one file after a power cut") {
    simulated_file_system disk;
    auto file = durable(disk, "one", "data");
    must(disk.link("one", "two"));
    must(disk.sync_directory("."));
    must(file.append(bytes(2000, 'x')));
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        auto left = disk.after_power_loss({.seed = seed});
        CHECK(read_file(left, "one") == read_file(left, "two"));
    }
    disk.reboot({kind::nothing});
    auto more = must(disk.lock("one"));
    CHECK(must(disk.write_at(more, 0, "DATA")) == 4);
    CHECK(read_file(disk, "two") == "DATA");
    must(disk.close(more));
}

TEST_CASE("simulated file system: what was cut off does not come back and reserved space is zeros") {
    simulated_file_system disk;
    auto file = durable(disk, "file", bytes(100, 'a'));
    must(file.truncate(50));
    must(file.allocate(70));
    CHECK(all_left_of(disk, "file", kind::some) ==
          std::set<bytes>{bytes(100, 'a'), bytes(50, 'a'), bytes(50, 'a') + bytes(20, '\0')});
    must(file.sync_data());
    CHECK(left_of(disk, "file", {kind::nothing}) == bytes(50, 'a') + bytes(20, '\0'));
}

TEST_CASE("simulated file system: what is stored in a map is written and open until a sync") {
    simulated_file_system disk;
    auto file = durable(disk, "file", bytes(600, 'o'));
    const auto handle = must(disk.open("file", open_mode::read));
    CHECK(must(disk.map_to_write(handle, 0, 600)) == nullptr);
    must(disk.close(handle));
    disk.offer_maps();
    CHECK(must_fail(disk.map_to_write(77, 0, 600)).sys == EBADF);
    const auto again = must(disk.open("file", open_mode::read));
    CHECK(must_fail(disk.map_to_write(again, 0, 601)).sys == EINVAL);  // more than there is
    must(disk.close(again));

    REQUIRE(file.map_ahead(1000));  // behind what is there
    const bytes stored(700, 's');
    must(file.append(stored));
    const bytes before(600, 'o');
    CHECK(left_of(disk, "file", {kind::everything}) == before + stored + bytes(300, '\0'));
    CHECK(left_of(disk, "file", {kind::nothing}) == before);
    const auto some = all_left_of(disk, "file", kind::some);
    CHECK(some.contains(before + bytes(1000, '\0')));
    // The sector in which it begins, and not the next one; and the other way round.
    CHECK(some.contains(before + bytes(424, 's') + bytes(576, '\0')));
    CHECK(some.contains(before + bytes(424, '\0') + bytes(276, 's') + bytes(300, '\0')));
    CHECK(all_left_of(disk, "file", kind::prefix).contains(before + stored + bytes(300, '\0')));
    CHECK(read_file(disk, "file") == before + stored + bytes(300, '\0'));

    must(file.sync_data());
    must(file.append("more"));
    CHECK(left_of(disk, "file", {kind::nothing}) == before + stored + bytes(300, '\0'));
    CHECK(left_of(disk, "file", {kind::everything}).substr(1300, 5) == bytes("more\0", 5));
    must(file.truncate(1302));
    CHECK(read_file(disk, "file") == before + stored + "mo");
}

TEST_CASE("simulated file system: a killed program loses nothing that it stored in a map") {
    simulated_file_system disk;
    disk.offer_maps();
    auto file = durable(disk, "file", {});
    REQUIRE(file.map_ahead(100));
    must(file.append("stored"));
    disk.restart_program();
    CHECK(read_file(disk, "file").substr(0, 7) == bytes("stored\0", 7));
    must(file.append("and lost"));  // the file is not open any more
    CHECK(read_file(disk, "file").substr(0, 7) == bytes("stored\0", 7));
    disk.reboot({kind::nothing});
    CHECK(read_file(disk, "file").empty());
}

TEST_CASE("simulated file system: the same seeds give the same disks and others give others") {
    const auto disk_of = [](std::uint64_t seed, std::uint64_t loss) {
        simulated_file_system disk(seed);
        auto file = durable(disk, "file", "");
        for (int i = 0; i < 20; ++i) must(file.append(bytes(400, static_cast<char>('a' + i))));
        return disk.after_power_loss({.seed = loss}).fingerprint();
    };
    CHECK(disk_of(1, 1) == disk_of(1, 1));
    CHECK(disk_of(1, 1) != disk_of(1, 2));
    CHECK(disk_of(1, 1) != disk_of(2, 1));
}

TEST_CASE("simulated file system: without power everything fails and after a reboot handles and locks are gone") {
    simulated_file_system disk;
    auto file = durable(disk, "file", "data");
    const auto lock = must(disk.lock("LOCK"));
    must(disk.sync_directory("."));
    must(file.append("lost"));
    disk.lose_power(1);
    must(disk.make_directory("last"));
    CHECK(must_fail(file.sync()).sys == EIO);
    CHECK(must_fail(disk.open("file", open_mode::read)).sys == EIO);
    CHECK(must_fail(disk.list(".", [](auto) {})).sys == EIO);
    disk.reboot({kind::nothing});
    CHECK(must_fail(file.append("x")).sys == EBADF);
    CHECK(must_fail(disk.close(lock)).sys == EBADF);
    CHECK(names_in(disk, ".") == names{"file", "LOCK"});
    CHECK(read_file(disk, "file") == "data");
    must(disk.close(must(disk.lock("LOCK"))));
}

TEST_CASE("simulated file system: a killed program loses nothing but what it held") {
    simulated_file_system disk;
    auto file = durable(disk, "file", "data");
    const auto lock = must(disk.lock("LOCK"));
    must(file.append(" and more"));
    disk.restart_program();
    CHECK(must_fail(disk.close(lock)).sys == EBADF);
    must(disk.close(must(disk.lock("LOCK"))));
    CHECK(read_file(disk, "file") == "data and more");
    CHECK(left_of(disk, "file", {kind::nothing}) == "data");
}

TEST_CASE("simulated file system: a fault comes when it is told to once or from then on") {
    simulated_file_system disk;
    disk.inject({.after = 1, .sys = EIO});
    must(disk.make_directory("1"));
    CHECK(must_fail(disk.make_directory("2")).sys == EIO);
    must(disk.make_directory("2"));
    CHECK(disk.faults_met() == 1);
    disk.inject({.sys = ENOSPC, .lasting = true, .of = operation::create});
    must(disk.make_directory("3"));
    for (int i = 0; i < 3; ++i) CHECK(must_fail(disk.open("file", open_mode::create_exclusive)).code == errc::no_space);
    CHECK(disk.faults_met() == 4);
    disk.clear_faults();
    static_cast<void>(created(disk, "file"));
    CHECK(disk.operations() == 9);
}

TEST_CASE("simulated file system: interruptions that last come every other time and short transfers take half") {
    simulated_file_system disk;
    auto file = created(disk, "file");
    const auto handle = must(disk.lock("other"));
    disk.inject({.sys = EINTR, .lasting = true});
    CHECK(must_fail(disk.write_at(handle, 0, "12345")).sys == EINTR);
    CHECK(must(disk.write_at(handle, 0, "12345")) == 5);
    must(file.append("12345"));
    disk.clear_faults();
    disk.inject({.sys = 0, .lasting = true});
    CHECK(must(disk.write_at(handle, 0, "12345")) == 3);
    bytes got(5, '?');
    CHECK(must(disk.read_at(handle, 0, got)) == 3);
    must(file.append("6789"));
    CHECK(read_file(disk, "file") == "123456789");
    must(disk.close(handle));
}

TEST_CASE("simulated file system: what a failed sync has not written is not written by a later one") {
    bool lost = false, kept = false;
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
        simulated_file_system disk(seed);
        auto file = durable(disk, "file", "");
        must(file.append(bytes(512, 'a')));
        disk.inject({.sys = EIO, .of = operation::sync_data});
        CHECK(must_fail(file.sync_data()).sys == EIO);
        must(file.append("b"));
        must(file.sync_data());
        CHECK(read_file(disk, "file") == bytes(512, 'a') + "b");
        const bytes left = left_of(disk, "file", {kind::everything});
        REQUIRE(left.size() == 513);
        CHECK(left.back() == 'b');
        lost = lost || left.front() == '\0';
        kept = kept || left.front() == 'a';
    }
    CHECK(lost);
    CHECK(kept);
}

TEST_CASE("simulated file system: a full disk takes what fits and has room again when a file is gone") {
    simulated_file_system disk;
    disk.set_capacity(10);
    auto file = created(disk, "file", "1234567");
    const auto handle = must(disk.lock("other"));
    CHECK(must(disk.write_at(handle, 0, "12345")) == 3);
    CHECK(must_fail(disk.write_at(handle, 3, "45")).code == errc::no_space);
    CHECK(must(disk.write_at(handle, 0, "abc")) == 3);
    CHECK(must_fail(disk.allocate(handle, 4)).code == errc::no_space);
    CHECK(must_fail(disk.truncate(handle, 4)).code == errc::no_space);
    CHECK(disk.used() == 10);
    must(disk.remove("file"));
    CHECK(disk.used() == 10);
    must(file.close());
    CHECK(disk.used() == 3);
    must(disk.allocate(handle, 10));
    must(disk.close(handle));
}

TEST_CASE("simulated file system: who looks sees every operation before it is done") {
    simulated_file_system disk;
    std::vector<std::string> seen;
    disk.before_each([&](const auto& next) {
        CHECK(next.number == seen.size());
        seen.push_back(std::string(to_string(next.what)) + " " + std::string(next.path));
        if (next.what == operation::remove) CHECK_FALSE(left_of(disk, "b", {kind::everything}).empty());
    });
    auto file = created(disk, "a", "data");
    must(file.sync());
    must(disk.rename("a", "b"));
    must(disk.remove("b"));
    must(file.close());
    CHECK(seen == std::vector<std::string>{"create a", "write a", "sync a", "rename b", "remove b", "close a"});
    CHECK(changes_disk(operation::sync_directory));
    CHECK_FALSE(changes_disk(operation::list));
    CHECK_FALSE(changes_disk(operation::identity));
}

TEST_CASE("simulated file system: many threads may use it") {
    simulated_file_system disk;
    std::atomic<int> failures = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&, name = "file" + std::to_string(t)] {
            for (int i = 0; i < 200; ++i) {
                auto file = lsm::io::file::open(disk, name, open_mode::create_exclusive);
                if (!file || !file->append("data") || !file->sync() || !disk.sync_directory(".")) ++failures;
                if (disk.after_power_loss({.seed = 1}).used() > 4 * 4) ++failures;
                if (!disk.remove(name)) ++failures;
            }
        });
    for (auto& thread : threads) thread.join();
    CHECK(failures == 0);
    CHECK(names_in(disk, ".").empty());
}
