#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/raw_bytes.hpp"
#include "tools/tools.hpp"

using lsm::bytes;
using namespace lsm::test;

/// Checks how much memory the tools need, by running them under limits. Sanitizers do not work under such limits.
namespace {

constexpr rlim_t mebibyte = rlim_t{1} << 20;

void limit_memory(rlim_t size) {
    const rlimit limit{size, size};
    ::setrlimit(RLIMIT_AS, &limit);
}
preparation with_memory(rlim_t size) {
    return [size] { limit_memory(size); };
}
/// The same, and sends what is printed to /dev/null.
preparation with_memory_discarding_output(rlim_t size) {
    return [size] {
        const int null = ::open("/dev/null", O_WRONLY);
        ::dup2(null, STDOUT_FILENO);
        ::close(null);
        limit_memory(size);
    };
}

/// Returns the smallest limit, in whole mebibytes, under which the command line succeeds.
rlim_t needed_by(const command_line& line) {
    for (rlim_t size = mebibyte; size < 512 * mebibyte; size += mebibyte)
        if (run_tool(line, {}, with_memory(size)).status == 0) return size;
    FAIL(shown(line) << "does not run");
    return 0;
}

constexpr std::uint32_t large_entries = 64'000;
constexpr std::size_t large_value = 1000;

/// Writes a dump of about 64 MB.
void write_large_dump(const std::string& path) {
    auto out = must(lsm::io::file::open(disk(), path, lsm::io::open_mode::create_exclusive));
    must(out.append("MMT1" + u32(large_entries)));
    bytes piece;
    for (std::uint32_t i = 0; i < large_entries; ++i) {
        piece += raw_record({"key" + std::to_string(100'000 + i), bytes(large_value, static_cast<char>('a' + i % 26))});
        if (i % 1000 == 999) {
            must(out.append(piece));
            piece.clear();
        }
    }
    must(out.append(piece));
}

}  // namespace

TEST_CASE("memory: tables larger than the available memory are built and read and merged") {
    if (sanitized) return;
    const scratch_directory directory;
    const std::string small = directory / "small", small_table = directory / "small table";
    const std::string large = directory / "large", table = directory / "table", older = directory / "older";
    succeeds({"memtable", "bulk", small, "5"});
    build_table(small, small_table);
    write_large_dump(large);

    constexpr rlim_t allowance = 40 * mebibyte;
    const rlim_t limit = needed_by({"sstable", "build", small, small_table}) + allowance;
    REQUIRE(std::filesystem::file_size(large) > limit);
    succeeds({"sstable", "build", large, table}, {}, with_memory(limit));
    CHECK(std::filesystem::file_size(table) > limit);
    prints(
        {"sstable", "get", table, "key100000"},
        "value: " +
            [] {
                std::string hex;
                for (std::size_t i = 0; i < large_value; ++i) hex += "61";
                return hex;
            }() +
            "\n",
        {}, with_memory(limit));
    CHECK(run_tool({"sstable", "size", table}, {}, with_memory(limit))
              .out.find(" entries=" + std::to_string(large_entries) + " ") != std::string::npos);
    succeeds({"sstable", "iter", table}, {}, with_memory_discarding_output(limit));

    std::filesystem::create_hard_link(table, older);
    succeeds({"merge_iter", table, small_table, older}, {}, with_memory_discarding_output(limit));
    // Merging a table with itself gives the stream of one table. Its size shows that nothing was lost.
    const auto stream_size = [&](const command_line& line) {
        std::filesystem::remove(large);
        const std::string out = large;
        const outcome got = run_tool(line, {}, [&out, limit] {
            const int file = ::open(out.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600);
            ::dup2(file, STDOUT_FILENO);
            ::close(file);
            limit_memory(limit);
        });
        check_done(got);
        return std::filesystem::file_size(out);
    };
    const std::size_t one_entry = 4 + std::string("key100000").size() + 1 + 4 + large_value;
    CHECK(stream_size({"merge_iter", table, older}) == large_entries * one_entry);
}

TEST_CASE("memory: a length in a damaged file is refused before that much is allocated") {
    if (sanitized) return;
    const scratch_directory directory;
    const std::string dump = directory / "dump", table = directory / "table", file = directory / "file";
    succeeds({"memtable", "new", dump});
    build_table(dump, table);
    const rlim_t limit = needed_by({"memtable", "size", dump}) + 2 * mebibyte;
    const rlim_t table_limit = needed_by({"sstable", "size", table}) + 2 * mebibyte;
    const rlim_t build_limit = needed_by({"sstable", "build", dump, table}) + 2 * mebibyte;
    const rlim_t merge_limit = needed_by({"merge_iter", table}) + 2 * mebibyte;

    const bytes records = raw_record({"a", "1"}) + raw_record({"b", "2"});
    for (const bytes& contents :
         {"MMT1" + u32(UINT32_MAX) + records, "MMT1" + u32(1) + raw_record(UINT32_MAX, 0, 0, "abc"),
          "MMT1" + u32(1) + raw_record(0, UINT32_MAX, 0, "abc"),
          "MMT1" + u32(1) + raw_record(UINT32_MAX, UINT32_MAX, 0, "abc"), "MMT1" + u32(UINT32_MAX) + bytes(92, '\0')}) {
        write_file(disk(), file, contents);
        fails({"memtable", "iter", file}, "offset", {}, with_memory(limit));
        fails({"memtable", "put", file, "k", "v"}, "offset", {}, with_memory(limit));
        fails({"sstable", "build", file, directory / "out"}, "offset", {}, with_memory(build_limit));
    }

    const bytes block = raw_block({{"a", "1"}});
    const bytes index = raw_index({{"a", 0, block.size()}});
    const bytes footer = raw_footer(block.size(), index.size(), 1);
    const bytes greedy_index = u32(UINT32_MAX) + index.substr(4);
    const bytes greedy_key = u32(1) + u32(UINT32_MAX) + index.substr(8);
    for (const bytes& contents :
         {block + greedy_index + raw_footer(block.size(), index.size(), UINT32_MAX), block + greedy_key + footer,
          block + index + raw_footer(block.size(), std::uint64_t{1} << 40, 1),
          block + raw_index({{"a", 0, std::uint64_t{1} << 40}}) + footer,
          u32(UINT32_MAX) + block.substr(4) + index + footer,
          u32(1) + raw_record(UINT32_MAX, UINT32_MAX, 0, "a1") + index + footer}) {
        write_file(disk(), file, contents);
        fails({"sstable", "size", file}, "offset", {}, with_memory(table_limit));
        fails({"sstable", "iter", file}, "offset", {}, with_memory(table_limit));
        fails({"merge_iter", file, file}, "offset", {}, with_memory(merge_limit));
    }
    CHECK_FALSE(std::filesystem::exists(directory / "out"));
}

TEST_CASE("memory: running out of memory is status 1 and leaves the file as it was") {
    if (sanitized) return;
    const scratch_directory directory;
    const std::string dump = directory / "dump";
    succeeds({"memtable", "bulk", dump, "5"});
    const auto before = snapshot(directory.path());
    const preparation little = with_memory(needed_by({"memtable", "size", dump}) + 10 * mebibyte);
    fails({"memtable", "bulk", dump, "4294967295"}, "memory", {}, little);
    fails({"memtable", "bulk", directory / "fresh", "4294967295"}, "memory", {}, little);
    CHECK(snapshot(directory.path()) == before);
}

TEST_CASE("memory: an error names the line that is too long for the memory and keeps the lines before it") {
    if (sanitized) return;
    const scratch_directory directory;
    const command_line line = {"dbctl", "--dir", directory / "db"};
    const rlim_t limit = needed_by(line) + 30 * mebibyte;
    const outcome failed = run_tool(
        line, "PUT a 1\n# the next is too long\nPUT b " + bytes(64 << 20, 'v') + "\nPUT c 3\n", with_memory(limit));
    CHECK(failed.status == 1);
    CHECK(failed.err == "dbctl: standard input: line 3: allocate: Cannot allocate memory\n");
    prints(line, "value: 31\nabsent\nabsent\n", "GET a\nGET b\nGET c\n");

    const std::string dump = directory / "dump";
    const command_line bulk = {"memtable", "bulk", dump, "4294967295"};
    const outcome refused = run_tool(bulk, {}, with_memory(limit));
    CHECK(refused.status == 1);
    CHECK(refused.err == "memtable: " + dump + ": allocate: Cannot allocate memory\n");
    CHECK_FALSE(std::filesystem::exists(dump));
}
