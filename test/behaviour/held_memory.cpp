#include <cstddef>

#include <lsm/db/db.hpp>

#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/heap.hpp"

/// The memory that a db takes from operator new instead of its allocator. Only file names and error texts may come from
/// there: a few hundred bytes, whatever the size of the database.

namespace {

using namespace lsm::test;
using logged_db = lsm::basic_db<lsm::policies<lsm::bytes, lsm::bytes, logged_allocator<std::byte>>>;

// A handful of short strings, and nothing that grows with the data.
constexpr std::size_t names_and_texts = 2048;

/// Measures the use of operator new since its construction, in bytes.
class measured {
public:
    measured() : before_(heap.live) { heap.peak = heap.live.load(); }
    [[nodiscard]] std::size_t held() const { return heap.live > before_ ? heap.live - before_ : 0; }
    [[nodiscard]] std::size_t peak() const { return heap.peak - before_; }

private:
    std::size_t before_;
};

/// Discards what it is given, and so needs no memory.
class null_sink final : public lsm::io::sink {
    lsm::result<void> append(lsm::bytes_view) override { return {}; }
};

// Puts keys number `from` to `to`. Allocates nothing itself.
void put_many(logged_db& db, int from, int to) {
    static const lsm::bytes value(1000, 'v');
    char key[8] = "key0000";
    for (int i = from; i < to; ++i) {
        for (int digit = 6, rest = i; digit > 2; --digit, rest /= 10) key[digit] = static_cast<char>('0' + rest % 10);
        must(db.put({key, 7}, value));
    }
}

}  // namespace

TEST_CASE("held memory: the memory that a db holds comes from its allocator") {
    scratch_directory scratch;
    allocation_log log;
    const measured all;
    auto db = must(logged_db::open(scratch.path(), plain({.block_cache_bytes = 100'000, .sync = false}), log));
    CHECK(all.held() < names_and_texts);
    put_many(db, 0, 500);
    CHECK(log.live_bytes > 500'000);
    CHECK(all.held() < names_and_texts);
    must(db.flush());
    put_many(db, 250, 600);
    must(db.flush());
    put_many(db, 600, 700);
    CHECK(all.held() < names_and_texts);
    auto at = db.scan();
    for (int i = 0; i < 650; ++i) at.next();
    CHECK(log.live_bytes > 100'000);
    CHECK(all.held() < names_and_texts);
}

TEST_CASE("held memory: calls use operator new only for names and texts") {
    scratch_directory scratch;
    allocation_log log;
    auto db = must(logged_db::open(scratch.path(), plain({.block_cache_bytes = 0, .sync = false}), log));
    SECTION("put and flush") {
        const measured part;
        put_many(db, 0, 300);
        CHECK(part.peak() < names_and_texts);
        must(db.flush());
        CHECK(part.peak() < names_and_texts);
    }
    put_many(db, 0, 300);
    must(db.flush());
    put_many(db, 100, 200);
    SECTION("contains") {
        const measured part;
        const bool there = must(db.contains("key0005"));
        CHECK(part.peak() < names_and_texts);
        CHECK(there);
    }
    SECTION("scan") {
        const measured part;
        for (auto at = db.scan({.from = "key0001", .to = "key0250"}); at.valid(); at.next()) {
        }
        for (auto at = db.scan({.reverse = true}); at.valid(); at.next()) {
        }
        CHECK(part.peak() < names_and_texts);
    }
    SECTION("open with a log") {
        must(db.close());
        const measured part;
        auto again = must(logged_db::open(scratch.path(), plain({}), log));
        CHECK(part.peak() < names_and_texts);
    }
    SECTION("serialize_view") {
        null_sink to;
        const measured part;
        must(db.serialize_view(to));
        CHECK(part.peak() < names_and_texts);
    }
}
