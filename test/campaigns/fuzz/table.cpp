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

bool is_damage(const error& what) { return what.code <= errc::bad_checksum && what.what.starts_with("table.sst: "); }

// A filter that a hostile writer has sealed may deny a key that is there: no checksum tells, and lookups believe it.
void require_found(const reader_type& reader, const raw_entry& entry, bool filter_may_lie) {
    const auto found = sound(reader.get(entry.first));
    if (found.absent()) return require(filter_may_lie, "an entry of the scan is not found");
    require(found.tombstone() == !entry.second, "a lookup finds another kind of entry than the scan");
    if (entry.second) require(found.value() == *entry.second, "a lookup finds another value than the scan");
}

// In a table without damage, a key that the scan does not show is absent.
void require_absent(const reader_type& reader, const raw_entries& entries, bytes_view key) {
    if (std::ranges::any_of(entries, [&](const raw_entry& e) { return e.first == key; })) return;
    require(sound(reader.get(key)).absent(), "a key that is not there is found");
}

raw_entries scanned(const reader_type& reader, const reader_type::range& part, bool& whole) {
    auto at = reader.iter(part);
    auto out = ordered_rest(at, part.reverse);
    const auto status = at.status();
    whole = status.has_value();
    require(whole || is_damage(status.error()), "an error that is no damage, or does not name the file");
    return out;
}

bool interrogate(const reader_type& reader, bool filter_may_lie) {
    bool whole = false, whole_backwards = false;
    const auto forwards = scanned(reader, {}, whole);
    auto backwards = scanned(reader, {.reverse = true}, whole_backwards);
    require(whole == whole_backwards, "damaged in one direction only");
    for (const auto& entry : forwards) require_found(reader, entry, filter_may_lie);
    for (const auto& entry : backwards) require_found(reader, entry, filter_may_lie);
    const auto len = reader.len();
    require(len.has_value() == whole, "len() and the scan disagree on damage");
    if (const auto properties = reader.properties())
        require(properties->smallest.size() <= reader.file_bytes() && properties->largest.size() <= reader.file_bytes(),
                "properties point out of the file");
    if (!whole) return false;

    require(*len == forwards.size(), "len() is another number");
    for (const bytes_view key : {bytes_view(""), bytes_view("\xff\xff"), bytes_view("k")})
        require_absent(reader, forwards, key);
    for (const auto& entry : forwards) require_absent(reader, forwards, entry.first + '\0');
    if (!forwards.empty()) {
        const bytes& middle = forwards[forwards.size() / 2].first;
        const auto half = static_cast<std::ptrdiff_t>(forwards.size() / 2);
        require(scanned(reader, {.from = middle}, whole) == raw_entries(forwards.begin() + half, forwards.end()),
                "a range from a key on is another one");
        require(scanned(reader, {.to = middle, .reverse = true}, whole) ==
                    raw_entries(backwards.end() - half, backwards.end()),
                "a range up to a key is another one");
    }
    std::reverse(backwards.begin(), backwards.end());
    require(backwards == forwards, "backwards there are other entries");
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
        if (!reader) require(is_damage(reader.error()), "an error that is no damage, or does not name the file");
        whole = reader && interrogate(*reader, in.find(detail::extension_magic) != bytes_view::npos);
    }
    require_modest(memory, memory_bound(in.size()));
    return whole;
}

namespace {

// Seals the sections of an extension area again. Works on the bytes as the format page, section 8, has them.
void seal(bytes& in, std::size_t area, std::size_t index_at,
          const std::vector<std::pair<std::size_t, std::size_t>>& blocks) {
    constexpr std::size_t trailer_bytes = 24, section_header = 12;
    const auto crc_of = [&](std::size_t from, std::size_t to) { return crc32(bytes_view(in).substr(from, to - from)); };
    for (std::size_t at = area; index_at - trailer_bytes - at >= section_header;) {
        const auto kind = detail::load_le<std::uint32_t>(in.data() + at);
        const auto size = detail::load_le<std::uint64_t>(in.data() + at + 4);
        at += section_header;
        if (size > index_at - trailer_bytes - at) break;
        if (kind == 1 && size == 4 + 4 * blocks.size()) {
            detail::store_le(in.data() + at, crc_of(index_at, in.size()));
            for (std::size_t i = 0; i < blocks.size(); ++i)
                detail::store_le(in.data() + at + 4 + 4 * i, crc_of(blocks[i].first, blocks[i].second));
        }
        at += static_cast<std::size_t>(size);
    }
    detail::store_le(in.data() + index_at - 24, std::uint64_t{index_at - area});
    const auto crc = crc32(bytes_view(in).substr(index_at - 12, 12), crc_of(area, index_at - 16));
    detail::store_le(in.data() + index_at - 16, crc);
}

}  // namespace

bytes mended_table(bytes in) {
    constexpr std::size_t footer_bytes = 32, entry_header = 20;
    if (in.size() < 36) return in;
    const std::size_t index_end = in.size() - footer_bytes;
    bytes_view("SST1\0\0\0\0", 8).copy(in.data() + in.size() - 8, 8);
    auto index_at = detail::load_le<std::uint64_t>(in.data() + index_end);
    const auto index_size = detail::load_le<std::uint64_t>(in.data() + index_end + 8);
    if (index_at > index_end - 4) {
        if (index_size < 4 || index_size > index_end) return in;
        index_at = index_end - index_size;
    }
    detail::store_le(in.data() + index_end, index_at);
    detail::store_le(in.data() + index_end + 8, index_end - index_at);

    // The blocks that the index names, as far as it parses.
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
        seal(in, end, static_cast<std::size_t>(index_at), blocks);
    return in;
}

}  // namespace lsm::test::fuzz
