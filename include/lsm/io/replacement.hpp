#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <lsm/core/result.hpp>
#include <lsm/io/file.hpp>

namespace lsm::io {

/// A new version of a file, written under a temporary name and put in place whole by commit(). Without commit(), or
/// when that fails before its rename, the temporary file is removed and the target is as it was.
class replacement {
public:
    /// Creates `temporary`, which must not exist and must be in the directory of `target`.
    static result<replacement> create(file_system& fs, std::string_view temporary, std::string_view target) {
        std::string from(temporary), to(target), file_name(target);  // before there is a handle that could be lost
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
    /// Where it is until commit().
    [[nodiscard]] const std::string& temporary() const noexcept { return temporary_; }

    /// Syncs, closes, renames, and syncs the directory. If only the last step fails the target is the new version, but
    /// may be the old one after a crash: renamed() tells.
    result<void> commit() {
        if (auto synced = file_.sync(); !synced) return synced;
        if (auto closed = file_.close(); !closed) return closed;
        if (auto renamed = fs_->rename(temporary_, target_); !renamed) return std::move(renamed).error().in(target_);
        temporary_.clear();
        auto synced = sync_directory(*fs_, detail::parent_directory(target_));
        if (!synced) return std::move(synced).error().in(target_);
        return synced;
    }

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
