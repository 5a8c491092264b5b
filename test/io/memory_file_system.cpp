#include <lsm/io/memory_file_system.hpp>

#include <set>
#include <string>

#include "support/catch.hpp"
#include "support/file_systems.hpp"
#include "support/files.hpp"
#include "support/results.hpp"

using lsm::errc;
using lsm::io::memory_file_system;
using lsm::test::must;
using lsm::test::must_fail;
using lsm::test::names_in;
using lsm::test::read_file;
using lsm::test::write_file;

TEST_CASE("memory file system: starts with two empty directories") {
    memory_file_system fs;
    CHECK(names_in(fs, ".").empty());
    CHECK(names_in(fs, "/").empty());
    CHECK(must_fail(fs.make_directory("/")).code == errc::exists);
    CHECK(must_fail(fs.make_directory(".")).code == errc::exists);
}

TEST_CASE("memory file system: relative paths start in the directory named by a dot") {
    memory_file_system fs;
    write_file(fs, "relative", "1");
    write_file(fs, "/absolute", "2");
    CHECK(read_file(fs, "./relative") == "1");
    CHECK(read_file(fs, ".//relative") == "1");
    CHECK(names_in(fs, ".") == std::set<std::string>{"relative"});
    CHECK(names_in(fs, "./") == std::set<std::string>{"relative"});
    CHECK(names_in(fs, "/") == std::set<std::string>{"absolute"});
}

TEST_CASE("memory file system: two instances share nothing") {
    memory_file_system one;
    memory_file_system other;
    write_file(one, "file", "");
    CHECK(names_in(other, ".").empty());
    const auto held = must(one.lock("LOCK"));
    must(other.close(must(other.lock("LOCK"))));
    must(one.close(held));
}
