#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <lsm/db/compaction/compactor.hpp>
#include <lsm/db/compaction/maintenance.hpp>
#include <lsm/db/disk/table_files.hpp>
#include <lsm/db/state/db_context.hpp>
#include <lsm/db/state/memory_budget.hpp>
#include <lsm/db/state/pin.hpp>
#include <lsm/db/state/table_store.hpp>
#include <lsm/db/state/version_store.hpp>
#include <lsm/db/write/write_path.hpp>

#include "support/cursors.hpp"
#include "support/databases.hpp"
#include "support/entry_list.hpp"
#include "support/recording_file_system.hpp"
#include "support/results.hpp"

/// The parts of a database, built by hand for the tests of single parts.
namespace lsm::test {

/// The entries of a table, its id, and the level that it lies in.
struct placed_table {
    int level;
    std::uint64_t id;
    entry_map entries;
};

/// The parts below maintenance, wired as db_core wires them, for the directory "db" of a memory file system. The first
/// version has an empty memtable and no tables.
struct db_parts {
    using alloc = std::allocator<std::byte>;
    using version = detail::version<alloc>;
    using memtable = detail::db_memtable<alloc>;
    using memtable_pointer = std::shared_ptr<const memtable>;
    using table_pointer = detail::table_pointer<alloc>;
    using table_set = detail::table_set<alloc>;
    using table_edit = detail::table_edit<alloc>;
    using pin = detail::pinned_version<alloc>;

    struct release_counter final : detail::unpin_notifier::listener {
        void pin_released() noexcept override { ++count; }
        std::atomic<int> count = 0;
    };

    explicit db_parts(options opts = {}) : context(fs, "db", with_listener(opts, events), alloc()) {
        publish(std::make_shared<const table_set>(alloc()), {std::make_shared<memtable>(0, 0, alloc())});
    }

    /// Makes a memtable with these entries, written at sequences 1, 2, 3 and so on, and with these names of logs.
    static std::shared_ptr<memtable> memtable_of(std::uint64_t number, const entry_list& entries,
                                                 std::vector<std::string> logs = {}) {
        auto out = std::make_shared<memtable>(number, 0, alloc());
        detail::sequence at = 0;
        for (const auto& [key, value] : entries) out->entries.add(key, view_of(value), ++at);
        out->logs = std::move(logs);
        return out;
    }
    /// Writes the file of a table, in the format of the options, and opens it.
    table_pointer write_table(std::uint64_t id, const entry_map& entries) {
        forward_only_cursor all(list_of(entries));
        must(detail::write_table_file(all, context.directory, id, detail::table_format(context.options), alloc()));
        return must(tables.open(id));
    }

    /// Makes these the tables and the memtables of the current version. Writes no MANIFEST.
    void publish(std::shared_ptr<const table_set> levels, const std::vector<memtable_pointer>& newest_first) {
        auto next = versions.prepare();
        next->tables = std::move(levels);
        next->memtables.assign(newest_first.begin(), newest_first.end());
        versions.publish(std::move(next), [](const version*, version&) {});
    }
    /// Writes these tables and the MANIFEST that lists them, and makes them those of the current version, which keeps
    /// its memtables.
    void set_tables(const std::vector<placed_table>& listed) {
        std::vector<detail::manifest_line> lines;
        for (const auto& [level, id, entries] : listed) {
            write_table(id, entries);
            lines.push_back({level, id});
        }
        directory.with("MANIFEST", detail::format_manifest(lines));
        auto levels = must(tables.open_listed(lines, 0));
        const auto now = versions.pin();
        publish(std::move(levels), {now->memtables.begin(), now->memtables.end()});
    }

    /// The MANIFEST of the tables of the current version.
    [[nodiscard]] std::string listed() { return detail::format_manifest(versions.tables()->lines()); }
    /// The entries in the file of a table.
    [[nodiscard]] entry_map entries_of(std::uint64_t id) { return entries_in(directory.table(detail::table_name(id))); }

    memory_directory directory;
    recording_file_system fs{directory.fs};
    event_log events;  // the listener, if the options name none
    detail::db_context<alloc> context;
    release_counter releases;
    std::shared_ptr<detail::unpin_notifier> notifier = std::make_shared<detail::unpin_notifier>(&releases);
    std::shared_ptr<detail::reader_slots> readers = std::make_shared<detail::reader_slots>();
    std::shared_ptr<detail::table_resources<alloc>> resources =
        std::make_shared<detail::table_resources<alloc>>(context.options, readers);
    detail::version_store<alloc> versions{readers, notifier, alloc()};
    detail::memory_budget<alloc> memory{context.options, versions, resources};
    detail::table_store<alloc> tables{context, resources, versions, memory};
    detail::compactor<alloc> worker{context, tables};

private:
    static options with_listener(options opts, event_log& events) {
        if (opts.listener == nullptr) opts.listener = &events;
        return opts;
    }
};

/// Keeps the jobs that are submitted to it until a test runs them, in the order of their submission. Claims to have one
/// thread.
class held_executor final : public io::executor {
public:
    void submit(job& task) override {
        const std::lock_guard guard(mutex_);
        held_.push_back(&task);
    }
    [[nodiscard]] unsigned threads() const noexcept override { return 1; }

    [[nodiscard]] std::size_t held() const {
        const std::lock_guard guard(mutex_);
        return held_.size();
    }
    /// Runs the oldest job. Returns false if there is none.
    bool run_one() {
        job* next = nullptr;
        {
            const std::lock_guard guard(mutex_);
            if (held_.empty()) return false;
            next = held_.front();
            held_.pop_front();
        }
        next->run();
        return true;
    }
    /// Runs all jobs, including those that they submit.
    void run_all() {
        while (run_one()) {
        }
    }

private:
    mutable std::mutex mutex_;
    std::deque<job*> held_;
};

/// The parts with maintenance and the write path. Jobs run on options::executor; without one, `executor` holds them.
struct writing_parts : db_parts {
    explicit writing_parts(options opts = {}) : db_parts(opts) {
        auto active = writes.new_memtable();
        publish(versions.tables(), {active});
        writes.begin(std::move(active), std::nullopt);
    }
    ~writing_parts() { stop(); }

    /// Stops maintenance, as closing a database does, and runs the jobs that are held, for which stopping waits.
    void stop() {
        std::atomic<bool> stopped = false;
        std::thread stopper([&] {
            upkeep.stop();
            stopped = true;
        });
        while (!stopped) {
            executor.run_all();
            std::this_thread::yield();
        }
        stopper.join();
    }

    held_executor executor;
    detail::maintenance<alloc> upkeep{
        context, context.options.executor != nullptr ? *context.options.executor : executor, worker, versions, memory};
    detail::write_path<alloc> writes{context, versions, upkeep, memory};
};

}  // namespace lsm::test
