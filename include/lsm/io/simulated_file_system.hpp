#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/result.hpp>
#include <lsm/io/fault.hpp>
#include <lsm/io/file_system.hpp>
#include <lsm/io/memory_file_system.hpp>
#include <lsm/io/power_loss.hpp>

namespace lsm::io {

/// A disk in memory on which things go wrong when they are told to: power cuts that lose what was not synced, failing
/// and full disks. For crash tests of programs that keep their files by way of a file_system.
///
/// Everything is decided by seeds, so that a run of one thread repeats exactly. A program runs on it once, and at every
/// operation one can look at the disks that a power cut would leave there:
///
///     lsm::io::simulated_file_system disk;
///     disk.before_each([&](const auto& next) {
///         if (!changes_disk(next.what)) return;
///         for (std::uint64_t seed = 0; seed < 10; ++seed) {
///             auto left = disk.after_power_loss({.seed = seed});   // a disk of its own
///             check(left);                                         // opens the database on it, and compares
///         }
///     });
///     run_program(disk);
///
/// or it fails operation after operation, until a run comes to its end without:
///
///     for (std::uint64_t k = 0;; ++k) {
///         lsm::io::simulated_file_system disk;
///         disk.inject({.after = k, .sys = EIO});
///         run_program(disk);
///         if (disk.faults_met() == 0) break;
///         disk.clear_faults();
///         check(disk);
///     }
///
/// What may be lost, and in which order, is said at power_loss. Any number of threads may use it. Behaves as
/// memory_file_system otherwise.
class simulated_file_system final : public file_system {
public:
    struct next_operation {
        operation what;
        std::uint64_t number;   // of the operations before it
        std::string_view path;  // of a file, the one that it was opened by; of a rename or link, the new one
    };

    explicit simulated_file_system(std::uint64_t seed = 0) : simulated_file_system(seed, {}) {}

    /// Calls `look` before each operation is done, in the thread that asks for it. It may look at this disk, and take
    /// copies by after_power_loss(), but must not use it as a file system. Not to be set while it is used.
    void before_each(std::function<void(const next_operation&)> look) { look_ = std::move(look); }
    /// Operations so far, failed ones included.
    [[nodiscard]] std::uint64_t operations() const {
        const std::lock_guard guard(mutex_);
        return operations_;
    }

    /// Adds a fault, which counts from now on.
    void inject(const fault& what) {
        const std::lock_guard guard(mutex_);
        faults_.add(what);
    }
    void clear_faults() {
        const std::lock_guard guard(mutex_);
        faults_.clear();
    }
    /// Operations that failed or were cut short by a fault.
    [[nodiscard]] std::uint64_t faults_met() const {
        const std::lock_guard guard(mutex_);
        return faults_.met();
    }

    /// The disk has room for so many bytes of files: what would take more is ENOSPC, or a short write. Bytes are free
    /// again when a file has lost its last name and is closed.
    void set_capacity(std::uint64_t bytes) {
        const std::lock_guard guard(mutex_);
        capacity_ = bytes;
    }
    /// Bytes of files, unsynced ones included.
    [[nodiscard]] std::uint64_t used() const {
        const std::lock_guard guard(mutex_);
        return used_bytes();
    }

    /// From now on map_to_write() gives memory. What is stored there is noticed at the next operation of the disk, as
    /// one write; so no thread may be storing while another has an operation done, and what is stored after the file is
    /// closed is nowhere.
    void offer_maps() {
        const std::lock_guard guard(mutex_);
        offers_maps_ = true;
    }

    /// From now on, or after so many operations more, all operations fail with EIO, and nothing is done.
    void lose_power(std::uint64_t after = 0) {
        const std::lock_guard guard(mutex_);
        power_ends_ = operations_ + after;
    }
    /// As if it was not power that failed, but the program that was killed: nothing is lost, and what was not synced
    /// still is not; handles and locks are no more.
    void restart_program() {
        const std::lock_guard guard(mutex_);
        restart();
    }
    /// Power is back: files and names are what survived, handles and locks of before are no more. Faults and capacity
    /// stay.
    void reboot(power_loss loss = {}) {
        const std::lock_guard guard(mutex_);
        restart();
        journal_ = journal_.after(loss, seed_);
        show_durable();
    }
    /// The disk as it would be after a power cut now and a reboot; without faults, of any capacity.
    [[nodiscard]] simulated_file_system after_power_loss(power_loss loss = {}) const {
        const std::lock_guard guard(mutex_);
        notice_stores();
        return simulated_file_system(seed_, journal_.after(loss, seed_));
    }
    /// A hash of all durable names and bytes: to tell disks after a power cut from one another.
    [[nodiscard]] std::uint64_t fingerprint() const {
        const std::lock_guard guard(mutex_);
        return journal_.fingerprint();
    }

    result<handle> open(std::string_view path, open_mode mode) override {
        const bool creates = mode == open_mode::create_exclusive;
        return perform(creates ? operation::create : operation::open, path, [&]() -> result<handle> {
            auto inner = files_->open(path, mode);
            if (!inner) return inner;
            const std::string name = detail::normal_path(path);
            return opened(*inner, path, creates ? journal_.create(name) : journal_.find(name));
        });
    }
    result<void> close(handle file) override {
        const std::string path = path_of(file);
        auto done = perform(operation::close, path, [] { return result<void>(); });
        const std::lock_guard guard(mutex_);
        auto closed = files_->close(inner(file));
        open_.erase(file);
        return done ? std::move(closed) : std::move(done);
    }

    result<std::size_t> read_at(handle file, std::uint64_t offset, std::span<char> into) override {
        return perform(operation::read, path_of(file), [&] {
            return files_->read_at(inner(file), offset, into.first(faults_.shortened(into.size())));
        });
    }
    result<std::size_t> write_at(handle file, std::uint64_t offset, bytes_view data) override {
        return perform(operation::write, path_of(file), [&]() -> result<std::size_t> {
            data = data.substr(0, faults_.shortened(data.size()));
            if (unsynced* const to = contents(file)) {
                const std::uint64_t missing = lacking(*to, offset + data.size());
                if (missing >= data.size() && missing != 0) return detail::system_failure("write", ENOSPC);
                data.remove_suffix(static_cast<std::size_t>(missing));
            }
            auto written = files_->write_at(inner(file), offset, data);
            if (written && *written != 0) journal_.write(*contents(file), offset, data);
            return written;
        });
    }
    void start_sync(handle file, std::uint64_t offset, std::uint64_t size) override {
        static_cast<void>(perform(operation::start_sync, path_of(file), [&]() -> result<void> {
            files_->start_sync(inner(file), offset, size);
            return {};
        }));
    }
    result<void> sync_data(handle file) override { return sync(operation::sync_data, file); }
    result<void> sync(handle file) override { return sync(operation::sync, file); }
    result<std::uint64_t> size(handle file) override {
        return perform(operation::size, path_of(file), [&] { return files_->size(inner(file)); });
    }
    result<file_identity> identity(handle file) override {
        return perform(operation::identity, path_of(file), [&] { return files_->identity(inner(file)); });
    }
    result<void> truncate(handle file, std::uint64_t size) override {
        return perform(operation::truncate, path_of(file),
                       [&] { return resized(file, size, [&] { return files_->truncate(inner(file), size); }); });
    }
    result<void> allocate(handle file, std::uint64_t size) override {
        return perform(operation::allocate, path_of(file),
                       [&] { return resized(file, size, [&] { return files_->allocate(inner(file), size); }); });
    }

    result<char*> map_to_write(handle file, std::uint64_t offset, std::uint64_t size) override {
        return perform(operation::map, path_of(file), [&]() -> result<char*> {
            if (!offers_maps_) return nullptr;
            bytes there(static_cast<std::size_t>(size), '\0');
            const auto got = files_->read_at(inner(file), offset, there);
            if (!got) return got.error();
            if (*got != size) return detail::system_failure("map", EINVAL);
            return maps_.emplace_back(file, offset, there).memory.data();
        });
    }
    void unmap(const char* mapped, std::uint64_t) noexcept override {
        const std::lock_guard guard(mutex_);
        notice_stores();
        maps_.remove_if([&](const stretch& s) { return s.memory.data() == mapped; });
    }

    result<void> rename(std::string_view from, std::string_view to) override {
        return perform(operation::rename, to, [&] {
            auto done = files_->rename(from, to);
            if (done) journal_.rename(detail::normal_path(from), detail::normal_path(to));
            return done;
        });
    }
    result<void> link(std::string_view from, std::string_view to) override {
        return perform(operation::link, to, [&] {
            auto done = files_->link(from, to);
            if (done) journal_.link(detail::normal_path(from), detail::normal_path(to));
            return done;
        });
    }
    result<void> remove(std::string_view path) override {
        return perform(operation::remove, path, [&] {
            auto done = files_->remove(path);
            if (done) journal_.remove(detail::normal_path(path));
            return done;
        });
    }
    result<void> make_directory(std::string_view path) override {
        return perform(operation::make_directory, path, [&] {
            auto done = files_->make_directory(path);
            if (done) journal_.make_directory(detail::normal_path(path));
            return done;
        });
    }
    result<void> sync_directory(std::string_view path) override {
        return perform(operation::sync_directory, path, [&] {
            auto done = files_->sync_directory(path);
            if (done) journal_.sync_directory(detail::normal_path(path));
            return done;
        });
    }
    result<void> list(std::string_view path, detail::function_ref<void(std::string_view)> each) override {
        std::vector<std::string> names;
        auto done = perform(operation::list, path, [&] {
            return files_->list(path, [&](std::string_view name) { names.emplace_back(name); });
        });
        for (const std::string& name : names) each(name);
        return done;
    }

    result<handle> lock(std::string_view path) override {
        return perform(operation::lock, path, [&]() -> result<handle> {
            auto inner = files_->lock(path);
            if (!inner) return inner;
            const std::string name = detail::normal_path(path);
            const auto found = journal_.find(name);
            return opened(*inner, path, found ? found : journal_.create(name));
        });
    }

private:
    using unsynced = detail::unsynced_file;
    struct open_file {
        handle inner;
        std::string path;
        std::shared_ptr<unsynced> contents;
    };
    // Of a file, mapped to be written to.
    struct stretch {
        stretch(handle of, std::uint64_t begin, const bytes& contents)
            : file(of), offset(begin), memory(contents), noticed(contents) {}

        handle file;
        std::uint64_t offset;
        bytes memory;
        bytes noticed;
    };

    simulated_file_system(std::uint64_t seed, detail::change_journal journal)
        : seed_(seed), choose_(seed), journal_(std::move(journal)) {
        show_durable();
    }
    void restart() {
        notice_stores();
        for (const auto& [number, file] : open_) static_cast<void>(files_->close(file.inner));
        open_.clear();
        power_ends_ = UINT64_MAX;
    }
    void show_durable() { journal_.copy_durable_to(files_.emplace()); }

    template <class Call, class Failed>
    auto perform(operation what, std::string_view path, Call call, Failed failed) -> decltype(call()) {
        std::unique_lock guard(mutex_);
        notice_stores();
        const std::uint64_t number = operations_++;
        if (look_) {
            guard.unlock();
            look_({what, number, path});
            guard.lock();
        }
        if (number >= power_ends_) return detail::system_failure(to_string(what), EIO);
        if (const int sys = faults_.due(what); sys != 0) {
            failed(sys);
            return detail::system_failure(to_string(what), sys);
        }
        return call();
    }
    template <class Call>
    auto perform(operation what, std::string_view path, Call call) -> decltype(call()) {
        return perform(what, path, call, [](int) {});
    }

    result<void> sync(operation what, handle file) {
        return perform(
            what, path_of(file),
            [&] {
                auto done = files_->sync(inner(file));
                if (done) contents(file)->sync();
                return done;
            },
            [&](int sys) {
                if (unsynced* const of = contents(file); of != nullptr && sys != EINTR) of->fail_sync(choose_);
            });
    }
    template <class Call>
    result<void> resized(handle file, std::uint64_t size, Call call) {
        unsynced* const of = contents(file);
        if (of != nullptr && lacking(*of, size) != 0) return detail::system_failure("resize", ENOSPC);
        auto done = call();
        if (!done) return done;
        const auto now = files_->size(inner(file));
        if (*now != of->size()) journal_.resize(*of, *now);
        return done;
    }

    // Makes writes of what was stored in maps since the last time; without power, too, as nothing told the program.
    void notice_stores() const {
        for (auto& [file, offset, memory, noticed] : maps_) {
            const auto size = files_->size(inner(file));
            if (!size) continue;
            std::size_t begin = 0;
            auto end = static_cast<std::size_t>(std::clamp(*size, offset, offset + memory.size()) - offset);
            while (begin < end && memory[begin] == noticed[begin]) ++begin;
            while (begin < end && memory[end - 1] == noticed[end - 1]) --end;
            if (begin == end) continue;
            const auto stored = bytes_view(memory).substr(begin, end - begin);
            static_cast<void>(files_->write_at(inner(file), offset + begin, stored));
            journal_.write(*contents(file), offset + begin, stored);
            noticed = memory;
        }
    }

    result<handle> opened(handle inner, std::string_view path, std::shared_ptr<unsynced> contents) {
        open_.emplace(next_, open_file{inner, std::string(path), std::move(contents)});
        return next_++;
    }
    // What is not open is -1 to the memory file system, too.
    [[nodiscard]] handle inner(handle file) const {
        const auto found = open_.find(file);
        return found == open_.end() ? -1 : found->second.inner;
    }
    [[nodiscard]] unsynced* contents(handle file) const {
        const auto found = open_.find(file);
        return found == open_.end() ? nullptr : found->second.contents.get();
    }
    [[nodiscard]] std::string path_of(handle file) const {
        const std::lock_guard guard(mutex_);
        const auto found = open_.find(file);
        return found == open_.end() ? std::string() : found->second.path;
    }

    [[nodiscard]] std::uint64_t used_bytes() const {
        std::set<const unsynced*> seen;
        std::uint64_t sum = 0;
        const auto add = [&](const unsynced* file) {
            if (file != nullptr && seen.insert(file).second) sum += file->size();
        };
        for (const auto& [path, what] : journal_.names()) add(what.contents.get());
        for (const auto& [number, file] : open_) add(file.contents.get());
        return sum;
    }
    // The bytes that the disk has not got for a file of `size` bytes.
    [[nodiscard]] std::uint64_t lacking(const unsynced& file, std::uint64_t size) const {
        if (capacity_ == UINT64_MAX || size <= file.size()) return 0;
        const std::uint64_t used = used_bytes();
        const std::uint64_t left = capacity_ > used ? capacity_ - used : 0;
        const std::uint64_t wanted = size - file.size();
        return wanted > left ? wanted - left : 0;
    }

    mutable std::mutex mutex_;
    std::uint64_t seed_;
    detail::seeded_choice choose_;
    // What was stored in maps changes these when someone looks.
    mutable detail::change_journal journal_;
    mutable std::optional<memory_file_system> files_;  // as programs see them
    mutable std::list<stretch> maps_;
    std::map<handle, open_file> open_;
    handle next_ = 0;
    bool offers_maps_ = false;

    std::function<void(const next_operation&)> look_;
    std::uint64_t operations_ = 0;
    std::uint64_t power_ends_ = UINT64_MAX;
    std::uint64_t capacity_ = UINT64_MAX;
    detail::fault_schedule faults_;
};

}  // namespace lsm::io
