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

/// The file of an open table: kept open, or in memory, or opened anew for each read. Reading is safe from many threads.
///
/// Its name may come to be another table's: an id that no file has any more can be given out again. So whoever opens
/// the file again looks whether it is the same: by its size and seal, the trailer of an extension area, whose checksum
/// is over those of all blocks; or, where blocks have no checksums, by its identity, as tables of one index can differ
/// in their values. Not told apart are then tables of one size where the file system has no identities, or gives one
/// out again.
class table_file {
public:
    static constexpr std::size_t seal_bytes = 24;

    /// Into memory if `map`, and that is to be had.
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
          mark_(other.mark_),
          file_(std::move(other.file_)),
          mapped_(std::move(other.mapped_)),
          open_(other.open_.load(std::memory_order_relaxed)) {}

    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] bool mapped() const noexcept { return static_cast<bool>(mapped_); }

    /// A part of a mapped file.
    [[nodiscard]] bytes_view view(std::uint64_t offset, std::uint64_t size) const noexcept {
        return {mapped_.begin() + offset, static_cast<std::size_t>(size)};
    }
    /// Fills `into`. stale, if the file is opened for each read and its name is gone or another file's.
    result<void> read(std::uint64_t offset, std::span<char> into) const {
        if (mapped_) {
            view(offset, into.size()).copy(into.data(), into.size());
            return {};
        }
        if (open_.load(std::memory_order_acquire)) return file_.read_exactly(offset, into);
        const auto again = reopen();
        if (again) return again->read_exactly(offset, into);
        if (open_.load(std::memory_order_acquire)) return file_.read_exactly(offset, into);
        return again.error();
    }

    /// From now on the file is opened for each read. Not while anybody reads.
    void close_handle() {
        open_.store(false, std::memory_order_relaxed);
        static_cast<void>(file_.close());
    }
    /// Ends that, so that the file may lose its name; others may be reading. One thread at a time.
    result<void> hold_open() {
        if (mapped_ || open_.load(std::memory_order_relaxed)) return {};
        auto again = reopen();
        if (!again) return std::move(again).error();
        file_ = *std::move(again);
        open_.store(true, std::memory_order_release);
        return {};
    }

    /// What other files are told by: bytes at `offset`, not 0, or else the identity. One of the two is to be called
    /// before the file is opened again. `seal` has seal_bytes.
    void identify_by_seal(std::uint64_t offset, bytes_view seal) noexcept {
        mark_.seal_offset = offset;
        seal.copy(mark_.seal.data(), mark_.seal.size());
    }
    result<void> know_by_identity() {
        const auto identity = file_.identity();
        if (!identity) return identity.error();
        mark_.identity = *identity;
        return {};
    }
    /// Whether `other` is of the same file, or has the same bytes, as far as can be told.
    [[nodiscard]] bool same_as(const table_file& other) const noexcept {
        return size_ == other.size_ && mark_ == other.mark_;
    }
    /// stale, if `other` is neither.
    result<void> check_same(const io::file& other) const {
        const auto size = other.size();
        if (!size) return size.error();
        if (*size != size_) return replaced();
        mark there{.seal_offset = mark_.seal_offset};
        if (there.seal_offset != 0) {
            if (auto got = other.read_exactly(there.seal_offset, there.seal); !got) return got;
        } else {
            const auto identity = other.identity();
            if (!identity) return identity.error();
            there.identity = *identity;
        }
        if (there != mark_) return replaced();
        return {};
    }
    /// The file once more, by its name. stale, if that is gone or another file's.
    [[nodiscard]] result<io::file> reopen() const {
        auto again = io::file::open(fs_, path_, io::open_mode::read_no_follow);
        if (!again && again.error().code == errc::not_found) return gone();
        if (!again) return again;
        if (auto same = check_same(*again); !same) return std::move(same).error();
        return again;
    }

    /// What is said of a file that has lost its name, or whose name is another's.
    [[nodiscard]] error gone() const { return failure(errc::stale, "another process has taken it away").in(path_); }
    [[nodiscard]] error replaced() const {
        return failure(errc::stale, "another process has put another file there").in(path_);
    }

private:
    struct mark {
        std::uint64_t seal_offset = 0;  // 0 for none
        std::array<char, seal_bytes> seal{};
        io::file_identity identity{};

        friend bool operator==(const mark&, const mark&) = default;
    };

    table_file(io::file file, std::uint64_t size)
        : fs_(file.system()), path_(file.path()), size_(size), file_(std::move(file)) {}

    io::file_system& fs_;
    std::string path_;
    std::uint64_t size_;
    mark mark_;
    io::file file_;
    io::mapping<const char> mapped_;
    std::atomic<bool> open_ = true;
};

/// A table's file while it is opened: its end is read at once, as footer, index and extension area lie there.
template <class Alloc>
class table_tail {
public:
    static result<table_tail> of(const table_file& file, const Alloc& alloc) {
        table_tail out(file, alloc);
        if (auto got = file.read(out.begin_, {out.bytes_.data(), out.bytes_.size()}); !got)
            return std::move(got).error();
        return out;
    }

    [[nodiscard]] const std::string& path() const noexcept { return file_.path(); }

    /// The last bytes of the file. Requires that it has so many, and that they are a footer's or fewer.
    [[nodiscard]] const char* last(std::size_t count) const noexcept { return bytes_.data() + bytes_.size() - count; }
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
