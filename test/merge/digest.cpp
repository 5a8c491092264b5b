#include <lsm/merge/digest.hpp>

#include <memory>
#include <string>
#include <vector>

#include <lsm/memtable/memtable.hpp>
#include <lsm/merge/merging_iterator.hpp>

#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/entries.hpp"
#include "support/sha256.hpp"

namespace {

using namespace lsm::test;

std::string digest_of_cursor(auto at) {
    return hex_of(must(lsm::detail::stream_digest(at, std::allocator<std::byte>())));
}

}  // namespace

TEST_CASE("stream digest: no entries have the digest of no bytes") {
    CHECK(digest_of_cursor(forward_only_cursor({})) == sha256(""));
}

TEST_CASE("stream digest: it is the SHA-256 of the merge stream with tombstones and empty keys and values") {
    const entry_map entries = {{"", "empty key"}, {"a", ""}, {"b", deleted}, {"c", "1"}};
    CHECK(digest_of_cursor(forward_only_cursor(list_of(entries))) == sha256(stream_of(entries)));
}

TEST_CASE("stream digest: entries larger than the buffer are hashed in their place") {
    const entry_map entries = {{"a", "1"}, {"b", lsm::bytes(200'000, 'L')}, {"c", "3"}, {"d", lsm::bytes(65'536, 'M')}};
    CHECK(digest_of_cursor(forward_only_cursor(list_of(entries))) == sha256(stream_of(entries)));
}

TEST_CASE("stream digest: it starts at the position of the cursor and moves the cursor to its end") {
    forward_only_cursor at({{"a", "1"}, {"b", "2"}, {"c", "3"}});
    at.next();
    const auto digest = must(lsm::detail::stream_digest(at, std::allocator<std::byte>()));
    CHECK(hex_of(digest) == sha256(stream_of({{"b", "2"}, {"c", "3"}})));
    CHECK_FALSE(at.valid());
    must(at.status());
}

TEST_CASE("stream digest: the merges of the format page have the digests that it lists") {
    lsm::memtable newer, older;
    for (int i = 0; i < 50; ++i) newer.put("key" + std::to_string(i), "val" + std::to_string(i));
    newer.put("key10", "NEW-10");
    newer.del("key5");
    for (int i = 0; i < 100; ++i) older.put("key" + std::to_string(i), "val" + std::to_string(i));
    older.put("key50", "OLD-50");
    const auto merged_digest = [&](bool drop_tombstones) {
        std::vector<lsm::memtable::cursor> sources;
        sources.push_back(newer.iter());
        sources.push_back(older.iter());
        return digest_of_cursor(
            lsm::merging_iterator<lsm::memtable::cursor>(std::move(sources), {.drop_tombstones = drop_tombstones}));
    };
    CHECK(merged_digest(false) == "f693c483ef39dfef8e6285e29f9051a57e60bf2c4ba7b45bbf552c7932687fd1");
    CHECK(merged_digest(true) == "ec71c56c89f451d33e58697af2d7bce985069078e1c599cc42062dfbba6e250e");
}

TEST_CASE("stream digest: damage in the cursor is an error and not a digest of what came before") {
    forward_only_cursor at({{"a", "1"}, {"b", "2"}}, 1, "the damage");
    CHECK(must_fail(lsm::detail::stream_digest(at, std::allocator<std::byte>())).what == "the damage");
}

TEST_CASE("stream digest: its memory comes from the allocator and does not grow with the entries") {
    allocation_log log;
    std::size_t before = 0;
    for (const std::size_t count : {std::size_t{1}, std::size_t{5000}}) {
        entry_map entries;
        for (std::size_t i = 0; i < count; ++i) entries["key" + std::to_string(i)] = lsm::bytes(100, 'v');
        forward_only_cursor at(list_of(entries));
        log.reset();
        const auto digest = must(lsm::detail::stream_digest(at, logged_allocator<std::byte>(log)));
        CHECK(hex_of(digest) == sha256(stream_of(entries)));
        CHECK(log.allocations > 0);
        CHECK(log.live_bytes == 0);
        CHECK((before == 0 || log.peak_bytes == before));
        before = log.peak_bytes;
    }
}

TEST_CASE("sha256 sink: the hash does not depend on how the bytes are split") {
    lsm::bytes data;
    for (int i = 0; i < 300; ++i) data += static_cast<char>(i * 7);
    for (const std::size_t split :
         {std::size_t{0}, std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{299}}) {
        lsm::detail::sha256_sink out;
        must(out.append(lsm::bytes_view(data).substr(0, split)));
        must(out.append(lsm::bytes_view(data).substr(split)));
        CHECK(hex_of(out.finish()) == sha256(data));
    }
}
