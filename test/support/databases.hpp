#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <lsm/core/crc32.hpp>
#include <lsm/db/db.hpp>
#include <lsm/io/memory_file_system.hpp>

#include "support/entries.hpp"
#include "support/tiny.hpp"

/// What the tests of a database need to make, see and compare its directory.
namespace lsm::test {

/// The files of a directory and what is in them. LOCK, which every open makes, is left out.
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

/// A log record as the format page, section 6, has it.
inline bytes log_record(bytes_view payload) {
    return little_endian_32(payload.size()) + little_endian_32(crc32(payload)) + bytes(payload);
}
inline bytes log_record(const write_batch& batch) { return log_record(batch.encode()); }

inline write_batch batch_of(const entry_list& operations) {
    write_batch out;
    for (const auto& [key, value] : operations) value ? out.put(key, *value) : out.del(key);
    return out;
}

/// A log with one record for each list of operations.
inline bytes log_of(const std::vector<entry_list>& batches) {
    bytes out;
    for (const entry_list& batch : batches) out += log_record(batch_of(batch));
    return out;
}

/// A memory file system with a database directory "db" in it, files of which can be written by hand.
struct memory_directory {
    memory_directory() { must(fs.make_directory("db")); }

    memory_directory& with(const std::string& name, bytes_view contents) {
        write_file(fs, "db/" + name, contents);
        return *this;
    }
    [[nodiscard]] image files() { return image_of(fs, "db"); }
    [[nodiscard]] std::vector<std::string> names() { return database_files(fs, "db"); }

    [[nodiscard]] sst_reader table(const std::string& name) {
        return must(sst_reader::open(open_file(fs, "db/" + name)));
    }

    [[nodiscard]] options how(options given = {}) {
        given.file_system = &fs;
        return plain(given);
    }
    [[nodiscard]] result<db> try_open(const options& given = {}) { return db::open("db", how(given)); }
    [[nodiscard]] db open(const options& given = {}) { return must(try_open(given)); }

    io::memory_file_system fs;
};

/// The merge stream of all there is.
template <class Policies>
bytes view_bytes(const basic_db<Policies>& from, bool drop_tombstones = true) {
    bytes out;
    io::string_sink to(out);
    must(from.serialize_view(to, {.drop_tombstones = drop_tombstones}));
    return out;
}

/// All keys with a value, by a scan.
inline entry_map contents_of(const db& from) { return must(scanned(from)); }

/// The value of a key, which must be readable; nothing if there is none.
inline optional_value value_in(const db& from, bytes_view key) { return must(from.get(key)); }

}  // namespace lsm::test
