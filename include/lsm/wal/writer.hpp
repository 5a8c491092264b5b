#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <lsm/core/batch_coding.hpp>
#include <lsm/core/bytes.hpp>
#include <lsm/core/coding.hpp>
#include <lsm/core/crc32.hpp>
#include <lsm/core/result.hpp>
#include <lsm/fwd.hpp>
#include <lsm/io/file.hpp>
#include <lsm/wal/format.hpp>
#include <lsm/wal/reader.hpp>

namespace lsm::wal {

/// Appends records to a log. One thread at a time.
///
/// A log that was there before is never appended to, since what a failed fsync left of it in memory may not be on the
/// disk: the first append() writes its intact records to a new file, syncs it and renames it over the old one. Until
/// then nothing on the disk changes, and a missing log stays missing.
///
/// The first failed write or sync is the last thing the writer does: every later call returns that error. Only a full
/// disk is forgiven, if the piece of a record that it left can be taken away again.
template <class Alloc>
class basic_writer {
public:
    /// Reads the log at `path`, if there is one, and continues behind its intact records; a torn tail is cut. Errors:
    /// those of a strict_tail reader.
    static result<basic_writer> open(io::file_system& fs, std::string_view path, const Alloc& alloc = {}) {
        auto log = io::file::open(fs, path, io::open_mode::read_no_follow);
        if (!log && log.error().code == errc::not_found) return basic_writer(fs, path, 0, alloc);
        if (!log) return std::move(log).error();
        auto records = basic_reader<Alloc>::open(*std::move(log), recovery::strict_tail, alloc);
        if (!records) return std::move(records).error();
        for (;;) {
            auto record = records->next();
            if (!record) return std::move(record).error();
            if (!*record) return basic_writer(fs, path, records->end(), alloc);
        }
    }

    /// Continues behind the first `intact` bytes of the log at `path`, which a reader has found to be intact; 0 for a
    /// log that is missing or of no use.
    basic_writer(io::file_system& fs, std::string_view path, std::uint64_t intact, const Alloc& alloc = {})
        : fs_(&fs), path_(path), len_(intact), record_(alloc) {}

    /// Writes one record with an encoded write batch in it; on the disk it is after sync(). too_large for a batch of
    /// more than 2^32-1 bytes.
    result<void> append(bytes_view batch) {
        if (failure_) return *failure_;
        if (batch.size() > max_length)
            return detail::failure(errc::too_large, "a write batch has at most 2^32-1 bytes");
        if (auto checked = detail::check_batch(batch); !checked) return checked;  // or the log could not be read again
        if (!log_.is_open())
            if (auto started = start(); !started) return started;

        char header[detail::log_header_bytes];
        detail::store_le(header, static_cast<std::uint32_t>(batch.size()));
        detail::store_le(header + 4, crc32(batch));
        record_.assign(header, sizeof header);
        const bool whole = batch.size() <= largest_copy;
        if (whole) record_.append(batch);
        auto written = log_.append(record_);
        if (written && !whole) written = log_.append(batch);
        if (!written) return take_back(std::move(written).error());
        len_ += sizeof header + batch.size();
        synced_ = false;
        return {};
    }

    /// Everything appended is on the disk.
    result<void> sync() {
        if (failure_) return *failure_;
        if (synced_) return {};
        if (auto done = log_.sync_data(); !done) return fail(std::move(done).error());
        synced_ = true;
        return {};
    }

    /// Syncs and closes the log, of which path() then is all that is left.
    result<void> close() {
        if (auto synced = sync(); !synced) return synced;
        return log_.close();
    }

    /// The length of the log in bytes, intact records only.
    [[nodiscard]] std::uint64_t len() const noexcept { return len_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    /// Why the writer has stopped, if it has.
    [[nodiscard]] const std::optional<error>& failure() const noexcept { return failure_; }

private:
    static constexpr std::size_t largest_copy = std::size_t{64} << 10;

    // The new file begins with the intact records of the old one.
    result<void> start() {
        const std::string temporary = path_ + ".tmp";
        if (auto removed = io::remove_if_present(*fs_, temporary); !removed) return removed;
        auto fresh = io::file::open(*fs_, temporary, io::open_mode::create_exclusive);
        if (!fresh) return std::move(fresh).error();
        auto done = len_ == 0 ? result<void>() : copy_intact(*fresh);
        if (done) done = fresh->sync();
        if (done) done = fresh->rename(path_);
        if (!done) {
            static_cast<void>(fs_->remove(temporary));
            return done.error().code == errc::no_space ? std::move(done) : fail(std::move(done).error());
        }
        if (auto synced = io::sync_directory(*fs_, detail::parent_directory(path_)); !synced)
            return fail(std::move(synced).error());
        log_ = *std::move(fresh);
        return {};
    }

    result<void> copy_intact(io::file& to) {
        auto from = io::file::open(*fs_, path_, io::open_mode::read_no_follow);
        if (!from) return std::move(from).error();
        for (std::uint64_t at = 0; at < len_; at += record_.size()) {
            record_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(largest_copy, len_ - at)));
            if (auto read = from->read_exactly(at, {record_.data(), record_.size()}); !read) return read;
            if (auto written = to.append(record_); !written) return written;
        }
        return {};
    }

    LSM_COLD result<void> take_back(error why) {
        if (why.code != errc::no_space || !log_.truncate(len_)) return fail(std::move(why));
        return why;
    }
    LSM_COLD result<void> fail(error why) {
        failure_ = why;
        return why;
    }

    io::file_system* fs_;
    std::string path_;
    io::file log_;
    std::uint64_t len_;
    bool synced_ = true;
    basic_bytes<Alloc> record_;
    std::optional<error> failure_;
};

}  // namespace lsm::wal
