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

/// A simulated disk in memory, for crash tests of programs that access their files through a file_system. It can lose
/// what was not synced in a power cut, fail operations, and be full.
///
/// Seeds make all choices, so that a run of one thread can be repeated exactly. A test runs the program once and,
/// before each operation, looks at disks that a power cut at this moment may leave:
///
///     lsm::io::simulated_file_system disk;
///     disk.before_each([&](const auto& next) {
///         if (!changes_disk(next.what)) return;
///         for (std::uint64_t seed = 0; seed < 10; ++seed) {
///             auto left = disk.after_power_loss({.seed = seed});   // a disk of its own
///             check(left);                                         // opens the database on it and compares
///         }
///     });
///     run_program(disk);
///
/// or runs the program again and again, failing one operation later each time, until a run meets no fault:
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
/// See power_loss for what may be lost, and in which order. In all else it behaves like memory_file_system.
/// Thread-safe.
class simulated_file_system final : public file_system {
public:
    /// An operation that is about to be performed.
    struct next_operation {
        operation what;
        std::uint64_t number;   // how many operations there were before it
        std::string_view path;  // of a file, the path that it was opened by; of a rename or link, the new one
    };

    explicit simulated_file_system(std::uint64_t seed = 0) : simulated_file_system(seed, {}) {}

    /// Calls `observer` before each operation, in the thread that requests the operation. The observer may inspect this
    /// disk and copy it with after_power_loss(), but must not use it as a file system. Requires that no other thread
    /// uses the disk.
    void before_each(std::function<void(const next_operation&)> observer) { observer_ = std::move(observer); }
    /// The number of operations so far, failed ones included.
    [[nodiscard]] std::uint64_t operations() const {
        const std::lock_guard guard(mutex_);
        return operations_;
    }

    /// Adds a fault, which counts operations from now on.
    void inject(const fault& fault) {
        const std::lock_guard guard(mutex_);
        faults_.add(fault);
    }
    void clear_faults() {
        const std::lock_guard guard(mutex_);
        faults_.clear();
    }
    /// The number of operations that a fault made fail or cut short.
    [[nodiscard]] std::uint64_t faults_met() const {
        const std::lock_guard guard(mutex_);
        return faults_.met();
    }

    /// Limits the disk to `bytes` bytes of files. An operation that needs more fails with ENOSPC, or is a short write.
    /// The bytes of a file are free again once it has no name left and is closed.
    void set_capacity(std::uint64_t bytes) {
        const std::lock_guard guard(mutex_);
        capacity_ = bytes;
    }
    /// The number of bytes of files, unsynced ones included.
    [[nodiscard]] std::uint64_t used() const {
        const std::lock_guard guard(mutex_);
        return used_bytes();
    }

    /// Makes map_to_write() return memory from now on. The disk takes what was stored there as one write, at its next
    /// operation. So no thread may store into the memory while another performs an operation, and what is stored after
    /// the file is closed is lost.
    void offer_maps() {
        const std::lock_guard guard(mutex_);
        offers_maps_ = true;
    }

    /// Cuts the power, at once or after that many more operations: every later operation fails with EIO and does
    /// nothing.
    void lose_power(std::uint64_t after = 0) {
        const std::lock_guard guard(mutex_);
        power_ends_ = operations_ + after;
    }
    /// As if the program had been killed: nothing is lost, and what was not synced stays unsynced. All handles and
    /// locks become invalid.
    void restart_program() {
        const std::lock_guard guard(mutex_);
        restart();
    }
    /// Cuts the power, if it is not cut yet, and restores it: only the files and names that survive `loss` are left.
    /// All handles and locks become invalid. Faults and capacity stay.
    void reboot(power_loss loss = {}) {
        const std::lock_guard guard(mutex_);
        restart();
        journal_ = journal_.after(loss, seed_);
        show_durable();
    }
    /// The disk as it would be after a power cut now and a reboot, without faults and with unlimited capacity.
    [[nodiscard]] simulated_file_system after_power_loss(power_loss loss = {}) const {
        const std::lock_guard guard(mutex_);
        record_stores();
        return simulated_file_system(seed_, journal_.after(loss, seed_));
    }
    /// A hash of all durable names and bytes, to distinguish the disks that power cuts leave.
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
                const std::uint64_t missing = missing_space(*to, offset + data.size());
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
        record_stores();
        maps_.remove_if([&](const mapped_range& m) { return m.memory.data() == mapped; });
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
    // A range of a file that is mapped to be written to.
    struct mapped_range {
        mapped_range(handle of, std::uint64_t begin, const bytes& contents)
            : file(of), offset(begin), memory(contents), recorded(contents) {}

        handle file;
        std::uint64_t offset;
        bytes memory;    // what the program stores into
        bytes recorded;  // its contents when record_stores() last ran
    };

    simulated_file_system(std::uint64_t seed, detail::change_journal journal)
        : seed_(seed), choose_(seed), journal_(std::move(journal)) {
        show_durable();
    }
    void restart() {
        record_stores();
        for (const auto& [number, file] : open_) static_cast<void>(files_->close(file.inner));
        open_.clear();
        power_ends_ = UINT64_MAX;
    }
    void show_durable() { journal_.copy_durable_to(files_.emplace()); }

    // Performs an operation by `call`, which runs under the lock; a fault calls `failed` with its errno instead.
    template <class Call, class Failed>
    auto perform(operation op, std::string_view path, Call call, Failed failed) -> decltype(call()) {
        std::unique_lock guard(mutex_);
        record_stores();
        const std::uint64_t number = operations_++;
        if (observer_) {
            // Unlocked, since the observer may inspect this disk.
            guard.unlock();
            observer_({op, number, path});
            guard.lock();
        }
        if (number >= power_ends_) return detail::system_failure(to_string(op), EIO);
        if (const int sys = faults_.begin(op); sys != 0) {
            failed(sys);
            return detail::system_failure(to_string(op), sys);
        }
        return call();
    }
    template <class Call>
    auto perform(operation op, std::string_view path, Call call) -> decltype(call()) {
        return perform(op, path, call, [](int) {});
    }

    result<void> sync(operation op, handle file) {
        return perform(
            op, path_of(file),
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
        if (of != nullptr && missing_space(*of, size) != 0) return detail::system_failure("resize", ENOSPC);
        auto done = call();
        if (!done) return done;
        const auto now = files_->size(inner(file));
        if (*now != of->size()) journal_.resize(*of, *now);
        return done;
    }

    // Turns what was stored into maps since the last call into one write for each map. Does so without power too: a
    // store cannot fail, so the program has not learned of the power cut yet.
    void record_stores() const {
        for (auto& [file, offset, memory, recorded] : maps_) {
            const auto size = files_->size(inner(file));
            if (!size) continue;  // the file is closed
            std::size_t begin = 0;
            // A file that was truncated since ends before the map.
            auto end = static_cast<std::size_t>(std::clamp(*size, offset, offset + memory.size()) - offset);
            while (begin < end && memory[begin] == recorded[begin]) ++begin;
            while (begin < end && memory[end - 1] == recorded[end - 1]) --end;
            if (begin == end) continue;
            const auto stored = bytes_view(memory).substr(begin, end - begin);
            static_cast<void>(files_->write_at(inner(file), offset + begin, stored));
            journal_.write(*contents(file), offset + begin, stored);
            recorded = memory;
        }
    }

    result<handle> opened(handle inner, std::string_view path, std::shared_ptr<unsynced> contents) {
        open_.emplace(next_, open_file{inner, std::string(path), std::move(contents)});
        return next_++;
    }
    // The handle in `files_`; -1, which is never open there, if `file` is not open.
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
        for (const auto& [path, node] : journal_.names()) add(node.contents.get());
        for (const auto& [number, file] : open_) add(file.contents.get());
        return sum;
    }
    // How many bytes the disk is short of if `file` grows to `size` bytes.
    [[nodiscard]] std::uint64_t missing_space(const unsynced& file, std::uint64_t size) const {
        if (capacity_ == UINT64_MAX || size <= file.size()) return 0;
        const std::uint64_t used = used_bytes();
        const std::uint64_t left = capacity_ > used ? capacity_ - used : 0;
        const std::uint64_t wanted = size - file.size();
        return wanted > left ? wanted - left : 0;
    }

    mutable std::mutex mutex_;
    std::uint64_t seed_;
    detail::seeded_choice choose_;
    // Mutable, since record_stores() also runs when the disk is only inspected.
    mutable detail::change_journal journal_;
    mutable std::optional<memory_file_system> files_;  // as programs see them
    mutable std::list<mapped_range> maps_;
    std::map<handle, open_file> open_;
    handle next_ = 0;
    bool offers_maps_ = false;

    std::function<void(const next_operation&)> observer_;
    std::uint64_t operations_ = 0;
    std::uint64_t power_ends_ = UINT64_MAX;  // the number of the first operation without power
    std::uint64_t capacity_ = UINT64_MAX;
    detail::fault_schedule faults_;
};

}  // namespace lsm::io
