#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <lsm/core/bytes.hpp>
#include <lsm/core/or_out_of_memory.hpp>
#include <lsm/core/reader_slots.hpp>
#include <lsm/core/result.hpp>
#include <lsm/core/sha256.hpp>
#include <lsm/db/admin/checkpoint.hpp>
#include <lsm/db/admin/collect_statistics.hpp>
#include <lsm/db/admin/verify.hpp>
#include <lsm/db/compaction/compactor.hpp>
#include <lsm/db/compaction/maintenance.hpp>
#include <lsm/db/disk/db_directory.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/db/options.hpp>
#include <lsm/db/read/read_path.hpp>
#include <lsm/db/recovery/recovery.hpp>
#include <lsm/db/state/db_context.hpp>
#include <lsm/db/state/memory_budget.hpp>
#include <lsm/db/state/pin.hpp>
#include <lsm/db/state/table_store.hpp>
#include <lsm/db/state/version_store.hpp>
#include <lsm/db/statistics.hpp>
#include <lsm/db/verify_report.hpp>
#include <lsm/db/write/write_path.hpp>
#include <lsm/io/executor.hpp>
#include <lsm/io/file.hpp>
#include <lsm/io/posix_file_system.hpp>
#include <lsm/merge/digest.hpp>

namespace lsm::detail {

/// The database over bytes: owns its parts, wires them together, opens and closes them. On the disk it owns LOCK (held
/// while it is open), MANIFEST, the tables of the current version, and the logs of its memtables.
///
/// Every step that changes the disk leaves a directory that opens to the same contents, whenever power fails.
template <class Alloc>
class db_core final : private unpin_notifier::listener {
public:
    static result<std::shared_ptr<db_core>> open(std::string_view path, const options& opts, const Alloc& alloc) {
        io::file_system& fs = opts.file_system != nullptr ? *opts.file_system : io::default_file_system();
        const db_directory directory(fs, path);
        if (auto ready = recovery<Alloc>::prepare_directory(directory, opts); !ready) return std::move(ready).error();
        // Everything else is looked at under the lock only.
        io::file lock;
        if (!opts.read_only) {
            auto taken = io::file::lock(fs, directory.path_of(lock_name));
            if (!taken) return std::move(taken).error();
            lock = *std::move(taken);
        }
        auto core = std::allocate_shared<db_core>(alloc, fs, path, opts, std::move(lock), alloc);
        auto recovered = opts.read_only ? core->refresh() : core->recover();
        if (!recovered) return std::move(recovered).error();
        return core;
    }

    db_core(io::file_system& fs, std::string_view path, const options& opts, io::file lock, const Alloc& alloc)
        : context_(fs, path, opts, alloc),
          lock_(std::move(lock)),
          own_executor_(opts.background_threads),
          notifier_(std::allocate_shared<unpin_notifier>(alloc, static_cast<unpin_notifier::listener*>(this))),
          readers_(std::allocate_shared<reader_slots>(alloc)),
          shared_(std::allocate_shared<table_resources<Alloc>>(alloc, opts, readers_)),
          versions_(readers_, notifier_, alloc),
          memory_(context_.options, versions_, shared_),
          tables_(context_, shared_, versions_, memory_),
          compactor_(context_, tables_),
          maintenance_(context_, opts.executor != nullptr ? *opts.executor : own_executor_, compactor_, versions_,
                       memory_),
          writes_(context_, versions_, maintenance_, memory_),
          reads_(context_, versions_, memory_, maintenance_, readers_, notifier_) {}
    db_core(const db_core&) = delete;
    db_core& operator=(const db_core&) = delete;
    ~db_core() {
        unless_out_of_memory([this] { static_cast<void>(close()); });
    }

    [[nodiscard]] read_path<Alloc>& reads() noexcept { return reads_; }

    result<void> write(bytes_view operations, std::uint32_t count, write_options options) {
        return writes_.write(operations, count, options.sync.value_or(context_.options.sync));
    }
    /// Returns ok, or why writes are refused.
    [[nodiscard]] result<void> writable() const { return context_.health.check(); }

    result<void> flush() {
        auto frozen = writes_.freeze();
        if (!frozen) return std::move(frozen).error();
        if (!*frozen) return {};
        return maintenance_.wait_flushed(**frozen);
    }
    result<void> compact(std::optional<bytes_view> from, std::optional<bytes_view> to) {
        if (auto flushed = flush(); !flushed) return flushed;
        return maintenance_.compact(from, to);
    }
    result<void> settle() { return maintenance_.settle(); }

    result<void> checkpoint(std::string_view to) {
        if (context_.health.closed()) return context_.health.check();
        const typename table_store<Alloc>::file_hold hold(tables_);
        return write_checkpoint(versions_.pin(), db_directory(context_.directory.fs(), to), context_.options,
                                context_.alloc);
    }
    result<verify_report> verify() {
        if (context_.health.closed()) return std::move(context_.health.check()).error();
        const typename table_store<Alloc>::file_hold hold(tables_);
        const auto pinned = versions_.pin();
        // close() marks the database as closed before another process can own the directory.
        const auto shared = [this] { return context_.options.read_only || context_.health.closed(); };
        return verify_tables(context_.directory.fs(), *pinned, shared, context_.alloc);
    }
    result<sha256::digest> digest(const pinned_version<Alloc>* at) {
        auto all = reads_.scan(at, {.drop_tombstones = true}, {.fill_cache = false});
        all.seek_to_first();
        return stream_digest(all, context_.alloc);
    }
    [[nodiscard]] statistics stats() {
        return collect_statistics(context_, versions_, *shared_, maintenance_.trouble());
    }
    [[nodiscard]] std::shared_ptr<const table_set<Alloc>> tables() { return versions_.tables(); }
    [[nodiscard]] recovery_report recovered() const {
        const std::lock_guard guard(refreshing_);
        return recovered_;
    }

    [[nodiscard]] const Alloc& allocator() const noexcept { return context_.alloc; }
    [[nodiscard]] const std::string& directory() const noexcept { return context_.directory.path(); }

    /// Whether this is the process that opened the database, and not a child of it.
    [[nodiscard]] bool in_opening_process() const noexcept { return notifier_->in_opening_process(); }

    /// For a database that was opened with read_only: moves on to the current state of the directory.
    result<void> refresh() {
        if (!context_.options.read_only)
            return failure(errc::invalid_argument, "not opened with read_only").in(directory());
        if (context_.health.closed()) return context_.health.check();
        const std::lock_guard one_at_a_time(refreshing_);
        auto report = recovering().read();
        if (!report) return std::move(report).error();
        recovered_ = *report;
        context_.health.refuse(failure(errc::read_only, "opened with read_only").in(directory()));
        return {};
    }

    /// Stops maintenance, then gives up the log and the directory. Requires in_opening_process().
    result<void> close() {
        // Made first: from here on memory may run out, and the database is closed all the same.
        error refusal = failure(errc::closed, "the database was closed").in(directory());
        maintenance_.stop();
        result<void> done;
        writes_.between_writes([&] {
            if (context_.health.closed()) return;
            const auto before = or_out_of_memory(directory(), [this] { return context_.health.check(); });
            context_.health.close(std::move(refusal));
            // Pins and cursors live on, but have nothing to notify, and their files may lose their names.
            notifier_->disconnect();
            unless_out_of_memory([this] { versions_.for_each_pinned(&table_store<Alloc>::let_outlive); });
            // The log can be sound whatever else writes were refused for: what it holds is made durable.
            done = or_out_of_memory(directory(), [this] { return writes_.close_log(); });
            if (!done && !before) done = before;
            tables_.release();
            auto unlocked = or_out_of_memory(directory(), [this] { return lock_.close(); });
            if (done) done = std::move(unlocked);
        });
        return done;
    }

private:
    void pin_released() noexcept override { maintenance_.schedule_reclaim(); }

    [[nodiscard]] recovery<Alloc> recovering() { return {context_, versions_, memory_, tables_, compactor_, writes_}; }
    result<void> recover() {
        auto report = recovering().recover();
        if (!report) return std::move(report).error();
        recovered_ = *report;
        maintenance_.schedule();
        return {};
    }

    // In the order of their dependence: each part uses only what is declared before it.
    db_context<Alloc> context_;
    io::file lock_;
    io::thread_executor own_executor_;
    std::shared_ptr<unpin_notifier> notifier_;
    std::shared_ptr<reader_slots> readers_;
    std::shared_ptr<table_resources<Alloc>> shared_;
    version_store<Alloc> versions_;
    memory_budget<Alloc> memory_;
    table_store<Alloc> tables_;
    compactor<Alloc> compactor_;
    maintenance<Alloc> maintenance_;
    write_path<Alloc> writes_;
    read_path<Alloc> reads_;
    mutable std::mutex refreshing_;
    recovery_report recovered_;
};

}  // namespace lsm::detail
