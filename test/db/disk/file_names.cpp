#include <lsm/db/disk/file_names.hpp>

#include <cstdint>
#include <string>

#include "support/catch.hpp"

namespace {

using lsm::detail::cut_log_name;
using lsm::detail::cut_log_number;
using lsm::detail::frozen_log_name;
using lsm::detail::frozen_log_number;
using lsm::detail::is_temporary;
using lsm::detail::largest_id;
using lsm::detail::table_id;
using lsm::detail::table_name;
using lsm::detail::temporary_table_id;

}  // namespace

TEST_CASE("file names: numbers have at least six digits") {
    CHECK(table_name(1) == "sst-000001.sst");
    CHECK(table_name(999'999) == "sst-999999.sst");
    CHECK(table_name(1'000'000) == "sst-1000000.sst");
    CHECK(table_name(largest_id) == "sst-9223372036854775807.sst");
    CHECK(frozen_log_name(12) == "wal-000012.log");
    CHECK(cut_log_name(345) == "cut-000345.log");
}

TEST_CASE("file names: a number is read back from the name that it made") {
    for (std::uint64_t power = 1; power < largest_id / 10; power *= 10)
        for (const std::uint64_t number : {power - 1, power, power + 1}) {
            INFO(number);
            CHECK(frozen_log_number(frozen_log_name(number)) == number);
            CHECK(cut_log_number(cut_log_name(number)) == number);
            if (number == 0) continue;
            CHECK(table_id(table_name(number)) == number);
            CHECK(temporary_table_id(table_name(number) + ".tmp") == number);
        }
    CHECK(table_id(table_name(largest_id)) == largest_id);
}

TEST_CASE("file names: a number that is padded or written in another way is refused") {
    for (const char* name :
         {"sst-1.sst", "sst-0000001.sst", "sst-01000000.sst", "sst-00000a.sst", "sst--00001.sst", "sst-+00001.sst",
          "sst- 00001.sst", "sst-.sst", "sst-", ".sst", "sst.sst", "", "sst-000001.sst.bak", "xsst-000001.sst",
          "sst-000001.SST", "sst-9223372036854775808.sst", "sst-18446744073709551617.sst", "sst-000000.sst"}) {
        INFO(name);
        CHECK_FALSE(table_id(name));
    }
}

TEST_CASE("file names: a name has exactly one kind") {
    const std::string table = table_name(1), temporary = table + ".tmp", frozen = frozen_log_name(1),
                      cut = cut_log_name(1);
    CHECK(table_id(table));
    CHECK(temporary_table_id(temporary));
    CHECK(frozen_log_number(frozen));
    CHECK(cut_log_number(cut));
    for (const auto& name : {temporary, frozen, cut}) CHECK_FALSE(table_id(name));
    for (const auto& name : {table, frozen, cut}) CHECK_FALSE(temporary_table_id(name));
    for (const auto& name : {table, temporary, cut}) CHECK_FALSE(frozen_log_number(name));
    for (const auto& name : {table, temporary, frozen}) CHECK_FALSE(cut_log_number(name));
}

TEST_CASE("file names: only the temporary names of MANIFEST and wal.log and tables are temporaries") {
    for (const char* name : {"MANIFEST.tmp", "wal.log.tmp", "sst-000001.sst.tmp"}) CHECK(is_temporary(name));
    for (const char* name : {"MANIFEST", "wal.log", "sst-000001.sst", "sst-1.sst.tmp", "sst-000000.sst.tmp",
                             "wal-000001.log.tmp", "MANIFEST.tmp.tmp", "x.tmp", ".tmp"})
        CHECK_FALSE(is_temporary(name));
}
