#include <lsm/io/file_system.hpp>

#include "support/catch.hpp"

using lsm::detail::joined;
using lsm::detail::parent_directory;

TEST_CASE("paths: joined puts one slash between") {
    CHECK(joined("dir", "name") == "dir/name");
    CHECK(joined("dir/", "name") == "dir/name");
    CHECK(joined("/", "name") == "/name");
    CHECK(joined("", "name") == "name");
    CHECK(joined(".", "name") == "./name");
}

TEST_CASE("paths: parent_directory is the directory that holds the path") {
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
