#pragma once

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include <lsm/core/result.hpp>
#include <lsm/io/file.hpp>

namespace lsm::detail {

/// The directory of a database: the file system and the path. Errors name the file or the directory.
class db_directory {
public:
    db_directory(io::file_system& fs, std::string_view path) : fs_(fs), path_(path) {}

    [[nodiscard]] io::file_system& fs() const noexcept { return fs_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    /// The path of the file `name` in it.
    [[nodiscard]] std::string path_of(std::string_view name) const { return joined(path_, name); }

    /// Opens a file to read it. A symbolic link is refused, so that no name leads out of the directory.
    [[nodiscard]] result<io::file> open_to_read(std::string_view name) const {
        return io::file::open(fs_, path_of(name), io::open_mode::read_no_follow);
    }
    /// Makes a new file. Errors: exists.
    [[nodiscard]] result<io::file> create(std::string_view name) const {
        return io::file::open(fs_, path_of(name), io::open_mode::create_exclusive);
    }
    /// Makes a new file with what `write(file)` writes to it, durable except for its name. After an error no file is
    /// left. Errors: exists; those of `write`; no_space, io.
    template <class Write>
    [[nodiscard]] result<void> create_with(std::string_view name, Write write) const {
        auto file = create(name);
        if (!file) return std::move(file).error();
        auto done = write(*file);
        if (done) done = file->sync();
        if (done) done = file->close();
        if (!done) static_cast<void>(fs_.remove(path_of(name)));
        return done;
    }
    /// Removes a file; one that does not exist is no error.
    [[nodiscard]] result<void> remove(std::string_view name) const { return io::remove_if_present(fs_, path_of(name)); }
    /// Makes durable which names the directory has.
    [[nodiscard]] result<void> sync() const { return io::sync_directory(fs_, path_); }

    /// Makes the directory and the parents that it lacks, each durable in its own parent. An existing one is no error.
    [[nodiscard]] result<void> make() const { return make(path_); }

    /// Makes the name of an existing directory durable, and those of its parents as far as they may be opened: the
    /// process that made them may have been killed before it could sync them.
    [[nodiscard]] result<void> sync_own_name() const {
        std::string_view below = path_;
        for (std::string_view parent = parent_directory(below); parent != below; parent = parent_directory(below)) {
            if (auto synced = io::sync_directory(fs_, parent); !synced) {
                if (synced.error().sys == EACCES) return {};
                return std::move(synced).error().in(path_);
            }
            below = parent;
        }
        return {};
    }

private:
    [[nodiscard]] result<void> make(std::string_view path) const {
        const std::string_view parent = parent_directory(path);
        auto made = fs_.make_directory(path);
        if (made) return io::sync_directory(fs_, parent);
        if (made.error().code == errc::exists) return {};
        if (made.error().code == errc::not_found && parent != path && !path.empty()) {
            if (auto parents = make(parent); !parents) return parents;
            made = fs_.make_directory(path);
        }
        // It exists by now if another process made it too, or if the path ends in "." after its parent.
        if (!made && made.error().code != errc::exists) return std::move(made).error().in(path);
        return io::sync_directory(fs_, parent);
    }

    io::file_system& fs_;
    std::string path_;
};

}  // namespace lsm::detail
