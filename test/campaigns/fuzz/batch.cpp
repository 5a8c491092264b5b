#include <lsm/db/write_batch.hpp>

#include "campaigns/fuzz/entries.hpp"
#include "campaigns/fuzz/reading.hpp"

namespace lsm::test::fuzz {
namespace {

// The batch's own encoding: the old buffer and the new one while it grows.
std::size_t memory_bound(std::size_t batch_bytes) { return 6 * batch_bytes + 256; }

bool read_whole(bytes_view in, const logged& allocator) {
    const auto batch = basic_write_batch<policies<bytes, bytes, logged>>::decode(in, allocator);
    require(batch.has_value() == detail::check_batch(in).has_value(), "check_batch() and decode() disagree");
    if (batch) {
        require(batch->encode() == in, "an accepted batch encodes to other bytes");
        return true;
    }
    const auto code = batch.error().code;
    require(code == errc::short_input || code == errc::bad_type || code == errc::trailing_bytes,
            "decode() returns an error code that does not belong to batches");
    return false;
}

}  // namespace

bool batch(bytes_view in) {
    allocation_log memory;
    const bool whole = read_whole(in, logged(memory));
    require_modest(memory, memory_bound(in.size()));
    return whole;
}

}  // namespace lsm::test::fuzz
