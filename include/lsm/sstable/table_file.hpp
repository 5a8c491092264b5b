#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include <lsm/core/bytes.hpp>
#include <lsm/core/result.hpp>
#include <lsm/io/file.hpp>
#include <lsm/io/file_system.hpp>
#include <lsm/io/mapping.hpp>

namespace lsm::detail {

/// The file of an open table. It is kept open, or mapped, or opened for each read. Any number of threads may read.
///
/// The name of the file can pass to another table, because the id of a deleted table can be assigned again. So each
/// time the file is opened by its name, its fingerprint is compared:
///
/// - The size and the seal: the trailer of the extension area, whose crc covers the checksums of all blocks.
/// - Where blocks have no checksums, the size and the identity that the file system gives the file. The index is not
///   enough, since tables with equal indexes can differ in their values. Two such tables of equal size are mistaken for
///   each other if the file system has no identities, or reuses one.
class table_file {
public:
    static constexpr std::size_t seal_bytes = 24;

    /// Takes over an open file. Maps it if `map` is true and the system can map it. Errors: io.
    static result<table_file> of(io::file file, bool map = false) {
        const auto size = file.size();
        if (!size) return size.error();
        table_file out(std::move(file), *size);
        if (map && *size != 0)
            if (auto mapped = out.file_.map(*size)) out.mapped_ = *std::move(mapped);
        return out;
    }
    table_file(table_file&& other) noexcept
        : fs_(other.fs_),
          path_(std::move(other.path_)),
          size_(other.size_),
          fingerprint_(other.fingerprint_),
          file_(std::move(other.file_)),
          mapped_(std::move(other.mapped_)),
          open_(other.open_.load(std::memory_order_relaxed)) {}

    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] bool mapped() const noexcept { return static_cast<bool>(mapped_); }

    /// Returns a part of the file. Requires mapped(), and that the part lies in the file. The view is valid as long as
    /// this object, or the one it is moved to.
    [[nodiscard]] bytes_view view(std::uint64_t offset, std::uint64_t size) const noexcept {
        return {mapped_.begin() + offset, static_cast<std::size_t>(size)};
    }
    /// Fills `into` from `offset` on. Errors: those of io::file::read_exactly(); those of reopen(), if the file is
    /// opened for each read.
    result<void> read(std::uint64_t offset, std::span<char> into) const {
        if (mapped_) {
            view(offset, into.size()).copy(into.data(), into.size());
            return {};
        }
        if (open_.load(std::memory_order_acquire)) return file_.read_exactly(offset, into);
        const auto reopened = reopen();
        if (reopened) return reopened->read_exactly(offset, into);
        // Another thread may have called hold_open() meanwhile, and then removed the name: then file_ is open.
        if (open_.load(std::memory_order_acquire)) return file_.read_exactly(offset, into);
        return reopened.error();
    }

    /// Closes the file; from now on it is opened for each read, unless it is mapped. Requires that no thread reads, and
    /// that the file was identified.
    void close_handle() {
        open_.store(false, std::memory_order_relaxed);
        static_cast<void>(file_.close());
    }
    /// Opens the file and keeps it open, so that it can be read after it has lost its name. Does nothing if it is open
    /// or mapped. One thread at a time; other threads may read meanwhile. Errors: those of reopen().
    result<void> hold_open() {
        if (mapped_ || open_.load(std::memory_order_relaxed)) return {};
        auto reopened = reopen();
        if (!reopened) return std::move(reopened).error();
        file_ = *std::move(reopened);
        open_.store(true, std::memory_order_release);
        return {};
    }

    /// Completes the fingerprint with `seal`, the seal_bytes bytes of the file at `offset`, which must not be 0. This
    /// or identify_by_file_identity() is to be called once, before the file is opened again or compared.
    void identify_by_seal(std::uint64_t offset, bytes_view seal) noexcept {
        fingerprint_.seal_offset = offset;
        seal.copy(fingerprint_.seal.data(), fingerprint_.seal.size());
    }
    /// Completes the fingerprint with the identity of the open file. Errors: io.
    result<void> identify_by_file_identity() {
        const auto identity = file_.identity();
        if (!identity) return identity.error();
        fingerprint_.identity = *identity;
        return {};
    }
    /// Returns whether `other` has the same fingerprint, and so is the same file or has the same bytes; but see above.
    [[nodiscard]] bool same_as(const table_file& other) const noexcept {
        return size_ == other.size_ && fingerprint_ == other.fingerprint_;
    }
    /// Checks that `other` has the same fingerprint. Errors: stale if not; those of reading `other`.
    result<void> check_same(const io::file& other) const {
        const auto size = other.size();
        if (!size) return size.error();
        if (*size != size_) return replaced_error();
        fingerprint found{.seal_offset = fingerprint_.seal_offset};
        if (found.seal_offset != 0) {
            if (auto got = other.read_exactly(found.seal_offset, found.seal); !got) return got;
        } else {
            const auto identity = other.identity();
            if (!identity) return identity.error();
            found.identity = *identity;
        }
        if (found != fingerprint_) return replaced_error();
        return {};
    }
    /// Opens the file again by its name, and checks that it is the same file. Errors: stale, if the name is gone or
    /// belongs to another file; io.
    [[nodiscard]] result<io::file> reopen() const {
        auto reopened = io::file::open(fs_, path_, io::open_mode::read_no_follow);
        if (!reopened && reopened.error().code == errc::not_found) return removed_error();
        if (!reopened) return reopened;
        if (auto same = check_same(*reopened); !same) return std::move(same).error();
        return reopened;
    }

    /// Returns the error for a file whose name is gone.
    [[nodiscard]] error removed_error() const {
        return failure(errc::stale, "another process has removed the file").in(path_);
    }
    /// Returns the error for a file whose name belongs to another file.
    [[nodiscard]] error replaced_error() const {
        return failure(errc::stale, "another process has replaced the file").in(path_);
    }

private:
    struct fingerprint {
        std::uint64_t seal_offset = 0;  // 0 if there is no seal
        std::array<char, seal_bytes> seal{};
        io::file_identity identity{};

        friend bool operator==(const fingerprint&, const fingerprint&) = default;
    };

    table_file(io::file file, std::uint64_t size)
        : fs_(file.system()), path_(file.path()), size_(size), file_(std::move(file)) {}

    io::file_system& fs_;
    std::string path_;
    std::uint64_t size_;
    fingerprint fingerprint_;
    io::file file_;
    io::mapping<const char> mapped_;
    std::atomic<bool> open_ = true;  // whether file_ may be read; set after file_
};

/// A table's file while the table is being opened. Holds the end of the file, read with one call, because footer, index
/// and extension area are there. The table_file must outlive it.
template <class Alloc>
class table_tail {
public:
    /// Reads the last 64 KiB of the file, or all of a smaller one.
    static result<table_tail> of(const table_file& file, const Alloc& alloc) {
        table_tail out(file, alloc);
        if (auto got = file.read(out.begin_, {out.bytes_.data(), out.bytes_.size()}); !got)
            return std::move(got).error();
        return out;
    }

    [[nodiscard]] const std::string& path() const noexcept { return file_.path(); }

    /// Returns the last `count` bytes of the file. Requires that the tail has that many.
    [[nodiscard]] const char* last(std::size_t count) const noexcept { return bytes_.data() + bytes_.size() - count; }
    /// Fills `into` from `offset` on, from memory if the tail has all of it. Requires that the file has that many
    /// bytes.
    result<void> read(std::uint64_t offset, std::span<char> into) const {
        if (offset < begin_) return file_.read(offset, into);
        bytes_view(bytes_).substr(static_cast<std::size_t>(offset - begin_)).copy(into.data(), into.size());
        return {};
    }

private:
    static constexpr std::uint64_t most_bytes = std::uint64_t{64} << 10;

    table_tail(const table_file& file, const Alloc& alloc)
        : file_(file),
          begin_(file.size() - std::min(file.size(), most_bytes)),
          bytes_(static_cast<std::size_t>(file.size() - begin_), '\0', alloc) {}

    const table_file& file_;
    std::uint64_t begin_;
    basic_bytes<Alloc> bytes_;
};

}  // namespace lsm::detail
