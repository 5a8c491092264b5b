#include <lsm/io/sink.hpp>

#include <cerrno>
#include <random>
#include <string>
#include <vector>

#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/results.hpp"
#include "support/seed.hpp"

using lsm::bytes;
using lsm::bytes_view;
using lsm::result;
using lsm::io::buffered_sink;
using lsm::test::must;
using lsm::test::must_fail;

namespace {

constexpr std::size_t buffer_size = std::size_t{64} << 10;

/// Keeps the pieces that are appended, and fails at the one numbered `fail_at`.
class piece_sink final : public lsm::io::sink {
public:
    std::vector<bytes> pieces;
    std::size_t fail_at = SIZE_MAX;

    result<void> append(bytes_view data) override {
        if (pieces.size() == fail_at) return lsm::detail::system_failure("write", EIO);
        pieces.emplace_back(data);
        return {};
    }
    [[nodiscard]] bytes all() const {
        bytes out;
        for (const auto& piece : pieces) out += piece;
        return out;
    }
};

}  // namespace

TEST_CASE("string sink: appends to the string") {
    bytes out = "before ";
    lsm::io::string_sink to(out);
    must(to.append("one "));
    must(to.append(""));
    must(to.append(bytes("\0two", 4)));
    CHECK(out == bytes("before one \0two", 15));
}

TEST_CASE("file sink: appends to the file") {
    lsm::io::memory_file_system fs;
    auto out = must(lsm::io::file::open(fs, "file", lsm::io::open_mode::create_exclusive));
    lsm::io::file_sink to(out);
    must(to.append("one "));
    must(to.append("two"));
    CHECK(lsm::test::read_file(fs, "file") == "one two");
}

TEST_CASE("buffered sink: small pieces are passed on in large ones and in order") {
    piece_sink inner;
    buffered_sink<> to(inner);
    bytes expected;
    for (int i = 0; i < 50000; ++i) {
        const auto piece = std::to_string(i);
        must(to.append(piece));
        expected += piece;
    }
    REQUIRE(inner.pieces.size() == expected.size() / buffer_size);
    for (const auto& piece : inner.pieces) {
        CHECK(piece.size() <= buffer_size);
        CHECK(piece.size() > buffer_size - 6);
    }
    must(to.flush());
    CHECK(inner.all() == expected);
}

TEST_CASE("buffered sink: random pieces of all sizes keep their order") {
    const auto seed = lsm::test::seed_or(200);
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    const std::size_t sizes[] = {0, 1, 100, buffer_size - 1, buffer_size, buffer_size + 1, 3 * buffer_size};
    for (int round = 0; round < 20; ++round) {
        piece_sink inner;
        buffered_sink<> to(inner);
        bytes expected;
        for (int i = 0; i < 12; ++i) {
            const bytes piece(sizes[random() % std::size(sizes)], static_cast<char>(random()));
            must(to.append(piece));
            expected += piece;
            if (random() % 8 == 0) must(to.flush());
        }
        must(to.flush());
        REQUIRE(inner.all() == expected);
    }
}

TEST_CASE("buffered sink: nothing is passed on until the buffer is full and nothing on destruction") {
    piece_sink inner;
    {
        buffered_sink<> to(inner);
        must(to.append(bytes(buffer_size - 1, 'x')));
        must(to.append("y"));
        CHECK(inner.pieces.empty());
    }
    CHECK(inner.pieces.empty());
}

TEST_CASE("buffered sink: flushing twice writes once") {
    piece_sink inner;
    buffered_sink<> to(inner);
    must(to.flush());
    must(to.append("x"));
    must(to.flush());
    must(to.flush());
    CHECK(inner.pieces == std::vector<bytes>{"x"});
}

TEST_CASE("buffered sink: a large piece is passed on whole after what was collected") {
    piece_sink inner;
    buffered_sink<> to(inner);
    must(to.append("small"));
    const bytes large(2 * buffer_size, 'L');
    must(to.append(large));
    CHECK(inner.pieces == std::vector<bytes>{"small", large});
}

TEST_CASE("buffered sink: append and flush return the errors of the sink below") {
    piece_sink inner;
    inner.fail_at = 0;
    {
        buffered_sink<> to(inner);
        must(to.append("x"));
        CHECK(must_fail(to.flush()).sys == EIO);
    }
    {
        buffered_sink<> to(inner);
        must(to.append(bytes(buffer_size, 'x')));
        CHECK(must_fail(to.append("y")).sys == EIO);
    }
    {
        buffered_sink<> to(inner);
        CHECK(must_fail(to.append(bytes(2 * buffer_size, 'x'))).sys == EIO);
    }
    CHECK(inner.pieces.empty());
}

TEST_CASE("buffered sink: the allocator provides its only buffer") {
    lsm::test::allocation_log log;
    {
        piece_sink inner;
        buffered_sink<lsm::test::logged_allocator<std::byte>> to(inner, log);
        for (int i = 0; i < 3000; ++i) must(to.append(bytes(100, 'x')));
        must(to.append(bytes(3 * buffer_size, 'x')));
        CHECK(log.allocations == 1);
    }
    CHECK(log.live_bytes == 0);
}
