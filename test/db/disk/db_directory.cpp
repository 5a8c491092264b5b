#include <lsm/db/disk/db_directory.hpp>

#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include <lsm/io/memory_file_system.hpp>
#include <lsm/io/posix_file_system.hpp>

#include "support/catch.hpp"
#include "support/file_systems.hpp"
#include "support/files.hpp"
#include "support/recording_file_system.hpp"
#include "support/results.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;
using lsm::detail::db_directory;

using call_list = std::vector<std::string>;

lsm::result<void> write_twice(lsm::io::file& to) {
    if (auto written = to.append("one"); !written) return written;
    return to.append("two");
}

}  // namespace

TEST_CASE("db directory: a file is created with its contents durable and its name not yet") {
    lsm::io::memory_file_system memory;
    must(memory.make_directory("db"));
    recording_file_system fs(memory);
    must(db_directory(fs, "db").create_with("file", write_twice));
    CHECK(read_file(memory, "db/file") == "onetwo");
    CHECK(fs.changes() == call_list{"create db/file", "write db/file", "fsync db/file"});
    CHECK(fs.open_files() == 0);
}

TEST_CASE("db directory: a file that cannot be written whole is removed whichever call fails") {
    const std::string failing = GENERATE(as<std::string>(), "write", "fsync", "close");
    lsm::io::memory_file_system memory;
    must(memory.make_directory("db"));
    recording_file_system fs(memory);
    fs.fault = [&](std::string_view call) { return call == failing + " db/file" ? EIO : 0; };
    const auto why = must_fail(db_directory(fs, "db").create_with("file", write_twice));
    CHECK(why.sys == EIO);
    CHECK(why.what.starts_with("db/file: "));
    CHECK_FALSE(is_there(memory, "db/file"));
    CHECK(fs.open_files() == 0);
}

TEST_CASE("db directory: a file that exists is neither replaced nor removed") {
    lsm::io::memory_file_system fs;
    must(fs.make_directory("db"));
    write_file(fs, "db/file", "theirs");
    const db_directory directory(fs, "db");
    CHECK(must_fail(directory.create("file")).code == errc::exists);
    CHECK(must_fail(directory.create_with("file", write_twice)).code == errc::exists);
    CHECK(read_file(fs, "db/file") == "theirs");
}

TEST_CASE("db directory: removing a file that is missing is no error") {
    lsm::io::memory_file_system memory;
    must(memory.make_directory("db"));
    recording_file_system fs(memory);
    const db_directory directory(fs, "db");
    must(directory.remove("file"));
    write_file(memory, "db/file", "");
    fs.fault = [](std::string_view) { return EACCES; };
    CHECK(must_fail(directory.remove("file")).what.starts_with("db/file: "));
    fs.fault = nullptr;
    must(directory.remove("file"));
    CHECK_FALSE(is_there(memory, "db/file"));
}

TEST_CASE("db directory: a symbolic link is refused") {
    const scratch_directory scratch;
    const db_directory directory(lsm::io::default_file_system(), scratch.path());
    write_file(directory.fs(), scratch / "file", "contents");
    std::filesystem::create_symlink("file", scratch / "link");
    CHECK(directory.open_to_read("file"));
    CHECK(must_fail(directory.open_to_read("link")).what.starts_with(scratch / "link"));
}

TEST_CASE("db directory: creating an existing directory is no error and syncs nothing") {
    lsm::io::memory_file_system memory;
    must(memory.make_directory("db"));
    recording_file_system fs(memory);
    must(db_directory(fs, "db").make());
    CHECK(fs.calls == call_list{"mkdir db"});
}

TEST_CASE("db directory: a directory that another process creates at the same time is made durable") {
    lsm::io::memory_file_system memory;
    recording_file_system fs(memory);
    // The other process creates both directories after this one has found the parent missing.
    fs.fault = [&](std::string_view call) {
        if (fs.calls.size() != 2) return 0;
        CHECK(call == "mkdir parent");
        must(memory.make_directory("parent"));
        must(memory.make_directory("parent/db"));
        return 0;
    };
    must(db_directory(fs, "parent/db").make());
    CHECK(fs.calls == call_list{"mkdir parent/db", "mkdir parent", "mkdir parent/db", "fsync-directory parent"});
}

TEST_CASE("db directory: a directory that cannot be created is an error with its name") {
    lsm::io::memory_file_system memory;
    recording_file_system fs(memory);
    fs.fault = [](std::string_view call) { return call == "mkdir parent" ? EROFS : 0; };
    const auto why = must_fail(db_directory(fs, "parent/db").make());
    CHECK(why.sys == EROFS);
    CHECK(why.what.starts_with("parent: "));
}

TEST_CASE("db directory: making its name durable syncs every parent up to one that may not be opened") {
    lsm::io::memory_file_system memory;
    for (const char* made : {"/a", "/a/b", "/a/b/db"}) must(memory.make_directory(made));
    recording_file_system fs(memory);
    const db_directory directory(fs, "/a/b/db");
    must(directory.sync_own_name());
    CHECK(fs.calls == call_list{"fsync-directory /a/b", "fsync-directory /a", "fsync-directory /"});

    fs.forget();
    fs.fault = [](std::string_view call) { return call == "fsync-directory /a" ? EACCES : 0; };
    must(directory.sync_own_name());
    CHECK(fs.calls == call_list{"fsync-directory /a/b", "fsync-directory /a"});

    fs.fault = [](std::string_view call) { return call == "fsync-directory /a" ? EIO : 0; };
    const auto why = must_fail(directory.sync_own_name());
    CHECK(why.sys == EIO);
    CHECK(why.what.starts_with("/a/b/db: "));
}
