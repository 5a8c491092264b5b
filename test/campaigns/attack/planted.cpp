#include <sys/stat.h>
#include <unistd.h>

#include <lsm/db/db.hpp>

#include <filesystem>
#include <map>
#include <string>

#include <lsm/sstable/writer.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"

// The promises of SECURITY.md about directories that others can write to, tested on real files.

using namespace lsm::test;
using lsm::bytes;
using lsm::errc;
namespace files = std::filesystem;

namespace {

/// A database in a scratch directory, and a file outside the database's directory that no database may touch.
struct planted_directory {
    planted_directory() {
        write("outside", outside);
        auto db = open();
        must(db.put("a", "1"));
        must(db.flush());
        must(db.put("b", "2"));
        must(db.close());
    }

    [[nodiscard]] std::string path(const std::string& name = {}) const { return scratch / ("db/" + name); }
    void write(const std::string& name, const bytes& contents) {
        write_file(lsm::io::default_file_system(), scratch / name, contents);
    }
    void plant(const std::string& name, const bytes& contents) { write("db/" + name, contents); }
    void plant_link(const std::string& name) {
        files::remove(path(name));
        files::create_symlink(scratch / "outside", path(name));
    }
    [[nodiscard]] lsm::result<lsm::db> try_open() const { return lsm::db::open(path(), plain()); }
    [[nodiscard]] lsm::db open() const { return must(try_open()); }

    // Makes `db` write, replace and remove files of every kind, then closes it.
    static void use(lsm::db& db) {
        must(db.put("c", "3"));
        must(db.flush());
        must(db.compact());
        must(db.put("d", "4"));
        must(db.close());
    }
    void require_outside_untouched() const {
        REQUIRE(read_file(lsm::io::default_file_system(), scratch / "outside") == outside);
        REQUIRE_FALSE(files::is_symlink(scratch / "outside"));
    }

    const bytes outside = "L0 1\n";  // a valid MANIFEST
    scratch_directory scratch;
};

const entry_map as_made = {{"a", "1"}, {"b", "2"}};

mode_t mode_of(const std::string& path) {
    struct stat about;
    REQUIRE(::lstat(path.c_str(), &about) == 0);
    return about.st_mode & 07777;
}

}  // namespace

TEST_CASE("planted: a file of the database that is a symbolic link is refused and its target not touched") {
    const std::string name = GENERATE("MANIFEST", "LOCK", "wal.log", "wal-000001.log", "sst-000001.sst");
    INFO(name);
    planted_directory planted;
    planted.plant_link(name);
    CHECK(must_fail(planted.try_open()).what.find(planted.path(name)) == 0);
    CHECK(files::is_symlink(planted.path(name)));
    planted.require_outside_untouched();
}

TEST_CASE("planted: a leftover file that is a symbolic link is removed and its target not touched") {
    planted_directory planted;
    for (const auto* const name : {"MANIFEST.tmp", "wal.log.tmp", "sst-000007.sst.tmp", "sst-000008.sst"})
        planted.plant_link(name);
    auto db = planted.open();
    CHECK(contents_of(db) == as_made);
    planted_directory::use(db);
    for (const auto& file : files::directory_iterator(planted.path())) CHECK_FALSE(file.is_symlink());
    planted.require_outside_untouched();
}

TEST_CASE("planted: nothing is written through a link that appears while the database is open") {
    planted_directory planted;
    auto db = planted.open();
    must(db.put("c", "3"));
    for (const auto* const name : {"MANIFEST.tmp", "wal.log.tmp", "sst-000002.sst.tmp", "sst-000003.sst.tmp"})
        planted.plant_link(name);
    static_cast<void>(db.flush());
    static_cast<void>(db.compact());
    static_cast<void>(db.close());
    planted.require_outside_untouched();
    CHECK(contents_of(planted.open()) == entry_map{{"a", "1"}, {"b", "2"}, {"c", "3"}});
}

TEST_CASE("planted: a hard link is not written to") {
    planted_directory planted;
    files::create_directory(planted.scratch / "outside.d");
    std::map<std::string, bytes> before;
    auto& fs = lsm::io::default_file_system();
    for (const auto& file : files::directory_iterator(planted.path())) {
        const std::string name = file.path().filename();
        files::create_hard_link(file.path(), planted.scratch / ("outside.d/" + name));
        before[name] = read_file(fs, file.path());
    }
    auto db = planted.open();
    planted_directory::use(db);
    for (const auto& [name, contents] : before) {
        INFO(name);
        CHECK(read_file(fs, planted.scratch / ("outside.d/" + name)) == contents);
    }
}

TEST_CASE("planted: the database's directory itself may be a link") {
    planted_directory planted;
    files::create_symlink("db", planted.scratch / "link");
    CHECK(contents_of(must(lsm::db::open(planted.scratch / "link", plain()))) == as_made);
}

TEST_CASE("planted: an id in MANIFEST that is a path is refused") {
    planted_directory planted;
    planted.write("evil.sst", table_of({{"a", "evil"}}));
    for (const std::string id :
         {"../evil", "1/../../evil", "/etc/passwd", "000001.sst", "1\n../evil", "..", "1 2", ""}) {
        INFO(id);
        planted.plant("MANIFEST", "L0 " + id + "\n");
        const auto error = must_fail(planted.try_open());
        CHECK(error.code == errc::bad_manifest);
        CHECK(error.what.find(planted.path("MANIFEST")) == 0);
    }
    planted.require_outside_untouched();
}

TEST_CASE("planted: a file that is not a regular file is refused without blocking") {
    const std::string name = GENERATE("MANIFEST", "LOCK", "wal.log", "wal-000001.log", "sst-000001.sst");
    const bool fifo = GENERATE(true, false);
    INFO(name);
    planted_directory planted;
    files::remove(planted.path(name));
    if (fifo)
        REQUIRE(::mkfifo(planted.path(name).c_str(), 0600) == 0);
    else
        files::create_directory(planted.path(name));
    ::alarm(20);  // ends the test should the open block on the FIFO
    const auto error = must_fail(planted.try_open());
    ::alarm(0);
    CHECK(error.what.find(planted.path(name)) == 0);
    CHECK(files::exists(planted.path(name)));
}

TEST_CASE("planted: a FIFO with the name of a leftover file is removed and a directory is refused") {
    planted_directory planted;
    REQUIRE(::mkfifo(planted.path("sst-000009.sst").c_str(), 0600) == 0);
    CHECK(contents_of(planted.open()) == as_made);
    CHECK_FALSE(files::exists(planted.path("sst-000009.sst")));

    files::create_directory(planted.path("sst-000009.sst"));
    planted.plant("sst-000009.sst/inside", "kept");
    CHECK(must_fail(planted.try_open()).what.find(planted.path("sst-000009.sst")) == 0);
    CHECK(files::exists(planted.path("sst-000009.sst/inside")));
}

TEST_CASE("planted: files with foreign names are never read or removed") {
    planted_directory planted;
    const std::string names[] = {"sst-1.sst", "sst-0000001.sst", "sst-000000.sst",     "sst-000009.sst~",
                                 "wal-1.log", "wal-0000002.log", "MANIFEST~",          "manifest",
                                 ".hidden",   "x.tmp",           "sst-00000a.sst.tmp", "sst-9223372036854775808.sst"};
    const bytes evil = table_of({{"a", "evil"}});
    for (const auto& name : names) planted.plant(name, evil);
    files::create_directory(planted.path("directory"));
    planted.plant("directory/sst-000009.sst", evil);
    auto db = planted.open();
    CHECK(contents_of(db) == as_made);
    planted_directory::use(db);
    for (const auto& name : names) {
        INFO(name);
        CHECK(read_file(lsm::io::default_file_system(), planted.path(name)) == evil);
    }
    CHECK(files::exists(planted.path("directory/sst-000009.sst")));
}

TEST_CASE("planted: a table that MANIFEST does not list is never data") {
    planted_directory planted;
    planted.plant("sst-000009.sst", table_of({{"a", "evil"}, {"evil", "1"}}));
    planted.plant("sst-000010.sst.tmp", table_of({{"a", "evil"}}));
    CHECK(contents_of(planted.open()) == as_made);
    CHECK_FALSE(files::exists(planted.path("sst-000009.sst")));
}

TEST_CASE("planted: checksums do not prove who wrote a file") {
    planted_directory planted;
    SECTION("a record in the log") { planted.plant("wal.log", log_of({{{"a", "forged"}}})); }
    SECTION("a frozen log") { planted.plant("wal-000001.log", log_of({{{"a", "forged"}}})); }
    SECTION("a listed table") {
        bytes table;
        lsm::io::string_sink to(table);
        lsm::sst_writer writer(to, {.extended = true});
        must(writer.add("a", "forged"));
        must(writer.finish());
        planted.plant("sst-000001.sst", table);
    }
    SECTION("a MANIFEST") {
        planted.plant("sst-000002.sst", table_of({{"a", "forged"}}));
        planted.plant("MANIFEST", "L0 2\nL0 1\n");
    }
    CHECK(value_in(planted.open(), "a") == "forged");
}

TEST_CASE("planted: lines missing from MANIFEST go unnoticed") {
    planted_directory planted;
    planted.plant("MANIFEST", "");
    CHECK(contents_of(planted.open()) == entry_map{{"b", "2"}});
    CHECK_FALSE(files::exists(planted.path("sst-000001.sst")));
}

TEST_CASE("planted: the umask decides who may read the files") {
    const mode_t mask = GENERATE(0077u, 0027u, 0022u);
    const auto before = ::umask(mask);
    {
        planted_directory planted;
        auto db = planted.open();
        planted_directory::use(db);
        CHECK(mode_of(planted.path()) == (0777 & ~mask));
        for (const auto& file : files::directory_iterator(planted.path())) {
            INFO(file.path());
            CHECK(mode_of(file.path()) == (0666 & ~mask));
        }
    }
    ::umask(before);
}

TEST_CASE("planted: an error that names a file shows none of its bytes") {
    planted_directory planted;
    const std::string name = GENERATE("MANIFEST", "sst-000001.sst", "wal-000001.log");
    planted.plant(name, "secret secret secret secret secret secret secret secret");
    const auto error = must_fail(planted.try_open());
    CHECK(error.what.find(planted.path(name)) == 0);
    CHECK(error.what.find("secret") == std::string::npos);
}
