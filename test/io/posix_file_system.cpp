// What only the disk has: symbolic links, special files, and limits.
#include <lsm/io/posix_file_system.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <filesystem>
#include <string>

#include <lsm/io/file.hpp>

#include "support/catch.hpp"
#include "support/file_systems.hpp"
#include "support/files.hpp"
#include "support/results.hpp"

using lsm::bytes;
using lsm::bytes_view;
using lsm::errc;
using lsm::io::open_mode;
using lsm::test::must;
using lsm::test::must_fail;
using lsm::test::names_in;
using lsm::test::on_disk;
using lsm::test::read_file;
using lsm::test::write_file;

namespace {

constexpr open_mode all_modes[] = {open_mode::read, open_mode::read_no_follow, open_mode::create_exclusive};

// Checks that every operation that takes a path refuses `bad` and leaves the file `good` unchanged.
void check_refused(lsm::io::file_system& fs, const std::string& bad, const std::string& good) {
    for (const auto mode : all_modes) CHECK_FALSE(fs.open(bad, mode).has_value());
    CHECK_FALSE(fs.lock(bad).has_value());
    CHECK_FALSE(fs.rename(good, bad).has_value());
    CHECK_FALSE(fs.rename(bad, good).has_value());
    CHECK_FALSE(fs.link(good, bad).has_value());
    CHECK_FALSE(fs.link(bad, good + ".new").has_value());
    CHECK_FALSE(fs.remove(bad).has_value());
    CHECK_FALSE(fs.make_directory(bad).has_value());
    CHECK_FALSE(fs.sync_directory(bad).has_value());
    CHECK_FALSE(fs.list(bad, [](bytes_view) {}).has_value());
    CHECK(read_file(fs, good) == "good");
}

}  // namespace

TEST_CASE("posix file system: only open_mode::read follows a symbolic link") {
    on_disk fs;
    write_file(fs.system, fs.path("target"), "data");
    std::filesystem::create_symlink("target", fs.path("link"));
    CHECK(read_file(fs.system, fs.path("link")) == "data");
    CHECK(must_fail(fs.system.open(fs.path("link"), open_mode::read_no_follow)).sys == ELOOP);
    CHECK(must_fail(fs.system.open(fs.path("link"), open_mode::create_exclusive)).code == errc::exists);
    CHECK_FALSE(fs.system.lock(fs.path("link")).has_value());
    CHECK(read_file(fs.system, fs.path("target")) == "data");
}

TEST_CASE("posix file system: every mode follows a symbolic link inside the path") {
    on_disk fs;
    must(fs.system.make_directory(fs.path("directory")));
    write_file(fs.system, fs.path("directory/file"), "data");
    std::filesystem::create_symlink("directory", fs.path("link"));
    must(fs.system.close(must(fs.system.open(fs.path("link/file"), open_mode::read_no_follow))));
    must(fs.system.close(must(fs.system.lock(fs.path("link/LOCK")))));
    CHECK(names_in(fs.system, fs.path("link")) == std::set<std::string>{"LOCK", "file"});
}

TEST_CASE("posix file system: no file is created through a dangling link") {
    on_disk fs;
    std::filesystem::create_symlink("nowhere", fs.path("link"));
    CHECK(must_fail(fs.system.open(fs.path("link"), open_mode::create_exclusive)).code == errc::exists);
    CHECK(must_fail(fs.system.open(fs.path("link"), open_mode::read)).code == errc::not_found);
    CHECK_FALSE(fs.system.lock(fs.path("link")).has_value());
    CHECK(names_in(fs.system, fs.root()) == std::set<std::string>{"link"});
}

TEST_CASE("posix file system: remove and rename affect the link and not its target") {
    on_disk fs;
    write_file(fs.system, fs.path("target"), "data");
    std::filesystem::create_symlink("target", fs.path("link"));
    must(fs.system.remove(fs.path("link")));
    CHECK(read_file(fs.system, fs.path("target")) == "data");
    std::filesystem::create_symlink("target", fs.path("link"));
    write_file(fs.system, fs.path("new"), "new");
    must(fs.system.rename(fs.path("new"), fs.path("link")));
    CHECK(read_file(fs.system, fs.path("link")) == "new");
    CHECK(read_file(fs.system, fs.path("target")) == "data");
}

TEST_CASE("posix file system: a FIFO is refused without blocking") {
    on_disk fs;
    const auto path = fs.path("fifo");
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    for (const auto mode : {open_mode::read, open_mode::read_no_follow})
        CHECK(must_fail(fs.system.open(path, mode)).code == errc::invalid_argument);
    CHECK(must_fail(fs.system.open(path, open_mode::create_exclusive)).code == errc::exists);
    CHECK_FALSE(fs.system.lock(path).has_value());
    std::filesystem::create_symlink("fifo", fs.path("link"));
    CHECK(must_fail(fs.system.open(fs.path("link"), open_mode::read)).code == errc::invalid_argument);
}

TEST_CASE("posix file system: devices and directories are refused") {
    on_disk fs;
    for (const auto& path : {std::string("/dev/null"), fs.root(), fs.root() + "/"}) {
        INFO(path);
        CHECK(must_fail(fs.system.open(path, open_mode::read)).code == errc::invalid_argument);
        CHECK(must_fail(fs.system.open(path, open_mode::read_no_follow)).code == errc::invalid_argument);
        CHECK_FALSE(fs.system.open(path, open_mode::create_exclusive).has_value());
        CHECK_FALSE(fs.system.lock(path).has_value());
    }
}

TEST_CASE("posix file system: a failed operation leaves no descriptor open") {
    on_disk fs;
    const auto path = fs.path("fifo");
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    write_file(fs.system, fs.path("file"), "");
    const auto held = must(fs.system.lock(fs.path("LOCK")));
    const auto next_descriptor = [&] {
        const auto handle = must(fs.system.open(fs.path("file"), open_mode::read));
        must(fs.system.close(handle));
        return handle;
    };
    const auto before = next_descriptor();
    CHECK_FALSE(fs.system.open(path, open_mode::read).has_value());
    CHECK_FALSE(fs.system.open(fs.root(), open_mode::read).has_value());
    CHECK_FALSE(fs.system.lock(path).has_value());
    CHECK_FALSE(fs.system.lock(fs.path("LOCK")).has_value());
    CHECK_FALSE(fs.system.list(fs.path("file"), [](bytes_view) {}).has_value());
    must(fs.system.list(fs.root(), [](bytes_view) {}));
    must(fs.system.sync_directory(fs.root()));
    CHECK(next_descriptor() == before);
    must(fs.system.close(held));
}

TEST_CASE("posix file system: a path with a null byte is refused") {
    on_disk fs;
    write_file(fs.system, fs.path("good"), "good");
    // The bytes before the null byte must not be taken for the path.
    check_refused(fs.system, fs.path("good") + '\0' + "tail", fs.path("good"));
    check_refused(fs.system, fs.path("other") + '\0', fs.path("good"));
    check_refused(fs.system, std::string(1, '\0'), fs.path("good"));
    CHECK(names_in(fs.system, fs.root()) == std::set<std::string>{"good"});
}

TEST_CASE("posix file system: a path that is too long is refused and not truncated") {
    on_disk fs;
    write_file(fs.system, fs.path("good"), "good");
    const std::size_t limit = PATH_MAX;
    for (const std::size_t length : {limit - 1, limit, limit + 1, 3 * limit}) {
        INFO("length " << length);
        std::string path = fs.root();
        path.append(length - path.size() - 5, '/').append("other");
        REQUIRE(path.size() == length);
        if (length < limit) {
            write_file(fs.system, path, "");
            must(fs.system.remove(fs.path("other")));
        } else {
            check_refused(fs.system, path, fs.path("good"));
            CHECK(must_fail(fs.system.open(path, open_mode::read)).sys == ENAMETOOLONG);
        }
    }
    check_refused(fs.system, fs.path(std::string(NAME_MAX + 1, 'n')), fs.path("good"));
    CHECK(names_in(fs.system, fs.root()) == std::set<std::string>{"good"});
}

TEST_CASE("posix file system: descriptors are close-on-exec") {
    on_disk fs;
    const auto created = must(fs.system.open(fs.path("file"), open_mode::create_exclusive));
    const auto opened = must(fs.system.open(fs.path("file"), open_mode::read));
    const auto held = must(fs.system.lock(fs.path("LOCK")));
    for (const auto handle : {created, opened, held}) {
        CHECK((::fcntl(handle, F_GETFD) & FD_CLOEXEC) != 0);
        must(fs.system.close(handle));
    }
}

TEST_CASE("posix file system: a lock is an exclusive flock") {
    on_disk fs;
    const auto path = fs.path("LOCK");
    const auto held = must(fs.system.lock(path));
    const int other = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(other >= 0);
    CHECK(::flock(other, LOCK_SH | LOCK_NB) != 0);
    must(fs.system.close(held));
    CHECK(::flock(other, LOCK_SH | LOCK_NB) == 0);
    CHECK(must_fail(fs.system.lock(path)).code == errc::locked);
    ::close(other);
}

TEST_CASE("posix file system: errors name the operation and keep the errno") {
    on_disk fs;
    const auto failure = must_fail(fs.system.remove(fs.path("none")));
    CHECK(failure.sys == ENOENT);
    CHECK(failure.what.starts_with("unlink: "));
    CHECK(must_fail(lsm::io::file::open(fs.system, fs.path("none"), open_mode::read))
              .what.starts_with(fs.path("none") + ": open: "));
}

TEST_CASE("posix file system: a mapping that fails returns an error") {
    on_disk fs;
    write_file(fs.system, fs.path("file"), "data");
    const auto file = must(fs.system.open(fs.path("file"), open_mode::read));
    const auto failure = must_fail(fs.system.map(file, 0));
    CHECK(failure.sys == EINVAL);
    CHECK(failure.what.starts_with("mmap: "));
    must(fs.system.close(file));
}

TEST_CASE("posix file system: the default file system is one object") {
    CHECK(&lsm::io::default_file_system() == &lsm::io::default_file_system());
}

TEST_CASE("posix file system: allocating beyond the file size limit is an error and raises no signal") {
    const lsm::test::scratch_directory directory;
    const pid_t child = ::fork();
    if (child == 0) {
        const rlimit most{4096, 4096};
        lsm::io::posix_file_system system;
        const auto file = system.open(directory / "file", lsm::io::open_mode::create_exclusive);
        ::setrlimit(RLIMIT_FSIZE, &most);
        const bool refused = file && !system.allocate(*file, 4097) && system.allocate(*file, 4096);
        ::_exit(refused ? 0 : 1);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
}
