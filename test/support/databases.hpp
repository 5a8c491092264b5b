#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/db/db.hpp>
#include <lsm/io/memory_file_system.hpp>

#include "support/entries.hpp"
#include "support/options.hpp"

/// Creating, reading and comparing databases and their directories.
namespace lsm::test {

/// The files of a directory and their contents, without LOCK, which every open creates.
using image = std::map<std::string, bytes>;

inline image image_of(io::file_system& fs, const std::string& directory) {
    std::vector<std::string> names;
    must(fs.list(directory, [&](std::string_view name) { names.emplace_back(name); }));
    image out;
    for (const std::string& name : names)
        if (name != "LOCK") out[name] = read_file(fs, detail::joined(directory, name));
    return out;
}

inline std::vector<std::string> database_files(io::file_system& fs, const std::string& directory) {
    std::vector<std::string> out;
    for (const auto& [name, contents] : image_of(fs, directory)) out.push_back(name);
    return out;
}

inline std::uint64_t bytes_of(const image& files) {
    std::uint64_t out = 0;
    for (const auto& [name, contents] : files) out += contents.size();
    return out;
}

/// The MANIFEST of these tables, written from section 7 of the format page.
inline std::string manifest_of(const std::vector<live_table>& tables) {
    std::string out;
    for (const auto& t : tables) out += "L" + std::to_string(t.level) + " " + std::to_string(t.id) + "\n";
    return out;
}

/// The files that do not belong to an idle database with these tables.
inline std::vector<std::string> strays(const image& files, const std::vector<live_table>& tables) {
    std::vector<std::string> out;
    for (const auto& [name, contents] : files) {
        bool known = name == "MANIFEST" || name == "wal.log";
        for (const auto& t : tables) known = known || name == detail::table_name(t.id);
        if (!known) out.push_back(name);
    }
    return out;
}

inline write_batch batch_of(const entry_list& operations) {
    write_batch out;
    for (const auto& [key, value] : operations) value ? out.put(key, *value) : out.del(key);
    return out;
}

inline bytes log_record(const write_batch& batch) { return raw_log_record(batch.encode()); }

/// A log with one record for each batch.
inline bytes log_of(const std::vector<entry_list>& batches) {
    bytes out;
    for (const entry_list& batch : batches) out += log_record(batch_of(batch));
    return out;
}

/// A memory file system with a database directory "db" in it, whose files a test can write itself.
struct memory_directory {
    memory_directory() { must(fs.make_directory("db")); }

    /// Creates or replaces a file of the directory.
    memory_directory& with(const std::string& name, bytes_view contents) {
        write_file(fs, "db/" + name, contents);
        return *this;
    }
    [[nodiscard]] image files() { return image_of(fs, "db"); }
    [[nodiscard]] std::vector<std::string> names() { return database_files(fs, "db"); }

    [[nodiscard]] sst_reader table(const std::string& name) {
        return must(sst_reader::open(open_file(fs, "db/" + name)));
    }

    /// The options `changed`, made plain(), with this file system.
    [[nodiscard]] options opts(options changed = {}) {
        changed.file_system = &fs;
        return plain(changed);
    }
    [[nodiscard]] result<db> try_open(const options& changed = {}) { return db::open("db", opts(changed)); }
    [[nodiscard]] db open(const options& changed = {}) { return must(try_open(changed)); }

    io::memory_file_system fs;
};

/// The merge stream of a database.
template <class Policies>
bytes view_bytes(const basic_db<Policies>& from, bool drop_tombstones = true) {
    bytes out;
    io::string_sink to(out);
    must(from.serialize_view(to, {.drop_tombstones = drop_tombstones}));
    return out;
}

/// All keys that have a value, by a scan.
inline entry_map contents_of(const db& from) {
    entry_map out;
    auto at = from.scan();
    for (const auto& [key, value] : at) out.emplace_hint(out.end(), key, bytes(value));
    must(at.status());
    return out;
}

/// The value of a key, or nothing if it has none; requires that the read succeeds.
inline optional_value value_in(const db& from, bytes_view key) { return must(from.get(key)); }

/// Replaces the contents of a database by `entries`, in a new table with id 1: deletes every table first, so that the
/// ids start again.
inline void rewrite(io::file_system& fs, const std::string& directory, bool extended, const entry_list& entries) {
    const auto opts = plain({.extended_tables = extended, .file_system = &fs});
    {
        auto writer = must(db::open(directory, opts));
        for (const auto& [key, value] : contents_of(writer)) must(writer.del(key));
        must(writer.compact());
        require(writer.live_tables().empty(), "a table is left");
    }
    auto writer = must(db::open(directory, opts));
    must(writer.write(batch_of(entries)));
    must(writer.flush());
    require(writer.live_tables().front().id == 1, "the new table has another id than 1");
}

/// Random writes to a few hundred keys, and the contents they lead to.
class random_writes {
public:
    explicit random_writes(std::uint64_t seed) : random_(seed) {}

    /// The next batch, of one to four operations. Does not change the model.
    [[nodiscard]] entry_list next() {
        entry_list out(1 + random_() % 4);
        for (auto& [key, value] : out) {
            key = "key" + std::to_string(random_() % 400);
            if (random_() % 4 != 0) value = bytes(random_() % 80, static_cast<char>('a' + random_() % 26));
        }
        return out;
    }
    /// Writes the next batches to a database and to the model.
    void write_to(db& to, std::size_t batches) {
        for (; batches > 0; --batches) {
            const auto batch = next();
            must(to.write(batch_of(batch)));
            apply_operations(batch, model);
        }
    }

    entry_map model;

private:
    std::mt19937_64 random_;
};

/// Keeps all events.
class event_log final : public event_listener {
public:
    std::vector<flush_event> flushes;
    std::vector<compaction_event> compactions;
    std::vector<stall_event> stalls;
    std::vector<error> failures;

private:
    void flushed(const flush_event& e) noexcept override { flushes.push_back(e); }
    void compacted(const compaction_event& e) noexcept override { compactions.push_back(e); }
    void stalled(const stall_event& e) noexcept override { stalls.push_back(e); }
    void failed(const error& e) noexcept override { failures.push_back(e); }
};

}  // namespace lsm::test
