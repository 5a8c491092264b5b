#pragma once

#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <string_view>

#include <lsm/io/posix_file_system.hpp>
#include <lsm/io/replacement.hpp>
#include <lsm/io/sink.hpp>

#include "common/cli.hpp"

namespace cli {

/// Throws the error of a failed system call; `error_number` is its errno.
[[noreturn]] inline void fail(std::string_view path, std::string_view operation, int error_number) {
    throw lsm::detail::system_failure(operation, error_number).in(path);
}

/// Opens a file for reading.
inline lsm::io::file open_input(const std::string& path) {
    return must(lsm::io::file::open(lsm::io::default_file_system(), path, lsm::io::open_mode::read));
}

/// Returns whether two paths lead to the same existing file.
inline bool same_file(const std::string& a, const std::string& b) {
    struct stat first, second;
    return ::stat(a.c_str(), &first) == 0 && ::stat(b.c_str(), &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

/// A file that a tool reads and then replaces as a whole. Follows symbolic links. Holds an exclusive flock on the
/// file's directory for its lifetime, so that two tools that change the file at the same time lose neither change.
class updated_file {
public:
    /// Blocks until the lock is free. The file need not exist; anything else than a regular file is an error.
    explicit updated_file(const std::string& path) : target_(without_links(path)) {
        const std::string directory(lsm::detail::parent_directory(target_));
        lock_ = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (lock_ < 0) fail(path, "open directory", errno);
        while (::flock(lock_, LOCK_EX) != 0)
            if (errno != EINTR) fail(path, "lock directory", errno);

        // Looked up under the lock: until then another tool may replace the file.
        struct stat status;
        if (::lstat(target_.c_str(), &status) == 0)
            existing_ = status;
        else if (errno != ENOENT)
            fail(path, "lstat", errno);
        if (existing_ && !S_ISREG(existing_->st_mode))
            throw lsm::detail::failure(lsm::errc::invalid_argument, "not a regular file").in(path);
    }
    updated_file(const updated_file&) = delete;
    ~updated_file() { ::close(lock_); }

    /// Returns whether the file existed when this object was made.
    [[nodiscard]] bool exists() const { return existing_.has_value(); }
    /// Returns the path of the file itself, all links followed.
    [[nodiscard]] const std::string& target() const { return target_; }

    /// Replaces the file by what `write(sink)` writes, durably. Keeps the file's mode and, where permitted, its owner.
    /// A new file gets the mode that the umask leaves. If `write` throws or writing fails, the file stays as it was. If
    /// only the last sync of the directory fails, the new file is in place, but may be lost in a crash.
    template <class Write>
    void replace(Write write) {
        auto fresh = create_temporary();
        lsm::io::file_sink file(fresh.file());
        lsm::io::buffered_sink<> out(file);
        write(out);
        must(out.flush());
        const char* const temporary = fresh.temporary().c_str();
        // Owner first: changing it may clear mode bits. A failure is ignored: only the superuser may give a file away.
        if (existing_) static_cast<void>(!::lchown(temporary, existing_->st_uid, existing_->st_gid));
        if (::chmod(temporary, existing_ ? existing_->st_mode & 07777 : 0666 & ~mask_) != 0)
            fail(target_, "chmod", errno);
        must(fresh.commit());
    }

private:
    // Returns what the last component of `path` leads to through any chain of symbolic links. It need not exist.
    static std::string without_links(std::string path) {
        const std::string original = path;
        constexpr int most_links = 40;  // the kernel's limit
        for (int links = 0; links < most_links; ++links) {
            char to[PATH_MAX];
            const auto length = ::readlink(path.c_str(), to, sizeof to);
            if (length < 0 && (errno == EINVAL || errno == ENOENT)) return path;
            if (length < 0) fail(original, "readlink", errno);
            const std::string_view link(to, static_cast<std::size_t>(length));
            path = link.starts_with('/') ? std::string(link)
                                         : lsm::detail::joined(lsm::detail::parent_directory(path), link);
        }
        fail(original, "readlink", ELOOP);
    }

    lsm::io::replacement create_temporary() {
        // Only the owner may read the file until replace() has set its mode.
        mask_ = ::umask(0077);
        // A name that is taken belongs to a tool that was killed: the lock keeps running ones out.
        for (int attempt = 0;; ++attempt) {
            const std::string name = ".lsm-" + std::to_string(::getpid()) + "-" + std::to_string(attempt) + ".tmp";
            auto fresh = lsm::io::replacement::create(lsm::io::default_file_system(),
                                                      lsm::detail::joined(lsm::detail::parent_directory(target_), name),
                                                      target_);
            if (!fresh && fresh.error().code == lsm::errc::exists && attempt < 1000) continue;
            ::umask(mask_);
            return must(std::move(fresh));
        }
    }

    std::string target_;
    int lock_ = -1;
    mode_t mask_ = 0;  // the process's umask
    std::optional<struct stat> existing_;
};

}  // namespace cli
