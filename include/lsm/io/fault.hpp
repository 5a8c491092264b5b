#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace lsm::io {

/// The operations of a file_system.
enum class operation : unsigned char {
    open,
    create,
    close,
    read,
    write,
    start_sync,
    sync_data,
    sync,
    size,
    identity,
    truncate,
    allocate,
    map,
    rename,
    link,
    remove,
    make_directory,
    sync_directory,
    list,
    lock,
};

[[nodiscard]] constexpr std::string_view to_string(operation what) noexcept {
    constexpr std::string_view names[] = {
        "open", "create", "close",          "read",           "write",    "start_sync", "sync_data",
        "sync", "size",   "identity",       "truncate",       "allocate", "map",        "rename",
        "link", "remove", "make_directory", "sync_directory", "list",     "lock"};
    return names[static_cast<std::size_t>(what)];
}

/// Whether the operation changes what is on a disk, or what of it is durable.
[[nodiscard]] constexpr bool changes_disk(operation what) noexcept {
    switch (what) {
        case operation::open:
        case operation::close:
        case operation::read:
        case operation::start_sync:
        case operation::size:
        case operation::identity:
        case operation::map:
        case operation::list: return false;
        default: return true;
    }
}

/// A failure to come.
struct fault {
    /// After so many operations that pass.
    std::uint64_t after = 0;
    /// The errno: EIO, ENOSPC, EINTR, ... The operation is not done; but a sync that fails may have written some of the
    /// file, and the rest is never written, whatever later syncs say. 0 for a read or write of half the bytes.
    int sys = EIO;
    /// Once, or from then on. An EINTR that lasts comes every other time, as who is interrupted tries again.
    bool lasting = false;
    /// Only operations of this kind are counted and fail.
    std::optional<operation> of = {};
};

}  // namespace lsm::io

namespace lsm::detail {

/// The faults that are to come, and which of them is due.
class fault_schedule {
public:
    void add(const io::fault& what) { pending_.push_back({what}); }
    void clear() { pending_.clear(); }
    /// Operations that failed or were cut short so far.
    [[nodiscard]] std::uint64_t met() const noexcept { return met_; }

    /// The errno that the next operation is to fail with, or 0.
    [[nodiscard]] int due(io::operation what) {
        shorten_ = false;
        int sys = 0;
        for (auto& [f, seen] : pending_) {
            if (f.of && *f.of != what) continue;
            const std::uint64_t turn = seen++;
            if (turn < f.after || (turn > f.after && !f.lasting)) continue;
            if (f.sys == EINTR && (turn - f.after) % 2 != 0) continue;
            if (f.sys != 0) sys = f.sys;
            if (f.sys == 0) shorten_ = what == io::operation::read || what == io::operation::write;
        }
        met_ += sys != 0 || shorten_;
        return sys;
    }
    /// How much of a transfer is done by the operation that due() was asked for.
    [[nodiscard]] std::size_t shortened(std::size_t length) const noexcept {
        return shorten_ ? (length + 1) / 2 : length;
    }

private:
    struct pending {
        io::fault what;
        std::uint64_t seen = 0;
    };

    std::vector<pending> pending_;
    std::uint64_t met_ = 0;
    bool shorten_ = false;
};

}  // namespace lsm::detail
