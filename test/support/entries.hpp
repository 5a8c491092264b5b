#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <lsm/io/sink.hpp>
#include <lsm/sstable/reader.hpp>
#include <lsm/sstable/writer.hpp>

#include "support/cursors.hpp"
#include "support/entry_list.hpp"
#include "support/files.hpp"
#include "support/random_keys.hpp"
#include "support/raw_bytes.hpp"
#include "support/results.hpp"

/// Models of merges and tables: the entries they have to show, and their bytes.
namespace lsm::test {

/// What a merge of the sources has to show.
inline entry_map merged(const std::vector<entry_map>& newest_first, bool drop_tombstones) {
    entry_map out;
    for (const entry_map& source : newest_first) out.insert(source.begin(), source.end());
    if (drop_tombstones) std::erase_if(out, [](const auto& entry) { return !entry.second; });
    return out;
}

/// The merge stream of the entries, written from section 4 of the format page.
inline bytes stream_of(const entry_map& entries) {
    bytes out;
    for (const auto& [key, value] : entries) {
        out += u32(key.size()) + key + (value ? '\0' : '\1');
        if (value) out += u32(value->size()) + *value;
    }
    return out;
}

/// The bytes of a table without an extension area.
inline bytes table_of(const entry_map& entries, std::uint32_t block_size = 4096) {
    bytes out;
    io::string_sink to(out);
    sst_writer writer(to, {.block_size = block_size});
    for (const auto& [key, value] : entries) must(writer.add(key, value));
    must(writer.finish());
    return out;
}

/// Writes a table to `path`, replacing any file there, and opens it.
inline sst_reader open_table(io::file_system& fs, const std::string& path, const entry_map& entries,
                             std::uint32_t block_size = 4096) {
    write_file(fs, path, table_of(entries, block_size));
    return must(sst_reader::open(open_file(fs, path)));
}

/// All entries of a table, tombstones included.
inline entry_map entries_in(const sst_reader& table) {
    auto at = table.iter();
    const auto all = walk(at);
    return {all.begin(), all.end()};
}

/// At most `most` entries with random keys, a third of them tombstones.
inline entry_map random_entries(std::mt19937_64& random, std::size_t most) {
    entry_map out;
    for (std::size_t left = random() % (most + 1); left > 0; --left) {
        const bytes key = random_key(random);
        out[key] = random() % 3 == 0 ? std::nullopt : optional_value(bytes(random() % 12, static_cast<char>(random())));
    }
    return out;
}

}  // namespace lsm::test
