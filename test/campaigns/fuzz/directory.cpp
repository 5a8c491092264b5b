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
    if (fields.read(byte)) out.mode = byte;
    std::uint16_t size = 0;
    while (fields.read(byte) && fields.read(size)) {
        bytes_view contents;
        static_cast<void>(fields.read(std::min<std::size_t>(size, fields.left()), contents));
        out.files[file_names[byte % std::size(file_names)]] = contents;
    }
    return out;
}

bytes encoded(const hostile_directory& directory) {
    bytes out(1, static_cast<char>(directory.mode));
    for (const auto& [name, contents] : directory.files) {
        const auto index = std::ranges::find(file_names, name) - std::begin(file_names);
        out += little_endian(static_cast<std::uint64_t>(index), 1) + little_endian(contents.size(), 2) + contents;
    }
    return out;
}

bytes resealed_directory(bytes in) {
    auto directory = directory_of(in);
    for (auto& [name, contents] : directory.files) {
        if (contents.size() > 0xffff) return in;
        if (name.ends_with(".sst")) contents = resealed_table(std::move(contents));
        if (name.ends_with(".log")) contents = resealed_log(std::move(contents));
    }
    return encoded(directory);
}

namespace {

using database = basic_db<policies<bytes, bytes, logged>>;

// Tables and logs are held in memory several times over. The constant is for what an open database needs by itself:
// memtable chunks, the block cache and reader slots.
std::size_t memory_bound(std::size_t bytes) { return 64 * bytes + (std::size_t{1} << 20); }

bool names_a_file(const error& error) { return error.what.starts_with("db"); }

// All keys and values; nothing if a block is damaged.
std::optional<entry_list> contents_of(const database& from) {
    auto at = from.scan();
    auto out = ordered_rest(at);
    auto back = from.scan({.reverse = true});
    auto backwards = ordered_rest(back, true);
    require(at.status().has_value() == back.status().has_value(), "only one direction of a scan reports damage");
    if (!at.status()) {
        require(names_a_file(at.status().error()), "the error of a scan names no file");
        return std::nullopt;
    }
    std::reverse(backwards.begin(), backwards.end());
    require(backwards == out, "a reverse scan shows other entries than a forward scan");
    return out;
}

class hostile_run {
public:
    explicit hostile_run(const hostile_directory& directory) : directory_(directory) {
        must(fs_.make_directory("db"));
        for (const auto& [name, contents] : directory.files) write_file(fs_, "db/" + name, contents);
        opts_.write_buffer_bytes = 4096;
        opts_.block_cache_bytes = 4096;
        opts_.compaction.level0_trigger = 2;
        opts_.wal_recovery = static_cast<wal::recovery>(directory.mode % 4);
        opts_.extended_tables = directory.mode & 4;
        if (directory.mode & 8) opts_.compaction.style = compaction_style::none;
        opts_.log_preallocation_bytes = 0;
        opts_.executor = &executor_;
        opts_.file_system = &fs_;
    }

    // Whether the directory opened for writing as it was, without a repair.
    bool run(const logged& allocator) {
        const auto contents = open_read_only(allocator);
        const auto promised = dry_repair();
        const bool opened = open_and_write(allocator, contents);
        if (promised && promised->needed && !opened) repair_and_open(*promised, allocator);
        return opened;
    }

private:
    // A read-only open takes no lock and must change no file, LOCK included.
    std::optional<entry_list> open_read_only(const logged& allocator) {
        options opts = opts_;
        opts.read_only = true;
        const auto db = database::open("db", opts, allocator);
        require_unchanged(false);
        if (!db) {
            require(names_a_file(db.error()), "the error of a read-only open names no file");
            return std::nullopt;
        }
        auto out = contents_of(*db);
        const auto verified = must(db->verify());
        require(out.has_value() || !verified.damage.empty(), "verify() misses the damage that a scan finds");
        for (const auto& damage : verified.damage) require(names_a_file(damage), "verify() reports damage in no file");
        static_cast<void>(db->stats());
        return out;
    }

    std::optional<repair_report> dry_repair() {
        auto report = repair("db", {.dry_run = true, .newer_by_id = true, .file_system = &fs_});
        require_unchanged(true);
        if (!report) {
            require(names_a_file(report.error()), "the error of repair() names no file");
            return std::nullopt;
        }
        return *std::move(report);
    }

    // Opens the database for writing: what was there must stay, and what is written must survive a second open. Returns
    // false if it does not open, and requires that the directory is then unchanged.
    bool open_and_write(const logged& allocator, const std::optional<entry_list>& expected) {
        auto db = database::open("db", opts_, allocator);
        if (!db && numbers_have_run_out(db.error())) return true;
        if (!db) {
            require_unchanged(true);
            return false;
        }
        const auto found = contents_of(*db);
        if (expected) require(found == expected, "opened for writing it shows other entries than opened read-only");
        for (int i = 0; i < 3; ++i) static_cast<void>(db->put("k" + bytes(1, static_cast<char>('0' + i)), "v"));
        const bool flushed = db->flush().has_value(), compacted = flushed && db->compact().has_value();
        const auto before = contents_of(*db);
        if (before && expected) require(before->size() >= expected->size(), "a flush or compaction loses keys");
        require(compacted || !flushed || !found || names_a_reason(db->compact()),
                "a compaction of an undamaged database fails without a reason");
        static_cast<void>(db->close());
        auto again = database::open("db", opts_, allocator);
        if (!again && numbers_have_run_out(again.error())) return true;
        if (!again) throw failed_check("does not open a second time: " + again.error().what);
        require(contents_of(*again) == before, "opened a second time it shows other entries");
        for (const auto& name : {"LOCK", "MANIFEST.bak", "damaged-000001.sst", "sst-0000001.sst", "somebody else's"})
            if (directory_.files.contains(name))
                require(read_file(fs_, "db/" + std::string(name)) == directory_.files.at(name),
                        "a foreign file has changed");
        return true;
    }
    // A file of ours that bears the largest number leaves none for the next file. Operations that need a new number
    // then fail halfway, and may leave the directory changed.
    static bool numbers_have_run_out(const error& error) {
        return error.code == errc::too_large || error.what.find("9223372036854775808") != std::string::npos;
    }
    static bool names_a_reason(const result<void>& done) { return !done && !done.error().what.empty(); }

    void repair_and_open(const repair_report& promised, const logged& allocator) {
        const auto done = repair("db", {.newer_by_id = true, .file_system = &fs_});
        require(done && done->tables == promised.tables && done->manifest_kept_as == promised.manifest_kept_as,
                "repair() does not do what its dry run reported");
        const auto after = must(repair("db", {.dry_run = true, .newer_by_id = true, .file_system = &fs_}));
        require(!after.needed, "repair() leaves something to repair");
        options opts = opts_;
        opts.wal_recovery = wal::recovery::salvage;
        const auto db = database::open("db", opts, allocator);
        if (!db && !numbers_have_run_out(db.error()))
            throw failed_check("a repaired database does not open: " + db.error().what);
        if (db) require(contents_of(*db).has_value(), "a repaired database has damage");
    }

    // An open for writing and a repair create LOCK, even if they then fail.
    void require_unchanged(bool lock_may_be_new) {
        file_map now;
        std::vector<std::string> names;
        must(fs_.list("db", [&](std::string_view name) { names.emplace_back(name); }));
        for (const auto& name : names) now[name] = read_file(fs_, "db/" + name);
        if (lock_may_be_new && !directory_.files.contains("LOCK")) now.erase("LOCK");
        require(now == directory_.files, "the directory has changed");
    }

    const hostile_directory& directory_;
    io::memory_file_system fs_;
    io::inline_executor executor_;
    options opts_;
};

}  // namespace

bool directory(bytes_view in) {
    const auto files = directory_of(in);
    allocation_log memory;
    const bool opened = hostile_run(files).run(logged(memory));
    require_modest(memory, memory_bound(in.size()));
    return opened;
}

}  // namespace lsm::test::fuzz
