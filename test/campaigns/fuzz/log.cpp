#include <algorithm>
#include <vector>

#include <lsm/wal/reader.hpp>

#include "campaigns/fuzz/entries.hpp"
#include "campaigns/fuzz/reading.hpp"

namespace lsm::test::fuzz {
namespace {

using wal::recovery;

// The tail that is judged, the reader's buffer, and what a buffer holds while it grows.
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
        auto reader = sound(wal::basic_reader<logged>::open(open_file(fs, "wal.log"), mode, logged(memory)));
        for (;;) {
            const auto record = reader.next();
            if (!record) {
                require(record.error().code == errc::corruption, "another error than corruption");
                require(record.error().what.starts_with("wal.log: offset "), "an error without file and offset");
                out.refused = true;
            }
            if (!record || !*record) break;
            require(detail::check_batch(**record).has_value(), "a record that is no batch");
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

    const bytes intact = joined(prefix.records);
    require(in.starts_with(intact), "what was read does not stand in the file");
    require(prefix.end == intact.size() && strict.end == prefix.end, "the end is elsewhere");
    require(strict.records == prefix.records && absolute.records == prefix.records, "the modes read other prefixes");

    require(!prefix.refused && !salvaged.refused, "a mode that cuts has refused");
    require(absolute.refused || !strict.refused, "strict_tail refuses what absolute takes");
    require(salvaged.records.size() >= prefix.records.size() &&
                std::equal(prefix.records.begin(), prefix.records.end(), salvaged.records.begin()),
            "salvage has less than the prefix");

    // Nothing is lost without a word but zeros at the end.
    if (absolute.refused)
        require(prefix.cut_bytes != 0 && prefix.end + prefix.cut_bytes == in.size(), "a cut is not accounted for");
    else
        require(prefix.cut_bytes == 0 && zeros_from(prefix.end), "bytes were dropped without a word");
    const std::uint64_t accounted = joined(salvaged.records).size() + salvaged.cut_bytes;
    require(accounted <= in.size() && zeros_from(accounted), "salvage does not account for all bytes");
    return !strict.refused;
}

bytes mended_log(bytes in) {
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
