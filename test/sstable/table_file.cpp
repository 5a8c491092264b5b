#include <lsm/sstable/table_file.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/io/posix_file_system.hpp>

#include "sstable/tables.hpp"
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/forwarding_file_system.hpp"
#include "support/recording_file_system.hpp"

using lsm::bytes;
using lsm::errc;
using lsm::detail::table_file;
using namespace lsm::test;

namespace {

constexpr std::size_t seal_offset = 30;

// A file with a seal that is `letter` repeated, between bytes that are the same in all of them.
bytes sealed(char letter) { return bytes(seal_offset, 'b') + bytes(table_file::seal_bytes, letter) + bytes(10, 'f'); }

bytes part_of(const table_file& file, std::uint64_t offset, std::size_t size) {
    bytes out(size, '\0');
    must(file.read(offset, {out.data(), out.size()}));
    return out;
}

/// A table_file in a file system that records the calls.
struct recorded_file {
    explicit recorded_file(lsm::bytes_view contents) { write_file(inner, table_path, contents); }

    [[nodiscard]] table_file open() { return must(table_file::of(open_file(fs, table_path))); }
    [[nodiscard]] table_file open_sealed(char letter) {
        table_file out = open();
        out.identify_by_seal(seal_offset, bytes(table_file::seal_bytes, letter));
        return out;
    }
    [[nodiscard]] table_file open_identified() {
        table_file out = open();
        must(out.identify_by_file_identity());
        return out;
    }

    lsm::io::memory_file_system inner;
    recording_file_system fs{inner};
};

/// A file system in which all files have the same identity.
class anonymous_file_system final : public forwarding_file_system {
public:
    using forwarding_file_system::forwarding_file_system;
    lsm::result<lsm::io::file_identity> identity(handle) override { return lsm::io::file_identity{}; }
};

void check_stale(const table_file& file, const std::string& text) {
    char byte[1];
    const auto error = must_fail(file.read(0, byte));
    CHECK(error.code == errc::stale);
    CHECK(error.what == table_path + ": stale: " + text);
}

const std::string removed_text = "another process has removed the file";
const std::string replaced_text = "another process has replaced the file";

}  // namespace

TEST_CASE("table file: it reads any part of an open file with one call") {
    recorded_file f("0123456789");
    const auto file = f.open();
    CHECK(file.size() == 10);
    CHECK(file.path() == table_path);
    CHECK_FALSE(file.mapped());
    f.fs.forget();
    CHECK(part_of(file, 3, 4) == "3456");
    CHECK(part_of(file, 0, 10) == "0123456789");
    CHECK(f.fs.calls == std::vector<std::string>(2, "read " + table_path));
}

TEST_CASE("table file: a read beyond the end is short input") {
    recorded_file f("0123456789");
    const auto file = f.open();
    char into[2];
    CHECK(must_fail(file.read(9, into)).code == errc::short_input);
}

TEST_CASE("table file: an open file can be read after it has lost its name") {
    recorded_file f("0123456789");
    const auto file = f.open();
    must(f.inner.remove(table_path));
    CHECK(part_of(file, 0, 3) == "012");
}

TEST_CASE("table file: after its handle is closed the file is opened for each read and not kept open") {
    recorded_file f(sealed('s'));
    auto file = f.open_sealed('s');
    file.close_handle();
    CHECK(f.fs.open_files() == 0);
    for (int i = 0; i < 2; ++i) {
        f.fs.forget();
        CHECK(part_of(file, 0, 2) == "bb");
        REQUIRE_FALSE(f.fs.calls.empty());
        CHECK(f.fs.calls.front() == "open " + table_path);
        CHECK(f.fs.open_files() == 0);
    }
}

TEST_CASE("table file: a closed file that is gone is stale") {
    recorded_file f(sealed('s'));
    auto file = f.open_sealed('s');
    file.close_handle();
    must(f.inner.remove(table_path));
    check_stale(file, removed_text);
    CHECK(must_fail(file.hold_open()).code == errc::stale);
}

TEST_CASE("table file: a closed file is stale after a file with another size or seal took its name") {
    recorded_file f(sealed('s'));
    auto file = f.open_sealed('s');
    file.close_handle();
    for (const bytes& other : {sealed('s') + "x", sealed('s').substr(1), sealed('t'), bytes()}) {
        write_file(f.inner, table_path, other);
        check_stale(file, replaced_text);
    }
    CHECK(f.fs.open_files() == 0);
}

TEST_CASE("table file: a copy with the same size and seal is read in place of a closed file") {
    recorded_file f(sealed('s'));
    auto file = f.open_sealed('s');
    file.close_handle();
    write_file(f.inner, table_path, sealed('s'));
    CHECK(part_of(file, seal_offset, 2) == "ss");
}

TEST_CASE("table file: a closed file without a seal is stale after any other file took its name") {
    recorded_file f(sealed('s'));
    auto file = f.open_identified();
    file.close_handle();
    CHECK(part_of(file, 0, 1) == "b");
    write_file(f.inner, table_path, sealed('s'));
    check_stale(file, replaced_text);
}

TEST_CASE("table file: without identities another file of the same size is not detected") {
    lsm::io::memory_file_system inner;
    anonymous_file_system fs(inner);
    write_file(inner, table_path, sealed('s'));
    auto file = must(table_file::of(open_file(fs, table_path)));
    must(file.identify_by_file_identity());
    file.close_handle();
    write_file(inner, table_path, sealed('t'));
    CHECK(part_of(file, seal_offset, 1) == "t");
    write_file(inner, table_path, sealed('t') + "x");
    check_stale(file, replaced_text);
}

TEST_CASE("table file: a file that is held open can be read after it has lost its name") {
    recorded_file f(sealed('s'));
    auto file = f.open_sealed('s');
    file.close_handle();
    must(file.hold_open());
    CHECK(f.fs.open_files() == 1);
    write_file(f.inner, table_path, sealed('t'));
    CHECK(part_of(file, seal_offset, 2) == "ss");
}

TEST_CASE("table file: hold_open does nothing if the file is open") {
    recorded_file f(sealed('s'));
    auto file = f.open_sealed('s');
    f.fs.forget();
    must(file.hold_open());
    CHECK(f.fs.calls.empty());
    file.close_handle();
    must(file.hold_open());
    f.fs.forget();
    must(file.hold_open());
    CHECK(f.fs.calls.empty());
}

TEST_CASE("table file: files are the same if size and seal or size and identity are") {
    recorded_file f(sealed('s'));
    const auto file = f.open_sealed('s');
    CHECK(file.same_as(f.open_sealed('s')));
    CHECK_FALSE(file.same_as(f.open_sealed('t')));
    CHECK_FALSE(file.same_as(f.open_identified()));
    const auto identified = f.open_identified();
    CHECK(identified.same_as(f.open_identified()));
    must(file.check_same(open_file(f.fs, table_path)));
    must(identified.check_same(open_file(f.fs, table_path)));

    write_file(f.inner, table_path, sealed('s'));
    CHECK(file.same_as(f.open_sealed('s')));
    CHECK_FALSE(identified.same_as(f.open_identified()));
    must(file.check_same(open_file(f.fs, table_path)));
    CHECK(must_fail(identified.check_same(open_file(f.fs, table_path))).code == errc::stale);

    write_file(f.inner, table_path, sealed('s') + "x");
    CHECK_FALSE(file.same_as(f.open_sealed('s')));
    CHECK(must_fail(file.check_same(open_file(f.fs, table_path))).code == errc::stale);
}

TEST_CASE("table file: an error of the disk while a file is compared is that error and not stale") {
    recorded_file f(sealed('s'));
    auto file = f.open_sealed('s');
    auto identified = f.open_identified();
    file.close_handle();
    identified.close_handle();
    for (const std::string_view failing : {"open ", "size ", "read "}) {
        f.fs.fault = [&](std::string_view call) { return call.starts_with(failing) ? EIO : 0; };
        const auto error = must_fail(file.reopen());
        CHECK(error.code == errc::io);
        CHECK(error.sys == EIO);
    }
    f.fs.fault = [&](std::string_view call) { return call.starts_with("identity ") ? EIO : 0; };
    CHECK(must_fail(identified.reopen()).sys == EIO);
    must(file.reopen());
}

TEST_CASE("table file: a mapped file can be read after its handle is closed and its name is gone") {
    const scratch_directory directory;
    auto& fs = lsm::io::default_file_system();
    write_file(fs, directory / table_path, "0123456789");
    auto file = must(table_file::of(open_file(fs, directory / table_path), true));
    REQUIRE(file.mapped());
    must(file.identify_by_file_identity());
    file.close_handle();
    must(file.hold_open());
    must(fs.remove(directory / table_path));
    CHECK(file.view(2, 3) == "234");
    CHECK(part_of(file, 7, 3) == "789");
    const table_file moved = std::move(file);
    CHECK(moved.view(0, 10) == "0123456789");
}

TEST_CASE("table file: a file that cannot be mapped is read") {
    recorded_file f("0123456789");  // a file system without maps
    const auto file = must(table_file::of(open_file(f.fs, table_path), true));
    CHECK_FALSE(file.mapped());
    CHECK(part_of(file, 1, 2) == "12");

    const scratch_directory directory;
    auto& fs = lsm::io::default_file_system();
    write_file(fs, directory / "empty", "");
    CHECK_FALSE(must(table_file::of(open_file(fs, directory / "empty"), true)).mapped());
}

TEST_CASE("table tail: one read of the end of the file serves all reads in the last 64 KiB") {
    constexpr std::size_t tail_bytes = 64 << 10;
    for (const std::size_t size : {std::size_t{0}, std::size_t{40}, tail_bytes, tail_bytes + 1, 3 * tail_bytes}) {
        bytes contents(size, '\0');
        for (std::size_t i = 0; i < size; ++i) contents[i] = static_cast<char>(i * 7 + i / 251);
        recorded_file f(contents);
        const auto file = f.open();
        f.fs.forget();
        const auto tail = must(lsm::detail::table_tail<std::allocator<std::byte>>::of(file, {}));
        const std::size_t held = std::min(size, tail_bytes);
        CHECK(f.fs.bytes_read == held);
        CHECK(tail.path() == table_path);
        CHECK(bytes(tail.last(held), held) == contents.substr(size - held));

        f.fs.forget();
        const auto read = [&](std::size_t offset, std::size_t count) {
            bytes out(count, '\0');
            must(tail.read(offset, {out.data(), out.size()}));
            return out;
        };
        CHECK(read(size - held, held) == contents.substr(size - held));
        if (held > 20) CHECK(read(size - 20, 10) == contents.substr(size - 20, 10));
        CHECK(f.fs.reads == 0);
        if (size == held) continue;
        CHECK(read(size - held - 1, 100) == contents.substr(size - held - 1, 100));
        CHECK(f.fs.reads == 1);
    }
}

TEST_CASE("table tail: an error of the disk is reported with the file") {
    recorded_file f("0123456789");
    const auto file = f.open();
    f.fs.fault = [](std::string_view call) { return call.starts_with("read ") ? EIO : 0; };
    const auto error = must_fail(lsm::detail::table_tail<std::allocator<std::byte>>::of(file, {}));
    CHECK(error.sys == EIO);
    CHECK(error.what.starts_with(table_path + ": "));
}
