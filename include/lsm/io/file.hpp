#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <lsm/core/bytes.hpp>
#include <lsm/core/result.hpp>
#include <lsm/io/file_system.hpp>
#include <lsm/io/mapping.hpp>

namespace lsm::detail {

/// Repeats a system call until no signal interrupts it.
template <class Call>
auto uninterrupted(Call call) {
    for (;;) {
        auto outcome = call();
        if (outcome || outcome.error().sys != EINTR) return outcome;
    }
}

}  // namespace lsm::detail

namespace lsm::io {

/// Makes the names in `directory` durable. Errors name the directory.
inline result<void> sync_directory(file_system& fs, std::string_view directory) {
    auto synced = detail::uninterrupted([&] { return fs.sync_directory(directory); });
    if (!synced) return std::move(synced).error().in(directory);
    return synced;
}

/// Removes `path` if it exists. Errors name the path.
inline result<void> remove_if_present(file_system& fs, std::string_view path) {
    auto removed = fs.remove(path);
    if (!removed && removed.error().code != errc::not_found) return std::move(removed).error().in(path);
    return {};
}

/// Owns an open file and closes it on destruction. A file is written only by append(). Errors name the path. Reading is
/// thread-safe; everything else is for one thread at a time. Move-only. The file_system must outlive it.
class file {
public:
    /// No file. Only is_open(), close(), assignment and destruction are allowed.
    file() = default;
    /// Takes ownership of an open handle. Errors name the file by `path`.
    file(file_system& fs, file_system::handle handle, std::string path)
        : fs_(&fs), handle_(handle), path_(std::move(path)) {}
    file(file&& other) noexcept
        : fs_(std::exchange(other.fs_, nullptr)),
          handle_(other.handle_),
          end_(other.end_),
          started_(other.started_),
          window_begin_(other.window_begin_),
          window_(std::move(other.window_)),
          path_(std::move(other.path_)) {}
    file& operator=(file&& other) noexcept {
        file old(std::move(*this));
        fs_ = std::exchange(other.fs_, nullptr);
        handle_ = other.handle_;
        end_ = other.end_;
        started_ = other.started_;
        window_begin_ = other.window_begin_;
        window_ = std::move(other.window_);
        path_ = std::move(other.path_);
        return *this;
    }
    ~file() {
        if (fs_ != nullptr) static_cast<void>(fs_->close(handle_));
    }

    static result<file> open(file_system& fs, std::string_view path, open_mode mode) {
        std::string name(path);  // copied first: if that throws, there is no open handle to leak
        auto handle = fs.open(path, mode);
        if (!handle) return std::move(handle).error().in(path);
        return file(fs, *handle, std::move(name));
    }
    static result<file> lock(file_system& fs, std::string_view path) {
        std::string name(path);
        auto handle = fs.lock(path);
        if (!handle) return std::move(handle).error().in(path);
        return file(fs, *handle, std::move(name));
    }

    [[nodiscard]] bool is_open() const noexcept { return fs_ != nullptr; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] file_system& system() const noexcept { return *fs_; }

    /// Fills `into` with the bytes from `offset` on. Returns how many, which is fewer only at the end of the file.
    result<std::size_t> read_at(std::uint64_t offset, std::span<char> into) const {
        std::size_t done = 0;
        while (done < into.size()) {
            auto got = detail::uninterrupted([&] { return fs_->read_at(handle_, offset + done, into.subspan(done)); });
            if (!got) return std::move(got).error().in(path_);
            if (*got == 0) break;
            done += *got;
        }
        return done;
    }

    /// Like read_at(), but errc::short_input if the file ends before `into` is full.
    result<void> read_exactly(std::uint64_t offset, std::span<char> into) const {
        auto got = read_at(offset, into);
        if (!got) return std::move(got).error();
        if (*got != into.size())
            return detail::failure_at(offset + *got, errc::short_input, "the file ends here").in(path_);
        return {};
    }

    /// Writes all of `data` after what was appended before. After an error, a part of it may have been written;
    /// truncate() removes it.
    result<void> append(bytes_view data) {
        if (!data.empty() && data.size() <= mapped_ahead()) {
            data.copy(window_.begin() + (end_ - window_begin_), data.size());
            end_ += data.size();
            return {};
        }
        while (!data.empty()) {
            auto put = detail::uninterrupted([&] { return fs_->write_at(handle_, end_, data); });
            if (put && *put == 0) put = detail::system_failure("write", EIO);  // else this would never end
            if (!put) return std::move(put).error().in(path_);
            data.remove_prefix(*put);
            end_ += *put;
        }
        return {};
    }

    /// Reserves disk space for the next `bytes` bytes and maps it, so that append() copies into memory instead of
    /// making a system call. The space reads as zeros until then. Returns false if this is not possible; only the
    /// length of the file may have changed then. As with file_system::map_to_write(), a disk that fails later may end
    /// the process.
    bool map_ahead(std::uint64_t bytes) {
        window_ = {};
        if (!allocate(end_ + bytes)) return false;
        const auto memory = fs_->map_to_write(handle_, end_, bytes);
        if (!memory) return false;
        window_ = mapping<char>(*fs_, *memory, bytes);
        window_begin_ = end_;
        return static_cast<bool>(window_);
    }
    /// How many bytes can still be appended into the space that map_ahead() mapped.
    [[nodiscard]] std::uint64_t mapped_ahead() const noexcept {
        const std::uint64_t window_end = window_begin_ + window_.size();
        return window_end > end_ ? window_end - end_ : 0;
    }

    /// Starts to write the appended bytes to the disk, as soon as there are 1 MiB of new ones. For files that are
    /// synced once complete: the sync then has less to wait for. Guarantees nothing, as file_system::start_sync().
    void start_sync() {
        if (end_ - started_ < smallest_start) return;
        fs_->start_sync(handle_, started_, end_ - started_);
        started_ = end_;
    }
    result<void> sync_data() {
        return named(detail::uninterrupted([&] { return fs_->sync_data(handle_); }));
    }
    result<void> sync() {
        return named(detail::uninterrupted([&] { return fs_->sync(handle_); }));
    }
    result<void> truncate(std::uint64_t size) {
        window_ = {};  // touching a page beyond the end of the file raises SIGBUS
        auto done = named(detail::uninterrupted([&] { return fs_->truncate(handle_, size); }));
        if (done) end_ = size;
        if (done) started_ = std::min(started_, size);
        return done;
    }
    result<void> allocate(std::uint64_t size) {
        return named(detail::uninterrupted([&] { return fs_->allocate(handle_, size); }));
    }
    result<std::uint64_t> size() const { return named(fs_->size(handle_)); }
    result<file_identity> identity() const { return named(fs_->identity(handle_)); }

    /// Maps the first `size` bytes for reading, as file_system::map() does. The mapping may outlive the file object. It
    /// is empty if the file_system has no mappings.
    result<mapping<const char>> map(std::uint64_t size) const {
        const auto memory = named(fs_->map(handle_, size));
        if (!memory) return memory.error();
        return mapping<const char>(*fs_, *memory, size);
    }

    /// Renames the file, replacing any file of that name. Errors name `to`.
    result<void> rename(std::string_view to) {
        if (auto done = fs_->rename(path_, to); !done) return std::move(done).error().in(to);
        path_ = to;
        return {};
    }

    /// Closes the file and reports any error of the system call; either way the object holds no file afterwards. Does
    /// nothing if it holds none.
    result<void> close() {
        if (fs_ == nullptr) return {};
        window_ = {};
        return named(std::exchange(fs_, nullptr)->close(handle_));
    }

private:
    template <class T>
    result<T> named(result<T> done) const {
        if (!done) return std::move(done).error().in(path_);
        return done;
    }

    static constexpr std::uint64_t smallest_start = std::uint64_t{1} << 20;

    file_system* fs_ = nullptr;
    file_system::handle handle_ = -1;
    std::uint64_t end_ = 0;
    std::uint64_t started_ = 0;  // start_sync() has passed on the bytes before this offset
    std::uint64_t window_begin_ = 0;
    mapping<char> window_;  // the mapped space that append() copies into
    std::string path_;
};

}  // namespace lsm::io
