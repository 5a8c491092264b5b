#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <lsm/core/function_ref.hpp>

#include "support/results.hpp"

namespace bench {

/// Thrown to end a run, which the benchmark then reports as broken.
using failure = lsm::test::failed_check;

/// The settings that are equal for all engines. Compression is off; block sizes and the shape of levels are each
/// engine's own.
struct config {
    std::string directory;
    std::size_t write_buffer_bytes;
    std::size_t cache_bytes;
    unsigned filter_bits_per_key;
    /// Whether an engine that does not verify checksums on reads by default must do so.
    bool check_reads;
    /// Whether a write is durable when it returns.
    bool sync;
};

struct entry {
    std::string_view key, value;
};

/// The entries that a scan visited.
struct seen {
    std::uint64_t entries = 0, bytes = 0;
    /// The sum of the values' last bytes: forces the engine to fetch the values.
    std::uint64_t sum = 0;

    void add(std::string_view key, std::string_view value) {
        ++entries;
        bytes += key.size() + value.size();
        sum += static_cast<unsigned char>(value.back());
    }
};

/// Receives a value in the engine's memory. The value is valid until the call returns.
using value_visitor = lsm::detail::function_ref<void(std::string_view value)>;

/// A store under test. Every operation throws failure if it does not succeed. get() and put() may be called by several
/// threads at a time, all other functions by one. close() releases what threads hold for reading.
class engine {
public:
    engine() = default;
    engine(const engine&) = delete;
    engine& operator=(const engine&) = delete;
    virtual ~engine() = default;

    [[nodiscard]] virtual std::string version() const = 0;
    /// Opens the database, and creates it if it does not exist.
    virtual void open(const config& settings) = 0;
    virtual void close() = 0;
    virtual void put(std::string_view key, std::string_view value) = 0;
    virtual void put_batch(std::span<const entry>) { cannot(); }
    /// Like put_batch(). Requires that the keys are greater than every key in the database.
    virtual void append_batch(std::span<const entry> entries) { put_batch(entries); }
    virtual void del(std::string_view) { cannot(); }
    /// Returns whether the key is in the database, and passes its value to the visitor, without a copy if the engine's
    /// interface allows that.
    [[nodiscard]] virtual bool get(std::string_view /*key*/, value_visitor) { cannot(); }
    /// Visits at most `most` entries in ascending order, beginning with the first key that is not below `from`.
    [[nodiscard]] virtual seen walk_up(std::string_view /*from*/, std::uint64_t /*most*/) { cannot(); }
    /// Visits at most `most` entries in descending order, beginning with the last key.
    [[nodiscard]] virtual seen walk_down(std::uint64_t /*most*/) { cannot(); }
    /// Compacts everything, into as few tables as the engine makes.
    virtual void compact() {}
    /// Blocks until no background work is left.
    virtual void settle() {}

private:
    [[noreturn]] static void cannot() { throw failure("the engine does not support this operation"); }
};

std::unique_ptr<engine> make_lsm();
std::unique_ptr<engine> make_mapped_lsm();
std::unique_ptr<engine> make_leveldb();
std::unique_ptr<engine> make_rocksdb();
std::unique_ptr<engine> make_lmdb();
std::unique_ptr<engine> make_disk();

}  // namespace bench
