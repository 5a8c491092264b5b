// A log that is written through a memory map has the same bytes as one that is written with system calls, and falls
// back to these where no map is available.
#include <cerrno>
#include <cstdint>
#include <string>

#include <lsm/io/memory_file_system.hpp>
#include <lsm/io/posix_file_system.hpp>
#include <lsm/wal/writer.hpp>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/forwarding_file_system.hpp"
#include "support/raw_bytes.hpp"

namespace {

using namespace lsm::test;
using lsm::bytes;
using lsm::wal::writer;

/// The disk. Counts the attempts to map, the maps that exist and the writes; can fail either.
class mapping_disk final : public forwarding_file_system {
public:
    mapping_disk() : forwarding_file_system(lsm::io::default_file_system()) {}

    lsm::result<void> allocate(handle file, std::uint64_t size) override {
        if (full) return lsm::detail::system_failure("fallocate", ENOSPC);
        return forwarding_file_system::allocate(file, size);
    }
    lsm::result<char*> map_to_write(handle file, std::uint64_t offset, std::uint64_t size) override {
        ++tries;
        if (refusal != 0) return lsm::detail::system_failure("mmap", refusal);
        auto mapped = forwarding_file_system::map_to_write(file, offset, size);
        maps += mapped && *mapped != nullptr;
        return mapped;
    }
    void unmap(const char* mapped, std::uint64_t size) noexcept override {
        --maps;
        forwarding_file_system::unmap(mapped, size);
    }
    lsm::result<std::size_t> write_at(handle file, std::uint64_t offset, lsm::bytes_view data) override {
        ++writes;
        if (full) return lsm::detail::system_failure("write", ENOSPC);
        return forwarding_file_system::write_at(file, offset, data);
    }

    bool full = false;
    int refusal = 0;
    int tries = 0, maps = 0, writes = 0;
};

bytes batch(int i, std::size_t value_bytes = 100) {
    return raw_batch({{"key" + std::to_string(i), bytes(value_bytes, 'v')}});
}

lsm::result<void> add(writer& log, const bytes& batch) {
    log.begin_record();
    log.add_to_record(batch);
    return log.append_record(true);
}

/// Appends `count` records and returns their bytes.
bytes fill(writer& log, int count) {
    bytes out;
    for (int i = 0; i < count; ++i) {
        must(add(log, batch(i)));
        out += raw_log_record(batch(i));
    }
    return out;
}

struct on_mapping_disk {
    scratch_directory directory;
    mapping_disk fs;
    const std::string path = directory / "wal.log";
    writer log = must(writer::open(fs, path));

    on_mapping_disk() { log.preallocate(64 << 10); }

    [[nodiscard]] bytes file() { return read_file(fs, path); }
};

bool is_padded_with_zeros(const bytes& file, const bytes& records) {
    return file.starts_with(records) && file.find_first_not_of('\0', records.size()) == bytes::npos;
}

}  // namespace

TEST_CASE("mapped log: is filled without a write and when closed has the bytes that writes would make") {
    on_mapping_disk on;
    const bytes records = fill(on.log, 5000);  // several maps
    if (on.fs.tries == 1 && on.fs.maps == 0) {
        WARN("no map is available here");
        return;
    }
    CHECK(on.fs.writes == 0);
    CHECK(on.fs.tries > 1);
    CHECK(on.fs.maps == 1);
    CHECK(on.file().size() > records.size());
    CHECK(is_padded_with_zeros(on.file(), records));
    must(on.log.close());
    CHECK(on.fs.maps == 0);
    CHECK(on.file() == records);
}

TEST_CASE("mapped log: mapped and written and synced records of every size follow each other without a gap") {
    on_mapping_disk on;
    bytes records;
    for (int i = 0; i < 400; ++i) {
        const bytes one = batch(i, std::size_t(i) * 37 % 5000 * (i % 50 == 0 ? 40 : 1));
        on.log.begin_record();
        on.log.add_to_record(one);
        must(on.log.append_record(i % 3 != 0));
        if (i % 7 == 0) must(on.log.sync());
        records += raw_log_record(one);
    }
    CHECK(is_padded_with_zeros(on.file(), records));
    must(on.log.close());
    CHECK(on.file() == records);
}

TEST_CASE("mapped log: a rotated log ends with its records and the next log gets a map of its own") {
    on_mapping_disk on;
    const bytes first = fill(on.log, 20);
    must(on.log.rotate(on.directory / "wal-000001.log"));
    CHECK(on.fs.maps == 0);
    const int tries = on.fs.tries;
    fill(on.log, 1);
    CHECK(on.fs.tries == tries + 1);

    CHECK(read_file(on.fs, on.directory / "wal-000001.log") == first);
}

TEST_CASE("mapped log: nothing is mapped without preallocation") {
    on_mapping_disk on;
    on.log.preallocate(0);
    const bytes records = fill(on.log, 10);
    CHECK(on.fs.tries == 0);
    CHECK(on.file() == records);
}

TEST_CASE("mapped log: where mapping fails the log is written and mapping is tried once a file") {
    on_mapping_disk on;
    on.fs.refusal = GENERATE(ENOMEM, EFAULT, ENODEV);
    const bytes records = fill(on.log, 100);
    CHECK(on.fs.tries == 1);
    CHECK(on.fs.writes == 100);
    must(on.log.close());
    CHECK(on.file() == records);
}

TEST_CASE("mapped log: a full disk refuses records beyond the map and loses nothing and does not stop the writer") {
    on_mapping_disk on;
    bytes records = fill(on.log, 3);
    on.fs.full = true;
    int refused = 0;
    for (int i = 0; i < 3000; ++i) {
        const auto done = add(on.log, batch(i));
        if (done) records += raw_log_record(batch(i));
        if (!done) CHECK(done.error().code == lsm::errc::no_space);
        refused += !done;
    }
    CHECK(refused > 0);
    CHECK_FALSE(on.log.failure());
    CHECK(on.file() == records);  // removing a partial record removes the reserved space too
    on.fs.full = false;
    records += fill(on.log, 3);
    must(on.log.close());
    CHECK(on.file() == records);
}

TEST_CASE("mapped log: where the file system has no maps the log is written") {
    lsm::io::memory_file_system fs;
    auto log = must(writer::open(fs, "wal.log"));
    log.preallocate(64 << 10);
    const bytes records = fill(log, 50);
    must(log.close());
    CHECK(read_file(fs, "wal.log") == records);
}
