#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <lsm/io/file_system.hpp>

namespace lsm::test {

/// Calls a hook before each operation of another file system, and fails the operation if the hook says so.
///
/// Operations have the names of their system calls: open, create (an open that creates the file), close, read, write,
/// fdatasync, fsync, size, identity, truncate, allocate, rename, link, remove, mkdir, fsync-directory, list and lock.
/// The path is the current name of the file; for rename and link it is "<from> <to>". There are no memory maps, so that
/// every read and write passes the hook.
///
/// Thread-safe. The hook is called concurrently, and may block.
class hooked_file_system : public io::file_system {
public:
    /// Returns 0 to let the operation pass, or the errno that it fails with. An operation that fails is not carried
    /// out, except that a close still releases the handle.
    using hook = std::function<int(std::string_view operation, std::string_view path)>;

    /// Without a hook every operation passes.
    explicit hooked_file_system(
        io::file_system& inner, hook before = [](auto, auto) { return 0; })
        : inner_(inner), before_(std::move(before)) {}

    /// The number of open handles, locks included.
    [[nodiscard]] std::size_t open_files() const {
        const std::lock_guard guard(mutex_);
        return names_.size();
    }

    result<handle> open(std::string_view path, io::open_mode mode) override {
        return named(path, hooked(mode == io::open_mode::create_exclusive ? "create" : "open", path,
                                  [&] { return inner_.open(path, mode); }));
    }
    result<void> close(handle file) override {
        auto done = hooked("close", name(file), [] { return result<void>(); });
        {
            const std::lock_guard guard(mutex_);
            names_.erase(file);  // first: once it is closed another thread may get the same handle
        }
        auto closed = inner_.close(file);
        return done ? std::move(closed) : std::move(done);
    }
    result<std::size_t> read_at(handle file, std::uint64_t offset, std::span<char> into) override {
        return hooked("read", name(file), [&] { return inner_.read_at(file, offset, into); });
    }
    result<std::size_t> write_at(handle file, std::uint64_t offset, bytes_view data) override {
        return hooked("write", name(file), [&] { return inner_.write_at(file, offset, data); });
    }
    result<void> sync_data(handle file) override {
        return hooked("fdatasync", name(file), [&] { return inner_.sync_data(file); });
    }
    result<void> sync(handle file) override {
        return hooked("fsync", name(file), [&] { return inner_.sync(file); });
    }
    result<std::uint64_t> size(handle file) override {
        return hooked("size", name(file), [&] { return inner_.size(file); });
    }
    result<io::file_identity> identity(handle file) override {
        return hooked("identity", name(file), [&] { return inner_.identity(file); });
    }
    result<void> truncate(handle file, std::uint64_t size) override {
        return hooked("truncate", name(file), [&] { return inner_.truncate(file, size); });
    }
    result<void> allocate(handle file, std::uint64_t size) override {
        return hooked("allocate", name(file), [&] { return inner_.allocate(file, size); });
    }
    result<void> rename(std::string_view from, std::string_view to) override {
        auto done = hooked("rename", both(from, to), [&] { return inner_.rename(from, to); });
        const std::lock_guard guard(mutex_);
        if (done)
            for (auto& [file, path] : names_)
                if (path == from) path = to;
        return done;
    }
    result<void> link(std::string_view from, std::string_view to) override {
        return hooked("link", both(from, to), [&] { return inner_.link(from, to); });
    }
    result<void> remove(std::string_view path) override {
        return hooked("remove", path, [&] { return inner_.remove(path); });
    }
    result<void> make_directory(std::string_view path) override {
        return hooked("mkdir", path, [&] { return inner_.make_directory(path); });
    }
    result<void> sync_directory(std::string_view path) override {
        return hooked("fsync-directory", path, [&] { return inner_.sync_directory(path); });
    }
    result<void> list(std::string_view path, detail::function_ref<void(std::string_view)> each) override {
        return hooked("list", path, [&] { return inner_.list(path, each); });
    }
    result<handle> lock(std::string_view path) override {
        return named(path, hooked("lock", path, [&] { return inner_.lock(path); }));
    }

protected:
    /// The current name of an open file.
    [[nodiscard]] std::string name(handle file) const {
        const std::lock_guard guard(mutex_);
        return names_.at(file);
    }

private:
    static std::string both(std::string_view from, std::string_view to) {
        return std::string(from).append(" ").append(to);
    }
    template <class Call>
    auto hooked(std::string_view operation, std::string_view path, Call call) -> decltype(call()) {
        if (const int sys = before_(operation, path); sys != 0) return detail::system_failure("injected", sys);
        return call();
    }
    result<handle> named(std::string_view path, result<handle> file) {
        if (!file) return file;
        const std::lock_guard guard(mutex_);
        names_[*file] = path;
        return file;
    }

    io::file_system& inner_;
    hook before_;
    mutable std::mutex mutex_;
    std::map<handle, std::string> names_;
};

/// What most hooks look for: the files of tables, and the active log.
inline bool is_table(std::string_view path) { return path.find("sst-") != std::string_view::npos; }
inline bool is_log(std::string_view path) { return path.ends_with("wal.log"); }

}  // namespace lsm::test
