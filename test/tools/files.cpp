#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/entries.hpp"
#include "support/files.hpp"
#include "support/raw_bytes.hpp"
#include "tools/tools.hpp"

namespace fs = std::filesystem;
using lsm::bytes;
using namespace lsm::test;

/// Checks how the tools find, replace and lock files.
namespace {

// Every command that changes a file. `dump` is the input of those that need one.
std::vector<command_line> changes_of(const std::string& target, const std::string& dump) {
    return {{"memtable", "new", target},
            {"memtable", "put", target, "key", "value"},
            {"memtable", "del", target, "key"},
            {"memtable", "bulk", target, "1000"},
            {"sstable", "build", dump, target}};
}

std::vector<command_line> readers_of(const std::string& file) {
    return {{"memtable", "get", file, "key"}, {"memtable", "iter", file},
            {"memtable", "size", file},       {"sstable", "footer", file},
            {"sstable", "get", file, "key"},  {"sstable", "iter", file},
            {"sstable", "size", file},        {"merge_iter", file}};
}

// Less than the commands write in all, so that the limit is hit after writing has begun.
constexpr rlim_t largest_file = 4096;

preparation full_disk() {
    return [] {
        const rlimit limit{largest_file, largest_file};
        ::setrlimit(RLIMIT_FSIZE, &limit);
        ::signal(SIGXFSZ, SIG_DFL);  // the tool itself must ignore it
    };
}

// Permissions do not stop the superuser.
void give_up_privileges() {
    constexpr uid_t nobody = 65534;
    if (::geteuid() == 0 && (::setgid(nobody) != 0 || ::setuid(nobody) != 0)) ::_exit(126);
}

mode_t mode_of(const std::string& path) {
    struct stat about;
    REQUIRE(::stat(path.c_str(), &about) == 0);
    return about.st_mode & 07777;
}

/// An exclusive lock on a directory, as the tools take it.
class directory_lock {
public:
    explicit directory_lock(const std::string& path)
        : directory_(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
        REQUIRE(::flock(directory_, LOCK_EX) == 0);
    }
    directory_lock(const directory_lock&) = delete;
    ~directory_lock() { ::close(directory_); }

private:
    int directory_;
};

void let_others_run() { std::this_thread::sleep_for(std::chrono::milliseconds(200)); }

}  // namespace

TEST_CASE("files: a malformed input leaves the output as it was") {
    const scratch_directory directory;
    const std::string dump = directory / "dump", table = directory / "table";
    entry_list many;
    for (int i = 0; i < 5000; ++i) many.emplace_back("key" + std::to_string(10000 + i), bytes(100, 'v'));
    write_file(disk(), table, "whatever");
    // Damage at the end, when most of the table has been written, and at the beginning.
    for (const bytes& contents : {raw_dump(many) + "x", raw_dump(many).substr(0, 400'000), bytes("MMT1"), bytes()}) {
        write_file(disk(), dump, contents);
        const auto before = snapshot(directory.path());
        fails({"sstable", "build", dump, table}, dump);
        fails({"sstable", "build", dump, directory / "fresh"}, dump);
        fails({"memtable", "put", dump, "k", "v"}, dump);
        fails({"memtable", "bulk", dump, "3"}, dump);
        CHECK(snapshot(directory.path()) == before);
    }
}

TEST_CASE("files: a full disk leaves the output as it was and the error names it") {
    const scratch_directory directory;
    const std::string target = directory / "target", dump = directory / "dump";
    succeeds({"memtable", "bulk", target, "1000"});
    succeeds({"memtable", "bulk", dump, "1000"});
    REQUIRE(fs::file_size(target) > largest_file);
    const auto before = snapshot(directory.path());
    for (const command_line& line : changes_of(target, dump)) {
        if (line[1] == "new") continue;  // an empty dump fits on any disk
        fails(line, target, {}, full_disk());
        CHECK(snapshot(directory.path()) == before);
    }
    fails({"memtable", "bulk", directory / "fresh", "1000"}, directory / "fresh", {}, full_disk());
    fails({"sstable", "build", dump, directory / "fresh"}, directory / "fresh", {}, full_disk());
    CHECK(snapshot(directory.path()) == before);
}

TEST_CASE("files: a read-only directory leaves the output as it was and the error names it") {
    const scratch_directory directory;
    const std::string inner = directory / "inner", target = inner + "/target", dump = directory / "dump";
    REQUIRE(::chmod(directory.path().c_str(), 0755) == 0);
    fs::create_directory(inner);
    succeeds({"memtable", "bulk", target, "10"});
    succeeds({"memtable", "bulk", dump, "10"});
    REQUIRE(::chmod(target.c_str(), 0666) == 0);
    REQUIRE(::chmod(inner.c_str(), 0555) == 0);
    const auto before = snapshot(directory.path());
    for (const command_line& line : changes_of(target, dump)) fails(line, target, {}, give_up_privileges);
    fails({"memtable", "new", inner + "/fresh"}, inner + "/fresh", {}, give_up_privileges);
    fails({"dbctl", "--dir", inner + "/db"}, inner + "/db", {}, give_up_privileges);
    CHECK(snapshot(directory.path()) == before);
    REQUIRE(::chmod(inner.c_str(), 0755) == 0);
}

TEST_CASE("files: the permissions of a replaced file are kept") {
    const scratch_directory directory;
    const std::string target = directory / "target", dump = directory / "dump";
    succeeds({"memtable", "new", dump});
    for (const mode_t mode : {0600u, 0444u, 0640u, 0777u}) {
        succeeds({"memtable", "new", target});
        for (const command_line& line : changes_of(target, dump)) {
            REQUIRE(::chmod(target.c_str(), mode) == 0);
            succeeds(line);
            CHECK(mode_of(target) == mode);
        }
    }
}

TEST_CASE("files: the owner of a replaced file is kept where permitted") {
    if (::geteuid() != 0) return;  // only the superuser may change the owner of a file
    constexpr uid_t somebody = 12345;
    const scratch_directory directory;
    const std::string target = directory / "target", dump = directory / "dump";
    succeeds({"memtable", "new", dump});
    succeeds({"memtable", "new", target});
    for (const command_line& line : changes_of(target, dump)) {
        REQUIRE(::chown(target.c_str(), somebody, somebody) == 0);
        succeeds(line);
        struct stat about;
        REQUIRE(::stat(target.c_str(), &about) == 0);
        CHECK(about.st_uid == somebody);
        CHECK(about.st_gid == somebody);
    }
}

TEST_CASE("files: a new file has the permissions that the umask leaves") {
    const scratch_directory directory;
    const std::string dump = directory / "dump", table = directory / "table";
    const preparation masked = [] { ::umask(027); };
    succeeds({"memtable", "new", dump}, {}, masked);
    succeeds({"sstable", "build", dump, table}, {}, masked);
    CHECK(mode_of(dump) == 0640);
    CHECK(mode_of(table) == 0640);
}

TEST_CASE("files: the temporary of a private file is private") {
    const scratch_directory directory;
    const std::string target = directory / "target";
    succeeds({"memtable", "new", target});
    fs::permissions(target, fs::perms::owner_read | fs::perms::owner_write);
    process writing({tool("memtable"), "bulk", target, "1000000"});
    bool seen = false;
    while (fs::file_size(target) == 8)
        for (const auto& entry : fs::directory_iterator(directory.path()))
            if (entry.path() != target) {
                struct stat about;
                if (::stat(entry.path().c_str(), &about) != 0) continue;  // it was renamed meanwhile
                seen = true;
                REQUIRE((about.st_mode & 07777) == 0600);
            }
    CHECK(seen);
    CHECK(writing.finish().status == 0);
    CHECK(mode_of(target) == 0600);
}

TEST_CASE("files: the temporary of a killed tool does not hinder later runs") {
    const scratch_directory directory;
    const std::string target = directory / "target", left_over = directory / ".lsm-1-0.tmp";
    succeeds({"memtable", "new", target});
    write_file(disk(), left_over, "half of a dump");
    succeeds({"memtable", "put", target, "key", "value"});
    prints({"memtable", "get", target, "key"}, "value: 76616c7565\n");
    CHECK(read_file(disk(), left_over) == "half of a dump");
}

TEST_CASE("files: symbolic links are followed and remain links") {
    const scratch_directory directory;
    fs::create_directories(directory / "one/two");
    fs::create_directory(directory / "links");
    const std::string target = directory / "one/two/target", plain = directory / "plain", dump = directory / "dump";
    succeeds({"memtable", "bulk", dump, "10"});
    fs::create_symlink(target, directory / "links/absolute");
    fs::create_symlink("../one/two/target", directory / "links/relative");
    fs::create_symlink("relative", directory / "links/chain");
    fs::create_symlink("../one", directory / "links/one");
    fs::create_symlink("one/two/../two/target", directory / "links/through another");

    const bytes old = raw_dump({{"old", "value"}});
    for (const std::string name : {"absolute", "relative", "chain", "through another"}) {
        const std::string link = directory / "links/" + name;
        const auto at_link = changes_of(link, dump), at_file = changes_of(plain, dump);
        for (std::size_t i = 0; i < at_link.size(); ++i) {
            write_file(disk(), target, old);
            write_file(disk(), plain, old);
            succeeds(at_link[i]);
            succeeds(at_file[i]);
            CHECK(read_file(disk(), target) == read_file(disk(), plain));
            CHECK(fs::is_symlink(link));
        }
        write_file(disk(), target, old);
        prints({"memtable", "get", link, "old"}, "value: 76616c7565\n");
    }
    CHECK(names_below(directory / "links").size() == 5);
    CHECK(names_below(directory / "one") == std::vector<std::string>{"two", "two/target"});
}

TEST_CASE("files: the missing target of a dangling link is created") {
    const scratch_directory directory;
    fs::create_directory(directory / "there");
    const std::string target = directory / "there/target", link = directory / "link", dump = directory / "dump";
    succeeds({"memtable", "new", dump});
    fs::create_symlink("there/target", link);
    for (const command_line& line : changes_of(link, dump)) {
        if (line[1] == "put" || line[1] == "del") {
            fails(line, "");
            CHECK_FALSE(fs::exists(target));
        } else {
            succeeds(line);
            CHECK(fs::is_regular_file(fs::symlink_status(target)));
        }
        CHECK(fs::is_symlink(link));
        fs::remove(target);
    }
    fs::remove(link);
    fs::create_symlink("not there/target", link);
    for (const command_line& line : changes_of(link, dump)) fails(line, "");
    CHECK(names_below(directory.path()) == std::vector<std::string>{"dump", "link", "there"});
}

TEST_CASE("files: a loop of symbolic links is an error") {
    const scratch_directory directory;
    const std::string dump = directory / "dump";
    succeeds({"memtable", "new", dump});
    fs::create_symlink("self", directory / "self");
    fs::create_symlink("pong", directory / "ping");
    fs::create_symlink(directory / "ping", directory / "pong");
    const auto before = snapshot(directory.path());
    for (const std::string name : {"self", "ping", "pong", "self/below"}) {
        const std::string loop = directory / name;
        for (const command_line& line : changes_of(loop, dump)) fails(line, loop);
        for (const command_line& line : readers_of(loop)) fails(line, loop);
        fails({"sstable", "build", loop, directory / "fresh"}, loop);
    }
    CHECK(snapshot(directory.path()) == before);
}

TEST_CASE("files: anything but a regular file is refused as target and as input without blocking") {
    const scratch_directory directory;
    const std::string dump = directory / "dump";
    succeeds({"memtable", "new", dump});
    fs::create_directory(directory / "directory");
    REQUIRE(::mkfifo((directory / "fifo").c_str(), 0666) == 0);
    fs::create_symlink("fifo", directory / "link to the fifo");
    std::vector<std::string> odd = {"directory", "directory/", "fifo", "link to the fifo"};

    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string socket_path = directory / "socket";
    REQUIRE(socket_path.size() < sizeof address.sun_path);
    std::strcpy(address.sun_path, socket_path.c_str());
    const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) odd.emplace_back("socket");
    ::close(listener);

    const auto before = snapshot(directory.path());
    for (const std::string& name : odd) {
        const std::string path = directory / name;
        for (const command_line& line : changes_of(path, dump)) fails(line, path);
        for (const command_line& line : readers_of(path)) fails(line, path);
        fails({"sstable", "build", path, directory / "fresh"}, path);
    }
    for (const std::string device : {"/dev/null", "/dev/zero"}) {
        for (const command_line& line : readers_of(device)) fails(line, device);
        fails({"sstable", "build", device, directory / "fresh"}, device);
    }
    CHECK(snapshot(directory.path()) == before);
}

TEST_CASE("files: other names of a replaced file keep its old contents") {
    const scratch_directory directory;
    const std::string target = directory / "target", other = directory / "other";
    succeeds({"memtable", "new", target});
    fs::create_hard_link(target, other);
    succeeds({"memtable", "put", target, "key", "value"});
    prints({"memtable", "get", target, "key"}, "value: 76616c7565\n");
    prints({"memtable", "get", other, "key"}, "absent\n");
}

TEST_CASE("files: a name may be as long as the system allows") {
    const scratch_directory directory;
    const std::string target = directory / std::string(255, 'n'), too_long = directory / std::string(256, 'n');
    for (const command_line& line : changes_of(target, target)) {
        if (line.front() == "memtable") succeeds(line);
    }
    succeeds({"sstable", "build", target, directory / std::string(255, 's')});
    fails({"memtable", "new", too_long}, too_long);
    CHECK(names_below(directory.path()).size() == 2);
}

TEST_CASE("files: concurrent changes of one file are all kept") {
    constexpr int writers = 40;
    const scratch_directory directory;
    const std::string target = directory / "target";
    succeeds({"memtable", "new", target});
    std::list<process> running_now;
    entry_map expected;
    for (int i = 0; i < writers; ++i) {
        const std::string number = std::to_string(i), key = "key" + number, value = "value" + number;
        expected[key] = value;
        running_now.emplace_back(runnable({"memtable", "put", target, key, value}), prepared());
    }
    for (process& writer : running_now) check_done(writer.finish());
    CHECK(read_file(disk(), target) == raw_dump({expected.begin(), expected.end()}));
    CHECK(names_below(directory.path()) == std::vector<std::string>{"target"});
}

TEST_CASE("files: a change waits for the lock on the directory") {
    const scratch_directory directory;
    fs::create_directory(directory / "files");
    const std::string dump = directory / "dump", files = directory / "files", target = files + "/target";
    succeeds({"memtable", "bulk", dump, "10"});
    succeeds({"memtable", "new", target});
    fs::create_symlink("files/target", directory / "link");
    const auto before = snapshot(directory.path());

    std::list<process> waiting;
    {
        const directory_lock held(files);
        for (const command_line& line : {command_line{"memtable", "new", files + "/fresh"},
                                         {"memtable", "put", target, "a", "1"},
                                         {"memtable", "put", directory / "link", "b", "2"},
                                         {"memtable", "del", target, "c"},
                                         {"memtable", "bulk", target, "2"},
                                         {"sstable", "build", dump, files + "/table"}})
            waiting.emplace_back(runnable(line), prepared());
        let_others_run();
        for (const process& change : waiting) CHECK(running(change));
        CHECK(snapshot(directory.path()) == before);
    }
    for (process& change : waiting) check_done(change.finish());
    prints({"memtable", "iter", target}, "V 61 31\nV 62 32\nT 63\nV 6b657930 76616c30\nV 6b657931 76616c31\n");
    CHECK(names_below(files) == std::vector<std::string>{"fresh", "table", "target"});
}

TEST_CASE("files: readers and changes in other directories do not wait for the lock") {
    const scratch_directory directory;
    fs::create_directory(directory / "files");
    const std::string dump = directory / "files/dump", table = directory / "files/table";
    succeeds({"memtable", "bulk", dump, "10"});
    build_table(dump, table);
    fs::create_symlink("../outside", directory / "files/link");

    const directory_lock held(directory / "files");
    printed({"memtable", "get", dump, "key1"});
    printed({"memtable", "iter", dump});
    printed({"memtable", "size", dump});
    printed({"sstable", "get", table, "key1"});
    printed({"merge_iter", table});
    succeeds({"sstable", "build", dump, directory / "elsewhere"});
    succeeds({"memtable", "new", directory / "files/link"});
    CHECK(fs::exists(directory / "outside"));
}

TEST_CASE("files: a new version is synced before it is renamed and the directory after that") {
    if (!can_trace()) return;
    const scratch_directory directory, elsewhere;
    const std::string target = directory / "target", dump = elsewhere / "dump";
    succeeds({"memtable", "bulk", dump, "10"});
    succeeds({"memtable", "new", target});
    for (const command_line& line : changes_of(target, dump)) {
        INFO(shown(line));
        const auto calls = traced(line, "fsync,fdatasync,rename,renameat,renameat2", elsewhere / "log");
        const auto has = [](const std::string& text) {
            return [text](const std::string& call) { return call.find(text) != std::string::npos; };
        };
        const auto renamed = std::find_if(calls.begin(), calls.end(), has("rename"));
        REQUIRE(renamed != calls.end());
        CHECK(has(target)(*renamed));
        CHECK(std::any_of(calls.begin(), renamed, has("sync(")));
        CHECK(std::any_of(renamed, calls.end(), has(directory.path() + ">")));
    }
}

TEST_CASE("files: a failing disk leaves the output as it was") {
    if (!can_trace()) return;
    const scratch_directory directory;
    const std::string target = directory / "target", dump = directory / "dump";
    succeeds({"memtable", "bulk", dump, "10"});
    succeeds({"memtable", "new", target});
    const auto before = snapshot(directory.path());
    for (const std::string call : {"pwrite64", "fsync,fdatasync", "rename,renameat,renameat2"}) {
        for (const command_line& line : changes_of(target, dump)) {
            INFO(shown(line) << "with a failing " << call);
            const outcome got = run_traced({"-o", "/dev/null", "-e", "inject=" + call + ":error=EIO:when=1"}, line);
            check_failed(got, 1, line.front(), "");
            CHECK(snapshot(directory.path()) == before);
        }
    }
}

TEST_CASE("files: the error of an unreadable input names the input once") {
    if (!can_trace()) return;
    const scratch_directory directory;
    const std::string dump = directory / "dump", table = directory / "table";
    succeeds({"memtable", "bulk", dump, "10"});
    build_table(dump, table);
    const auto before = snapshot(directory.path());
    for (const std::string& file : {dump, table}) {
        auto lines = readers_of(file);
        lines.push_back({"sstable", "build", file, directory / "out"});
        for (const command_line& line : lines) {
            // Dumps are for memtable and build, tables for the rest.
            const bool reads_dump = line.front() == "memtable" || line[1] == "build";
            if (reads_dump != (file == dump)) continue;
            INFO(shown(line));
            const outcome got = run_traced({"-o", "/dev/null", "-P", file, "-e", "inject=pread64:error=EIO"}, line);
            check_failed(got, 1, line.front(), file);
            CHECK(got.err.find(file) == got.err.rfind(file));
        }
    }
    CHECK(snapshot(directory.path()) == before);
}
