#include <lsm/db/disk/manifest.hpp>

#include <string>

#include "campaigns/attack/mutations.hpp"
#include "campaigns/fuzz/entries.hpp"
#include "support/catch.hpp"
#include "support/results.hpp"

using lsm::bytes;
using lsm::errc;
using lsm::detail::parse_manifest;
using namespace lsm::test;

TEST_CASE("attacked MANIFEST: an accepted MANIFEST obeys every rule and formats to the same bytes") {
    const bytes sound = "L0 12\nL0 7\nL1 3\nL1 9223372036854775807\nL6 100\n";
    must(parse_manifest(sound));
    std::size_t accepted = 0;
    for_each_mutation(sound, 505, [&](const bytes& in) { accepted += fuzz::manifest(in); });
    CHECK(accepted > 0);  // a changed digit still names a table
}

TEST_CASE("attacked MANIFEST: lines of any other form than a level and an id are refused") {
    for (const std::string line : {"",
                                   "L0",
                                   "L0 ",
                                   "L 1",
                                   "0 1",
                                   "l0 1",
                                   "L0  1",
                                   " L0 1",
                                   "L0 1 ",
                                   "L0 1\r",
                                   "L00 1",
                                   "L0 01",
                                   "L0 0",
                                   "L0 +1",
                                   "L+0 1",
                                   "L0 -1",
                                   "L-1 1",
                                   "L7 1",
                                   "L10 1",
                                   "L0 1x",
                                   "L0x 1",
                                   "L0\t1",
                                   "L0 9223372036854775808",
                                   "L0 18446744073709551617",
                                   "L18446744073709551616 1",
                                   "L4294967296 1",
                                   "# comment",
                                   "L0 1 2"}) {
        INFO(line);
        CHECK(must_fail(parse_manifest(line + "\n")).code == errc::bad_manifest);
        CHECK(must_fail(parse_manifest("L0 5\n" + line + "\n")).code == errc::bad_manifest);
    }
    CHECK(must_fail(parse_manifest(bytes("L0 1\0\n", 6))).code == errc::bad_manifest);
    CHECK(must_fail(parse_manifest("L0 1")).code == errc::bad_manifest);
    CHECK(must_fail(parse_manifest("L1 1\nL0 2\n")).code == errc::bad_manifest);
    CHECK(must_fail(parse_manifest("L0 1\nL1 1\n")).code == errc::bad_manifest);
}

TEST_CASE("attacked MANIFEST: an error gives the line number") {
    CHECK(must_fail(parse_manifest("L0 2\nL0 1\nL0 x\nL0 4\n")).what.starts_with("line 3:"));
    CHECK(must_fail(parse_manifest("L0 2\nL0 1")).what.starts_with("line 2:"));
}
