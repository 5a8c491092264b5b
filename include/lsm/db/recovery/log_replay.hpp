#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/result.hpp>
#include <lsm/db/disk/file_names.hpp>
#include <lsm/db/options.hpp>
#include <lsm/db/recovery/replay_buffer.hpp>
#include <lsm/io/file.hpp>
#include <lsm/memtable/memtable.hpp>
#include <lsm/wal/reader.hpp>

namespace lsm::detail {

/// Replays logs, oldest first, into memtables. Nothing on the disk changes.
template <class Alloc>
class log_replay {
    using cut = typename wal::basic_reader<Alloc>::cut;

public:
    /// A log, and the stretches of it that were left out and are to be kept.
    struct cut_log {
        std::string path;
        std::vector<cut> cuts;
    };

    log_replay(io::file_system& fs, wal::recovery mode, const Alloc& alloc) : fs_(fs), mode_(mode), alloc_(alloc) {}

    /// Replays the log at `path` into a memtable. A frozen log was synced before it was renamed, so it has no excuse
    /// for a torn end.
    result<void> replay(const std::string& path, bool frozen, memtable_core<Alloc>& into) {
        auto file = io::file::open(fs_, path, io::open_mode::read_no_follow);
        if (!file) return std::move(file).error();
        if (stopped_) {
            const auto size = file->size();
            if (!size) return size.error();
            left_out_.insert(left_out_.begin(), path);
            leave_out(path, {0, *size});
            return {};
        }
        const bool strict = frozen && mode_ == wal::recovery::strict_tail;
        auto records =
            wal::basic_reader<Alloc>::open(*std::move(file), strict ? wal::recovery::absolute : mode_, alloc_);
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
        for (const cut& part : records->cut_ranges()) leave_out(path, part);
        return {};
    }

    [[nodiscard]] sequence written() const noexcept { return written_; }
    [[nodiscard]] const recovery_report& report() const noexcept { return report_; }
    /// Where the last intact record of the last log ended.
    [[nodiscard]] std::uint64_t intact_bytes() const noexcept { return intact_bytes_; }
    /// What a mode that cuts more than a torn end has left out.
    [[nodiscard]] const std::vector<cut_log>& to_keep() const noexcept { return to_keep_; }
    /// The logs that were left out whole, newest first: the order in which they have to go.
    [[nodiscard]] const std::vector<std::string>& left_out() const noexcept { return left_out_; }

private:
    void leave_out(const std::string& path, cut what) {
        report_.cut_bytes += what.size;
        if (mode_ == wal::recovery::point_in_time) stopped_ = true;
        if (mode_ == wal::recovery::strict_tail || what.size == 0) return;
        if (to_keep_.empty() || to_keep_.back().path != path) to_keep_.push_back({path, {}});
        to_keep_.back().cuts.push_back(what);
    }

    io::file_system& fs_;
    wal::recovery mode_;
    Alloc alloc_;
    bool stopped_ = false;
    sequence written_ = 0;
    std::uint64_t intact_bytes_ = 0;
    recovery_report report_;
    std::vector<cut_log> to_keep_;
    std::vector<std::string> left_out_;
};

/// Appends the stretches of logs that were left out to a file, one behind the other.
template <class Logs>
result<void> copy_cuts(io::file_system& fs, const Logs& logs, io::file& to) {
    for (const auto& log : logs) {
        auto from = io::file::open(fs, log.path, io::open_mode::read_no_follow);
        if (!from) return std::move(from).error();
        for (const auto& [offset, size] : log.cuts) {
            char piece[std::size_t{4} << 10];
            for (std::uint64_t done = 0; done < size;) {
                const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(sizeof piece, size - done));
                if (auto read = from->read_exactly(offset + done, {piece, length}); !read) return read;
                if (auto written = to.append({piece, length}); !written) return written;
                done += length;
            }
        }
    }
    return {};
}

/// Writes the stretches of logs that were left out into a new file, durably; no file is left after an error.
template <class Logs>
result<void> keep_cuts(io::file_system& fs, std::string_view directory, std::uint64_t number, const Logs& logs) {
    const std::string path = joined(directory, cut_log_name(number));
    auto to = io::file::open(fs, path, io::open_mode::create_exclusive);
    if (!to) return std::move(to).error();
    auto done = copy_cuts(fs, logs, *to);
    if (done) done = to->sync();
    if (done) done = to->close();
    if (done) done = io::sync_directory(fs, directory);
    if (!done) static_cast<void>(fs.remove(path));
    return done;
}

}  // namespace lsm::detail
