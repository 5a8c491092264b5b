#include <lsm/db/disk/manifest.hpp>

#include <set>

#include "campaigns/fuzz/entries.hpp"
#include "support/results.hpp"

namespace lsm::test::fuzz {

bool manifest(bytes_view in) {
    const auto lines = detail::parse_manifest(in);
    if (!lines) {
        require(lines.error().code == errc::bad_manifest, "the error code is not bad_manifest");
        return false;
    }
    require(detail::format_manifest(*lines) == in, "an accepted MANIFEST formats to other bytes");
    std::set<std::uint64_t> ids;
    int level = 0;
    for (const auto& line : *lines) {
        require(line.level >= level && line.level <= 6, "a level over 6 or below the one before it is accepted");
        require(line.id >= 1 && line.id <= detail::largest_id, "an id out of range is accepted");
        require(ids.insert(line.id).second, "an id that is listed twice is accepted");
        level = line.level;
    }
    return true;
}

}  // namespace lsm::test::fuzz
