#include <lsm/io/input.hpp>

#include <algorithm>
#include <cerrno>
#include <random>
#include <string>
#include <utility>

#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/file_systems.hpp"
#include "support/files.hpp"
#include "support/recording_file_system.hpp"
#include "support/results.hpp"
#include "support/seed.hpp"

using lsm::bytes;
using lsm::bytes_view;
using lsm::errc;
using lsm::io::file;
using lsm::io::input;
using lsm::io::memory_file_system;
using lsm::test::must;
using lsm::test::must_fail;
using lsm::test::open_file;
using lsm::test::recording_file_system;
using lsm::test::write_file;

namespace {

constexpr std::size_t buffer_size = std::size_t{64} << 10;

bytes numbered(std::size_t size) {
    bytes out;
    for (std::size_t i = 0; out.size() < size; ++i) out += std::to_string(i) + ' ';
    out.resize(size);
    return out;
}

// Takes all of `in`, in pieces of random sizes up to `longest`.
bytes taken_at_random(input<>& in, std::mt19937_64& random, std::size_t longest) {
    bytes out;
    while (in.left() > 0) {
        const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(random() % (longest + 1), in.left()));
        const auto before = in.offset();
        out += must(in.take(length));
        REQUIRE(in.offset() == before + length);
        REQUIRE(in.offset() + in.left() == in.size());
    }
    return out;
}

}  // namespace

TEST_CASE("input: pieces of memory are not copied") {
    const bytes data = "0123456789";
    input<> in{bytes_view(data)};
    CHECK(in.size() == 10);
    CHECK(in.left() == 10);
    const auto first = must(in.take(4));
    CHECK(first == "0123");
    CHECK(first.data() == data.data());
    CHECK(must(in.take(0)).empty());
    CHECK(must(in.take(6)) == "456789");
    CHECK(in.left() == 0);
    CHECK(must(in.take(0)).empty());
    CHECK(in.offset() == 10);
}

TEST_CASE("input: empty memory has nothing left") {
    input<> in{bytes_view()};
    CHECK(in.left() == 0);
    CHECK(must(in.take(0)).empty());
}

TEST_CASE("input: pieces of any sizes add up to the whole file") {
    const auto seed = lsm::test::seed_or(210);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    memory_file_system fs;
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{10}, std::size_t{15}, std::size_t{16},
                                   buffer_size - 1, buffer_size, buffer_size + 1, 3 * buffer_size + 17}) {
        const bytes contents = numbered(size);
        write_file(fs, "file", contents);
        const auto from = open_file(fs, "file");
        for (const std::size_t longest : {std::size_t{7}, std::size_t{5000}, buffer_size, 2 * buffer_size}) {
            INFO("size " << size << " longest " << longest);
            input<> in(from, size);
            REQUIRE(in.size() == size);
            REQUIRE(taken_at_random(in, random, longest) == contents);
        }
    }
}

TEST_CASE("input: starts at the given offset and ends at the given size") {
    memory_file_system fs;
    write_file(fs, "file", "0123456789");
    const auto from = open_file(fs, "file");
    input<> in(from, 8, {}, 3);
    CHECK(in.offset() == 3);
    CHECK(in.left() == 5);
    CHECK(must(in.take(2)) == "34");
    CHECK(must(in.take(3)) == "567");
    CHECK(in.left() == 0);
    input<> none(from, 10, {}, 10);
    CHECK(none.left() == 0);
    CHECK(must(none.take(0)).empty());
}

TEST_CASE("input: a file is read in large pieces and each byte only once") {
    memory_file_system memory;
    const bytes contents = numbered(3 * buffer_size);
    write_file(memory, "file", contents);
    recording_file_system fs(memory);
    const auto from = open_file(fs, "file");
    input<> in(from, contents.size());
    while (in.left() > 0) must(in.take(static_cast<std::size_t>(std::min<std::uint64_t>(in.left(), 9))));
    CHECK(fs.bytes_read == contents.size());
    CHECK(fs.reads <= 4);
}

TEST_CASE("input: a piece larger than the buffer is contiguous") {
    memory_file_system fs;
    const bytes contents = numbered(5 * buffer_size);
    write_file(fs, "file", contents);
    const auto from = open_file(fs, "file");
    input<> in(from, contents.size());
    CHECK(must(in.take(3)) == contents.substr(0, 3));
    CHECK(must(in.take(4 * buffer_size)) == bytes_view(contents).substr(3, 4 * buffer_size));
    CHECK(must(in.take(5)) == bytes_view(contents).substr(4 * buffer_size + 3, 5));
}

TEST_CASE("input: can be moved while reading") {
    memory_file_system fs;
    // Few bytes, which a string would store inside the object, and many.
    for (const std::size_t size : {std::size_t{5}, std::size_t{12}, std::size_t{40}, 2 * buffer_size}) {
        INFO("size " << size);
        const bytes contents = numbered(size);
        write_file(fs, "file", contents);
        const auto from = open_file(fs, "file");
        input<> first(from, size);
        CHECK(must(first.take(2)) == contents.substr(0, 2));
        input<> second = std::move(first);
        CHECK(second.offset() == 2);
        CHECK(must(second.take(1)) == contents.substr(2, 1));
        input<> third(bytes_view("something else"));
        third = std::move(second);
        CHECK(third.left() == size - 3);
        CHECK(must(third.take(size - 3)) == contents.substr(3));
    }
    const bytes data = "0123456789";
    input<> memory{bytes_view(data)};
    static_cast<void>(must(memory.take(3)));
    input<> moved = std::move(memory);
    CHECK(must(moved.take(7)) == "3456789");
}

TEST_CASE("input: a file that was shortened returns short_input") {
    memory_file_system fs;
    write_file(fs, "file", "0123456789");
    const auto from = open_file(fs, "file");
    input<> in(from, 20);
    const auto failure = must_fail(in.take(4));
    CHECK(failure.code == errc::short_input);
    CHECK(failure.what.starts_with("file: offset 10: "));
    CHECK(in.offset() == 0);
}

TEST_CASE("input: an error leaves the position so that the piece can be taken again") {
    memory_file_system memory;
    const bytes contents = numbered(2 * buffer_size);
    write_file(memory, "file", contents);
    recording_file_system fs(memory);
    const auto from = open_file(fs, "file");
    input<> in(from, contents.size());
    static_cast<void>(must(in.take(buffer_size - 10)));
    fs.fault = [](std::string_view call) { return call.starts_with("read") ? EIO : 0; };
    CHECK(must_fail(in.take(100)).sys == EIO);
    CHECK(in.offset() == buffer_size - 10);
    // What is in the buffer is still there.
    CHECK(must(in.take(4)) == bytes_view(contents).substr(buffer_size - 10, 4));
    CHECK(must_fail(in.take(100)).sys == EIO);
    fs.fault = nullptr;
    CHECK(must(in.take(100)) == bytes_view(contents).substr(buffer_size - 6, 100));
}

TEST_CASE("input: the buffer comes from the allocator and reading memory needs none") {
    lsm::test::allocation_log log;
    using alloc = lsm::test::logged_allocator<std::byte>;
    memory_file_system fs;
    write_file(fs, "file", numbered(3 * buffer_size));
    const auto from = open_file(fs, "file");
    {
        input<alloc> in(from, 3 * buffer_size, log);
        while (in.left() > 0) static_cast<void>(must(in.take(1)));
        CHECK(log.allocations >= 1);
        CHECK(log.peak_bytes <= 2 * buffer_size);
    }
    CHECK(log.live_bytes == 0);
    log.reset();
    input<alloc> in(bytes_view("some memory"), log);
    CHECK(must(in.take(11)) == "some memory");
    CHECK(log.allocations == 0);
}

TEST_CASE("input: a move does not move the bytes ahead even of a small file") {
    memory_file_system fs;
    for (const std::size_t size : {1u, 10u, 15u, 16u, 22u, 23u, 100u}) {
        write_file(fs, "file", numbered(size));
        const auto from = open_file(fs, "file");
        input in(from, size);
        must(in.fetch(size));
        const bytes_view ahead = in.ahead();
        const input moved(std::move(in));
        CHECK(moved.ahead().data() == ahead.data());
        CHECK(ahead == numbered(size));
    }
}
