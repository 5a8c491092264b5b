#include <lsm/io/power_loss.hpp>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "io/power_cuts.hpp"
#include "support/catch.hpp"
#include "support/file_systems.hpp"
#include "support/files.hpp"
#include "support/results.hpp"

using lsm::bytes;
using lsm::detail::change_journal;
using lsm::detail::seeded_choice;
using lsm::detail::unsynced_file;
using lsm::io::memory_file_system;
using lsm::io::open_mode;
using lsm::io::simulated_file_system;
using lsm::test::all_left_of;
using lsm::test::created;
using lsm::test::durable;
using lsm::test::is_there;
using lsm::test::left_of;
using lsm::test::must;
using lsm::test::names;
using lsm::test::names_in;
using lsm::test::names_left;
using lsm::test::read_file;
using kind = lsm::io::power_loss::kind;

TEST_CASE("power loss: the random numbers are those of SplitMix64") {
    // The first outputs of the reference implementation for the seed 0.
    seeded_choice choose(0);
    CHECK(choose.next() == 0xe220a8397b1dcdaf);
    CHECK(choose.next() == 0x6e789e6aa1b965f4);
    CHECK(choose.next() == 0x06c45d188009454f);
}

TEST_CASE("power loss: a random part is often nothing or everything and never more") {
    seeded_choice choose(1);
    std::vector<int> counts(11);
    for (int i = 0; i < 4000; ++i) ++counts.at(choose.part_of(10));
    for (const int count : counts) CHECK(count > 0);
    CHECK(counts.front() > 1000);
    CHECK(counts.back() > 1000);
    CHECK(choose.part_of(0) == 0);
}

TEST_CASE("power loss: bytes are durable after a sync of the file and a name after a sync of its directory") {
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

TEST_CASE("power loss: a file may have any of its sizes and each sector any of its writes or a part of one") {
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
            if (at % 512 != 0 && one[at] == written)
                REQUIRE(one[at - 1] == written);  // of a torn write only the first bytes
        }
    }
    const auto has = [&](const bytes& contents) { return left.contains(contents); };
    CHECK(has(bytes(512, 'a')));
    CHECK(has(bytes(512, 'a') + bytes(1024, '\0')));
    CHECK(has(bytes(512, 'a') + bytes(512, '\0') + bytes(512, 'c') + bytes(512, 'd')));
    CHECK(has(bytes(512, 'a') + bytes(512, 'b') + bytes(512, 'c') + bytes(512, '\0')));
    CHECK(std::any_of(left.begin(), left.end(),
                      [](const bytes& one) { return one.size() > 1023 && one[512] == 'b' && one[1023] == '\0'; }));
}

TEST_CASE("power loss: a sector may hold anything written since the last sync and nothing older") {
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

TEST_CASE("power loss: a prefix holds the changes up to some moment") {
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

TEST_CASE("power loss: changes of different names survive independently and those of one name in order") {
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

TEST_CASE("power loss: a lost directory loses its entries") {
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

TEST_CASE("power loss: a rename between directories is one change") {
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

TEST_CASE("power loss: two names of one file still name one file") {
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

TEST_CASE("power loss: truncated bytes do not come back and allocated space is zeros") {
    simulated_file_system disk;
    auto file = durable(disk, "file", bytes(100, 'a'));
    must(file.truncate(50));
    must(file.allocate(70));
    CHECK(all_left_of(disk, "file", kind::some) ==
          std::set<bytes>{bytes(100, 'a'), bytes(50, 'a'), bytes(50, 'a') + bytes(20, '\0')});
    must(file.sync_data());
    CHECK(left_of(disk, "file", {kind::nothing}) == bytes(50, 'a') + bytes(20, '\0'));
}

TEST_CASE("power loss: a file keeps the size that programs see apart from its durable bytes") {
    unsynced_file file("durable");
    file.write(1, 5, "longer");
    CHECK(file.size() == 11);
    file.resize(2, 3);
    CHECK(file.size() == 3);
    CHECK(file.durable() == "durable");
    file.write(3, 6, "x");
    file.sync();
    CHECK(file.durable() == bytes("dur\0\0\0x", 7));
    CHECK(file.size() == 7);
}

TEST_CASE("power loss: a prefix ends before a moment and may take a part of the write at it") {
    unsynced_file file("0");
    file.write(1, 1, "1");
    file.write(2, 2, "22");
    file.resize(3, 2);
    std::set<bytes> at_two;
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        seeded_choice choose(seed);
        CHECK(file.after(kind::nothing, 2, choose) == "0");
        CHECK(file.after(kind::everything, 2, choose) == "01");
        CHECK(file.after(kind::prefix, 0, choose) == "0");
        CHECK(file.after(kind::prefix, 3, choose) == "0122");
        CHECK(file.after(kind::prefix, 4, choose) == "01");
        at_two.insert(file.after(kind::prefix, 2, choose));
    }
    CHECK(at_two == std::set<bytes>{"01", "012", "0122"});
}

TEST_CASE("power loss: a copy of the durable files has their names and directories and links and nothing else") {
    change_journal journal;
    journal.make_directory("directory");
    const auto file = journal.create("directory/file");
    journal.write(*file, 0, "data");
    file->sync();
    journal.sync_directory(".");
    journal.sync_directory("directory");
    journal.link("directory/file", "link");
    journal.sync_directory(".");
    journal.write(*file, 4, " that is not synced");
    journal.create("other");

    memory_file_system copy;
    journal.copy_durable_to(copy);
    CHECK(names_in(copy, ".") == names{"directory", "link"});
    CHECK(names_in(copy, "directory") == names{"file"});
    CHECK(read_file(copy, "directory/file") == "data");
    const auto identity_of = [&](const char* path) { return must(lsm::test::open_file(copy, path).identity()); };
    CHECK(identity_of("link") == identity_of("directory/file"));
}

TEST_CASE("power loss: the fingerprint depends on every durable name and byte and on nothing else") {
    const auto fingerprint = [](const std::string& name, const bytes& contents, bool is_synced) {
        change_journal journal;
        const auto file = journal.create(name);
        journal.write(*file, 0, contents);
        if (is_synced) {
            file->sync();
            journal.sync_directory(".");
        }
        return journal.fingerprint();
    };
    CHECK(fingerprint("a", "1", true) == fingerprint("a", "1", true));
    CHECK(fingerprint("a", "1", true) != fingerprint("b", "1", true));
    CHECK(fingerprint("a", "1", true) != fingerprint("a", "2", true));
    CHECK(fingerprint("a", "1", false) == fingerprint("b", "2", false));
    change_journal journal;
    journal.make_directory("a");
    journal.sync_directory(".");
    CHECK(journal.fingerprint() != fingerprint("a", "", true));
}
