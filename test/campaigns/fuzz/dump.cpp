#include <lsm/memtable/memtable.hpp>

#include "campaigns/fuzz/entries.hpp"
#include "campaigns/fuzz/reading.hpp"

namespace lsm::test::fuzz {
namespace {

using table_type = basic_memtable<policies<bytes, bytes, logged>>;

// An entry of 9 bytes becomes a node and a version of about 80 bytes, in chunks; the last chunk may be empty.
std::size_t memory_bound(std::size_t dump_bytes) { return 24 * dump_bytes + 4096; }

bool read_whole(bytes_view in, const logged& allocator) {
    const auto table = table_type::decode(in, allocator);
    if (!table) {
        require(table.error().code <= errc::trailing_bytes && table.error().what.starts_with("offset "),
                "decode() returns an error code that does not belong to dumps, or gives no offset");
        return false;
    }
    require(table->encode() == in, "an accepted dump encodes to other bytes");
    require(table->size_bytes() == in.size(), "size_bytes() is not the size of the dump");
    auto at = table->iter();
    const auto entries = ordered_rest(at);
    require(entries.size() == table->len(), "len() is not the number of entries that a scan shows");
    for (const auto& [key, value] : entries) {
        const auto found = table->get(key);
        require(!found.absent() && found.tombstone() == !value && (!value || found.value() == *value),
                "a lookup finds another entry than the scan");
    }
    return true;
}

}  // namespace

bool dump(bytes_view in) {
    allocation_log memory;
    const bool whole = read_whole(in, logged(memory));
    require_modest(memory, memory_bound(in.size()));
    return whole;
}

}  // namespace lsm::test::fuzz
