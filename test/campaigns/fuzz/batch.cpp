#include <lsm/db/write_batch.hpp>

#include "campaigns/fuzz/entries.hpp"
#include "campaigns/fuzz/reading.hpp"

namespace lsm::test::fuzz {
namespace {

// The batch's own encoding, old and new while it grows.
std::size_t memory_bound(std::size_t batch_bytes) { return 6 * batch_bytes + 256; }

bool read_whole(bytes_view in, const logged& allocator) {
    const auto batch = basic_write_batch<policies<bytes, bytes, logged>>::decode(in, allocator);
    require(batch.has_value() == detail::check_batch(in).has_value(), "checked and decoded are two things");
    if (batch) {
        require(batch->encode() == in, "written back it is another one");
        return true;
    }
    const auto code = batch.error().code;
    require(code == errc::short_input || code == errc::bad_type || code == errc::trailing_bytes,
            "an error that is no defect of a batch");
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
