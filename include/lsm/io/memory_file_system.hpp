#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/result.hpp>
#include <lsm/io/file_system.hpp>

namespace lsm::detail {

/// `path` without repeated slashes, trailing slashes and leading "./".
[[nodiscard]] inline std::string normal_path(std::string_view path) {
    std::string out;
    for (const char c : path)
        if (c != '/' || out.empty() || out.back() != '/') out.push_back(c);
    if (out.size() > 1 && out.back() == '/') out.pop_back();
    while (out.starts_with("./")) out.erase(0, 2);
    return out;
}

}  // namespace lsm::detail

namespace lsm::io {

/// Keeps files in memory, for as long as the object lives: for tests, and for databases that need not persist. Behaves
/// like a POSIX file system (an unlinked file, for example, exists while it is open), but has no symbolic links and
/// does not rename directories. The directories "." and "/" always exist.
class memory_file_system final : public file_system {
public:
    result<handle> open(std::string_view path, open_mode mode) override {
        const std::lock_guard guard(mutex_);
        const std::string name = normal(path);
        const auto found = files_.find(name);
        if (mode == open_mode::create_exclusive) {
            if (const int sys = creation_error(name); sys != 0) return detail::system_failure("open", sys);
            // Opened before it gets its name: if that throws, there is no file. merge() allocates nothing.
            decltype(files_) fresh;
            const handle out = opened(fresh.emplace(name, new_file()).first->second, true);
            files_.merge(fresh);
            return out;
        }
        if (directories_.contains(name)) return detail::failure(errc::invalid_argument, "not a regular file");
        if (found == files_.end()) return detail::system_failure("open", ENOENT);
        return opened(found->second, false);
    }

    result<void> close(handle file) override {
        const std::lock_guard guard(mutex_);
        locks_.erase(file);
        return open_.erase(file) == 1 ? result<void>() : detail::system_failure("close", EBADF);
    }

    result<std::size_t> read_at(handle file, std::uint64_t offset, std::span<char> into) override {
        const std::lock_guard guard(mutex_);
        const auto found = open_.find(file);
        if (found == open_.end()) return detail::system_failure("read", EBADF);
        const std::string& data = found->second.file->data;
        if (offset >= data.size()) return std::size_t{0};
        return data.copy(into.data(), into.size(), static_cast<std::size_t>(offset));
    }
    result<std::size_t> write_at(handle file, std::uint64_t offset, bytes_view data) override {
        const std::lock_guard guard(mutex_);
        std::string* const to = writable(file);
        if (to == nullptr) return detail::system_failure("write", EBADF);
        if (data.empty()) return std::size_t{0};
        const auto start = static_cast<std::size_t>(offset);
        if (to->size() < start + data.size()) to->resize(start + data.size());
        std::copy(data.begin(), data.end(), to->begin() + static_cast<std::ptrdiff_t>(start));
        return data.size();
    }

    result<void> sync_data(handle file) override { return sync(file); }
    result<void> sync(handle file) override {
        const std::lock_guard guard(mutex_);
        return open_.contains(file) ? result<void>() : detail::system_failure("fsync", EBADF);
    }

    result<std::uint64_t> size(handle file) override {
        const std::lock_guard guard(mutex_);
        const auto found = open_.find(file);
        if (found == open_.end()) return detail::system_failure("fstat", EBADF);
        return std::uint64_t{found->second.file->data.size()};
    }
    result<file_identity> identity(handle file) override {
        const std::lock_guard guard(mutex_);
        const auto found = open_.find(file);
        if (found == open_.end()) return detail::system_failure("fstat", EBADF);
        return file_identity{.number = found->second.file->number};
    }
    result<void> truncate(handle file, std::uint64_t size) override {
        const std::lock_guard guard(mutex_);
        std::string* const data = writable(file);
        if (data == nullptr) return detail::system_failure("ftruncate", EBADF);
        data->resize(static_cast<std::size_t>(size));
        return {};
    }
    result<void> allocate(handle file, std::uint64_t size) override {
        const std::lock_guard guard(mutex_);
        std::string* const data = writable(file);
        if (data == nullptr) return detail::system_failure("fallocate", EBADF);
        if (size == 0) return detail::system_failure("fallocate", EINVAL);
        data->resize(std::max(data->size(), static_cast<std::size_t>(size)));
        return {};
    }

    result<void> rename(std::string_view from, std::string_view to) override {
        const std::lock_guard guard(mutex_);
        const std::string source = normal(from), target = normal(to);
        const auto moved = files_.find(source);
        if (moved == files_.end()) return detail::system_failure("rename", ENOENT);
        if (const int sys = creation_error(target); sys != 0 && !files_.contains(target))
            return detail::system_failure("rename", sys == EEXIST ? EISDIR : sys);
        auto& replaced = files_[target];
        if (replaced == moved->second) return {};  // both are names of one file, or the same name: nothing happens
        replaced = moved->second;
        files_.erase(moved);
        return {};
    }
    result<void> link(std::string_view from, std::string_view to) override {
        const std::lock_guard guard(mutex_);
        const std::string target = normal(to);
        const auto found = files_.find(normal(from));
        if (found == files_.end()) return detail::system_failure("link", ENOENT);
        if (const int sys = creation_error(target); sys != 0) return detail::system_failure("link", sys);
        files_.emplace(target, found->second);
        return {};
    }
    result<void> remove(std::string_view path) override {
        const std::lock_guard guard(mutex_);
        if (files_.erase(normal(path)) == 1) return {};
        return detail::system_failure("unlink", directories_.contains(normal(path)) ? EISDIR : ENOENT);
    }
    result<void> make_directory(std::string_view path) override {
        const std::lock_guard guard(mutex_);
        const std::string name = normal(path);
        if (const int sys = creation_error(name); sys != 0) return detail::system_failure("mkdir", sys);
        directories_.insert(name);
        return {};
    }
    result<void> sync_directory(std::string_view path) override {
        const std::lock_guard guard(mutex_);
        if (!directories_.contains(normal(path))) return detail::system_failure("open", ENOENT);
        return {};
    }
    result<void> list(std::string_view path, detail::function_ref<void(std::string_view)> each) override {
        std::vector<std::string> names;
        {
            const std::lock_guard guard(mutex_);
            const std::string directory = normal(path);
            if (!directories_.contains(directory)) return detail::system_failure("open", ENOENT);
            const auto add = [&](const std::string& name) {
                if (name != directory && parent(name) == directory) names.push_back(name.substr(name.rfind('/') + 1));
            };
            for (const auto& [name, data] : files_) add(name);
            for (const auto& name : directories_) add(name);
        }
        for (const auto& name : names) each(name);  // unlocked, since it may use the file system
        return {};
    }

    result<handle> lock(std::string_view path) override {
        const std::lock_guard guard(mutex_);
        const std::string name = normal(path);
        if (directories_.contains(name)) return detail::failure(errc::invalid_argument, "not a regular file");
        if (!files_.contains(name)) {
            if (const int sys = creation_error(name); sys != 0) return detail::system_failure("open", sys);
            files_.emplace(name, new_file());
        }
        const contents& data = files_.at(name);
        for (const auto& [holder, locked] : locks_)
            if (locked == data) return detail::failure(errc::locked, "in use by another handle");
        const handle out = opened(data, true);
        locks_.emplace(out, data);
        return out;
    }

private:
    struct stored_file {
        std::uint64_t number;
        std::string data;
    };
    using contents = std::shared_ptr<stored_file>;
    struct open_file {
        contents file;
        bool writable;
    };

    static std::string normal(std::string_view path) { return detail::normal_path(path); }
    static std::string parent(const std::string& name) { return std::string(detail::parent_directory(name)); }

    // The errno with which the file system refuses to create `name`, or 0.
    [[nodiscard]] int creation_error(const std::string& name) const {
        if (files_.contains(name) || directories_.contains(name)) return EEXIST;
        if (name.empty()) return ENOENT;
        if (files_.contains(parent(name))) return ENOTDIR;
        return directories_.contains(parent(name)) ? 0 : ENOENT;
    }

    contents new_file() { return std::make_shared<stored_file>(stored_file{++files_made_, {}}); }
    handle opened(contents file, bool writable) {
        open_.emplace(next_, open_file{std::move(file), writable});
        return next_++;
    }
    [[nodiscard]] std::string* writable(handle file) {
        const auto found = open_.find(file);
        return found != open_.end() && found->second.writable ? &found->second.file->data : nullptr;
    }

    std::mutex mutex_;
    std::map<std::string, contents> files_;
    std::set<std::string> directories_{".", "/"};
    std::map<handle, open_file> open_;
    std::map<handle, contents> locks_;
    handle next_ = 0;
    std::uint64_t files_made_ = 0;
};

}  // namespace lsm::io
