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

[[nodiscard]] constexpr std::string_view to_string(operation op) noexcept {
    constexpr std::string_view names[] = {
        "open", "create", "close",          "read",           "write",    "start_sync", "sync_data",
        "sync", "size",   "identity",       "truncate",       "allocate", "map",        "rename",
        "link", "remove", "make_directory", "sync_directory", "list",     "lock"};
    return names[static_cast<std::size_t>(op)];
}

/// Whether the operation changes the contents of a disk, or makes changes durable.
[[nodiscard]] constexpr bool changes_disk(operation op) noexcept {
    switch (op) {
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

/// A fault to inject: which operations of a simulated_file_system fail, and how.
struct fault {
    /// The number of operations that pass first, counted from the injection of the fault.
    std::uint64_t after = 0;
    /// The errno to fail with: EIO, ENOSPC, EINTR, ... The operation is not performed, with one exception: a failed
    /// sync may have written a part of the file, and the rest is never written, even if a later sync succeeds. 0
    /// instead shortens a read or write to half of its bytes, rounded up.
    int sys = EIO;
    /// Whether later operations fail too. An EINTR then hits every other one, since the caller tries again.
    bool lasting = false;
    /// If set, only operations of this kind are counted and fail.
    std::optional<operation> of = {};
};

}  // namespace lsm::io

namespace lsm::detail {

/// The injected faults, and which of them hits the current operation.
class fault_schedule {
public:
    void add(const io::fault& fault) { pending_.push_back({fault}); }
    void clear() { pending_.clear(); }
    /// The number of operations that failed or were shortened so far.
    [[nodiscard]] std::uint64_t met() const noexcept { return met_; }

    /// Begins an operation. Returns the errno to fail it with, or 0.
    [[nodiscard]] int begin(io::operation op) {
        shorten_ = false;
        int sys = 0;
        for (auto& [f, seen] : pending_) {
            if (f.of && *f.of != op) continue;
            const std::uint64_t turn = seen++;
            if (turn < f.after || (turn > f.after && !f.lasting)) continue;
            if (f.sys == EINTR && (turn - f.after) % 2 != 0) continue;
            if (f.sys != 0)
                sys = f.sys;
            else
                shorten_ = op == io::operation::read || op == io::operation::write;
        }
        if (sys != 0 || shorten_) ++met_;
        return sys;
    }
    /// How many of `length` bytes the operation that has begun may transfer.
    [[nodiscard]] std::size_t shortened(std::size_t length) const noexcept {
        return shorten_ ? (length + 1) / 2 : length;
    }

private:
    struct pending {
        io::fault fault;
        std::uint64_t seen = 0;  // operations that counted
    };

    std::vector<pending> pending_;
    std::uint64_t met_ = 0;
    bool shorten_ = false;
};

}  // namespace lsm::detail
