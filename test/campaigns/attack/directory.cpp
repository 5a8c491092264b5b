#include <lsm/db/db.hpp>

#include <algorithm>
#include <optional>
#include <vector>

#include "campaigns/attack/mutations.hpp"
#include "support/catch.hpp"
#include "support/databases.hpp"

using namespace lsm::test;
using lsm::bytes;

namespace {

/// The files of a small database: one table below level 0, two in level 0, a frozen log and an active log of several
/// records.
struct small_database {
    small_database() {
        memory_directory directory;
        auto db = directory.open({.block_bytes = 40});
        must(db.put("a", "1"));
        must(db.put("b", bytes(30, 'v')));
        must(db.compact());
        must(db.put("a", "2"));
        must(db.del("b"));
        must(db.flush());
        must(db.put("key", "value"));
        must(db.put("", "empty"));
        must(db.flush());
        contents = contents_of(db);
        must(db.close());
        files = directory.files();
        for (const auto& record : frozen) files["wal-000001.log"] += log_record(batch_of(record));
        for (const auto& record : active) files["wal.log"] += log_record(batch_of(record));
    }

    /// Returns the contents of the database when only the first records of each log are left.
    [[nodiscard]] entry_map with(std::size_t frozen_records, std::size_t active_records) const {
        entry_map out = contents;
        const auto apply = [&](const std::vector<entry_list>& batches, std::size_t count) {
            for (std::size_t i = 0; i < count; ++i)
                for (const auto& [key, value] : batches[i]) value ? void(out[key] = value) : void(out.erase(key));
        };
        apply(frozen, frozen_records);
        apply(active, active_records);
        return out;
    }

    const std::vector<entry_list> frozen = {{{"a", "3"}}, {{"f", "frozen"}, {"key", std::nullopt}}};
    const std::vector<entry_list> active = {{{"a", "4"}}, {{"b", "5"}, {"c", "6"}}, {{"last", "record"}}};
    entry_map contents;
    image files;
};

/// What reading a damaged database produced: its contents, or an error.
struct outcome {
    std::optional<entry_map> contents;
    lsm::error error{};
};

outcome open_and_read(const small_database& sound, const std::string& name, const bytes& damaged) {
    memory_directory directory;
    auto files = sound.files;
    files[name] = damaged;
    for (const auto& [file, contents] : files) directory.with(file, contents);
    const auto db = directory.try_open();
    if (!db) {
        REQUIRE(directory.files() == files);
        return {std::nullopt, db.error()};
    }
    const auto expected = sound.with(sound.frozen.size(), sound.active.size());
    auto at = db->scan();
    entry_map seen;
    for (const auto& [key, value] : at) seen.emplace(key, bytes(value));
    if (at.status()) return {std::move(seen)};
    // The scan ended in an error: whatever can still be read must be right.
    for (const auto& [key, value] : seen) REQUIRE(expected.at(key) == value);
    for (const auto& [key, value] : expected)
        if (const auto got = db->get(key)) REQUIRE(*got == value);
    return {std::nullopt, at.status().error()};
}

void require_error_names(const outcome& seen, const std::string& place) {
    INFO(seen.error.what);
    REQUIRE(seen.error.what.find("db/" + place) != std::string::npos);
}

std::size_t size_of_last(const std::vector<entry_list>& records) { return log_record(batch_of(records.back())).size(); }

}  // namespace

TEST_CASE("attacked directory: damage in a table is an error that names the file or changes nothing") {
    const small_database sound;
    const auto expected = sound.with(sound.frozen.size(), sound.active.size());
    std::size_t reported = 0;
    for (const auto& file : sound.files) {
        const std::string& name = file.first;
        if (!name.ends_with(".sst")) continue;
        INFO(name);
        for_each_damage(file.second, [&](const bytes& damaged) {
            const auto seen = open_and_read(sound, name, damaged);
            if (seen.contents) {
                REQUIRE(*seen.contents == expected);
            } else {
                require_error_names(seen, name + ": ");
                ++reported;
            }
        });
    }
    CHECK(reported > 1000);
}

TEST_CASE("attacked directory: damage in a log is an error with file and offset or loses only records at its end") {
    const small_database sound;
    for (const bool is_frozen : {true, false}) {
        const std::string name = is_frozen ? "wal-000001.log" : "wal.log";
        const auto& records = is_frozen ? sound.frozen : sound.active;
        const bytes& contents = sound.files.at(name);
        const std::size_t last = contents.size() - size_of_last(records);
        std::vector<entry_map> prefixes;
        for (std::size_t i = 0; i <= records.size(); ++i)
            prefixes.push_back(is_frozen ? sound.with(i, sound.active.size()) : sound.with(sound.frozen.size(), i));
        for_each_damage(contents, [&](const bytes& damaged) {
            const auto seen = open_and_read(sound, name, damaged);
            if (!seen.contents) {
                require_error_names(seen, name + ": offset ");
                return;
            }
            // A log that is truncated, or zeros up to its end, reads as a shorter log. Any other damage may pass only
            // as a torn last record, and only in the active log.
            const auto differs = std::ranges::mismatch(contents, damaged).in1 - contents.begin();
            const bool only_shorter =
                lsm::detail::all_zeros(lsm::bytes_view(damaged).substr(static_cast<std::size_t>(differs)));
            if (!only_shorter && !is_frozen) REQUIRE(static_cast<std::size_t>(differs) >= last);
            REQUIRE(std::ranges::find(prefixes, *seen.contents) != prefixes.end());
            if (!only_shorter) REQUIRE_FALSE(is_frozen);
        });
    }
}

TEST_CASE("attacked directory: damage in MANIFEST is an error or changes nothing unless whole lines are missing") {
    const small_database sound;
    const auto expected = sound.with(sound.frozen.size(), sound.active.size());
    const bytes& contents = sound.files.at("MANIFEST");
    REQUIRE(std::ranges::count(contents, '\n') == 3);
    for_each_damage(contents, [&](const bytes& damaged) {
        INFO(damaged);
        const auto seen = open_and_read(sound, "MANIFEST", damaged);
        const bool lines_are_missing = contents.starts_with(damaged) && (damaged.empty() || damaged.back() == '\n');
        if (seen.contents && !lines_are_missing) REQUIRE(*seen.contents == expected);
    });
}

// An attacker who can write tables can write matching checksums. A read of one block also checks it against the index.
TEST_CASE("attacked directory: a block with a valid checksum whose first key is not the index key is refused") {
    bytes table;
    lsm::io::string_sink to(table);
    lsm::sst_writer writer(to, {.extended = true, .filter_bits_per_key = 0});
    must(writer.add("m", "1"));
    must(writer.add("n", "2"));
    must(writer.finish());
    const auto index_at = lsm::detail::load_le<std::uint64_t>(table.data() + table.size() - 32);
    const auto area_at = index_at - lsm::detail::load_le<std::uint64_t>(table.data() + index_at - 24);
    const auto block = lsm::bytes_view(table).substr(0, area_at);
    const auto crc_at = table.find(u32(lsm::crc32(block)), area_at);
    REQUIRE(crc_at < index_at);
    table[table.find('m')] = 'l';
    lsm::detail::store_le(table.data() + crc_at, lsm::crc32(block));
    const auto area = lsm::bytes_view(table).substr(area_at, index_at - area_at);
    lsm::detail::store_le(table.data() + index_at - 16, lsm::detail::area_crc(area));

    memory_directory directory;
    directory.with("MANIFEST", "L0 1\n").with("sst-000001.sst", table);
    const auto db = directory.open({.block_cache_bytes = GENERATE(0u, 1u << 20)});
    for (const bool fill : {false, true, false}) {
        CHECK(must_fail(db.get("n", {.fill_cache = fill})).code == lsm::errc::bad_block);
        CHECK(must_fail(db.get_view("n", {.fill_cache = fill})).code == lsm::errc::bad_block);
    }
}

// If a largest key below the smallest were believed, no compaction that is picked for this table would include it.
TEST_CASE("attacked directory: properties that contradict the index are refused") {
    bytes table;
    lsm::io::string_sink to(table);
    lsm::sst_writer writer(to, {.extended = true, .filter_bits_per_key = 0});
    must(writer.add("m", "1"));
    must(writer.finish());
    // The smallest key, and the length of the largest.
    const bytes largest = u32(1) + "m" + u32(1);
    const auto index_at = lsm::detail::load_le<std::uint64_t>(table.data() + table.size() - 32);
    const auto area_at = lsm::detail::load_le<std::uint64_t>(table.data() + index_at - 24);
    table[table.find(largest) + largest.size()] = 'a';
    const auto area = lsm::bytes_view(table).substr(index_at - area_at, area_at);
    lsm::detail::store_le(table.data() + index_at - 16, lsm::detail::area_crc(area));

    memory_directory directory;
    directory.with("MANIFEST", "L0 1\n").with("sst-000001.sst", table);
    CHECK(must_fail(directory.try_open()).what.find("db/sst-000001.sst: ") == 0);
}
