#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <lsm/core/result.hpp>
#include <lsm/io/file.hpp>

namespace lsm::io {

/// A new version of a file: written under a temporary name, then renamed over the target by commit(). The destructor
/// removes the temporary file unless it was renamed; the target is then unchanged. The file_system must outlive it.
class replacement {
public:
    /// Creates the file `temporary`. Requires that it is in the directory of `target`. Errors: exists, which names
    /// `temporary`; those of file_system::open(), which name `target`.
    static result<replacement> create(file_system& fs, std::string_view temporary, std::string_view target) {
        // Copied first: if a copy throws, there is no open handle to leak.
        std::string from(temporary), to(target), file_name(target);
        auto handle = fs.open(temporary, open_mode::create_exclusive);
        if (!handle) {
            const bool taken = handle.error().code == errc::exists;
            return std::move(handle).error().in(taken ? temporary : target);
        }
        return replacement(io::file(fs, *handle, std::move(file_name)), std::move(from), std::move(to));
    }

    replacement(replacement&& other) noexcept
        : file_(std::move(other.file_)),
          temporary_(std::exchange(other.temporary_, {})),
          target_(std::move(other.target_)),
          fs_(other.fs_) {}
    replacement& operator=(replacement&&) = delete;
    ~replacement() {
        if (!temporary_.empty()) static_cast<void>(fs_->remove(temporary_));
    }

    /// The file to write to. Its errors name the target.
    [[nodiscard]] io::file& file() noexcept { return file_; }
    /// The path of the file until commit().
    [[nodiscard]] const std::string& temporary() const noexcept { return temporary_; }

    /// Syncs and closes the file, renames it, and syncs the directory. Errors name the target. If only the sync of the
    /// directory fails, renamed() is true: the target is the new version, but after a crash it may be the old one.
    result<void> commit() {
        if (auto synced = file_.sync(); !synced) return synced;
        if (auto closed = file_.close(); !closed) return closed;
        if (auto renamed = fs_->rename(temporary_, target_); !renamed) return std::move(renamed).error().in(target_);
        temporary_.clear();
        auto synced = sync_directory(*fs_, detail::parent_directory(target_));
        if (!synced) return std::move(synced).error().in(target_);
        return synced;
    }

    /// Whether the target is the new version.
    [[nodiscard]] bool renamed() const noexcept { return temporary_.empty(); }

private:
    replacement(io::file out, std::string temporary, std::string target) noexcept
        : file_(std::move(out)), temporary_(std::move(temporary)), target_(std::move(target)), fs_(&file_.system()) {}

    io::file file_;
    std::string temporary_;  // empty once it has been renamed
    std::string target_;
    file_system* fs_;
};

}  // namespace lsm::io
