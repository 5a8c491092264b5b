#include <lsm/db/disk/manifest.hpp>

#include <lsm/db/repair.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/forwarding_file_system.hpp"

namespace {

using namespace lsm::test;
using lsm::errc;

// Requires that opening fails with an error that contains `expected`, and changes no file.
void check_refused(memory_directory& directory, const std::string& expected) {
    const auto before = directory.files();
    const auto refused = must_fail(directory.try_open());
    INFO(refused.what);
    CHECK(refused.code == errc::bad_manifest);
    CHECK(refused.what.find("db") == 0);
    CHECK(refused.what.find(expected) != std::string::npos);
    CHECK(directory.files() == before);
}

// Adds three tables (1 and 2 overlap), a log, and a temporary file, which only an open that succeeds may remove.
memory_directory& with_tables(memory_directory& directory) {
    return directory.with("sst-000001.sst", table_of({{"a", "1"}, {"c", "1"}}))
        .with("sst-000002.sst", table_of({{"b", "2"}, {"d", "2"}}))
        .with("sst-000003.sst", table_of({{"e", "3"}}))
        .with("MANIFEST.tmp", "L0 1\n")
        .with("wal.log", log_of({{{"w", "1"}}}));
}

}  // namespace

TEST_CASE("manifest: lines of another form are refused") {
    const std::string line =
        GENERATE(as<std::string>(), "L0 1 ", " L0 1", "L0  1", "l0 1", "L0", "L0 ", "L 1", "0 1", "L0 1 2", "L01",
                 "L-0 1", "L+0 1", "L0 +1", "L0 -1", "L00 1", "L0 01", "L0 1x", "Lx 1", "L0\t1", "L0 1\r", "\r", "",
                 "#", "L0 0x1", "L1e0 1", "L0 1.0", "L0 18446744073709551617", "L18446744073709551616 1", "L0,1");
    memory_directory directory;
    with_tables(directory).with("MANIFEST", line + "\n");
    check_refused(directory, "line 1: ");
    with_tables(directory).with("MANIFEST", "L0 3\n" + line + "\n");
    check_refused(directory, "line 2: ");
}

TEST_CASE("manifest: a zero byte in a line is refused") {
    memory_directory directory;
    with_tables(directory).with("MANIFEST", lsm::bytes("L0 1\0\n", 6));
    check_refused(directory, "line 1: ");
    directory.with("MANIFEST", lsm::bytes("\0L0 1\n", 6));
    check_refused(directory, "line 1: ");
}

TEST_CASE("manifest: a last line without a newline is refused") {
    memory_directory directory;
    with_tables(directory).with("MANIFEST", "L0 2\nL0 1");
    check_refused(directory, "line 2: ");
    directory.with("MANIFEST", "L");
    check_refused(directory, "line 1: ");
}

TEST_CASE("manifest: lines that end in CR LF are refused") {
    memory_directory directory;
    with_tables(directory).with("MANIFEST", "L0 2\r\nL0 1\r\n");
    check_refused(directory, "line 1: ");
}

TEST_CASE("manifest: levels above 6 and descending levels are refused") {
    memory_directory directory;
    with_tables(directory).with("MANIFEST", "L7 1\n");
    check_refused(directory, "line 1: ");
    directory.with("MANIFEST", "L10 1\n");
    check_refused(directory, "line 1: ");
    directory.with("MANIFEST", "L1 1\nL0 2\n");
    check_refused(directory, "line 2: ");
    directory.with("MANIFEST", "L0 1\nL2 2\nL1 3\n");
    check_refused(directory, "line 3: ");
}

TEST_CASE("manifest: an id that is 0 or too large or listed twice is refused") {
    memory_directory directory;
    with_tables(directory).with("MANIFEST", "L0 0\n");
    check_refused(directory, "line 1: ");
    directory.with("MANIFEST", "L0 9223372036854775808\n");
    check_refused(directory, "line 1: ");
    directory.with("MANIFEST", "L0 18446744073709551615\n");
    check_refused(directory, "line 1: ");
    directory.with("MANIFEST", "L0 1\nL0 2\nL0 1\n");
    check_refused(directory, "line 3: bad_manifest: id 1 is listed twice");
    directory.with("MANIFEST", "L0 1\nL3 1\n");
    check_refused(directory, "line 2: bad_manifest: id 1 is listed twice");
}

TEST_CASE("manifest: a listed table that is missing is refused") {
    memory_directory directory;
    with_tables(directory).with("MANIFEST", "L0 2\nL0 4\n");
    check_refused(directory, "line 2: bad_manifest: lists sst-000004.sst");
    directory.with("sst-0000004.sst", table_of({}));  // not the name of table 4
    check_refused(directory, "line 2: bad_manifest: lists sst-000004.sst");
}

TEST_CASE("manifest: overlap above level 0 is refused") {
    memory_directory directory;
    with_tables(directory);
    // Tables 1 and 2 overlap, in either order.
    directory.with("MANIFEST", "L1 1\nL1 2\n");
    check_refused(directory, "line 2: bad_manifest: sst-000001.sst and sst-000002.sst");
    directory.with("MANIFEST", "L6 2\nL6 1\n");
    check_refused(directory, "sst-000002.sst");
    // Tables 3 and 1 do not overlap, but are not in key order.
    directory.with("MANIFEST", "L0 2\nL1 3\nL1 1\n");
    check_refused(directory, "line 3: bad_manifest: sst-000003.sst and sst-000001.sst");
    // Tables 1 and 3 share one key.
    directory.with("sst-000003.sst", table_of({{"c", "3"}, {"e", "3"}})).with("MANIFEST", "L1 1\nL1 3\n");
    check_refused(directory, "sst-000003.sst");
}

TEST_CASE("manifest: overlap is refused even with a table without entries between the two") {
    memory_directory directory;
    with_tables(directory).with("sst-000003.sst", table_of({})).with("MANIFEST", "L1 1\nL1 3\nL1 2\n");
    check_refused(directory, "overlap");
}

TEST_CASE("manifest: tables in different levels may overlap") {
    memory_directory directory;
    with_tables(directory).with("MANIFEST", "L0 2\nL0 1\nL1 3\n");
    CHECK(directory.try_open());
    memory_directory deeper;
    with_tables(deeper).with("MANIFEST", "L1 1\nL2 2\nL6 3\n");
    CHECK(deeper.try_open());
    memory_directory apart;
    with_tables(apart).with("MANIFEST", "L1 2\nL1 3\n");
    CHECK(apart.try_open());
}

TEST_CASE("manifest: a missing one is refused if there is a table or a frozen log") {
    memory_directory table, log;
    table.with("sst-000007.sst", table_of({})).with("MANIFEST.tmp", "");
    check_refused(table, "MANIFEST");
    log.with("wal-000001.log", "").with("wal.log", "");
    check_refused(log, "MANIFEST");
}

TEST_CASE("manifest: a missing one makes a new database if there is only an active log") {
    memory_directory directory;
    directory.with("wal.log", log_of({{{"a", "1"}}}));
    CHECK(contents_of(directory.open()) == entry_map{{"a", "1"}});
    CHECK(directory.files().at("MANIFEST").empty());
}

TEST_CASE("manifest: an empty one is a database without tables") {
    memory_directory directory;
    directory.with("MANIFEST", "");
    const auto db = directory.open();
    CHECK(db.live_tables().empty());
    CHECK(contents_of(db).empty());
}

TEST_CASE("manifest: a listed table that is damaged is refused with its own error and nothing changes") {
    memory_directory directory;
    with_tables(directory).with("MANIFEST", "L0 2\nL0 1\n").with("sst-000001.sst", "short");
    const auto before = directory.files();
    const auto why = must_fail(directory.try_open());
    CHECK(why.code == errc::short_input);
    CHECK(why.what.find("sst-000001.sst") != std::string::npos);
    CHECK(directory.files() == before);
}

TEST_CASE("manifest: formatted lines are parsed back") {
    const std::vector<lsm::detail::manifest_line> lines{{0, 12}, {0, 3}, {1, 9223372036854775807u}, {6, 1}};
    const auto text = lsm::detail::format_manifest(lines);
    CHECK(text == "L0 12\nL0 3\nL1 9223372036854775807\nL6 1\n");
    CHECK(must(lsm::detail::parse_manifest(text)) == lines);
}

TEST_CASE("manifest: a symbolic link or a directory in its place is refused") {
    scratch_directory scratch;
    auto& fs = lsm::io::default_file_system();
    write_file(fs, scratch / "elsewhere", "");
    SECTION("a link") { std::filesystem::create_symlink("elsewhere", scratch / "MANIFEST"); }
    SECTION("a directory") { std::filesystem::create_directory(scratch / "MANIFEST"); }
    CHECK_FALSE(lsm::db::open(scratch.path()));
}

TEST_CASE("manifest: one of an absurd size is refused before memory is allocated for it") {
    // Claims any size for MANIFEST, as a sparse file would.
    class resizing final : public forwarding_file_system {
    public:
        using forwarding_file_system::forwarding_file_system;
        std::uint64_t bytes = 0;

        lsm::result<handle> open(std::string_view path, lsm::io::open_mode mode) override {
            auto file = forwarding_file_system::open(path, mode);
            if (file && path == "db/MANIFEST") manifest_ = *file;
            return file;
        }
        lsm::result<std::uint64_t> size(handle file) override {
            return file == manifest_ ? bytes : forwarding_file_system::size(file);
        }

    private:
        handle manifest_ = -1;
    };
    memory_directory directory;
    with_tables(directory).with("MANIFEST", "L0 3\nL0 2\n");
    const auto before = directory.files();
    resizing fs(directory.fs);
    fs.bytes = GENERATE(as<std::uint64_t>(), (std::uint64_t{256} << 20) + 1, std::uint64_t{1} << 42, UINT64_MAX);
    const std::string expected =
        "db/MANIFEST: bad_manifest: of " + std::to_string(fs.bytes) + " bytes, more than 256 MiB";
    for (const bool read_only : {false, true}) {
        const auto why = must_fail(lsm::db::open("db", plain({.read_only = read_only, .file_system = &fs})));
        CHECK(why.code == errc::bad_manifest);
        CHECK(why.what == expected);
    }
    CHECK(must_fail(lsm::repair("db", {.file_system = &fs})).what == expected);
    CHECK(directory.files() == before);
}
