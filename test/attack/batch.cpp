#include <lsm/db/write_batch.hpp>

#include "attack/mutations.hpp"
#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/raw_bytes.hpp"

using lsm::bytes;
using lsm::errc;
using namespace lsm::test;

namespace {

using alloc = logged_allocator<std::byte>;
using batch_type = lsm::basic_write_batch<lsm::policies<bytes, bytes, alloc>>;

// The batch's own encoding, old and new while it grows.
std::size_t memory_bound(std::size_t batch_bytes) { return 6 * batch_bytes + 256; }

}  // namespace

TEST_CASE("attacked batch: what is accepted encodes to the same bytes and all else is refused") {
    const bytes sound =
        raw_batch({{"", ""}, {"a", std::nullopt}, {"a", "1"}, {"key", bytes(30, 'v')}, {"z", std::nullopt}});
    allocation_log log;
    std::size_t accepted = 0;
    for_each_mutation(sound, 404, [&](const bytes& in) {
        log.reset();
        {
            const auto batch = batch_type::decode(in, alloc(log));
            REQUIRE(batch.has_value() == lsm::detail::check_batch(in).has_value());
            if (batch) {
                ++accepted;
                REQUIRE(batch->encode() == in);
            } else {
                const auto code = batch.error().code;
                REQUIRE((code == errc::short_input || code == errc::bad_type || code == errc::trailing_bytes));
            }
        }
        REQUIRE(log.peak_bytes <= memory_bound(in.size()));
        REQUIRE(log.live_bytes == 0);
    });
    CHECK(accepted > 0);  // a flipped bit in a value is no defect
}

TEST_CASE("attacked batch: a hundred bytes that claim four billion of anything are refused at no cost") {
    const bytes claims[] = {
        u32(0xffff'ffff),
        u32(1) + bytes(1, '\0') + u32(0xffff'ffff),
        u32(1) + bytes(1, '\1') + u32(0xffff'ffff),
        u32(1) + bytes(1, '\0') + u32(1) + "k" + u32(0xffff'ffff),
    };
    for (bytes claim : claims) {
        claim.resize(100, '\0');
        allocation_log log;
        CHECK_FALSE(batch_type::decode(claim, alloc(log)).has_value());
        CHECK(log.peak_bytes <= memory_bound(claim.size()));
        CHECK(log.live_bytes == 0);
    }
}
