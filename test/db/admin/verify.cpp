#include <lsm/db/admin/verify.hpp>

#include <cerrno>
#include <functional>
#include <string>
#include <utility>

#include <lsm/db/db.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/forwarding_file_system.hpp"
#include "support/recording_file_system.hpp"
#include "support/seed.hpp"

namespace {

using namespace lsm::test;
using lsm::compaction_style;
using lsm::errc;

using opened_table = lsm::detail::table<std::allocator<std::byte>>;

opened_table open_for_bytes(lsm::io::file_system& fs, const std::string& path) {
    return must(opened_table::open(open_file(fs, path), {}));
}

}  // namespace

TEST_CASE("verify: intact tables are counted and no damage is reported") {
    const bool extended = GENERATE(true, false);
    memory_directory directory;
    auto db = must(lsm::db::open(
        "db", tiny(compaction_style::leveled, {.extended_tables = extended, .file_system = &directory.fs})));
    auto none = must(db.verify());
    CHECK(none.tables + none.blocks + none.entries + none.bytes == 0);
    CHECK(none.damage.empty());

    random_writes(seed_or(51)).write_to(db, 500);
    const auto report = must(db.verify());
    std::uint64_t entries = 0, blocks = 0, size = 0;
    for (const auto& t : db.live_tables()) {
        const auto table = directory.table(lsm::detail::table_name(t.id));
        entries += entries_in(table).size();
        blocks += table.num_blocks();
        size += t.file_bytes;
    }
    CHECK(report.tables == db.live_tables().size());
    CHECK(report.tables > 3);
    CHECK(report.entries == entries);
    CHECK(report.blocks == blocks);
    CHECK(report.bytes == size);
    CHECK(report.damage.empty());
}

TEST_CASE("verify: every damaged block is reported with its file and offset even if the cache has it") {
    memory_directory directory;
    auto db = directory.open({.block_bytes = 100});
    for (int i = 0; i < 100; ++i) must(db.put("key" + std::to_string(i), lsm::bytes(20, 'v')));
    must(db.flush());
    const auto expected = contents_of(db);  // now the cache has all blocks
    const std::string path = "db/sst-000001.sst";
    auto contents = read_file(directory.fs, path);
    const auto table = open_for_bytes(directory.fs, path);
    const auto count = table.index().size();
    REQUIRE(count > 20);
    for (std::size_t i = 0; i < count; i += 3) contents[static_cast<std::size_t>(table.index()[i].offset) + 20] ^= 1;
    write_file(directory.fs, path, contents);

    const auto report = must(db.verify());
    CHECK(report.tables == 1);
    CHECK(report.blocks == count);
    CHECK(report.entries < 100);
    REQUIRE(report.damage.size() == (count + 2) / 3);
    for (std::size_t i = 0; i < report.damage.size(); ++i) {
        const auto& damage = report.damage[i];
        CHECK(damage.code == errc::bad_checksum);
        CHECK(damage.what.starts_with(path + ": offset " + std::to_string(table.index()[3 * i].offset) + ":"));
    }
    CHECK(contents_of(db) == expected);
}

TEST_CASE("verify: a flipped bit anywhere in a table is reported") {
    memory_directory directory;
    auto db = directory.open({.block_bytes = 64});
    for (int i = 0; i < 10; ++i) must(db.put("key" + std::to_string(i), "value"));
    must(db.flush());
    const std::string path = "db/sst-000001.sst";
    const auto intact = read_file(directory.fs, path);
    for (std::size_t at = 0; at < intact.size(); ++at) {
        INFO("byte " << at << " of " << intact.size());
        auto damaged = intact;
        damaged[at] ^= static_cast<char>(1 << at % 8);
        write_file(directory.fs, path, damaged);
        const auto report = must(db.verify());
        REQUIRE_FALSE(report.damage.empty());
        REQUIRE(report.damage.front().what.starts_with(path));
    }
    write_file(directory.fs, path, intact);
    CHECK(must(db.verify()).damage.empty());
}

TEST_CASE("verify: a table that cannot be opened is one defect and the other tables are read") {
    memory_directory directory;
    auto db = directory.open();
    for (const char* key : {"a", "b", "c"}) {
        must(db.put(key, key));
        must(db.flush());
    }
    SECTION("cut off") { write_file(directory.fs, "db/sst-000002.sst", "SST1"); }
    SECTION("missing") { must(directory.fs.remove("db/sst-000002.sst")); }
    const auto report = must(db.verify());
    CHECK(report.tables == 3);
    CHECK(report.entries == 2);
    REQUIRE(report.damage.size() == 1);
    CHECK(report.damage[0].what.starts_with("db/sst-000002.sst"));
}

TEST_CASE("verify: a call that the system refuses is an error and not damage") {
    memory_directory directory;
    recording_file_system fs(directory.fs);
    auto db = must(lsm::db::open("db", plain({.file_system = &fs})));
    must(db.put("a", "1"));
    must(db.flush());
    const std::string call = GENERATE(as<std::string>(), "open ", "size ", "read ");
    const int sys = GENERATE(EIO, EMFILE, ENOMEM, EACCES, EDQUOT);
    fs.fault = [&](std::string_view now) { return now.starts_with(call) ? sys : 0; };
    const auto why = must_fail(db.verify());
    CHECK(why.sys == sys);
    CHECK(why.what.starts_with("db/sst-000001.sst: "));
    fs.fault = nullptr;
    CHECK(must(db.verify()).damage.empty());
}

TEST_CASE("verify: one that continues after its database was closed is stale if its tables are gone or replaced") {
    /// Calls `at_open` once, before the next table is opened.
    class opening final : public forwarding_file_system {
    public:
        using forwarding_file_system::forwarding_file_system;
        std::function<void()> at_open;

        lsm::result<handle> open(std::string_view path, lsm::io::open_mode mode) override {
            if (at_open && path.ends_with(".sst")) std::exchange(at_open, nullptr)();
            return forwarding_file_system::open(path, mode);
        }
    };
    const bool extended = GENERATE(true, false);
    const bool replaced = GENERATE(true, false);
    lsm::io::memory_file_system memory;
    opening fs(memory);
    rewrite(memory, "db", extended, {{"a", "old"}});
    auto db = must(lsm::db::open("db", plain({.file_system = &fs})));
    fs.at_open = [&] {
        must(db.close());
        if (replaced)
            rewrite(memory, "db", extended, {{"a", "new"}});
        else
            must(memory.remove("db/sst-000001.sst"));
    };
    CHECK(must_fail(db.verify()).code == errc::stale);
}

TEST_CASE("verify: a table that replaced one of an open database is read without an error") {
    memory_directory directory;
    const bool extended = GENERATE(true, false);
    rewrite(directory.fs, "db", extended, {{"a", "1"}});
    const auto db = directory.open();
    directory.with("sst-000001.sst", table_of({{"a", "1"}, {"b", "2"}}));
    const auto report = must(db.verify());
    CHECK(report.entries == 2);
    CHECK(report.damage.empty());
}
