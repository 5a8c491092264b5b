#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <lsm/core/bytes.hpp>
#include <lsm/core/function_ref.hpp>
#include <lsm/core/result.hpp>

namespace lsm::io {

/// How a file is opened. Every mode refuses what is not a regular file, and no mode waits for anything.
enum class open_mode : unsigned char {
    read,              ///< read_at and size; a symbolic link as the last part of the path is followed
    read_no_follow,    ///< the same, but a symbolic link is refused
    create_exclusive,  ///< a new file, to write; errc::exists if anything has that name
};

/// What a file system knows a file by.
struct file_identity {
    std::uint64_t device = 0;
    std::uint64_t number = 0;
    std::int64_t written = 0;  // nanoseconds, by the system's clock

    friend bool operator==(const file_identity&, const file_identity&) = default;
};

/// Everything lsm may do to a disk; the seam at which tests inject faults and users put simulated disks.
/// Implementations: posix_file_system, memory_file_system, simulated_file_system.
///
/// Operations do what the system call of that name does, once: short reads and writes and EINTR are for the caller
/// (io::file and io::sync_directory deal with them). Errors carry the errno and name the operation; whoever knows the
/// path adds it.
///
/// Requires of an implementation: threads may use it at the same time, a single handle included.
class file_system {
public:
    using handle = int;

    virtual ~file_system() = default;

    virtual result<handle> open(std::string_view path, open_mode mode) = 0;
    /// Always gives the handle back, also when it reports an error.
    virtual result<void> close(handle file) = 0;
    /// Bytes read: fewer than asked for are legal, 0 is the end of the file.
    virtual result<std::size_t> read_at(handle file, std::uint64_t offset, std::span<char> into) = 0;
    /// Bytes written: fewer than given are legal. Writing beyond the end fills the gap with zeros.
    virtual result<std::size_t> write_at(handle file, std::uint64_t offset, bytes_view data) = 0;
    /// The file's bytes, and what is needed to find them again, are on the disk.
    virtual result<void> sync_data(handle file) = 0;
    /// Begins to bring a stretch of the file's bytes to the disk, so that a later sync has less to wait for. Promises
    /// nothing.
    virtual void start_sync(handle file, std::uint64_t offset, std::uint64_t size) {
        static_cast<void>(file), static_cast<void>(offset), static_cast<void>(size);
    }
    /// The same as sync_data, and all other metadata.
    virtual result<void> sync(handle file) = 0;
    virtual result<std::uint64_t> size(handle file) = 0;
    /// Tells the file from one that has its name later: the same by every handle and name of it, for as long as it is
    /// not written to. If the file is gone, another may come to have it, but not soon. A file system that has no such
    /// thing gives all files the same.
    virtual result<file_identity> identity(handle file) {
        static_cast<void>(file);
        return file_identity{};
    }
    virtual result<void> truncate(handle file, std::uint64_t size) = 0;
    /// Reserves disk space up to `size` and makes the file that long, zeros behind what it had.
    virtual result<void> allocate(handle file, std::uint64_t size) = 0;

    /// The first `size` bytes of the file as memory, until unmap(), whether the handle stays open or not. A page that
    /// the disk cannot deliver ends the process with SIGBUS when it is read. Null: this file system has no such thing.
    virtual result<const char*> map(handle file, std::uint64_t size) {
        static_cast<void>(file), static_cast<void>(size);
        return nullptr;
    }
    /// So many bytes of the file from `offset` on, which it must have, as memory to write to, until unmap(). All of it
    /// is taken from the disk and from memory at once, so that what can go wrong is an error here; but a disk that
    /// fails later may end the process with SIGBUS. Null: this file system has no such thing.
    virtual result<char*> map_to_write(handle file, std::uint64_t offset, std::uint64_t size) {
        static_cast<void>(file), static_cast<void>(offset), static_cast<void>(size);
        return nullptr;
    }
    virtual void unmap(const char* mapped, std::uint64_t size) noexcept {
        static_cast<void>(mapped), static_cast<void>(size);
    }

    /// Replaces `to`, in one step for every observer and after a crash.
    virtual result<void> rename(std::string_view from, std::string_view to) = 0;
    /// A second name for a file; errc::exists if anything has it.
    virtual result<void> link(std::string_view from, std::string_view to) = 0;
    virtual result<void> remove(std::string_view path) = 0;
    virtual result<void> make_directory(std::string_view path) = 0;
    /// The names in a directory (files created, renamed, removed) are on the disk.
    virtual result<void> sync_directory(std::string_view path) = 0;
    /// Calls `each` with every name in the directory but "." and "..", in no order.
    virtual result<void> list(std::string_view path, detail::function_ref<void(std::string_view)> each) = 0;

    /// Creates the file if need be and locks it against every other lock() of this path, in this process or another,
    /// until the handle is closed or the process ends; errc::locked at once if it is taken.
    virtual result<handle> lock(std::string_view path) = 0;
};

}  // namespace lsm::io

namespace lsm::detail {

/// "dir/name".
[[nodiscard]] inline std::string joined(std::string_view directory, std::string_view name) {
    std::string out(directory);
    if (!out.empty() && out.back() != '/') out.push_back('/');
    return out.append(name);
}

/// The directory that holds `path`.
[[nodiscard]] inline std::string_view parent_directory(std::string_view path) noexcept {
    while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
    const auto slash = path.rfind('/');
    if (slash == std::string_view::npos) return ".";
    path = path.substr(0, slash);
    while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
    return path.empty() ? "/" : path;
}

}  // namespace lsm::detail
