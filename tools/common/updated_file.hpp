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

[[noreturn]] inline void fail(std::string_view path, std::string_view operation, int sys) {
    throw lsm::detail::system_failure(operation, sys).in(path);
}

/// Opens a file to read.
inline lsm::io::file open_input(const std::string& path) {
    return must(lsm::io::file::open(lsm::io::default_file_system(), path, lsm::io::open_mode::read));
}

/// Whether two paths lead to one and the same existing file.
inline bool same_file(const std::string& a, const std::string& b) {
    struct stat first, second;
    return ::stat(a.c_str(), &first) == 0 && ::stat(b.c_str(), &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

/// A file that is to be replaced whole, found through symbolic links, with its directory locked against other processes
/// that do the same for as long as the object lives.
class updated_file {
public:
    explicit updated_file(const std::string& path) : target_(followed(path)) {
        const std::string directory(lsm::detail::parent_directory(target_));
        lock_ = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (lock_ < 0) fail(path, "open directory", errno);
        while (::flock(lock_, LOCK_EX) != 0)
            if (errno != EINTR) fail(path, "lock directory", errno);

        struct stat about;
        if (::lstat(target_.c_str(), &about) == 0)
            existing_ = about;
        else if (errno != ENOENT)
            fail(path, "lstat", errno);
        if (existing_ && !S_ISREG(existing_->st_mode))
            throw lsm::detail::failure(lsm::errc::invalid_argument, "not a regular file").in(path);
    }
    updated_file(const updated_file&) = delete;
    ~updated_file() { ::close(lock_); }

    [[nodiscard]] bool exists() const { return existing_.has_value(); }
    [[nodiscard]] const std::string& target() const { return target_; }

    /// Puts what `write(sink)` writes in the file's place, durably, with the mode and, where allowed, the owner it had.
    /// When `write` or a step of it fails the file is as it was.
    template <class Write>
    void replace(Write write) {
        auto fresh = create_temporary();
        lsm::io::file_sink file(fresh.file());
        lsm::io::buffered_sink<> out(file);
        write(out);
        must(out.flush());
        const char* const temporary = fresh.temporary().c_str();
        if (existing_) static_cast<void>(!::lchown(temporary, existing_->st_uid, existing_->st_gid));
        if (::chmod(temporary, existing_ ? existing_->st_mode & 07777 : 0666 & ~mask_) != 0)
            fail(target_, "chmod", errno);
        must(fresh.commit());
    }

private:
    // Where a path ends when its last part is followed as long as it is a symbolic link; that need not exist.
    static std::string followed(std::string path) {
        const std::string given = path;
        for (int links = 0; links < 40; ++links) {
            char to[PATH_MAX];
            const auto length = ::readlink(path.c_str(), to, sizeof to);
            if (length < 0 && (errno == EINVAL || errno == ENOENT)) return path;
            if (length < 0) fail(given, "readlink", errno);
            const std::string_view link(to, static_cast<std::size_t>(length));
            path = link.starts_with('/') ? std::string(link)
                                         : lsm::detail::joined(lsm::detail::parent_directory(path), link);
        }
        fail(given, "readlink", ELOOP);
    }

    // The lock keeps other tools out, so a name that is taken is a left-over. Until the file has the mode it is to
    // have, it is for its owner alone.
    lsm::io::replacement create_temporary() {
        mask_ = ::umask(0077);
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
