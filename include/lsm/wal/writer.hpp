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
/// disk is forgiven, if the piece of a record that it left can be taken away again. What a file system throws while it
/// writes or syncs passes through, and is a failure like others.
template <class Alloc>
class basic_writer {
public:
    /// Reads the log at `path`, if there is one, and continues behind its intact records; a torn tail is cut. Errors:
    /// those of a strict_tail reader.
    static result<basic_writer> open(io::file_system& fs, std::string_view path, const Alloc& alloc = {}) {
        auto log = io::file::open(fs, path, io::open_mode::read_no_follow);
        if (!log && log.error().code == errc::not_found) return basic_writer(fs, path, std::nullopt, alloc);
        if (!log) return std::move(log).error();
        auto records = basic_reader<Alloc>::open(*std::move(log), recovery::strict_tail, alloc);
        if (!records) return std::move(records).error();
        for (;;) {
            auto record = records->next();
            if (!record) return std::move(record).error();
            if (!*record) return basic_writer(fs, path, records->end(), alloc);
        }
    }

    /// Continues behind the first `intact` bytes of the log at `path`, which a reader has found to be intact; without a
    /// number, there is no log.
    basic_writer(io::file_system& fs, std::string_view path, std::optional<std::uint64_t> intact,
                 const Alloc& alloc = {})
        : fs_(&fs), path_(path), len_(intact.value_or(0)), exists_(intact.has_value()), record_(alloc) {}

    /// From now on sync() sees to it that there is disk space for so many bytes more than are written: to write where
    /// the file need not grow makes a sync cheaper. The file is longer than its records then, until close() or
    /// rotate(). 0 for none.
    void preallocate(std::uint64_t bytes) noexcept { preallocation_ = bytes; }

    /// Writes one record with an encoded write batch in it, unless that is empty; on the disk it is after sync().
    /// Errors: too_large for more than 2^32-1 bytes; short_input, bad_type or trailing_bytes for what is no write
    /// batch; no_space; io.
    result<void> append(bytes_view batch) {
        if (auto good = check(); !good) return good;
        if (batch.size() > max_length)
            return detail::failure(errc::too_large, "a write batch has at most 2^32-1 bytes");
        if (auto checked = detail::check_batch(batch); !checked) return checked;  // or the log could not be read again
        if (batch.size() == detail::batch_header_bytes) return {};
        begin_record();
        add_to_record(batch);
        return append_record();
    }

    /// The same in pieces, for who knows that they are a write batch of at most max_length bytes together, and has
    /// begun with its count.
    void begin_record() { record_.assign(detail::log_header_bytes, '\0'); }
    void add_to_record(bytes_view piece) {
        detail::make_room(record_, piece.size());
        record_.append(piece);
    }
    void add_to_record(std::uint32_t number) { detail::append_le(record_, number); }
    /// `mapped`: into space that is reserved and mapped, a piece of what preallocate() asked for, as
    /// io::file::map_ahead() has it; where that cannot be had, written.
    result<void> append_record(bool mapped = false) {
        if (auto good = check(); !good) return good;
        if (!log_.is_open())
            if (auto started = start(); !started) return started;
        if (mapped && log_.mapped_ahead() < record_.size()) map_ahead();
        const bytes_view batch = bytes_view(record_).substr(detail::log_header_bytes);
        detail::store_le(record_.data(), static_cast<std::uint32_t>(batch.size()));
        detail::store_le(record_.data() + 4, crc32(batch));
        auto written = in_doubt([this] { return log_.append(record_); });
        const std::uint64_t size = record_.size();
        if (record_.capacity() > largest_kept) record_ = basic_bytes<Alloc>(record_.get_allocator());
        if (!written) return take_back(std::move(written).error());
        len_ += size;
        synced_ = false;
        log_.start_sync();  // for what is written without sync(), until rotate()
        return {};
    }

    /// Everything appended is on the disk.
    result<void> sync() {
        if (auto good = check(); !good) return good;
        if (synced_) return {};
        if (auto named = sync_name(); !named) return named;
        if (preallocation_ != 0 && len_ >= allocated_) {
            allocated_ = len_ + preallocation_;
            const auto reserved = in_doubt([this] { return log_.allocate(allocated_); });
            if (!reserved) allocated_ += preallocation_;  // not all disks can: no harm, try it later
        }
        return sync_bytes();
    }

    /// Syncs and closes the log, of which path() then is all that is left.
    result<void> close() {
        if (auto good = check(); !good) {
            static_cast<void>(log_.close());
            return good;
        }
        if (auto cut = give_back(); !cut) return fail(std::move(cut).error());
        if (auto named = sync_name(); !named) return named;
        if (auto synced = sync_bytes(); !synced) return synced;
        return log_.close();
    }

    /// Gives the log another name, durably, and closes it: the writer goes on with a log that is not there yet. After
    /// an error the log has the old name, or failure() says why the writer has stopped.
    result<void> rotate(std::string_view to) {
        if (auto good = check(); !good) return good;
        if (!log_.is_open())
            if (auto started = start(); !started) return started;
        static_cast<void>(give_back());  // or it reads as well with zeros at its end
        if (auto synced = sync_bytes(); !synced) return synced;
        if (auto renamed = fs_->rename(path_, to); !renamed) return std::move(renamed).error().in(path_);
        exists_ = false;
        if (auto synced = sync_directory(); !synced) return fail(std::move(synced).error());
        static_cast<void>(log_.close());  // everything in it is on the disk
        name_synced_ = true;
        can_map_ = true;
        len_ = allocated_ = 0;
        return {};
    }

    /// The length of the log in bytes, intact records only.
    [[nodiscard]] std::uint64_t len() const noexcept { return len_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    /// Why the writer has stopped, if it has.
    [[nodiscard]] const std::optional<error>& failure() const noexcept { return failure_; }

private:
    static constexpr std::size_t piece_bytes = std::size_t{64} << 10;
    static constexpr std::uint64_t largest_map = std::uint64_t{128} << 10;
    // A page that is new in a map costs more than to write so many bytes.
    static constexpr std::uint64_t largest_mapped = 1024;
    static constexpr std::size_t largest_kept = std::size_t{1} << 20;

    // Ok, or why the writer has stopped.
    result<void> check() {
        if (doubtful_ && !failure_) failure_ = detail::out_of_memory(path_);
        if (failure_) return *failure_;
        return {};
    }
    // For `work` behind which, if it throws, nobody knows what the file has.
    template <class Work>
    result<void> in_doubt(Work work) {
        doubtful_ = true;
        auto done = work();
        doubtful_ = false;
        return done;
    }

    void map_ahead() {
        const std::uint64_t size = std::min(preallocation_, largest_map);
        if (!can_map_ || record_.size() > std::min(size, largest_mapped)) return;
        allocated_ = std::max(allocated_, len_ + size);
        can_map_ = log_.map_ahead(size);
    }
    // What was reserved and is not needed.
    result<void> give_back() {
        if (allocated_ <= len_ || !log_.is_open()) return {};
        if (auto cut = log_.truncate(len_); !cut) return cut;
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
        return in_doubt([this] { return io::sync_directory(*fs_, detail::parent_directory(path_)); });
    }
    result<void> sync_bytes() {
        if (synced_) return {};
        if (auto done = in_doubt([this] { return log_.sync_data(); }); !done) return fail(std::move(done).error());
        synced_ = true;
        return {};
    }

    // The new file begins with the intact records of the old one, and replaces it whole; where nothing is, nothing
    // needs replacing.
    result<void> start() {
        if (!exists_) return create();
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
        if (auto synced = sync_directory(); !synced) return fail(std::move(synced).error());
        log_ = *std::move(fresh);
        return {};
    }

    result<void> create() {
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
        basic_bytes<Alloc> piece(record_.get_allocator());
        for (std::uint64_t at = 0; at < len_; at += piece.size()) {
            piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(piece_bytes, len_ - at)));
            if (auto read = from->read_exactly(at, {piece.data(), piece.size()}); !read) return read;
            if (auto written = to.append(piece); !written) return written;
        }
        return {};
    }

    LSM_COLD result<void> take_back(error why) {
        if (why.code != errc::no_space || !log_.truncate(len_)) return fail(std::move(why));
        allocated_ = len_;
        synced_ = false;  // or the piece could be there again after a power cut, in a log that counts as synced
        return why;
    }
    LSM_COLD result<void> fail(error why) {
        failure_ = detail::copy_of(why);
        return why;
    }

    io::file_system* fs_;
    std::string path_;
    io::file log_;
    std::uint64_t len_;
    std::uint64_t preallocation_ = 0;
    std::uint64_t allocated_ = 0;  // how far the file reaches, if beyond len_
    bool exists_;                  // something has the log's name
    bool name_synced_ = true;      // and will have it after a crash
    bool synced_ = true;
    bool can_map_ = true;  // as far as this file has shown
    bool doubtful_ = false;
    basic_bytes<Alloc> record_;
    std::optional<error> failure_;
};

}  // namespace lsm::wal
