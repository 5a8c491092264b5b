#include <lsm/db/disk/manifest.hpp>

#include <set>

#include "campaigns/fuzz/entries.hpp"
#include "support/finding.hpp"

namespace lsm::test::fuzz {

bool manifest(bytes_view in) {
    const auto lines = detail::parse_manifest(in);
    if (!lines) {
        require(lines.error().code == errc::bad_manifest, "another error than bad_manifest");
        return false;
    }
    require(detail::format_manifest(*lines) == in, "written back it is another one");
    std::set<std::uint64_t> ids;
    int level = 0;
    for (const auto& line : *lines) {
        require(line.level >= level && line.level <= 6, "a level that must not be");
        require(line.id >= 1 && line.id <= detail::largest_id, "an id that must not be");
        require(ids.insert(line.id).second, "an id twice");
        level = line.level;
    }
    return true;
}

}  // namespace lsm::test::fuzz
