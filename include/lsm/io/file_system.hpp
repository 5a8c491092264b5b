#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <lsm/core/bytes.hpp>
#include <lsm/core/function_ref.hpp>
#include <lsm/core/result.hpp>

namespace lsm::io {

/// How a file is opened. Every mode refuses anything but a regular file. No mode blocks.
enum class open_mode : unsigned char {
    read,              ///< for read_at and size; follows a symbolic link as the last component of the path
    read_no_follow,    ///< the same, but refuses a symbolic link there
    create_exclusive,  ///< creates a file to write to; errc::exists if the name is taken
};

/// Identifies a file regardless of its name; see file_system::identity().
struct file_identity {
    std::uint64_t device = 0;
    std::uint64_t number = 0;
    std::int64_t written = 0;  // time of the last write, in nanoseconds of the system's clock

    friend bool operator==(const file_identity&, const file_identity&) = default;
};

/// Every operation that lsm performs on a disk. Replace it to inject faults or to run on a simulated disk.
/// Implementations: posix_file_system, memory_file_system, simulated_file_system.
///
/// Each operation makes the system call of that name once: handling short reads, short writes and EINTR is up to the
/// caller (io::file and io::sync_directory do it). An error carries the errno and names the operation; the caller adds
/// the path.
///
/// An implementation must be thread-safe: threads may use it concurrently, even through the same handle.
class file_system {
public:
    using handle = int;

    virtual ~file_system() = default;

    virtual result<handle> open(std::string_view path, open_mode mode) = 0;
    /// Releases the handle, even when it returns an error.
    virtual result<void> close(handle file) = 0;
    /// Returns the number of bytes read, which may be fewer than requested; 0 means the end of the file.
    virtual result<std::size_t> read_at(handle file, std::uint64_t offset, std::span<char> into) = 0;
    /// Returns the number of bytes written, which may be fewer than given. A write beyond the end of the file fills the
    /// gap with zeros.
    virtual result<std::size_t> write_at(handle file, std::uint64_t offset, bytes_view data) = 0;
    /// Makes the file's bytes durable, and the metadata needed to read them back.
    virtual result<void> sync_data(handle file) = 0;
    /// Starts writing a range of the file to the disk, to shorten a later sync. A hint: it guarantees nothing.
    virtual void start_sync(handle file, std::uint64_t offset, std::uint64_t size) {
        static_cast<void>(file), static_cast<void>(offset), static_cast<void>(size);
    }
    /// Like sync_data(), and makes all other metadata durable too.
    virtual result<void> sync(handle file) = 0;
    virtual result<std::uint64_t> size(handle file) = 0;
    /// Distinguishes the file from a later file of the same name. The identity is the same through every handle and
    /// name of the file until the file is written to. After the file is deleted, another file may get its identity, but
    /// not soon. The default returns the same identity for every file.
    virtual result<file_identity> identity(handle file) {
        static_cast<void>(file);
        return file_identity{};
    }
    virtual result<void> truncate(handle file, std::uint64_t size) = 0;
    /// Reserves disk space for the first `size` bytes. Extends a shorter file to `size` with zeros; never shortens one.
    virtual result<void> allocate(handle file, std::uint64_t size) = 0;

    /// Maps the first `size` bytes of the file for reading, until unmap(); closing the handle does not end the mapping.
    /// Reading a page that the disk cannot deliver ends the process with SIGBUS. Returns null if this file system has
    /// no mappings.
    virtual result<const char*> map(handle file, std::uint64_t size) {
        static_cast<void>(file), static_cast<void>(size);
        return nullptr;
    }
    /// Maps `size` bytes of the file from `offset` on for writing, until unmap(). Requires that the file has these
    /// bytes. Takes all of the disk space and memory at once, so that a lack of either is an error here; but a disk
    /// that fails later may end the process with SIGBUS. Returns null if this file system has no mappings.
    virtual result<char*> map_to_write(handle file, std::uint64_t offset, std::uint64_t size) {
        static_cast<void>(file), static_cast<void>(offset), static_cast<void>(size);
        return nullptr;
    }
    /// Ends a mapping. Requires the address and the size of one that map() or map_to_write() has made.
    virtual void unmap(const char* mapped, std::uint64_t size) noexcept {
        static_cast<void>(mapped), static_cast<void>(size);
    }

    /// Renames `from` to `to`, replacing `to`. Atomic for every observer and across a crash.
    virtual result<void> rename(std::string_view from, std::string_view to) = 0;
    /// Gives a file a second name; errc::exists if that name is taken.
    virtual result<void> link(std::string_view from, std::string_view to) = 0;
    virtual result<void> remove(std::string_view path) = 0;
    virtual result<void> make_directory(std::string_view path) = 0;
    /// Makes the names in a directory durable: files and directories created in it, renamed or removed.
    virtual result<void> sync_directory(std::string_view path) = 0;
    /// Calls `each` with every name in the directory except "." and "..", in no particular order.
    virtual result<void> list(std::string_view path, detail::function_ref<void(std::string_view)> each) = 0;

    /// Creates the file if it does not exist, and locks it against every other lock() of this path, in this process or
    /// another, until the handle is closed or the process ends. Does not wait: errc::locked if another lock is held.
    virtual result<handle> lock(std::string_view path) = 0;
};

}  // namespace lsm::io

namespace lsm::detail {

/// `directory` and `name` with a slash between them: "dir/name".
[[nodiscard]] inline std::string joined(std::string_view directory, std::string_view name) {
    std::string out(directory);
    if (!out.empty() && out.back() != '/') out.push_back('/');
    return out.append(name);
}

/// The directory that contains `path`; "." if `path` has no slash.
[[nodiscard]] inline std::string_view parent_directory(std::string_view path) noexcept {
    while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
    const auto slash = path.rfind('/');
    if (slash == std::string_view::npos) return ".";
    path = path.substr(0, slash);
    while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
    return path.empty() ? "/" : path;
}

}  // namespace lsm::detail
