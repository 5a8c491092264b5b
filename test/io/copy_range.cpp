#include <lsm/io/copy_range.hpp>

#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/file_systems.hpp"
#include "support/files.hpp"
#include "support/recording_file_system.hpp"
#include "support/results.hpp"

using lsm::bytes;
using lsm::errc;
using lsm::io::copy_range;
using lsm::io::memory_file_system;
using lsm::io::open_mode;
using lsm::test::must;
using lsm::test::must_fail;
using lsm::test::open_file;
using lsm::test::read_file;
using lsm::test::recording_file_system;
using lsm::test::trickling_file_system;
using lsm::test::write_file;

namespace {

// A file that holds `size` bytes which show where they came from, and a new file "to".
struct two_files {
    memory_file_system memory;
    recording_file_system fs{memory};
    bytes contents;
    lsm::io::file from;
    lsm::io::file to;

    explicit two_files(std::size_t size) {
        for (int i = 0; contents.size() < size; ++i) contents += std::to_string(i) + ' ';
        contents.resize(size);
        write_file(memory, "from", contents);
        from = open_file(fs, "from");
        to = must(lsm::io::file::open(fs, "to", open_mode::create_exclusive));
        fs.forget();
    }
    [[nodiscard]] bytes copied() { return read_file(memory, "to"); }
};

}  // namespace

TEST_CASE("copy range: appends any range of a file") {
    constexpr std::size_t size = 100'000;
    two_files files(size);
    const std::pair<std::uint64_t, std::uint64_t> ranges[] = {{0, size},    {0, 0},        {size, 0},
                                                              {1, 1},       {size - 1, 1}, {3, 8 << 10},
                                                              {10, 16383},  {10, 16384},   {777, (8 << 10) + 1},
                                                              {5, size - 5}};
    bytes expected;
    for (const auto& [offset, length] : ranges) {
        INFO("offset " << offset << " length " << length);
        must(copy_range(files.from, offset, length, files.to));
        expected += files.contents.substr(static_cast<std::size_t>(offset), static_cast<std::size_t>(length));
        REQUIRE(files.copied() == expected);
    }
}

TEST_CASE("copy range: an empty range needs no bytes and makes no system call") {
    two_files files(0);
    must(copy_range(files.from, 1000, 0, files.to));
    CHECK(files.fs.calls.empty());
}

TEST_CASE("copy range: reads each byte once and does not sync") {
    two_files files(50'000);
    must(copy_range(files.from, 100, 40'000, files.to));
    CHECK(files.fs.bytes_read == 40'000);
    for (const std::string& call : files.fs.calls_without_reads()) CHECK(call == "write to");
}

TEST_CASE("copy range: continues after short reads and writes and interruptions") {
    memory_file_system memory;
    write_file(memory, "from", "0123456789");
    trickling_file_system fs(memory);
    const auto from = open_file(fs, "from");
    auto to = must(lsm::io::file::open(fs, "to", open_mode::create_exclusive));
    must(copy_range(from, 2, 7, to));
    CHECK(fs.interruptions > 0);
    CHECK(read_file(memory, "to") == "2345678");
}

TEST_CASE("copy range: a source that ends inside the range is short input and names the place") {
    two_files files(20'000);
    const auto error = must_fail(copy_range(files.from, 10, 20'000, files.to));
    CHECK(error.code == errc::short_input);
    CHECK(error.what.starts_with("from: offset 20000: "));
    const bytes copied = files.copied();
    CHECK(copied == files.contents.substr(10, copied.size()));
}

TEST_CASE("copy range: a failed read names the source and a failed write the target") {
    two_files files(20'000);
    const auto error_at = [&](std::string_view failing) {
        int calls = 0;  // the second one fails, so that a part is copied
        files.fs.fault = [&](std::string_view call) { return call.starts_with(failing) && ++calls == 2 ? EIO : 0; };
        auto error = must_fail(copy_range(files.from, 0, 20'000, files.to));
        files.fs.fault = nullptr;
        return error;
    };
    const auto read = error_at("read");
    CHECK(read.sys == EIO);
    CHECK(read.what.starts_with("from: "));
    const auto written = error_at("write");
    CHECK(written.sys == EIO);
    CHECK(written.what.starts_with("to: "));
}

TEST_CASE("same range: ranges are equal if every byte is wherever they lie") {
    memory_file_system fs;
    const bytes contents = two_files(20'000).contents;
    lsm::test::write_file(fs, "a", contents);
    lsm::test::write_file(fs, "b", "xyz" + contents);
    bytes other = contents;
    other[15'000] = static_cast<char>(other[15'000] ^ 1);
    lsm::test::write_file(fs, "c", other);
    const auto a = lsm::test::open_file(fs, "a");
    const auto b = lsm::test::open_file(fs, "b");
    const auto c = lsm::test::open_file(fs, "c");
    CHECK(must(lsm::io::same_range(a, 0, b, 3, 20'000)));
    CHECK(must(lsm::io::same_range(a, 100, b, 103, 0)));
    CHECK_FALSE(must(lsm::io::same_range(a, 0, b, 0, 100)));
    CHECK_FALSE(must(lsm::io::same_range(a, 0, c, 0, 20'000)));
    CHECK(must(lsm::io::same_range(a, 0, c, 0, 15'000)));
    CHECK(must_fail(lsm::io::same_range(a, 1, b, 4, 20'000)).code == errc::short_input);
}
