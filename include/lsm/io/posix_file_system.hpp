#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string_view>

#include <lsm/core/result.hpp>
#include <lsm/io/file_system.hpp>

namespace lsm::io {

/// The files of the operating system. Has no state. Every descriptor is close-on-exec.
class posix_file_system final : public file_system {
public:
    result<handle> open(std::string_view path, open_mode mode) override {
        // Without O_NONBLOCK, opening a FIFO would block before its type can be checked.
        int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
        switch (mode) {
            case open_mode::read: flags |= O_RDONLY; break;
            case open_mode::read_no_follow: flags |= O_RDONLY | O_NOFOLLOW; break;
            case open_mode::create_exclusive: flags |= O_RDWR | O_CREAT | O_EXCL; break;
        }
        return open_regular(path, flags);
    }

    result<void> close(handle file) override { return checked("close", ::close(file)); }

    result<std::size_t> read_at(handle file, std::uint64_t offset, std::span<char> into) override {
        return counted("read", ::pread(file, into.data(), into.size(), static_cast<off_t>(offset)));
    }
    result<std::size_t> write_at(handle file, std::uint64_t offset, bytes_view data) override {
        return counted("write", ::pwrite(file, data.data(), data.size(), static_cast<off_t>(offset)));
    }

#if defined(__APPLE__)
    result<void> sync_data(handle file) override { return sync(file); }
    result<void> sync(handle file) override { return checked("fsync", ::fcntl(file, F_FULLFSYNC)); }
#else
    result<void> sync_data(handle file) override { return checked("fdatasync", ::fdatasync(file)); }
    result<void> sync(handle file) override { return checked("fsync", ::fsync(file)); }
#endif

    result<std::uint64_t> size(handle file) override {
        struct stat about;
        if (::fstat(file, &about) != 0) return detail::system_failure("fstat", errno);
        return static_cast<std::uint64_t>(about.st_size);
    }
    // The inode number is not enough: a new file often gets that of a file that was just deleted. The time is mtime,
    // since a link changes ctime.
    result<file_identity> identity(handle file) override {
        struct stat about;
        if (::fstat(file, &about) != 0) return detail::system_failure("fstat", errno);
#if defined(__APPLE__)
        const timespec& written = about.st_mtimespec;
#else
        const timespec& written = about.st_mtim;
#endif
        return file_identity{static_cast<std::uint64_t>(about.st_dev), static_cast<std::uint64_t>(about.st_ino),
                             std::int64_t{written.tv_sec} * 1'000'000'000 + written.tv_nsec};
    }
    result<void> truncate(handle file, std::uint64_t size) override {
        return checked("ftruncate", ::ftruncate(file, static_cast<off_t>(size)));
    }
    void start_sync([[maybe_unused]] handle file, [[maybe_unused]] std::uint64_t offset,
                    [[maybe_unused]] std::uint64_t size) override {
#if defined(SYNC_FILE_RANGE_WRITE)
        static_cast<void>(
            ::sync_file_range(file, static_cast<off_t>(offset), static_cast<off_t>(size), SYNC_FILE_RANGE_WRITE));
#endif
    }

    result<void> allocate(handle file, std::uint64_t size) override {
        // Beyond the limit, the system call would not only fail but also raise SIGXFSZ.
        rlimit most;
        if (::getrlimit(RLIMIT_FSIZE, &most) == 0 && most.rlim_cur != RLIM_INFINITY && size > most.rlim_cur)
            return detail::system_failure("fallocate", EFBIG);
#if defined(__APPLE__)
        return truncate(file, size);
#else
        if (const int sys = ::posix_fallocate(file, 0, static_cast<off_t>(size)); sys != 0)
            return detail::system_failure("fallocate", sys);
        return {};
#endif
    }

    result<const char*> map(handle file, std::uint64_t size) override {
        void* const mapped = ::mmap(nullptr, static_cast<std::size_t>(size), PROT_READ, MAP_SHARED, file, 0);
        if (mapped == MAP_FAILED) return detail::system_failure("mmap", errno);
        return static_cast<const char*>(mapped);
    }
    result<char*> map_to_write([[maybe_unused]] handle file, [[maybe_unused]] std::uint64_t offset,
                               [[maybe_unused]] std::uint64_t size) override {
#if defined(MADV_POPULATE_WRITE)
        // A mapping starts at a page; unmap() finds that page again from the address.
        const std::uint64_t lead = offset % page_bytes();
        const auto whole = static_cast<std::size_t>(lead + size);
        void* const mapped =
            ::mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_SHARED, file, static_cast<off_t>(offset - lead));
        if (mapped == MAP_FAILED) return detail::system_failure("mmap", errno);
        // Faults in every page now, so that a full disk is an error here and not a SIGBUS at the first store.
        if (::madvise(mapped, whole, MADV_POPULATE_WRITE) != 0) {
            const int sys = errno;
            ::munmap(mapped, whole);
            return detail::system_failure("madvise", sys);
        }
        return static_cast<char*>(mapped) + lead;
#else
        return nullptr;
#endif
    }
    void unmap(const char* mapped, std::uint64_t size) noexcept override {
        const std::uint64_t lead = reinterpret_cast<std::uintptr_t>(mapped) % page_bytes();
        ::munmap(const_cast<char*>(mapped - lead), static_cast<std::size_t>(lead + size));
    }

    result<void> rename(std::string_view from, std::string_view to) override {
        return with_paths("rename", ::rename, from, to);
    }
    result<void> link(std::string_view from, std::string_view to) override {
        return with_paths("link", ::link, from, to);
    }
    result<void> remove(std::string_view path) override {
        const c_path target(path);
        if (!target) return target.failure("unlink");
        return checked("unlink", ::unlink(target.get()));
    }
    result<void> make_directory(std::string_view path) override {
        const c_path target(path);
        if (!target) return target.failure("mkdir");
        return checked("mkdir", ::mkdir(target.get(), 0777));
    }

    result<void> sync_directory(std::string_view path) override {
        auto directory = open_descriptor(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (!directory) return std::move(directory).error();
        auto synced = sync(*directory);
        ::close(*directory);
        return synced;
    }

    result<void> list(std::string_view path, detail::function_ref<void(std::string_view)> each) override {
        auto descriptor = open_descriptor(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (!descriptor) return std::move(descriptor).error();
        const std::unique_ptr<DIR, directory_closer> directory(::fdopendir(*descriptor));
        if (!directory) {
            const int sys = errno;
            ::close(*descriptor);
            return detail::system_failure("opendir", sys);
        }
        for (;;) {
            errno = 0;  // only errno distinguishes the end of the directory from an error
            const dirent* const entry = ::readdir(directory.get());
            if (entry == nullptr) return errno == 0 ? result<void>() : detail::system_failure("readdir", errno);
            const std::string_view name = entry->d_name;
            if (name != "." && name != "..") each(name);
        }
    }

    result<handle> lock(std::string_view path) override {
        for (int attempt = 0; attempt < 100; ++attempt) {
            auto file = open_regular(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
            if (!file) return file;
            if (::flock(*file, LOCK_EX | LOCK_NB) != 0) {
                const int sys = errno;
                ::close(*file);
                if (sys == EINTR) continue;
                if (sys == EWOULDBLOCK) return detail::failure(errc::locked, "in use by another process or handle");
                return detail::system_failure("flock", sys);
            }
            // The lock counts only if the locked file still has the name: the file may have been removed or replaced
            // after it was opened. If so, try again with the file that has the name now.
            struct stat locked, named;
            const bool known = ::fstat(*file, &locked) == 0 && ::lstat(c_path(path).get(), &named) == 0;
            if (known && locked.st_dev == named.st_dev && locked.st_ino == named.st_ino) return file;
            const int sys = errno;
            ::close(*file);
            if (!known && sys != ENOENT) return detail::system_failure("stat", sys);
        }
        return detail::failure(errc::locked, "the file was replaced at every attempt to lock it");
    }

private:
    // A path as the null-terminated string that system calls take, on the stack. False if it is too long or contains a
    // null byte.
    class c_path {
    public:
        explicit c_path(std::string_view path) noexcept {
            if (path.size() >= sizeof raw_) problem_ = ENAMETOOLONG;
            if (path.find('\0') != std::string_view::npos) problem_ = EINVAL;
            if (problem_ != 0) path = {};
            path.copy(raw_, path.size());
            raw_[path.size()] = '\0';
        }
        explicit operator bool() const noexcept { return problem_ == 0; }
        [[nodiscard]] const char* get() const noexcept { return raw_; }
        [[nodiscard]] error failure(std::string_view operation) const {
            return detail::system_failure(operation, problem_);
        }

    private:
        int problem_ = 0;
        char raw_[PATH_MAX];
    };

    struct directory_closer {
        void operator()(DIR* directory) const noexcept { ::closedir(directory); }
    };

    static std::uint64_t page_bytes() noexcept { return static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)); }

    static result<void> checked(std::string_view operation, int outcome) {
        if (outcome != 0) return detail::system_failure(operation, errno);
        return {};
    }
    static result<std::size_t> counted(std::string_view operation, ssize_t outcome) {
        if (outcome < 0) return detail::system_failure(operation, errno);
        return static_cast<std::size_t>(outcome);
    }

    static result<void> with_paths(std::string_view operation, int (*call)(const char*, const char*),
                                   std::string_view from, std::string_view to) {
        const c_path source(from), target(to);
        if (!source) return source.failure(operation);
        if (!target) return target.failure(operation);
        return checked(operation, call(source.get(), target.get()));
    }

    static result<handle> open_descriptor(std::string_view path, int flags) {
        const c_path target(path);
        if (!target) return target.failure("open");
        int file = -1;
        do {
            file = ::open(target.get(), flags, 0666);
        } while (file < 0 && errno == EINTR);
        if (file < 0) return detail::system_failure("open", errno);
        return file;
    }

    static result<handle> open_regular(std::string_view path, int flags) {
        auto file = open_descriptor(path, flags);
        if (!file) return file;
        struct stat about;
        const bool known = ::fstat(*file, &about) == 0;
        if (known && S_ISREG(about.st_mode)) return file;
        const int sys = errno;
        ::close(*file);
        if (flags & O_EXCL) ::unlink(c_path(path).get());  // this call has created it
        if (!known) return detail::system_failure("fstat", sys);
        return detail::failure(errc::invalid_argument, "not a regular file");
    }
};

/// The file system that is used if options name none.
[[nodiscard]] inline posix_file_system& default_file_system() noexcept {
    // Never destroyed: a database or cursor with static storage duration may be destroyed after any object that is.
    static union immortal {
        posix_file_system system;
        immortal() : system() {}
        ~immortal() {}
    } kept;
    return kept.system;
}

}  // namespace lsm::io
