#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <lsm/wal/reader.hpp>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/raw_bytes.hpp"
#include "support/results.hpp"

namespace lsm::test {

inline const std::string log_path = "wal.log";

/// What a reader returned for a log, up to its end or an error.
struct log_contents {
    std::vector<bytes> records;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> cuts;  // offset, size
    std::uint64_t cut_bytes = 0;
    bool cut_holds_records = false;
    std::uint64_t end = 0;
    std::optional<error> failure;
};

inline log_contents read_log(io::file_system& fs, wal::recovery mode = wal::recovery::strict_tail) {
    auto reader = must(wal::reader::open(open_file(fs, log_path), mode));
    log_contents out;
    for (;;) {
        auto record = reader.next();
        if (!record) {
            out.failure = std::move(record).error();
            break;
        }
        if (!*record) break;
        out.records.emplace_back(**record);
    }
    for (const auto& [offset, size] : reader.cut_ranges()) out.cuts.emplace_back(offset, size);
    out.cut_bytes = reader.cut_bytes();
    out.cut_holds_records = reader.cut_holds_records();
    out.end = reader.end();
    REQUIRE(reader.records() == out.records.size());
    return out;
}

/// The same for a log with these bytes.
inline log_contents read_log(bytes_view log, wal::recovery mode = wal::recovery::strict_tail) {
    io::memory_file_system fs;
    write_file(fs, log_path, log);
    return read_log(fs, mode);
}

/// The bytes of a log, and the payloads and offsets of its records.
struct sample_log {
    explicit sample_log(std::vector<bytes> batches) : payloads(std::move(batches)) {
        for (const auto& payload : payloads) {
            starts.push_back(raw.size());
            raw += raw_log_record(payload);
        }
        starts.push_back(raw.size());
    }

    /// The number of records that lie wholly in the first `length` bytes.
    [[nodiscard]] std::size_t whole_in(std::size_t length) const {
        std::size_t n = 0;
        while (n < payloads.size() && starts[n + 1] <= length) ++n;
        return n;
    }
    /// The number of the record that byte `at` belongs to.
    [[nodiscard]] std::size_t record_of(std::size_t at) const { return whole_in(at); }
    [[nodiscard]] std::vector<bytes> first(std::size_t n) const {
        return {payloads.begin(), payloads.begin() + static_cast<std::ptrdiff_t>(n)};
    }

    std::vector<bytes> payloads;
    std::vector<std::size_t> starts;  // of each record, and the end of the last
    bytes raw;
};

/// Five records of different shapes, small enough to damage in every way.
inline sample_log five_records() {
    return sample_log({raw_batch({{"a", "1"}}), raw_batch({{"b", "22"}, {"a", std::nullopt}, {"", ""}}),
                       raw_batch({{"key", bytes(40, 'v')}}), raw_batch({{bytes(20, '\0'), bytes(20, '\xff')}}),
                       raw_batch({{"last", "value"}, {"c", std::nullopt}})});
}

}  // namespace lsm::test
