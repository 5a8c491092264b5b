#include <algorithm>
#include <vector>

#include <lsm/wal/reader.hpp>

#include "campaigns/fuzz/entries.hpp"
#include "campaigns/fuzz/reading.hpp"

namespace lsm::test::fuzz {
namespace {

using wal::recovery;

// The tail under inspection, the reader's buffer, and both copies of that buffer while it grows.
std::size_t memory_bound(std::size_t file_bytes) { return 4 * file_bytes + 4096; }

struct contents {
    std::vector<bytes> records;
    bool refused = false;
    std::uint64_t end = 0;
    std::uint64_t cut_bytes = 0;
};

contents read_all(bytes_view log, recovery mode) {
    io::memory_file_system fs;
    write_file(fs, "wal.log", log);
    allocation_log memory;
    contents out;
    {
        auto reader = must(wal::basic_reader<logged>::open(open_file(fs, "wal.log"), mode, logged(memory)));
        for (;;) {
            const auto record = reader.next();
            if (!record) {
                require(record.error().code == errc::corruption, "next() returns another error code than corruption");
                require(record.error().what.starts_with("wal.log: offset "), "the error names no file and offset");
                out.refused = true;
            }
            if (!record || !*record) break;
            require(detail::check_batch(**record).has_value(), "next() returns a record that is not a batch");
            out.records.emplace_back(**record);
        }
        out.end = reader.end();
        out.cut_bytes = reader.cut_bytes();
    }
    require_modest(memory, memory_bound(log.size()));
    return out;
}

bytes joined(const std::vector<bytes>& payloads) {
    bytes out;
    for (const auto& p : payloads) out += raw_log_record(p);
    return out;
}

}  // namespace

bool log(bytes_view in) {
    const auto strict = read_all(in, recovery::strict_tail);
    const auto absolute = read_all(in, recovery::absolute);
    const auto prefix = read_all(in, recovery::point_in_time);
    const auto salvaged = read_all(in, recovery::salvage);
    const auto zeros_from = [&](std::uint64_t at) {
        return detail::all_zeros(in.substr(static_cast<std::size_t>(at)));
    };

    // All modes read the same intact prefix of the file.
    const bytes intact = joined(prefix.records);
    require(in.starts_with(intact), "the records that were read are not a prefix of the file");
    require(prefix.end == intact.size() && strict.end == prefix.end, "end() is not the end of the intact prefix");
    require(strict.records == prefix.records && absolute.records == prefix.records,
            "the modes read different prefixes");

    // They differ in what they refuse, and salvage also reads what follows the damage.
    require(!prefix.refused && !salvaged.refused, "point_in_time or salvage refuses a log");
    require(absolute.refused || !strict.refused, "strict_tail refuses a log that absolute accepts");
    require(salvaged.records.size() >= prefix.records.size() &&
                std::equal(prefix.records.begin(), prefix.records.end(), salvaged.records.begin()),
            "salvage reads less than the intact prefix");

    // Only zeros at the end of a log may be dropped without being counted as cut.
    if (absolute.refused)
        require(prefix.cut_bytes != 0 && prefix.end + prefix.cut_bytes == in.size(), "cut_bytes() misses bytes");
    else
        require(prefix.cut_bytes == 0 && zeros_from(prefix.end), "bytes were dropped but not counted as cut");
    const std::uint64_t accounted = joined(salvaged.records).size() + salvaged.cut_bytes;
    require(accounted <= in.size() && zeros_from(accounted), "salvage does not account for all bytes");
    return !strict.refused;
}

bytes resealed_log(bytes in) {
    for (std::size_t at = 0; in.size() - at > detail::log_header_bytes;) {
        const auto header = detail::log_record_header::read(in.data() + at);
        const bytes_view rest = bytes_view(in).substr(at + detail::log_header_bytes);
        if (header.length == 0 || header.length > rest.size()) break;
        detail::store_le(in.data() + at + 4, crc32(rest.substr(0, header.length)));
        at += detail::log_header_bytes + header.length;
    }
    return in;
}

}  // namespace lsm::test::fuzz
