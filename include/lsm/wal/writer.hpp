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
#include <lsm/core/or_out_of_memory.hpp>
#include <lsm/core/result.hpp>
#include <lsm/fwd.hpp>
#include <lsm/io/copy_range.hpp>
#include <lsm/io/file.hpp>
#include <lsm/wal/format.hpp>
#include <lsm/wal/reader.hpp>

namespace lsm::wal {

/// Appends records to a log. One thread at a time.
///
/// The writer never appends to a log that existed before: after a failed fsync, the page cache may show bytes of it
/// that never reached the disk. Instead the first append() writes its intact records to a new file, syncs that and
/// renames it over the old log. Until then nothing on the disk changes, and a missing log stays missing.
///
/// The first failed write or sync stops the writer: that call and every later one return its error. The exception is a
/// full disk during a write: the writer goes on if it can remove the partial record. An exception
/// that the file system throws during a write or sync passes through and stops the writer too; later calls return
/// errc::io with ENOMEM.
template <class Alloc>
class basic_writer {
public:
    /// Reads the log at `path`, if there is one, and continues after its intact records; a torn tail is dropped.
    /// Errors: those of opening the log, except not_found, and those of a strict_tail reader; corruption if intact
    /// records lie in the torn tail, which would be lost.
    static result<basic_writer> open(io::file_system& fs, std::string_view path, const Alloc& alloc = {}) {
        auto log = io::file::open(fs, path, io::open_mode::read_no_follow);
        if (!log && log.error().code == errc::not_found) return basic_writer(fs, path, std::nullopt, alloc);
        if (!log) return std::move(log).error();
        auto records = basic_reader<Alloc>::open(*std::move(log), recovery::strict_tail, alloc);
        if (!records) return std::move(records).error();
        for (;;) {
            auto record = records->next();
            if (!record) return std::move(record).error();
            if (*record) continue;
            if (records->cut_holds_records())
                return detail::failure_at(records->end(), errc::corruption, "intact records follow a torn one")
                    .in(path);
            return basic_writer(fs, path, records->end(), alloc);
        }
    }

    /// Continues after the first `intact` bytes of the log at `path`. Requires that a reader found them to be intact
    /// records. Without a value, there must be no log. `fs` must outlive the writer.
    basic_writer(io::file_system& fs, std::string_view path, std::optional<std::uint64_t> intact,
                 const Alloc& alloc = {})
        : fs_(&fs), path_(path), len_(intact.value_or(0)), exists_(intact.has_value()), record_(alloc) {}

    /// Makes later syncs reserve disk space for `bytes` bytes beyond the records, each time the space reserved before
    /// is used up. Writes into reserved space do not grow the file, which makes a sync cheaper. The file is longer than
    /// its records and ends in zeros until close() or rotate(). A disk that cannot reserve space is no error. 0
    /// reserves nothing.
    void preallocate(std::uint64_t bytes) noexcept { preallocation_ = bytes; }

    /// Appends a record that holds `batch`, an encoded write batch; a batch of no operations is not written. The record
    /// is durable after sync(). Errors: too_large for more than 2^32-1 bytes; short_input, bad_type or trailing_bytes
    /// if `batch` is not a write batch; no_space; io; those of creating a file.
    result<void> append(bytes_view batch) {
        if (auto good = check(); !good) return good;
        if (batch.size() > max_length)
            return detail::failure(errc::too_large, "a write batch has at most 2^32-1 bytes");
        // A record that is not a write batch would be damage to every reader of the log.
        if (auto checked = detail::check_batch(batch); !checked) return checked;
        if (batch.size() == detail::batch_header_bytes) return {};
        begin_record();
        add_to_record(batch);
        return append_record();
    }

    /// append() in pieces: begin_record(), then add_to_record() for each piece, then append_record(). Requires that the
    /// pieces together are a write batch of at most max_length bytes, its count included; this is not checked.
    void begin_record() { record_.assign(detail::log_header_bytes, '\0'); }
    void add_to_record(bytes_view piece) {
        detail::make_room(record_, piece.size());
        record_.append(piece);
    }
    void add_to_record(std::uint32_t number) { detail::append_le(record_, number); }
    /// Appends the record. If `mapped`, copies it into space that is reserved and mapped as by io::file::map_ahead(), a
    /// part of what preallocate() asked for; writes it where no such space is available. Errors: no_space; io; those of
    /// creating a file.
    result<void> append_record(bool mapped = false) {
        if (auto good = check(); !good) return good;
        if (!log_.is_open())
            if (auto opened = open_log(); !opened) return opened;
        if (mapped && log_.mapped_ahead() < record_.size()) map_ahead();
        // begin_record() left room for the header, which only now can be filled in.
        const bytes_view batch = bytes_view(record_).substr(detail::log_header_bytes);
        detail::store_le(record_.data(), static_cast<std::uint32_t>(batch.size()));
        detail::store_le(record_.data() + 4, crc32(batch));
        auto written = stop_if_thrown([this] { return log_.append(record_); });
        const std::uint64_t size = record_.size();
        // One huge batch must not hold its memory for good.
        if (record_.capacity() > max_kept_record_bytes) record_ = basic_bytes<Alloc>(record_.get_allocator());
        if (!written) return undo_append(std::move(written).error());
        len_ += size;
        synced_ = false;
        // Records written without sync() would otherwise all be left to the sync in rotate().
        log_.start_sync();
        return {};
    }

    /// Makes every appended record durable. Does nothing if they are already. Blocks until the disk has them. Errors:
    /// no_space; io. Either stops the writer.
    result<void> sync() {
        if (auto good = check(); !good) return good;
        if (synced_) return {};
        if (auto named = sync_name(); !named) return named;
        if (preallocation_ != 0 && len_ >= allocated_) {
            allocated_ = len_ + preallocation_;
            const auto reserved = stop_if_thrown([this] { return log_.allocate(allocated_); });
            // Preallocation only saves time: if the disk cannot do it, skip this stretch and try again at the next.
            if (!reserved) allocated_ += preallocation_;
        }
        return sync_bytes();
    }

    /// Removes the preallocated space, makes every record durable and closes the log. Afterwards only path() may be
    /// called. If the writer has stopped, closes the log without that and returns its error. Errors: no_space; io.
    result<void> close() {
        if (auto good = check(); !good) {
            static_cast<void>(log_.close());
            return good;
        }
        if (auto trimmed = trim_preallocation(); !trimmed) return fail(std::move(trimmed).error());
        if (auto named = sync_name(); !named) return named;
        if (auto synced = sync_bytes(); !synced) return synced;
        return log_.close();
    }

    /// Makes every record durable, renames the log to `to`, makes the new name durable and closes the log. The writer
    /// goes on with a new log at path(), which the next append creates. After an error, either the log still has its
    /// old name and the writer goes on, or the writer has stopped and failure() says why. Blocks until all of that is
    /// on the disk.
    result<void> rotate(std::string_view to) {
        if (auto good = check(); !good) return good;
        if (!log_.is_open())
            if (auto opened = open_log(); !opened) return opened;
        // An error does not matter: a log that ends in zeros reads the same.
        static_cast<void>(trim_preallocation());
        if (auto synced = sync_bytes(); !synced) return synced;
        if (auto renamed = fs_->rename(path_, to); !renamed) return std::move(renamed).error().in(path_);
        exists_ = false;
        if (auto synced = sync_directory(); !synced) return fail(std::move(synced).error());
        static_cast<void>(log_.close());  // an error loses nothing: the disk has every byte
        name_synced_ = true;
        can_map_ = true;
        len_ = allocated_ = 0;
        return {};
    }

    /// The length in bytes of the log's records; preallocated space is not counted.
    [[nodiscard]] std::uint64_t len() const noexcept { return len_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    /// The error that stopped the writer, if it has stopped.
    [[nodiscard]] const std::optional<error>& failure() const noexcept { return failure_; }

private:
    static constexpr std::uint64_t max_map_bytes = std::uint64_t{128} << 10;
    // Larger records are written: faulting in new pages of the map costs more than the system call.
    static constexpr std::uint64_t max_mapped_record_bytes = 1024;
    static constexpr std::size_t max_kept_record_bytes = std::size_t{1} << 20;

    // Success, or the error that stopped the writer.
    result<void> check() {
        if (in_doubt_ && !failure_) failure_ = detail::out_of_memory(path_);
        if (failure_) return *failure_;
        return {};
    }
    // Runs `work`, a write or sync. If it throws, what reached the disk is unknown, and the writer has stopped.
    template <class Work>
    result<void> stop_if_thrown(Work work) {
        in_doubt_ = true;
        auto done = work();
        in_doubt_ = false;
        return done;
    }

    // Failure is no error: the record is then written.
    void map_ahead() {
        const std::uint64_t size = std::min(preallocation_, max_map_bytes);
        if (!can_map_ || record_.size() > std::min(size, max_mapped_record_bytes)) return;
        allocated_ = std::max(allocated_, len_ + size);
        can_map_ = log_.map_ahead(size);
    }
    // Cuts the file to its records.
    result<void> trim_preallocation() {
        if (allocated_ <= len_ || !log_.is_open()) return {};
        if (auto truncated = log_.truncate(len_); !truncated) return truncated;
        allocated_ = 0;
        synced_ = false;
        return {};
    }

    result<void> sync_name() {
        if (name_synced_) return {};
        if (auto synced = sync_directory(); !synced) return fail(std::move(synced).error());
        name_synced_ = true;
        return {};
    }
    result<void> sync_directory() {
        return stop_if_thrown([this] { return io::sync_directory(*fs_, detail::parent_directory(path_)); });
    }
    result<void> sync_bytes() {
        if (synced_) return {};
        if (auto done = stop_if_thrown([this] { return log_.sync_data(); }); !done)
            return fail(std::move(done).error());
        synced_ = true;
        return {};
    }

    // Opens a new file to append to: at a free name, or in place of the log that exists, with its intact records.
    result<void> open_log() { return exists_ ? replace_log() : create_log(); }

    // Copy, sync, rename, sync of the directory: in this order, a crash at any moment leaves the old log or the new
    // one.
    result<void> replace_log() {
        const std::string temporary = path_ + ".tmp";
        // A crash in an earlier attempt may have left the file.
        if (auto removed = io::remove_if_present(*fs_, temporary); !removed) return removed;
        auto fresh = io::file::open(*fs_, temporary, io::open_mode::create_exclusive);
        if (!fresh) return std::move(fresh).error();
        auto done = len_ == 0 ? result<void>() : copy_intact(*fresh);
        if (done) done = fresh->sync();
        if (done) done = fresh->rename(path_);
        if (!done) {
            static_cast<void>(fs_->remove(temporary));
            // The old log is untouched. A full disk is no reason to stop: the next append() tries again.
            return done.error().code == errc::no_space ? std::move(done) : fail(std::move(done).error());
        }
        // After a failure here it is unknown which of the two logs a crash would leave, so nothing may be appended.
        if (auto synced = sync_directory(); !synced) return fail(std::move(synced).error());
        log_ = *std::move(fresh);
        return {};
    }

    // The new name is made durable by the first sync(), together with the records.
    result<void> create_log() {
        auto fresh = io::file::open(*fs_, path_, io::open_mode::create_exclusive);
        if (!fresh) return std::move(fresh).error();
        exists_ = true;
        name_synced_ = false;
        log_ = *std::move(fresh);
        return {};
    }

    result<void> copy_intact(io::file& to) {
        auto from = io::file::open(*fs_, path_, io::open_mode::read_no_follow);
        if (!from) return std::move(from).error();
        return io::copy_range(*from, 0, len_, to);
    }

    // After a failed write. The writer goes on only if the disk was full and the partial record can be removed.
    LSM_COLD result<void> undo_append(error cause) {
        if (cause.code != errc::no_space || !log_.truncate(len_)) return fail(std::move(cause));
        allocated_ = len_;
        synced_ = false;  // until a sync, a power cut may bring the partial record back
        return cause;
    }
    // Stops the writer.
    LSM_COLD result<void> fail(error cause) {
        failure_ = detail::copy_of(cause);
        return cause;
    }

    io::file_system* fs_;
    std::string path_;
    io::file log_;
    std::uint64_t len_;
    std::uint64_t preallocation_ = 0;
    std::uint64_t allocated_ = 0;  // where the preallocated space ends, if beyond len_
    bool exists_;                  // a file has the log's name
    bool name_synced_ = true;      // that name survives a crash
    bool synced_ = true;           // every record is durable
    bool can_map_ = true;          // false once this file could not be mapped
    bool in_doubt_ = false;        // a write or sync runs, or has thrown
    basic_bytes<Alloc> record_;
    std::optional<error> failure_;
};

}  // namespace lsm::wal
