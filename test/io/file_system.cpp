// What every implementation of file_system must do.
#include <lsm/io/file_system.hpp>

#include <atomic>
#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/file_systems.hpp"
#include "support/files.hpp"
#include "support/results.hpp"

using lsm::bytes;
using lsm::bytes_view;
using lsm::errc;
using lsm::detail::joined;
using lsm::detail::parent_directory;
using lsm::io::open_mode;
using lsm::test::in_memory;
using lsm::test::is_there;
using lsm::test::must;
using lsm::test::must_fail;
using lsm::test::names_in;
using lsm::test::on_disk;
using lsm::test::read_file;
using lsm::test::simulated;
using lsm::test::write_file;

namespace {

using names = std::set<std::string>;

constexpr open_mode all_modes[] = {open_mode::read, open_mode::read_no_follow, open_mode::create_exclusive};
constexpr open_mode read_modes[] = {open_mode::read, open_mode::read_no_follow};

bytes read_up_to(lsm::io::file_system& fs, int handle, std::uint64_t offset, std::size_t size) {
    bytes out(size, '?');
    out.resize(must(fs.read_at(handle, offset, {out.data(), size})));
    return out;
}

}  // namespace

TEMPLATE_TEST_CASE("file system: create_exclusive refuses a name that exists", "", on_disk, in_memory, simulated) {
    TestType fs;
    const auto path = fs.path("file");
    const auto created = must(fs.system.open(path, open_mode::create_exclusive));
    CHECK(must_fail(fs.system.open(path, open_mode::create_exclusive)).code == errc::exists);
    CHECK(must(fs.system.size(created)) == 0);
    must(fs.system.close(created));
    CHECK(must_fail(fs.system.open(path, open_mode::create_exclusive)).code == errc::exists);
    CHECK(read_file(fs.system, path).empty());
}

TEMPLATE_TEST_CASE("file system: create_exclusive refuses the name of a directory", "", on_disk, in_memory, simulated) {
    TestType fs;
    must(fs.system.make_directory(fs.path("taken")));
    CHECK(must_fail(fs.system.open(fs.path("taken"), open_mode::create_exclusive)).code == errc::exists);
}

TEMPLATE_TEST_CASE("file system: operations on missing files and directories return not_found", "", on_disk, in_memory,
                   simulated) {
    TestType fs;
    const auto path = fs.path("none");
    for (const auto mode : read_modes) CHECK(must_fail(fs.system.open(path, mode)).code == errc::not_found);
    CHECK(must_fail(fs.system.open(fs.path("none/file"), open_mode::create_exclusive)).code == errc::not_found);
    CHECK(must_fail(fs.system.remove(path)).code == errc::not_found);
    CHECK(must_fail(fs.system.rename(path, fs.path("other"))).code == errc::not_found);
    CHECK(must_fail(fs.system.link(path, fs.path("other"))).code == errc::not_found);
    CHECK(must_fail(fs.system.lock(fs.path("none/LOCK"))).code == errc::not_found);
    CHECK(must_fail(fs.system.list(path, [](bytes_view) {})).code == errc::not_found);
    CHECK(must_fail(fs.system.sync_directory(path)).code == errc::not_found);
    CHECK(must_fail(fs.system.make_directory(fs.path("none/deeper"))).code == errc::not_found);
    CHECK(names_in(fs.system, fs.root()).empty());
}

TEMPLATE_TEST_CASE("file system: the empty path names nothing", "", on_disk, in_memory, simulated) {
    TestType fs;
    for (const auto mode : all_modes) CHECK_FALSE(fs.system.open("", mode).has_value());
    CHECK_FALSE(fs.system.lock("").has_value());
    CHECK_FALSE(fs.system.make_directory("").has_value());
    write_file(fs.system, fs.path("file"), "data");
    CHECK_FALSE(fs.system.rename(fs.path("file"), "").has_value());
    CHECK_FALSE(fs.system.link(fs.path("file"), "").has_value());
    CHECK(read_file(fs.system, fs.path("file")) == "data");
}

TEMPLATE_TEST_CASE("file system: operations on files refuse a directory", "", on_disk, in_memory, simulated) {
    TestType fs;
    const auto path = fs.path("directory");
    must(fs.system.make_directory(path));
    for (const auto mode : all_modes) CHECK_FALSE(fs.system.open(path, mode).has_value());
    CHECK_FALSE(fs.system.lock(path).has_value());
    CHECK_FALSE(fs.system.remove(path).has_value());
    CHECK(must_fail(fs.system.make_directory(path)).code == errc::exists);
    write_file(fs.system, fs.path("file"), "data");
    CHECK_FALSE(fs.system.rename(fs.path("file"), path).has_value());
    CHECK(must_fail(fs.system.link(fs.path("file"), path)).code == errc::exists);
    CHECK(names_in(fs.system, fs.root()) == names{"directory", "file"});
    CHECK(names_in(fs.system, path).empty());
}

TEMPLATE_TEST_CASE("file system: operations on directories refuse a file", "", on_disk, in_memory, simulated) {
    TestType fs;
    write_file(fs.system, fs.path("file"), "data");
    CHECK(must_fail(fs.system.make_directory(fs.path("file"))).code == errc::exists);
    CHECK_FALSE(fs.system.make_directory(fs.path("file/below")).has_value());
    CHECK_FALSE(fs.system.open(fs.path("file/below"), open_mode::create_exclusive).has_value());
    CHECK_FALSE(fs.system.list(fs.path("file"), [](bytes_view) {}).has_value());
    CHECK_FALSE(fs.system.sync_directory(fs.path("file")).has_value());
    CHECK(read_file(fs.system, fs.path("file")) == "data");
}

TEMPLATE_TEST_CASE("file system: a read stops at the end of the file", "", on_disk, in_memory, simulated) {
    TestType fs;
    write_file(fs.system, fs.path("file"), "0123456789");
    for (const auto mode : read_modes) {
        const auto handle = must(fs.system.open(fs.path("file"), mode));
        CHECK(must(fs.system.size(handle)) == 10);
        CHECK(read_up_to(fs.system, handle, 0, 10) == "0123456789");
        CHECK(read_up_to(fs.system, handle, 7, 10) == "789");
        CHECK(read_up_to(fs.system, handle, 10, 10).empty());
        CHECK(read_up_to(fs.system, handle, 1000, 10).empty());
        CHECK(read_up_to(fs.system, handle, 3, 0).empty());
        must(fs.system.close(handle));
    }
}

TEMPLATE_TEST_CASE("file system: a write beyond the end fills the gap with zeros", "", on_disk, in_memory, simulated) {
    TestType fs;
    const auto handle = must(fs.system.open(fs.path("file"), open_mode::create_exclusive));
    CHECK(must(fs.system.write_at(handle, 3, "abc")) == 3);
    CHECK(must(fs.system.write_at(handle, 4, "X")) == 1);
    CHECK(must(fs.system.size(handle)) == 6);
    must(fs.system.close(handle));
    CHECK(read_file(fs.system, fs.path("file")) == bytes("\0\0\0aXc", 6));
}

TEMPLATE_TEST_CASE("file system: an empty write changes nothing", "", on_disk, in_memory, simulated) {
    TestType fs;
    const auto handle = must(fs.system.open(fs.path("file"), open_mode::create_exclusive));
    CHECK(must(fs.system.write_at(handle, 10, "")) == 0);
    CHECK(must(fs.system.size(handle)) == 0);
    must(fs.system.close(handle));
}

TEMPLATE_TEST_CASE("file system: a handle opened for reading refuses writes", "", on_disk, in_memory, simulated) {
    TestType fs;
    write_file(fs.system, fs.path("file"), "data");
    for (const auto mode : read_modes) {
        const auto handle = must(fs.system.open(fs.path("file"), mode));
        CHECK_FALSE(fs.system.write_at(handle, 0, "x").has_value());
        CHECK_FALSE(fs.system.truncate(handle, 0).has_value());
        must(fs.system.close(handle));
    }
    CHECK(read_file(fs.system, fs.path("file")) == "data");
}

TEMPLATE_TEST_CASE("file system: truncate shortens and extends", "", on_disk, in_memory, simulated) {
    TestType fs;
    const auto handle = must(fs.system.open(fs.path("file"), open_mode::create_exclusive));
    CHECK(must(fs.system.write_at(handle, 0, "0123456789")) == 10);
    must(fs.system.truncate(handle, 4));
    CHECK(must(fs.system.size(handle)) == 4);
    must(fs.system.truncate(handle, 6));
    must(fs.system.close(handle));
    CHECK(read_file(fs.system, fs.path("file")) == bytes("0123\0\0", 6));
}

TEMPLATE_TEST_CASE("file system: allocate extends with zeros and never shortens", "", on_disk, in_memory, simulated) {
    TestType fs;
    const auto handle = must(fs.system.open(fs.path("file"), open_mode::create_exclusive));
    CHECK(must(fs.system.write_at(handle, 0, "abc")) == 3);
    must(fs.system.allocate(handle, 5000));
    CHECK(must(fs.system.size(handle)) == 5000);
    must(fs.system.allocate(handle, 2));
    CHECK(must_fail(fs.system.allocate(handle, 0)).sys == EINVAL);
    CHECK(must(fs.system.size(handle)) == 5000);
    must(fs.system.close(handle));
    CHECK(read_file(fs.system, fs.path("file")) == "abc" + bytes(4997, '\0'));
}

TEMPLATE_TEST_CASE("file system: rename replaces the target", "", on_disk, in_memory, simulated) {
    TestType fs;
    write_file(fs.system, fs.path("new"), "new contents");
    write_file(fs.system, fs.path("old"), "old");
    const auto old = must(fs.system.open(fs.path("old"), open_mode::read));
    must(fs.system.rename(fs.path("new"), fs.path("old")));
    CHECK(names_in(fs.system, fs.root()) == names{"old"});
    CHECK(read_file(fs.system, fs.path("old")) == "new contents");
    CHECK(read_up_to(fs.system, old, 0, 100) == "old");
    must(fs.system.close(old));
    must(fs.system.rename(fs.path("old"), fs.path("other")));
    CHECK(names_in(fs.system, fs.root()) == names{"other"});
    must(fs.system.rename(fs.path("other"), fs.path("other")));
    CHECK(read_file(fs.system, fs.path("other")) == "new contents");
}

TEMPLATE_TEST_CASE("file system: a handle stays with its file through a rename", "", on_disk, in_memory, simulated) {
    TestType fs;
    const auto handle = must(fs.system.open(fs.path("before"), open_mode::create_exclusive));
    must(fs.system.rename(fs.path("before"), fs.path("after")));
    CHECK(must(fs.system.write_at(handle, 0, "late")) == 4);
    must(fs.system.close(handle));
    CHECK(read_file(fs.system, fs.path("after")) == "late");
}

TEMPLATE_TEST_CASE("file system: files move between directories", "", on_disk, in_memory, simulated) {
    TestType fs;
    must(fs.system.make_directory(fs.path("a")));
    must(fs.system.make_directory(fs.path("b")));
    write_file(fs.system, fs.path("a/file"), "data");
    must(fs.system.rename(fs.path("a/file"), fs.path("b/file")));
    CHECK(names_in(fs.system, fs.path("a")).empty());
    CHECK(names_in(fs.system, fs.path("b")) == names{"file"});
    CHECK(must_fail(fs.system.rename(fs.path("b/file"), fs.path("none/file"))).code == errc::not_found);
    CHECK(read_file(fs.system, fs.path("b/file")) == "data");
}

TEMPLATE_TEST_CASE("file system: a link is a second name for one file", "", on_disk, in_memory, simulated) {
    TestType fs;
    const auto handle = must(fs.system.open(fs.path("first"), open_mode::create_exclusive));
    must(fs.system.link(fs.path("first"), fs.path("second")));
    CHECK(must(fs.system.write_at(handle, 0, "shared")) == 6);
    must(fs.system.close(handle));
    CHECK(read_file(fs.system, fs.path("second")) == "shared");
    CHECK(must_fail(fs.system.link(fs.path("first"), fs.path("second"))).code == errc::exists);
    must(fs.system.remove(fs.path("first")));
    CHECK(read_file(fs.system, fs.path("second")) == "shared");
    CHECK(names_in(fs.system, fs.root()) == names{"second"});
}

TEMPLATE_TEST_CASE("file system: a file has one identity through all its names and handles", "", on_disk, in_memory,
                   simulated) {
    TestType fs;
    const auto created = must(fs.system.open(fs.path("file"), open_mode::create_exclusive));
    CHECK(must(fs.system.write_at(created, 0, "data")) == 4);
    const auto identity = must(fs.system.identity(created));
    const auto identity_of = [&](const char* name) {
        const auto handle = must(fs.system.open(fs.path(name), open_mode::read));
        const auto out = must(fs.system.identity(handle));
        must(fs.system.close(handle));
        return out;
    };
    must(fs.system.sync(created));
    CHECK(identity_of("file") == identity);
    must(fs.system.link(fs.path("file"), fs.path("second")));
    must(fs.system.rename(fs.path("file"), fs.path("third")));
    CHECK(identity_of("second") == identity);
    CHECK(identity_of("third") == identity);
    write_file(fs.system, fs.path("file"), "data");
    CHECK(identity_of("file") != identity);
    must(fs.system.remove(fs.path("second")));
    must(fs.system.remove(fs.path("third")));
    write_file(fs.system, fs.path("file"), "data");
    CHECK(identity_of("file") != identity);
    CHECK(must(fs.system.identity(created)) == identity);
    must(fs.system.close(created));
    CHECK_FALSE(fs.system.identity(created).has_value());
}

TEMPLATE_TEST_CASE("file system: an unlinked file exists while it is open", "", on_disk, in_memory, simulated) {
    TestType fs;
    write_file(fs.system, fs.path("file"), "still here");
    const auto handle = must(fs.system.open(fs.path("file"), open_mode::read));
    must(fs.system.remove(fs.path("file")));
    CHECK(names_in(fs.system, fs.root()).empty());
    write_file(fs.system, fs.path("file"), "another one");
    CHECK(read_up_to(fs.system, handle, 0, 100) == "still here");
    CHECK(must(fs.system.size(handle)) == 10);
    must(fs.system.close(handle));
    CHECK(read_file(fs.system, fs.path("file")) == "another one");
}

TEMPLATE_TEST_CASE("file system: list returns the files and directories of one level", "", on_disk, in_memory,
                   simulated) {
    TestType fs;
    CHECK(names_in(fs.system, fs.root()).empty());
    must(fs.system.make_directory(fs.path("inner")));
    write_file(fs.system, fs.path("inner/hidden"), "");
    write_file(fs.system, fs.path("a"), "");
    write_file(fs.system, fs.path(".dotted"), "");
    CHECK(names_in(fs.system, fs.root()) == names{"a", ".dotted", "inner"});
    CHECK(names_in(fs.system, fs.root() + "/") == names{"a", ".dotted", "inner"});
    CHECK(names_in(fs.system, fs.path("inner")) == names{"hidden"});
}

TEMPLATE_TEST_CASE("file system: the callback of list may use the file system", "", on_disk, in_memory, simulated) {
    TestType fs;
    write_file(fs.system, fs.path("a"), "");
    // On another thread, so that a file system that deadlocks fails the test instead of blocking it.
    std::atomic<bool> done = false;
    bool in_time = false;
    std::optional<std::thread> caller;
    must(fs.system.list(fs.root(), [&](bytes_view name) {
        caller.emplace([&, path = fs.path(name)] {
            static_cast<void>(fs.system.remove(path));
            done = true;
        });
        for (int i = 0; i < 200 && !done; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
        in_time = done;
    }));
    REQUIRE(caller);
    caller->join();
    CHECK(in_time);
}

TEMPLATE_TEST_CASE("file system: repeated slashes count as one", "", on_disk, in_memory, simulated) {
    TestType fs;
    write_file(fs.system, fs.root() + "//file", "data");
    CHECK(read_file(fs.system, fs.path("file")) == "data");
    must(fs.system.make_directory(fs.path("inner/")));
    write_file(fs.system, fs.path("inner//deep"), "deep");
    CHECK(names_in(fs.system, fs.path("inner//")) == names{"deep"});
}

TEMPLATE_TEST_CASE("file system: files and directories can be synced", "", on_disk, in_memory, simulated) {
    TestType fs;
    const auto handle = must(fs.system.open(fs.path("file"), open_mode::create_exclusive));
    must(fs.system.sync_data(handle));
    must(fs.system.sync(handle));
    must(fs.system.close(handle));
    must(fs.system.sync_directory(fs.root()));
}

TEMPLATE_TEST_CASE("file system: operations refuse a closed handle", "", on_disk, in_memory, simulated) {
    TestType fs;
    const auto handle = must(fs.system.open(fs.path("file"), open_mode::create_exclusive));
    must(fs.system.close(handle));
    char byte = 0;
    CHECK_FALSE(fs.system.close(handle).has_value());
    CHECK_FALSE(fs.system.sync(handle).has_value());
    CHECK_FALSE(fs.system.sync_data(handle).has_value());
    CHECK_NOTHROW(must_fail(fs.system.read_at(handle, 0, {&byte, 1})));
    CHECK_NOTHROW(must_fail(fs.system.write_at(handle, 0, "x")));
    CHECK_NOTHROW(must_fail(fs.system.size(handle)));
    CHECK_NOTHROW(must_fail(fs.system.truncate(handle, 1)));
    CHECK_NOTHROW(must_fail(fs.system.allocate(handle, 1)));
}

TEMPLATE_TEST_CASE("file system: a lock excludes every other lock until it is closed", "", on_disk, in_memory,
                   simulated) {
    TestType fs;
    const auto path = fs.path("LOCK");
    const auto first = must(fs.system.lock(path));
    CHECK(must_fail(fs.system.lock(path)).code == errc::locked);
    CHECK(must_fail(fs.system.lock(fs.root() + "//LOCK")).code == errc::locked);
    CHECK(names_in(fs.system, fs.root()) == names{"LOCK"});
    const auto other = must(fs.system.lock(fs.path("OTHER")));
    must(fs.system.close(other));
    must(fs.system.close(first));
    must(fs.system.close(must(fs.system.lock(path))));
}

TEMPLATE_TEST_CASE("file system: a lock leaves the contents of the file unchanged", "", on_disk, in_memory, simulated) {
    TestType fs;
    write_file(fs.system, fs.path("LOCK"), "contents");
    const auto held = must(fs.system.lock(fs.path("LOCK")));
    CHECK(read_file(fs.system, fs.path("LOCK")) == "contents");
    CHECK(must_fail(fs.system.lock(fs.path("LOCK"))).code == errc::locked);
    must(fs.system.close(held));
    CHECK(read_file(fs.system, fs.path("LOCK")) == "contents");
}

TEMPLATE_TEST_CASE("file system: a lock belongs to the file and not to its name", "", on_disk, in_memory, simulated) {
    TestType fs;
    const auto path = fs.path("LOCK");
    const auto old = must(fs.system.lock(path));
    must(fs.system.remove(path));
    const auto recreated = must(fs.system.lock(path));
    CHECK(must_fail(fs.system.lock(path)).code == errc::locked);
    must(fs.system.close(old));
    CHECK(must_fail(fs.system.lock(path)).code == errc::locked);
    must(fs.system.close(recreated));
    must(fs.system.close(must(fs.system.lock(path))));
}

TEMPLATE_TEST_CASE("file system: one thread at a time holds a lock whose file is removed and created again", "",
                   on_disk, in_memory, simulated) {
    TestType fs;
    const auto path = fs.path("LOCK");
    std::atomic<int> inside = 0;
    std::atomic<int> meetings = 0;
    std::atomic<int> errors = 0;
    const auto work = [&] {
        for (int taken = 0; taken < 3000;) {
            auto held = fs.system.lock(path);
            if (!held) {
                if (held.error().code != errc::locked) {
                    ++errors;
                    return;
                }
                std::this_thread::yield();
                continue;
            }
            ++taken;
            if (inside.fetch_add(1) != 0) ++meetings;
            std::this_thread::yield();
            inside.fetch_sub(1);
            // Another thread may have opened the file already: a lock on it, which has no name now, must not count.
            if (!fs.system.remove(path) || !fs.system.close(*held)) ++errors;
        }
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back(work);
    for (auto& thread : threads) thread.join();
    CHECK(meetings == 0);
    CHECK(errors == 0);
}

TEMPLATE_TEST_CASE("file system: threads read through one handle at the same time", "", on_disk, in_memory, simulated) {
    TestType fs;
    bytes contents;
    for (int i = 0; i < 4000; ++i) contents.push_back(static_cast<char>(i * 7));
    write_file(fs.system, fs.path("file"), contents);
    const auto handle = must(fs.system.open(fs.path("file"), open_mode::read));
    std::atomic<int> wrong = 0;
    const auto work = [&](std::size_t step) {
        char piece[16];
        for (std::size_t at = 0; at + sizeof piece <= contents.size(); at += step) {
            const auto got = fs.system.read_at(handle, at, piece);
            if (!got || bytes_view(piece, *got) != bytes_view(contents).substr(at, sizeof piece)) ++wrong;
        }
    };
    std::vector<std::thread> threads;
    for (const std::size_t step : {1u, 2u, 3u}) threads.emplace_back(work, step);
    for (auto& thread : threads) thread.join();
    CHECK(wrong == 0);
    must(fs.system.close(handle));
}

TEST_CASE("paths: joined puts one slash between directory and name") {
    CHECK(joined("dir", "name") == "dir/name");
    CHECK(joined("dir/", "name") == "dir/name");
    CHECK(joined("/", "name") == "/name");
    CHECK(joined("", "name") == "name");
    CHECK(joined(".", "name") == "./name");
}

TEST_CASE("paths: parent_directory is the directory that contains the path") {
    CHECK(parent_directory("dir/name") == "dir");
    CHECK(parent_directory("a/b/c") == "a/b");
    CHECK(parent_directory("name") == ".");
    CHECK(parent_directory("/name") == "/");
    CHECK(parent_directory("/") == "/");
    CHECK(parent_directory("//") == "/");
    CHECK(parent_directory("//name") == "/");
    CHECK(parent_directory("dir//name") == "dir");
    CHECK(parent_directory("dir/name/") == "dir");
    CHECK(parent_directory("name//") == ".");
    CHECK(parent_directory("") == ".");
    CHECK(parent_directory("./name") == ".");
    CHECK(parent_directory("../name") == "..");
}
