#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <lsm/core/result.hpp>
#include <lsm/io/file_system.hpp>

namespace lsm::io {

/// Files in memory, gone with the object: for tests, and for databases that need not last. Behaves as a POSIX file system
/// does, an unlinked file lives on while it is open included; there are no links other than hard ones. "." and "/" exist.
class memory_file_system final : public file_system {
public:
    result<handle> open(std::string_view path, open_mode mode) override {
        const std::lock_guard guard(mutex_);
        const std::string name = normal(path);
        if (directories_.contains(name)) return detail::failure(errc::invalid_argument, "not a regular file");
        const auto found = files_.find(name);
        if (mode == open_mode::create_exclusive) {
            if (found != files_.end()) return detail::system_failure("open", EEXIST);
            if (!directories_.contains(parent(name))) return detail::system_failure("open", ENOENT);
            return opened(files_.emplace(name, std::make_shared<std::string>()).first->second);
        }
        if (found == files_.end()) return detail::system_failure("open", ENOENT);
        return opened(found->second);
    }

    result<void> close(handle file) override {
        const std::lock_guard guard(mutex_);
        locks_.erase(file);
        return open_.erase(file) == 1 ? result<void>() : detail::system_failure("close", EBADF);
    }

    result<std::size_t> read_at(handle file, std::uint64_t offset, std::span<char> into) override {
        const std::lock_guard guard(mutex_);
        const std::string& data = *open_.at(file);
        if (offset >= data.size()) return std::size_t{0};
        return data.copy(into.data(), into.size(), static_cast<std::size_t>(offset));
    }
    result<std::size_t> write_at(handle file, std::uint64_t offset, bytes_view data) override {
        const std::lock_guard guard(mutex_);
        std::string& to = *open_.at(file);
        const auto start = static_cast<std::size_t>(offset);
        if (to.size() < start + data.size()) to.resize(start + data.size());
        std::copy(data.begin(), data.end(), to.begin() + static_cast<std::ptrdiff_t>(start));
        return data.size();
    }

    result<void> sync_data(handle) override { return {}; }
    result<void> sync(handle) override { return {}; }

    result<std::uint64_t> size(handle file) override {
        const std::lock_guard guard(mutex_);
        return std::uint64_t{open_.at(file)->size()};
    }
    result<void> truncate(handle file, std::uint64_t size) override {
        const std::lock_guard guard(mutex_);
        open_.at(file)->resize(static_cast<std::size_t>(size));
        return {};
    }
    result<void> allocate(handle file, std::uint64_t size) override {
        const std::lock_guard guard(mutex_);
        std::string& data = *open_.at(file);
        data.resize(std::max(data.size(), static_cast<std::size_t>(size)));
        return {};
    }

    result<void> rename(std::string_view from, std::string_view to) override {
        const std::lock_guard guard(mutex_);
        const std::string target = normal(to);
        if (directories_.contains(target)) return detail::system_failure("rename", EISDIR);
        if (!directories_.contains(parent(target))) return detail::system_failure("rename", ENOENT);
        auto moved = files_.extract(normal(from));
        if (moved.empty()) return detail::system_failure("rename", ENOENT);
        files_.erase(target);
        moved.key() = target;
        files_.insert(std::move(moved));
        return {};
    }
    result<void> link(std::string_view from, std::string_view to) override {
        const std::lock_guard guard(mutex_);
        const std::string target = normal(to);
        const auto found = files_.find(normal(from));
        if (found == files_.end() || !directories_.contains(parent(target)))
            return detail::system_failure("link", ENOENT);
        if (directories_.contains(target) || !files_.emplace(target, found->second).second)
            return detail::system_failure("link", EEXIST);
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
        if (files_.contains(name) || directories_.contains(name)) return detail::system_failure("mkdir", EEXIST);
        if (!directories_.contains(parent(name))) return detail::system_failure("mkdir", ENOENT);
        directories_.insert(name);
        return {};
    }
    result<void> sync_directory(std::string_view path) override {
        const std::lock_guard guard(mutex_);
        if (!directories_.contains(normal(path))) return detail::system_failure("open", ENOENT);
        return {};
    }
    result<void> list(std::string_view path, detail::function_ref<void(std::string_view)> each) override {
        const std::lock_guard guard(mutex_);
        const std::string directory = normal(path);
        if (!directories_.contains(directory)) return detail::system_failure("open", ENOENT);
        const auto report = [&](const std::string& name) {
            if (name != directory && parent(name) == directory) each(std::string_view(name).substr(name.rfind('/') + 1));
        };
        for (const auto& [name, data] : files_) report(name);
        for (const auto& name : directories_) report(name);
        return {};
    }

    result<handle> lock(std::string_view path) override {
        const std::lock_guard guard(mutex_);
        const std::string name = normal(path);
        if (!directories_.contains(parent(name))) return detail::system_failure("open", ENOENT);
        auto& data = files_[name];
        if (!data) data = std::make_shared<std::string>();
        for (const auto& [holder, locked] : locks_)
            if (locked == data) return detail::failure(errc::locked, "in use by another handle");
        const handle out = opened(data);
        locks_.emplace(out, data);
        return out;
    }

private:
    using contents = std::shared_ptr<std::string>;

    // Without doubled and trailing slashes, and without "./" in front.
    static std::string normal(std::string_view path) {
        std::string out;
        for (char c : path)
            if (c != '/' || out.empty() || out.back() != '/') out.push_back(c);
        if (out.size() > 1 && out.back() == '/') out.pop_back();
        while (out.starts_with("./")) out.erase(0, 2);
        return out;
    }
    static std::string parent(const std::string& name) { return std::string(detail::parent_directory(name)); }

    handle opened(contents data) {
        open_.emplace(next_, std::move(data));
        return next_++;
    }

    std::mutex mutex_;
    std::map<std::string, contents> files_;
    std::set<std::string> directories_{".", "/"};
    std::map<handle, contents> open_;
    std::map<handle, contents> locks_;
    handle next_ = 0;
};

}  // namespace lsm::io
