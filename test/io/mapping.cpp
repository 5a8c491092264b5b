#include <lsm/io/mapping.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <lsm/io/file.hpp>

#include "support/catch.hpp"
#include "support/file_systems.hpp"
#include "support/files.hpp"
#include "support/forwarding_file_system.hpp"
#include "support/results.hpp"

using lsm::bytes;
using lsm::bytes_view;
using lsm::io::mapping;
using lsm::io::memory_file_system;
using lsm::io::open_mode;
using lsm::io::simulated_file_system;
using lsm::test::must;
using lsm::test::on_disk;
using lsm::test::open_file;
using lsm::test::read_file;
using lsm::test::write_file;

namespace {

// Records what is unmapped.
class unmap_recorder final : public lsm::test::forwarding_file_system {
public:
    using forwarding_file_system::forwarding_file_system;

    std::vector<std::pair<const char*, std::uint64_t>> unmapped;

    void unmap(const char* mapped, std::uint64_t size) noexcept override { unmapped.emplace_back(mapped, size); }
};
using unmaps = std::vector<std::pair<const char*, std::uint64_t>>;

}  // namespace

TEST_CASE("mapping: unmaps its memory once when it is destroyed") {
    memory_file_system memory;
    unmap_recorder fs(memory);
    const bytes one = "one";
    {
        const mapping<const char> mapped(fs, one.data(), 3);
        CHECK(bool(mapped));
        CHECK(mapped.begin() == one.data());
        CHECK(mapped.size() == 3);
        CHECK(fs.unmapped.empty());
    }
    CHECK(fs.unmapped == unmaps{{one.data(), 3}});
}

TEST_CASE("mapping: an empty mapping has no size and unmaps nothing") {
    memory_file_system memory;
    unmap_recorder fs(memory);
    {
        const mapping<char> none;
        const mapping<char> refused(fs, nullptr, 100);
        CHECK_FALSE(bool(none));
        CHECK_FALSE(bool(refused));
        CHECK(none.begin() == nullptr);
        CHECK(none.size() == 0);
        CHECK(refused.size() == 0);
    }
    CHECK(fs.unmapped.empty());
}

TEST_CASE("mapping: a move leaves the source empty and unmaps what the target held") {
    memory_file_system memory;
    unmap_recorder fs(memory);
    const bytes one = "one", other = "other";
    {
        mapping<const char> first(fs, one.data(), 3);
        mapping<const char> second(std::move(first));
        CHECK_FALSE(bool(first));
        CHECK(first.size() == 0);
        CHECK(second.begin() == one.data());
        CHECK(second.size() == 3);
        CHECK(fs.unmapped.empty());

        mapping<const char> third(fs, other.data(), 5);
        third = std::move(second);
        CHECK(fs.unmapped == unmaps{{other.data(), 5}});
        CHECK_FALSE(bool(second));
        CHECK(third.begin() == one.data());
        third = {};
        CHECK(fs.unmapped == unmaps{{other.data(), 5}, {one.data(), 3}});
    }
    CHECK(fs.unmapped.size() == 2);
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<mapping<char>>);
    STATIC_REQUIRE_FALSE(std::is_copy_assignable_v<mapping<char>>);
}

TEST_CASE("mapping: the bytes of a file outlast its handle and its name") {
    on_disk fs;
    const bytes contents(10'000, 'c');
    write_file(fs.system, fs.path("file"), contents);
    auto file = open_file(fs.system, fs.path("file"));
    const auto mapped = must(file.map(contents.size()));
    must(file.close());
    must(fs.system.remove(fs.path("file")));
    REQUIRE(bool(mapped));
    REQUIRE(mapped.size() == contents.size());
    CHECK(bytes_view(mapped.begin(), contents.size()) == contents);
}

TEST_CASE("mapping: a file system without maps gives an empty mapping") {
    memory_file_system fs;
    write_file(fs, "file", "data");
    CHECK_FALSE(bool(must(open_file(fs, "file").map(4))));
}

TEST_CASE("mapping: the file holds what was stored in a mapping to write to") {
    // Returns whether the file system has maps to write to.
    const auto store = [](lsm::io::file_system& fs, const std::string& path) {
        const auto handle = must(fs.open(path, open_mode::create_exclusive));
        CHECK(must(fs.write_at(handle, 0, bytes(9'000, 'o'))) == 9'000);
        {
            const auto memory = fs.map_to_write(handle, 5'000, 3'000);
            const mapping<char> mapped(fs, memory ? *memory : nullptr, 3'000);
            if (!mapped) {
                must(fs.close(handle));
                return false;
            }
            CHECK(bytes_view(mapped.begin(), 3'000) == bytes(3'000, 'o'));
            mapped.begin()[0] = 'f';
            mapped.begin()[2'999] = 'l';
        }
        must(fs.close(handle));
        CHECK(read_file(fs, path) == bytes(5'000, 'o') + 'f' + bytes(2'998, 'o') + 'l' + bytes(1'000, 'o'));
        return true;
    };
    on_disk fs;
    store(fs.system, fs.path("file"));  // older systems have none
    simulated_file_system disk;
    disk.offer_maps();
    CHECK(store(disk, "file"));
}
