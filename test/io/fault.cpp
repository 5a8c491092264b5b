#include <lsm/io/fault.hpp>

#include <cerrno>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "io/power_cuts.hpp"
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/results.hpp"

using lsm::bytes;
using lsm::errc;
using lsm::detail::fault_schedule;
using lsm::io::open_mode;
using lsm::io::operation;
using lsm::io::simulated_file_system;
using lsm::test::created;
using lsm::test::durable;
using lsm::test::left_of;
using lsm::test::must;
using lsm::test::must_fail;
using lsm::test::read_file;

namespace {

// The errno that each of `count` operations of one kind must fail with, or 0.
std::vector<int> met_by(fault_schedule& faults, operation op, int count) {
    std::vector<int> out;
    for (int i = 0; i < count; ++i) out.push_back(faults.begin(op));
    return out;
}

}  // namespace

TEST_CASE("fault: every operation has a name of its own") {
    std::set<std::string_view> names;
    for (auto op = operation::open; op <= operation::lock; op = static_cast<operation>(static_cast<int>(op) + 1))
        CHECK(names.insert(to_string(op)).second);
    CHECK(names.size() == 20);
    CHECK(to_string(operation::open) == "open");
    CHECK(to_string(operation::start_sync) == "start_sync");
    CHECK(to_string(operation::make_directory) == "make_directory");
    CHECK(to_string(operation::lock) == "lock");
}

TEST_CASE("fault: the operations that change a disk are those that write or sync or change a name") {
    std::set<std::string> changing;
    for (auto op = operation::open; op <= operation::lock; op = static_cast<operation>(static_cast<int>(op) + 1))
        if (changes_disk(op)) changing.emplace(to_string(op));
    CHECK(changing == std::set<std::string>{"create", "write", "sync_data", "sync", "truncate", "allocate", "rename",
                                            "link", "remove", "make_directory", "sync_directory", "lock"});
    CHECK(changes_disk(operation::sync_directory));
    CHECK_FALSE(changes_disk(operation::list));
    CHECK_FALSE(changes_disk(operation::identity));
}

TEST_CASE("fault: without a fault every operation is performed in full") {
    fault_schedule faults;
    CHECK(met_by(faults, operation::write, 3) == std::vector<int>{0, 0, 0});
    CHECK(faults.shortened(100) == 100);
    CHECK(faults.met() == 0);
}

TEST_CASE("fault: only operations of its kind count and fail") {
    fault_schedule faults;
    faults.add({.after = 1, .sys = EIO, .of = operation::sync});
    CHECK(met_by(faults, operation::write, 3) == std::vector<int>{0, 0, 0});
    CHECK(faults.begin(operation::sync) == 0);
    CHECK(faults.begin(operation::write) == 0);
    CHECK(faults.begin(operation::sync) == EIO);
    CHECK(faults.begin(operation::sync) == 0);
    CHECK(faults.met() == 1);
}

TEST_CASE("fault: several faults count independently and the last one added wins") {
    fault_schedule faults;
    faults.add({.after = 1, .sys = EIO, .lasting = true});
    faults.add({.after = 2, .sys = ENOSPC});
    CHECK(met_by(faults, operation::write, 4) == std::vector<int>{0, EIO, ENOSPC, EIO});
    CHECK(faults.met() == 3);
    faults.clear();
    CHECK(faults.begin(operation::write) == 0);
    CHECK(faults.met() == 3);  // clear() does not reset the count
}

TEST_CASE("fault: a short transfer is the larger half of a read or write and does not affect other operations") {
    fault_schedule faults;
    faults.add({.sys = 0, .lasting = true});
    for (const auto op : {operation::read, operation::write}) {
        CHECK(faults.begin(op) == 0);
        CHECK(faults.shortened(5) == 3);
        CHECK(faults.shortened(4) == 2);
        CHECK(faults.shortened(1) == 1);  // 0 would look like the end of the file
        CHECK(faults.shortened(0) == 0);
    }
    CHECK(faults.met() == 2);
    CHECK(faults.begin(operation::sync) == 0);
    CHECK(faults.shortened(5) == 5);
    CHECK(faults.met() == 2);
}

TEST_CASE("fault: a lasting interruption begins at its operation") {
    fault_schedule faults;
    faults.add({.after = 1, .sys = EINTR, .lasting = true});
    CHECK(met_by(faults, operation::read, 5) == std::vector<int>{0, EINTR, 0, EINTR, 0});
}

TEST_CASE("fault: hits its operation once or every operation from then on") {
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

TEST_CASE("fault: a lasting interruption hits every other operation and a short transfer is half") {
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

TEST_CASE("fault: what a failed sync has not written is not written by a later sync") {
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
        const bytes left = left_of(disk, "file", {lsm::io::power_loss::kind::everything});
        REQUIRE(left.size() == 513);
        CHECK(left.back() == 'b');
        lost = lost || left.front() == '\0';
        kept = kept || left.front() == 'a';
    }
    CHECK(lost);
    CHECK(kept);
}
