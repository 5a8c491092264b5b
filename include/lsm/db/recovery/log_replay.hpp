#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <lsm/core/result.hpp>
#include <lsm/db/disk/db_directory.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/db/options.hpp>
#include <lsm/db/recovery/replay_buffer.hpp>
#include <lsm/io/copy_range.hpp>
#include <lsm/io/file.hpp>
#include <lsm/memtable/memtable.hpp>
#include <lsm/wal/reader.hpp>

namespace lsm::detail {

/// Replays logs, oldest first, into memtables. Changes nothing on the disk.
template <class Alloc>
class log_replay {
    using cut = typename wal::basic_reader<Alloc>::cut;

public:
    /// A log, and the ranges of it that were left out and must be kept.
    struct cut_log {
        std::string name;
        std::vector<cut> cuts;
    };

    log_replay(const db_directory& directory, wal::recovery mode, const Alloc& alloc)
        : directory_(directory), mode_(mode), alloc_(alloc) {}

    /// Replays the log `name` into a memtable.
    result<void> replay(const std::string& name, bool frozen, memtable_core<Alloc>& into) {
        auto file = directory_.open_to_read(name);
        if (!file) return std::move(file).error();
        if (stopped_) {
            // point_in_time: an older log ended early, so nothing of this one may be replayed.
            const auto size = file->size();
            if (!size) return size.error();
            left_out_.insert(left_out_.begin(), name);
            leave_out(name, {0, *size}, true);
            return {};
        }
        // A frozen log was synced before it was renamed, so a torn end of it is damage.
        const auto mode = frozen && mode_ == wal::recovery::strict_tail ? wal::recovery::absolute : mode_;
        auto records = wal::basic_reader<Alloc>::open(*std::move(file), mode, alloc_);
        if (!records) return std::move(records).error();
        replay_buffer<Alloc> gathered(into, alloc_);
        for (;;) {
            auto record = records->next();
            if (!record) return std::move(record).error();
            if (!*record) break;
            gathered.add(**record, ++written_);
        }
        gathered.finish();
        report_.records += records->records();
        intact_bytes_ = records->end();
        for (const cut& range : records->cut_ranges()) leave_out(name, range, records->cut_holds_records());
        return {};
    }

    /// To be called before the next log is replayed, if the log `name` is missing between it and the last one. An error
    /// unless the mode allows cuts; point_in_time then leaves out what follows.
    result<void> skip_missing(const std::string& name) {
        if (mode_ == wal::recovery::strict_tail || mode_ == wal::recovery::absolute)
            return failure(errc::corruption, "missing between an older log and a newer one")
                .in(directory_.path_of(name));
        if (mode_ == wal::recovery::point_in_time) stopped_ = true;
        return {};
    }

    /// The sequence of the last record that was replayed.
    [[nodiscard]] sequence written() const noexcept { return written_; }
    [[nodiscard]] const recovery_report& report() const noexcept { return report_; }
    /// Where the last intact record of the last log ends.
    [[nodiscard]] std::uint64_t intact_bytes() const noexcept { return intact_bytes_; }
    /// What was left out, except for torn writes without an intact record that strict_tail dropped.
    [[nodiscard]] const std::vector<cut_log>& to_keep() const noexcept { return to_keep_; }
    /// The logs that were left out whole, newest first: the order in which they must be removed.
    [[nodiscard]] const std::vector<std::string>& left_out() const noexcept { return left_out_; }

private:
    void leave_out(const std::string& name, cut range, bool holds_records) {
        report_.cut_bytes += range.size;
        if (mode_ == wal::recovery::point_in_time) stopped_ = true;
        // A torn write is of no use, but intact records are never destroyed, wherever they lie.
        if (range.size == 0 || (mode_ == wal::recovery::strict_tail && !holds_records)) return;
        if (to_keep_.empty() || to_keep_.back().name != name) to_keep_.push_back({name, {}});
        to_keep_.back().cuts.push_back(range);
    }

    const db_directory& directory_;
    wal::recovery mode_;
    Alloc alloc_;
    bool stopped_ = false;
    sequence written_ = 0;
    std::uint64_t intact_bytes_ = 0;
    recovery_report report_;
    std::vector<cut_log> to_keep_;
    std::vector<std::string> left_out_;
};

/// Appends the ranges that were left out of logs to a file, one after the other.
template <class Logs>
result<void> copy_cuts(const db_directory& directory, const Logs& logs, io::file& to) {
    for (const auto& log : logs) {
        const auto from = directory.open_to_read(log.name);
        if (!from) return from.error();
        for (const auto& [offset, size] : log.cuts)
            if (auto copied = io::copy_range(*from, offset, size, to); !copied) return copied;
    }
    return {};
}

/// Whether the file `name` holds exactly these ranges. Errors: not_found; io.
template <class Logs>
result<bool> holds_cuts(const db_directory& directory, const Logs& logs, const std::string& name) {
    const auto kept = directory.open_to_read(name);
    if (!kept) return kept.error();
    const auto kept_size = kept->size();
    if (!kept_size) return kept_size.error();
    std::uint64_t at = 0;
    for (const auto& log : logs) {
        const auto from = directory.open_to_read(log.name);
        if (!from) return from.error();
        for (const auto& [offset, size] : log.cuts) {
            if (size > *kept_size - at) return false;
            const auto same = io::same_range(*from, offset, *kept, at, size);
            if (!same || !*same) return same;
            at += size;
        }
    }
    return at == *kept_size;
}

}  // namespace lsm::detail
