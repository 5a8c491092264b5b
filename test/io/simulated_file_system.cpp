#include <lsm/io/simulated_file_system.hpp>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "io/power_cuts.hpp"
#include "support/catch.hpp"
#include "support/file_systems.hpp"
#include "support/files.hpp"
#include "support/results.hpp"

using lsm::bytes;
using lsm::errc;
using lsm::io::open_mode;
using lsm::io::operation;
using lsm::io::simulated_file_system;
using lsm::test::all_left_of;
using lsm::test::created;
using lsm::test::durable;
using lsm::test::left_of;
using lsm::test::must;
using lsm::test::must_fail;
using lsm::test::names;
using lsm::test::names_in;
using lsm::test::read_file;
using kind = lsm::io::power_loss::kind;

TEST_CASE("simulated file system: what is stored in a map is an unsynced write") {
    simulated_file_system disk;
    auto file = durable(disk, "file", bytes(600, 'o'));
    const auto handle = must(disk.open("file", open_mode::read));
    CHECK(must(disk.map_to_write(handle, 0, 600)) == nullptr);
    must(disk.close(handle));
    disk.offer_maps();
    CHECK(must_fail(disk.map_to_write(77, 0, 600)).sys == EBADF);
    const auto again = must(disk.open("file", open_mode::read));
    CHECK(must_fail(disk.map_to_write(again, 0, 601)).sys == EINVAL);  // beyond the end of the file
    must(disk.close(again));

    REQUIRE(file.map_ahead(1000));  // after the 600 bytes that are there
    const bytes stored(700, 's');
    must(file.append(stored));
    const bytes before(600, 'o');
    CHECK(left_of(disk, "file", {kind::everything}) == before + stored + bytes(300, '\0'));
    CHECK(left_of(disk, "file", {kind::nothing}) == before);
    const auto some = all_left_of(disk, "file", kind::some);
    CHECK(some.contains(before + bytes(1000, '\0')));
    // Only the first of the two sectors survived, or only the second.
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
    must(file.append("and lost"));  // the kill has closed the file
    CHECK(read_file(disk, "file").substr(0, 7) == bytes("stored\0", 7));
    disk.reboot({kind::nothing});
    CHECK(read_file(disk, "file").empty());
}

TEST_CASE("simulated file system: equal seeds give equal disks and different seeds different ones") {
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

TEST_CASE("simulated file system: without power every operation fails and a reboot closes handles and locks") {
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

TEST_CASE("simulated file system: a killed program loses only its handles and locks") {
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

TEST_CASE("simulated file system: a full disk takes what fits and has room again after a file is deleted") {
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

TEST_CASE("simulated file system: the observer sees every operation before it is performed") {
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
}

TEST_CASE("simulated file system: threads may use it at the same time") {
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
