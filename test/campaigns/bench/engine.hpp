#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include <lsm/core/function_ref.hpp>

namespace bench {

/// Ends a run, which is then reported as broken.
struct failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// What all engines are given alike. Nothing is compressed; block sizes and the shape of levels are left to each.
struct config {
    std::string directory;
    std::size_t write_buffer_bytes;
    std::size_t cache_bytes;
    unsigned filter_bits_per_key;
    /// Whether blocks that are read are checked by an engine that would not do so by default, too.
    bool check_reads;
    /// Whether a write is on the disk when it returns.
    bool sync;
};

struct entry {
    std::string_view key, value;
};

/// What a walk came past.
struct seen {
    std::uint64_t entries = 0, bytes = 0;
    /// Of the values' last bytes, so that they must have been fetched.
    std::uint64_t sum = 0;

    void add(std::string_view key, std::string_view value) {
        ++entries;
        bytes += key.size() + value.size();
        sum += static_cast<unsigned char>(value.back());
    }
};

/// Is shown a value where the engine has it; it stays there until the call ends.
using looker = lsm::detail::function_ref<void(std::string_view value)>;

/// A store under test. Every operation does all that it says or throws failure. get() and put() may be called by
/// several threads at a time, the rest by one. What a thread has read with is let go by close() at the latest.
class engine {
public:
    engine() = default;
    engine(const engine&) = delete;
    engine& operator=(const engine&) = delete;
    virtual ~engine() = default;

    [[nodiscard]] virtual std::string version() const = 0;
    /// Makes the database if there is none.
    virtual void open(const config& how) = 0;
    virtual void close() = 0;
    virtual void put(std::string_view key, std::string_view value) = 0;
    virtual void put_batch(std::span<const entry>) { cannot(); }
    /// As put_batch(), of keys behind all that are there.
    virtual void append_batch(std::span<const entry> entries) { put_batch(entries); }
    virtual void del(std::string_view) { cannot(); }
    /// Whether there is such a key, whose value is then shown without a copy if the engine's interface allows.
    [[nodiscard]] virtual bool get(std::string_view /*key*/, looker) { cannot(); }
    /// At most `most` entries, upward from the first one that is not below `from`; or downward from the last one.
    [[nodiscard]] virtual seen walk_up(std::string_view /*from*/, std::uint64_t /*most*/) { cannot(); }
    [[nodiscard]] virtual seen walk_down(std::uint64_t /*most*/) { cannot(); }
    /// All data into as few tables as the engine would ever have.
    virtual void compact() {}
    /// Waits for the work in the background.
    virtual void settle() {}

private:
    [[noreturn]] static void cannot() { throw failure("not an operation of this engine"); }
};

std::unique_ptr<engine> make_lsm();
std::unique_ptr<engine> make_mapped_lsm();
std::unique_ptr<engine> make_leveldb();
std::unique_ptr<engine> make_rocksdb();
std::unique_ptr<engine> make_lmdb();
std::unique_ptr<engine> make_disk();

}  // namespace bench
