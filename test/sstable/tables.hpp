#pragma once

#include <optional>
#include <string>
#include <utility>

#include <lsm/io/memory_file_system.hpp>
#include <lsm/io/sink.hpp>
#include <lsm/sstable/reader.hpp>
#include <lsm/sstable/writer.hpp>

#include "support/files.hpp"
#include "support/raw_bytes.hpp"
#include "support/results.hpp"

namespace lsm::test {

inline const std::string table_path = "table.sst";

/// What the writer makes of the entries.
inline bytes written_table(const raw_entries& entries, std::uint32_t block_size = sst_options().block_size) {
    bytes out;
    io::string_sink to(out);
    sst_writer writer(to, {block_size});
    for (const auto& [key, value] : entries) must(writer.add(key, value));
    must(writer.finish());
    return out;
}

/// A table in a file system of its own, open if it can be opened.
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

inline raw_entries numbered_entries(int count, std::size_t value_bytes = 10) {
    raw_entries out;
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
