#include "campaigns/fuzz/directory.hpp"

#include <algorithm>
#include <iterator>
#include <optional>

#include <lsm/db/db.hpp>
#include <lsm/db/repair.hpp>
#include <lsm/io/executor.hpp>

#include "campaigns/fuzz/entries.hpp"
#include "campaigns/fuzz/reading.hpp"

namespace lsm::test::fuzz {

hostile_directory directory_of(bytes_view in) {
    detail::field_reader fields(in);
    hostile_directory out;
    std::uint8_t byte = 0;
    if (fields.read(byte)) out.how = byte;
    std::uint16_t size = 0;
    while (fields.read(byte) && fields.read(size)) {
        bytes_view contents;
        static_cast<void>(fields.read(std::min<std::size_t>(size, fields.left()), contents));
        out.files[file_names[byte % std::size(file_names)]] = contents;
    }
    return out;
}

bytes encoded(const hostile_directory& what) {
    bytes out(1, static_cast<char>(what.how));
    for (const auto& [name, contents] : what.files) {
        const auto index = std::ranges::find(file_names, name) - std::begin(file_names);
        out += little_endian(static_cast<std::uint64_t>(index), 1) + little_endian(contents.size(), 2) + contents;
    }
    return out;
}

bytes mended_directory(bytes in) {
    auto what = directory_of(in);
    for (auto& [name, contents] : what.files) {
        if (contents.size() > 0xffff) return in;
        if (name.ends_with(".sst")) contents = mended_table(std::move(contents));
        if (name.ends_with(".log")) contents = mended_log(std::move(contents));
    }
    return encoded(what);
}

namespace {

using database = basic_db<policies<bytes, bytes, logged>>;

// Tables and logs come into memory a few times over, and a database that is open has some of its own: chunks of
// memtables, block cache, slots for readers.
std::size_t memory_bound(std::size_t bytes) { return 64 * bytes + (std::size_t{1} << 20); }

bool names_the_place(const error& what) { return what.what.starts_with("db"); }

// All keys and values; nothing if a block is damaged.
std::optional<raw_entries> contents_of(const database& from) {
    auto at = from.scan();
    auto out = ordered_rest(at);
    auto back = from.scan({.reverse = true});
    auto backwards = ordered_rest(back, true);
    require(at.status().has_value() == back.status().has_value(), "damaged in one direction only");
    if (!at.status()) {
        require(names_the_place(at.status().error()), "an error that names no file");
        return std::nullopt;
    }
    std::reverse(backwards.begin(), backwards.end());
    require(backwards == out, "backwards there are other entries");
    return out;
}

class hostile_run {
public:
    explicit hostile_run(const hostile_directory& what) : what_(what) {
        sound(fs_.make_directory("db"));
        for (const auto& [name, contents] : what.files) write_file(fs_, "db/" + name, contents);
        how_.write_buffer_bytes = 4096;
        how_.block_cache_bytes = 4096;
        how_.compaction.level0_trigger = 2;
        how_.wal_recovery = static_cast<wal::recovery>(what.how % 4);
        how_.extended_tables = what.how & 4;
        if (what.how & 8) how_.compaction.style = compaction_style::none;
        how_.log_preallocation_bytes = 0;
        how_.executor = &at_once_;
        how_.file_system = &fs_;
    }

    bool run(const logged& allocator) {
        const auto looked_at = look(allocator);
        const auto fix = dry_repair();
        const bool opened = write(allocator, looked_at);
        if (fix && fix->needed && !opened) repair_and_open(*fix, allocator);
        return opened;
    }

private:
    // Without a lock; nothing changes.
    std::optional<raw_entries> look(const logged& allocator) {
        options how = how_;
        how.read_only = true;
        const auto db = database::open("db", how, allocator);
        require_unchanged(false);
        if (!db) {
            require(names_the_place(db.error()), "an error that names no file");
            return std::nullopt;
        }
        auto out = contents_of(*db);
        const auto verified = sound(db->verify());
        require(out.has_value() || !verified.damage.empty(), "verify() does not see the damage that a scan meets");
        for (const auto& damage : verified.damage) require(names_the_place(damage), "damage in no file");
        static_cast<void>(db->stats());
        return out;
    }

    std::optional<repair_report> dry_repair() {
        auto report = repair("db", {.dry_run = true, .newer_by_id = true, .file_system = &fs_});
        require_unchanged(true);
        if (!report) {
            require(names_the_place(report.error()), "an error that names no file");
            return std::nullopt;
        }
        return *std::move(report);
    }

    // Opens it to write; what was there must stay, and what is written must be there. False if it does not open, and
    // then it is as it was.
    bool write(const logged& allocator, const std::optional<raw_entries>& expected) {
        auto db = database::open("db", how_, allocator);
        if (!db && numbers_have_run_out(db.error())) return true;
        if (!db) {
            require_unchanged(true);
            return false;
        }
        const auto found = contents_of(*db);
        if (expected) require(found == expected, "opened to write it shows something else than opened to be read");
        for (int i = 0; i < 3; ++i) static_cast<void>(db->put("k" + bytes(1, static_cast<char>('0' + i)), "v"));
        const bool flushed = db->flush().has_value(), compacted = flushed && db->compact().has_value();
        const auto before = contents_of(*db);
        if (before && expected) require(before->size() >= expected->size(), "a flush or compaction loses keys");
        require(compacted || !flushed || !found || names_a_reason(db->compact()), "a compaction fails for no reason");
        static_cast<void>(db->close());
        auto again = database::open("db", how_, allocator);
        if (!again && numbers_have_run_out(again.error())) return true;
        if (!again) throw finding("does not open a second time: " + again.error().what);
        require(contents_of(*again) == before, "opened a second time it shows something else");
        for (const auto& name : {"LOCK", "MANIFEST.bak", "damaged-000001.sst", "sst-0000001.sst", "somebody else's"})
            if (what_.files.contains(name))
                require(read("db/" + std::string(name)) == what_.files.at(name), "a foreign file has changed");
        return true;
    }
    // A file of ours with the last number there is stops whatever needs a new one; that is told in the middle of it.
    static bool numbers_have_run_out(const error& what) {
        return what.code == errc::too_large || what.what.find("9223372036854775808") != std::string::npos;
    }
    static bool names_a_reason(const result<void>& done) { return !done && !done.error().what.empty(); }

    void repair_and_open(const repair_report& promised, const logged& allocator) {
        const auto done = repair("db", {.newer_by_id = true, .file_system = &fs_});
        require(done && done->tables == promised.tables && done->manifest_kept_as == promised.manifest_kept_as,
                "repair() does something else than it said");
        const auto after = sound(repair("db", {.dry_run = true, .newer_by_id = true, .file_system = &fs_}));
        require(!after.needed, "repair() leaves something to repair");
        options how = how_;
        how.wal_recovery = wal::recovery::salvage;
        const auto db = database::open("db", how, allocator);
        if (!db && !numbers_have_run_out(db.error())) throw finding("repaired, it does not open: " + db.error().what);
        if (db) require(contents_of(*db).has_value(), "repaired, it has damage");
    }

    bytes read(const std::string& path) {
        const auto in = open_file(fs_, path);
        bytes out(static_cast<std::size_t>(sound(in.size())), '\0');
        sound(in.read_exactly(0, out));
        return out;
    }
    void require_unchanged(bool lock_may_be_new) {
        file_map now;
        std::vector<std::string> names;
        sound(fs_.list("db", [&](std::string_view name) { names.emplace_back(name); }));
        for (const auto& name : names) now[name] = read("db/" + name);
        if (lock_may_be_new && !what_.files.contains("LOCK")) now.erase("LOCK");
        require(now == what_.files, "the directory has changed");
    }

    const hostile_directory& what_;
    io::memory_file_system fs_;
    io::inline_executor at_once_;
    options how_;
};

}  // namespace

bool directory(bytes_view in) {
    const auto what = directory_of(in);
    allocation_log memory;
    const bool opened = hostile_run(what).run(logged(memory));
    require_modest(memory, memory_bound(in.size()));
    return opened;
}

}  // namespace lsm::test::fuzz
