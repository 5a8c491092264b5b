#include <lsm/io/file.hpp>

#include <cerrno>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

#include "support/catch.hpp"
#include "support/file_systems.hpp"
#include "support/files.hpp"
#include "support/recording_file_system.hpp"
#include "support/results.hpp"

using lsm::bytes;
using lsm::bytes_view;
using lsm::errc;
using lsm::io::file;
using lsm::io::memory_file_system;
using lsm::io::open_mode;
using lsm::test::in_memory;
using lsm::test::must;
using lsm::test::must_fail;
using lsm::test::on_disk;
using lsm::test::read_file;
using lsm::test::recording_file_system;
using lsm::test::trickling_file_system;
using lsm::test::write_file;

namespace {

file create(lsm::io::file_system& fs, const std::string& path) {
    return must(file::open(fs, path, open_mode::create_exclusive));
}

}  // namespace

TEMPLATE_TEST_CASE("file: appends add to the end of the file", "", on_disk, in_memory) {
    TestType fs;
    auto out = create(fs.system, fs.path("file"));
    must(out.append("one "));
    must(out.append(""));
    must(out.append("two"));
    must(out.sync_data());
    must(out.sync());
    CHECK(must(out.size()) == 7);
    must(out.close());
    CHECK(read_file(fs.system, fs.path("file")) == "one two");
}

TEMPLATE_TEST_CASE("file: truncate sets where the next append writes", "", on_disk, in_memory) {
    TestType fs;
    auto out = create(fs.system, fs.path("file"));
    must(out.append("0123456789"));
    must(out.truncate(4));
    must(out.append("abc"));
    CHECK(must(out.size()) == 7);
    CHECK(read_file(fs.system, fs.path("file")) == "0123abc");
    must(out.truncate(9));
    must(out.append("!"));
    CHECK(read_file(fs.system, fs.path("file")) == bytes("0123abc\0\0!", 10));
    must(out.truncate(0));
    must(out.append("new"));
    CHECK(read_file(fs.system, fs.path("file")) == "new");
}

TEMPLATE_TEST_CASE("file: allocated space is zeros that the next append overwrites", "", on_disk, in_memory) {
    TestType fs;
    auto out = create(fs.system, fs.path("file"));
    must(out.append("0123"));
    must(out.allocate(9));
    CHECK(must(out.size()) == 9);
    CHECK(read_file(fs.system, fs.path("file")) == bytes("0123\0\0\0\0\0", 9));
    must(out.append("abc"));
    CHECK(read_file(fs.system, fs.path("file")) == bytes("0123abc\0\0", 9));
    must(out.allocate(5));  // shorter than the file
    CHECK(read_file(fs.system, fs.path("file")) == bytes("0123abc\0\0", 9));
    must(out.truncate(7));
    CHECK(read_file(fs.system, fs.path("file")) == "0123abc");
}

TEST_CASE("file: allocate continues after interruptions and its error names the file") {
    memory_file_system memory;
    trickling_file_system trickling(memory);
    auto slow = create(trickling, "slow");
    for (int i = 1; i <= 2; ++i) must(slow.allocate(static_cast<std::uint64_t>(i) * 10));
    CHECK(trickling.interruptions > 0);
    CHECK(must(slow.size()) == 20);

    recording_file_system full(memory);
    full.fault = [](std::string_view call) { return call.starts_with("allocate") ? ENOSPC : 0; };
    auto out = create(full, "some name");
    must(out.append("data"));
    const auto failure = must_fail(out.allocate(100));
    CHECK(failure.code == errc::no_space);
    CHECK(failure.what.find("some name") != std::string::npos);
    must(out.append("!"));
    CHECK(read_file(memory, "some name") == "data!");
}

TEST_CASE("file: reads and writes continue after short ones and interruptions") {
    memory_file_system memory;
    trickling_file_system fs(memory);
    const bytes contents = "a text of some length";
    {
        auto out = create(fs, "file");
        must(out.append(contents.substr(0, 5)));
        must(out.append(contents.substr(5)));
        CHECK(fs.interruptions >= contents.size());
    }
    CHECK(read_file(memory, "file") == contents);

    const auto in = must(file::open(fs, "file", open_mode::read));
    bytes whole(contents.size(), '?');
    must(in.read_exactly(0, {whole.data(), whole.size()}));
    CHECK(whole == contents);
    bytes tail(100, '?');
    CHECK(must(in.read_at(7, {tail.data(), tail.size()})) == contents.size() - 7);
    CHECK(tail.substr(0, contents.size() - 7) == contents.substr(7));
    CHECK(tail.substr(contents.size() - 7) == bytes(100 - contents.size() + 7, '?'));
}

TEST_CASE("file: syncs and truncates continue after interruptions") {
    memory_file_system memory;
    trickling_file_system fs(memory);
    auto out = create(fs, "file");
    must(out.append("0123456789"));
    for (int i = 0; i < 2; ++i) {  // in one of the rounds at least, each is interrupted
        CHECK(out.sync().has_value());
        CHECK(out.sync_data().has_value());
        CHECK(out.truncate(4).has_value());
    }
    must(out.append("x"));
    CHECK(read_file(memory, "file") == "0123x");
}

TEST_CASE("file: the error of a read beyond the end says where the file ends") {
    memory_file_system fs;
    write_file(fs, "some name", "0123456789");
    const auto in = must(file::open(fs, "some name", open_mode::read));
    char piece[6];
    must(in.read_exactly(4, piece));
    CHECK(bytes_view(piece, 6) == "456789");
    const auto failure = must_fail(in.read_exactly(5, piece));
    CHECK(failure.code == errc::short_input);
    CHECK(failure.what.starts_with("some name: offset 10: short_input"));
    CHECK(must_fail(in.read_exactly(50, piece)).code == errc::short_input);
    CHECK(must(in.read_at(50, piece)) == 0);
    must(in.read_exactly(10, {}));
    must(in.read_exactly(50, {}));
}

TEST_CASE("file: errors other than interruptions are returned with the path") {
    memory_file_system memory;
    recording_file_system fs(memory);
    auto out = create(fs, "some name");
    must(out.append("data"));
    const auto check = [&](auto&& operation) {
        fs.fault = [](std::string_view) { return EIO; };
        const auto failure = must_fail(operation());
        fs.fault = nullptr;
        CHECK(failure.code == errc::io);
        CHECK(failure.sys == EIO);
        CHECK(failure.what.starts_with("some name: injected: "));
    };
    char piece[2];
    check([&] { return out.append("x"); });
    check([&] { return out.sync(); });
    check([&] { return out.sync_data(); });
    check([&] { return out.truncate(0); });
    check([&] { return out.read_at(0, piece); });
    check([&] { return out.read_exactly(0, piece); });
    check([&] { return out.close(); });
    CHECK_FALSE(out.is_open());
    CHECK(fs.open_files() == 0);
    check([&] { return file::open(fs, "some name", open_mode::read); });
    check([&] { return file::lock(fs, "some name"); });
}

TEST_CASE("file: truncate removes what a failed append has written") {
    memory_file_system memory;
    recording_file_system fs(memory);
    auto out = create(fs, "file");
    must(out.append("whole"));
    fs.longest_write = 3;
    int writes = 0;
    fs.fault = [&](std::string_view call) { return call.starts_with("write") && ++writes == 2 ? ENOSPC : 0; };
    CHECK(must_fail(out.append("torn off")).code == errc::no_space);
    CHECK(read_file(memory, "file") == "wholetor");
    must(out.truncate(5));
    must(out.append(" again"));
    CHECK(read_file(memory, "file") == "whole again");
}

TEST_CASE("file: a failed truncate does not change where appends write") {
    memory_file_system memory;
    recording_file_system fs(memory);
    auto out = create(fs, "file");
    must(out.append("0123456789"));
    fs.fault = [](std::string_view call) { return call.starts_with("truncate") ? EIO : 0; };
    CHECK_FALSE(out.truncate(2).has_value());
    CHECK_FALSE(out.truncate(20).has_value());
    must(out.append("!"));
    CHECK(read_file(memory, "file") == "0123456789!");
}

TEST_CASE("file: a move transfers the open file") {
    memory_file_system memory;
    recording_file_system fs(memory);
    auto first = create(fs, "first");
    must(first.append("one"));
    file moved = std::move(first);
    CHECK_FALSE(first.is_open());
    REQUIRE(moved.is_open());
    CHECK(moved.path() == "first");
    CHECK(&moved.system() == &fs);
    must(moved.append(" two"));
    CHECK(read_file(memory, "first") == "one two");

    auto second = create(fs, "second");
    CHECK(fs.open_files() == 2);
    second = std::move(moved);
    CHECK(fs.open_files() == 1);
    CHECK(second.path() == "first");
    must(second.append("!"));
    CHECK(read_file(memory, "first") == "one two!");
    second = file();
    CHECK(fs.open_files() == 0);
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<file>);
    STATIC_REQUIRE_FALSE(std::is_copy_assignable_v<file>);
}

TEST_CASE("file: is closed once by close or by the destructor") {
    memory_file_system memory;
    recording_file_system fs(memory);
    {
        auto out = create(fs, "file");
        must(out.close());
        must(out.close());
        CHECK_FALSE(out.is_open());
    }
    { const auto out = must(file::open(fs, "file", open_mode::read)); }
    CHECK(fs.calls_without_reads() == std::vector<std::string>{"create file", "close file", "open file", "close file"});
    file none;
    must(none.close());
    CHECK_FALSE(none.is_open());
}

TEMPLATE_TEST_CASE("file: rename changes the path and errors name the new one", "", on_disk, in_memory) {
    TestType fs;
    auto out = create(fs.system, fs.path("before"));
    must(out.append("one"));
    CHECK_FALSE(out.rename(fs.path("none/name")).has_value());
    CHECK(out.path() == fs.path("before"));
    must(out.rename(fs.path("after")));
    CHECK(out.path() == fs.path("after"));
    must(out.append(" two"));
    CHECK(read_file(fs.system, fs.path("after")) == "one two");
    CHECK_FALSE(lsm::test::is_there(fs.system, fs.path("before")));
}

TEMPLATE_TEST_CASE("file: a lock is held until the file is closed", "", on_disk, in_memory) {
    TestType fs;
    {
        const auto held = must(file::lock(fs.system, fs.path("LOCK")));
        const auto failure = must_fail(file::lock(fs.system, fs.path("LOCK")));
        CHECK(failure.code == errc::locked);
        CHECK(failure.what.starts_with(fs.path("LOCK") + ": "));
    }
    CHECK(file::lock(fs.system, fs.path("LOCK")).has_value());
}
