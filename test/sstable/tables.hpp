#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <lsm/core/coding.hpp>
#include <lsm/io/memory_file_system.hpp>
#include <lsm/io/sink.hpp>
#include <lsm/sstable/extension.hpp>
#include <lsm/sstable/reader.hpp>
#include <lsm/sstable/writer.hpp>

#include "support/catch.hpp"
#include "support/entry_list.hpp"
#include "support/files.hpp"
#include "support/raw_bytes.hpp"
#include "support/results.hpp"

namespace lsm::test {

inline const std::string table_path = "table.sst";

/// The table that the writer makes of the entries, without an extension area.
inline bytes written_table(const entry_list& entries, std::uint32_t block_size = sst_options().block_size) {
    bytes out;
    io::string_sink to(out);
    sst_writer writer(to, {block_size});
    for (const auto& [key, value] : entries) must(writer.add(key, value));
    must(writer.finish());
    return out;
}

/// The same with an extension area.
inline bytes extended_table(const entry_list& entries, std::uint32_t block_size = 64, unsigned filter_bits = 10) {
    bytes out;
    io::string_sink to(out);
    sst_writer writer(to, {.block_size = block_size, .extended = true, .filter_bits_per_key = filter_bits});
    for (const auto& [key, value] : entries) must(writer.add(key, value));
    must(writer.finish());
    return out;
}

/// Where the extension area of a table lies in its file.
struct area_place {
    std::size_t begin;
    std::size_t end;
};
/// `plain` is the table of the same entries and block size without an area.
inline area_place area_of(const bytes& extended, const bytes& plain) {
    const auto index_at = [](const bytes& table) {
        return detail::load_le<std::uint64_t>(table.data() + table.size() - 32);
    };
    return {index_at(plain), index_at(extended)};
}
/// Corrects the crc of a changed area, so that nothing is wrong but what the test has changed.
inline void fix_area_crc(bytes& table, area_place area) {
    const bytes_view all = bytes_view(table).substr(area.begin, area.end - area.begin);
    detail::store_le(table.data() + area.end - 16, detail::area_crc(all));
}

/// A table in a file system of its own, opened if possible.
template <class Reader = sst_reader>
struct opened_table {
    explicit opened_table(bytes_view contents)
        : opened([&] {
              write_file(fs, table_path, contents);
              return Reader::open(open_file(fs, table_path));
          }()) {}

    const Reader& operator*() const {
        if (!opened) FAIL(opened.error().what);
        return *opened;
    }
    const Reader* operator->() const { return &**this; }
    [[nodiscard]] errc error_code() const {
        REQUIRE_FALSE(opened.has_value());
        CHECK(opened.error().what.starts_with(table_path + ": "));
        return opened.error().code;
    }

    io::memory_file_system fs;
    result<Reader> opened;
};

/// Returns the code of the error with which opening a table with these contents fails.
inline errc open_error(bytes_view contents) { return opened_table<>(contents).error_code(); }

/// `count` entries with ascending keys, every seventh a tombstone.
inline entry_list numbered_entries(int count, std::size_t value_bytes = 10) {
    entry_list out;
    for (int i = 0; i < count; ++i) {
        const bytes key = "key" + std::to_string(100'000 + i);
        if (i % 7 == 3)
            out.emplace_back(key, std::nullopt);
        else
            out.emplace_back(key, bytes(value_bytes, static_cast<char>('a' + i % 26)));
    }
    return out;
}

}  // namespace lsm::test
