#include <algorithm>
#include <vector>

#include <lsm/sstable/reader.hpp>
#include <lsm/sstable/writer.hpp>

#include "campaigns/fuzz/entries.hpp"
#include "campaigns/fuzz/reading.hpp"

namespace lsm::test::fuzz {
namespace {

using reader_type = basic_sst_reader<policies<bytes, bytes, logged>>;

std::size_t memory_bound(std::size_t file_bytes) { return 4 * file_bytes + 4096; }

bool is_damage(const error& error) { return error.code <= errc::bad_checksum && error.what.starts_with("table.sst: "); }

// A hostile writer can seal a filter that denies a key of the table. No checksum shows that, so lookups believe it.
void require_found(const reader_type& reader, const entry_list::value_type& entry, bool filter_may_lie) {
    const auto found = must(reader.get(entry.first));
    if (found.absent()) return require(filter_may_lie, "a lookup misses an entry of the scan");
    require(found.tombstone() == !entry.second, "a lookup finds another kind of entry than the scan");
    if (entry.second) require(found.value() == *entry.second, "a lookup finds another value than the scan");
}

// In an undamaged table, a key that the scan does not show is absent.
void require_absent(const reader_type& reader, const entry_list& entries, bytes_view key) {
    if (std::ranges::any_of(entries, [&](const entry_list::value_type& e) { return e.first == key; })) return;
    require(must(reader.get(key)).absent(), "a lookup finds a key that the scan does not show");
}

// Returns the entries up to the first damage, and sets `whole` to whether there was none.
entry_list scanned(const reader_type& reader, const reader_type::range& range, bool& whole) {
    auto at = reader.iter(range);
    auto out = ordered_rest(at, range.reverse);
    const auto status = at.status();
    whole = status.has_value();
    require(whole || is_damage(status.error()), "the error of a scan is not damage, or does not name the file");
    return out;
}

// Reads the table in every way and compares the answers. Returns whether it is undamaged.
bool interrogate(const reader_type& reader, bool filter_may_lie) {
    bool whole = false, whole_backwards = false;
    const auto forwards = scanned(reader, {}, whole);
    auto backwards = scanned(reader, {.reverse = true}, whole_backwards);
    require(whole == whole_backwards, "only one direction of a scan reports damage");
    for (const auto& entry : forwards) require_found(reader, entry, filter_may_lie);
    for (const auto& entry : backwards) require_found(reader, entry, filter_may_lie);
    const auto len = reader.len();
    require(len.has_value() == whole, "len() and the scan disagree on damage");
    if (const auto properties = reader.properties())
        require(properties->smallest.size() <= reader.file_bytes() && properties->largest.size() <= reader.file_bytes(),
                "the keys in properties() are larger than the file");
    if (!whole) return false;

    // Only an undamaged table has to agree on all entries.
    require(*len == forwards.size(), "len() is not the number of entries that a scan shows");
    for (const bytes_view key : {bytes_view(""), bytes_view("\xff\xff"), bytes_view("k")})
        require_absent(reader, forwards, key);
    for (const auto& entry : forwards) require_absent(reader, forwards, entry.first + '\0');
    if (!forwards.empty()) {
        const bytes& middle = forwards[forwards.size() / 2].first;
        const auto half = static_cast<std::ptrdiff_t>(forwards.size() / 2);
        require(scanned(reader, {.from = middle}, whole) == entry_list(forwards.begin() + half, forwards.end()),
                "a scan from a key shows other entries than the whole scan");
        require(scanned(reader, {.to = middle, .reverse = true}, whole) ==
                    entry_list(backwards.end() - half, backwards.end()),
                "a reverse scan up to a key shows other entries than the whole scan");
    }
    std::reverse(backwards.begin(), backwards.end());
    require(backwards == forwards, "a reverse scan shows other entries than a forward scan");
    return true;
}

}  // namespace

bool table(bytes_view in) {
    io::memory_file_system fs;
    write_file(fs, "table.sst", in);
    allocation_log memory;
    bool whole = false;
    {
        const auto reader = reader_type::open(open_file(fs, "table.sst"), logged(memory));
        if (!reader) require(is_damage(reader.error()), "the error of open() is not damage, or does not name the file");
        whole = reader && interrogate(*reader, in.find(detail::extension_magic) != bytes_view::npos);
    }
    require_modest(memory, memory_bound(in.size()));
    return whole;
}

namespace {

// Recomputes the checksums of the extension area that lies between `area` and `index_at` (docs/formats.md, section 8).
// `blocks` holds the begin and end of every block.
void reseal_extension(bytes& in, std::size_t area, std::size_t index_at,
                      const std::vector<std::pair<std::size_t, std::size_t>>& blocks) {
    constexpr std::size_t trailer_bytes = 24, section_header = 12;
    const auto crc_of = [&](std::size_t from, std::size_t to) { return crc32(bytes_view(in).substr(from, to - from)); };
    for (std::size_t at = area; index_at - trailer_bytes - at >= section_header;) {
        const auto kind = detail::load_le<std::uint32_t>(in.data() + at);
        const auto size = detail::load_le<std::uint64_t>(in.data() + at + 4);
        at += section_header;
        if (size > index_at - trailer_bytes - at) break;
        // Section 1 holds a checksum of index and footer, then one for each block.
        if (kind == 1 && size == 4 + 4 * blocks.size()) {
            detail::store_le(in.data() + at, crc_of(index_at, in.size()));
            for (std::size_t i = 0; i < blocks.size(); ++i)
                detail::store_le(in.data() + at + 4 + 4 * i, crc_of(blocks[i].first, blocks[i].second));
        }
        at += static_cast<std::size_t>(size);
    }
    // The trailer comes last: its checksum covers the sections.
    detail::store_le(in.data() + index_at - 24, std::uint64_t{index_at - area});
    const auto crc = crc32(bytes_view(in).substr(index_at - 12, 12), crc_of(area, index_at - 16));
    detail::store_le(in.data() + index_at - 16, crc);
}

}  // namespace

bytes resealed_table(bytes in) {
    constexpr std::size_t footer_bytes = 32, entry_header = 20;
    if (in.size() < 36) return in;
    const std::size_t index_end = in.size() - footer_bytes;

    // The footer: believe either the index's offset or its size, whichever is possible, and correct the other.
    bytes_view("SST1\0\0\0\0", 8).copy(in.data() + in.size() - 8, 8);
    auto index_at = detail::load_le<std::uint64_t>(in.data() + index_end);
    const auto index_size = detail::load_le<std::uint64_t>(in.data() + index_end + 8);
    if (index_at > index_end - 4) {
        if (index_size < 4 || index_size > index_end) return in;
        index_at = index_end - index_size;
    }
    detail::store_le(in.data() + index_end, index_at);
    detail::store_le(in.data() + index_end + 8, index_end - index_at);

    // An index that does not parse, or that names blocks outside the file, is beyond correction.
    std::vector<std::pair<std::size_t, std::size_t>> blocks;
    std::size_t at = static_cast<std::size_t>(index_at) + 4, end = 0;
    while (index_end - at >= entry_header) {
        const auto length = detail::load_le<std::uint32_t>(in.data() + at);
        const auto offset = detail::load_le<std::uint64_t>(in.data() + at + 4);
        const auto size = detail::load_le<std::uint64_t>(in.data() + at + 12);
        at += entry_header;
        if (length > index_end - at || offset > index_at || size > index_at - offset) return in;
        at += length;
        end = static_cast<std::size_t>(offset + size);
        blocks.emplace_back(static_cast<std::size_t>(offset), end);
    }
    if (at != index_end) return in;
    detail::store_le(in.data() + index_at, static_cast<std::uint32_t>(blocks.size()));
    detail::store_le(in.data() + index_end + 16, std::uint64_t{blocks.size()});
    if (!blocks.empty() && index_at - end >= 24 && bytes_view(in).substr(index_at - 8, 7) == "LSMEXT1")
        reseal_extension(in, end, static_cast<std::size_t>(index_at), blocks);
    return in;
}

}  // namespace lsm::test::fuzz
