#include <lsm/core/entry.hpp>

#include <string>

#include "support/catch.hpp"

using lsm::basic_lookup;
using lsm::entry_type;
using lsm::entry_view;
using lsm::errc;
using namespace lsm::detail;

namespace {

std::string header(std::uint32_t key_length, std::uint32_t value_length, std::uint8_t type) {
    std::string out;
    append_le(out, key_length);
    append_le(out, value_length);
    append_le(out, type);
    return out;
}

std::optional<errc> defect_of(const std::string& raw) {
    record_header out;
    return read_record_header(raw.data(), out);
}

constexpr entry_view tombstone{entry_type::tombstone, {}};

}  // namespace

TEST_CASE("entry record: is laid out as the format page says") {
    std::string out;
    append_record(out, "alpha", {entry_type::value, "first"});
    append_record(out, "beta", tombstone);
    CHECK(out == std::string("\5\0\0\0\5\0\0\0\0alphafirst\4\0\0\0\0\0\0\0\1beta", 32));
    CHECK(record_bytes("alpha", {entry_type::value, "first"}) == 19);
    CHECK(record_bytes("beta", tombstone) == 13);
}

TEST_CASE("entry record: an empty key and value are not a tombstone") {
    std::string out;
    append_record(out, "", {});
    CHECK(out == std::string(9, '\0'));
    record_header read;
    REQUIRE_FALSE(read_record_header(out.data(), read));
    CHECK(read.type == entry_type::value);
    CHECK(read.payload_bytes() == 0);
}

TEST_CASE("entry record: a header is read back") {
    char raw[record_header_bytes];
    const std::string key(300, 'k');
    const std::string value(70000, 'v');
    write_record_header(raw, key, {entry_type::value, value});
    record_header read;
    REQUIRE_FALSE(read_record_header(raw, read));
    CHECK(read.key_length == 300);
    CHECK(read.value_length == 70000);
    CHECK(read.type == entry_type::value);
    CHECK(read.payload_bytes() == 70300);
}

TEST_CASE("entry record: payload lengths do not wrap") {
    record_header read;
    REQUIRE_FALSE(read_record_header(header(0xffffffff, 0xffffffff, 0).data(), read));
    CHECK(read.payload_bytes() == 0x1fffffffe);
}

TEST_CASE("entry record: every type above 1 is bad whatever the value length") {
    for (unsigned type = 2; type < 256; ++type) {
        REQUIRE(defect_of(header(1, 0, static_cast<std::uint8_t>(type))) == errc::bad_type);
        REQUIRE(defect_of(header(1, 5, static_cast<std::uint8_t>(type))) == errc::bad_type);
    }
}

TEST_CASE("entry record: a tombstone with value bytes is bad") {
    CHECK(defect_of(header(1, 1, 1)) == errc::bad_tombstone);
    CHECK(defect_of(header(0, 0xffffffff, 1)) == errc::bad_tombstone);
    CHECK(defect_of(header(1, 0, 1)) == std::nullopt);
    CHECK(defect_of(header(0, 5, 0)) == std::nullopt);
}

TEST_CASE("entry view: views are equal if their types and bytes are") {
    CHECK(entry_view{} == entry_view{entry_type::value, ""});
    CHECK_FALSE(entry_view{} == tombstone);
    CHECK(tombstone.tombstone());
    CHECK_FALSE(entry_view{}.tombstone());
    CHECK_FALSE(entry_view{entry_type::value, "a"} == entry_view{entry_type::value, "b"});
}

TEST_CASE("lookup: is exactly one of found and tombstone and absent") {
    using lookup = basic_lookup<std::string>;
    const lookup absent;
    const lookup deleted(lookup::outcome::tombstone);
    const lookup found(std::string("value"));
    CHECK((absent.absent() && !absent.found() && !absent.tombstone()));
    CHECK((deleted.tombstone() && !deleted.found() && !deleted.absent()));
    CHECK((found.found() && !found.tombstone() && !found.absent()));
    CHECK(found.value() == "value");
    CHECK(found.state() == lookup::outcome::found);
    CHECK(absent == lookup(lookup::outcome::absent));
    CHECK_FALSE(absent == deleted);
    CHECK_FALSE(found == lookup(std::string("other")));
    CHECK(lookup(std::string(100, 'x')).value() == std::string(100, 'x'));
}
