#pragma once

#include <cerrno>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <lsm/config.hpp>

namespace lsm {

/// The kind of an error. The first group are defects of files.
enum class errc : unsigned char {
    short_input = 1,     ///< fewer bytes than a field needs
    bad_magic,           ///< the file is not of the expected kind
    bad_block,           ///< a block or the index of an SSTable cannot be parsed
    unsorted,            ///< a key that is not greater than the one before it
    bad_tombstone,       ///< a tombstone with a value
    bad_type,            ///< an entry type other than value and tombstone
    index_out_of_range,  ///< the index or a block of an SSTable lies outside its part of the file
    trailing_bytes,      ///< bytes after the last record
    bad_checksum,        ///< bytes that are not those that were written: a checksum does not match
    bad_manifest,        ///< a MANIFEST that breaks a rule of the format, or is missing although there is data
    corruption,          ///< log damage that the recovery mode does not drop, a missing log, or conflicting tables

    bad_key,           ///< bytes that are not a key of the key type
    bad_value,         ///< bytes that are not a value of the value type
    too_large,         ///< longer than the formats can store
    io,                ///< a system call failed; error::sys is its errno
    no_space,          ///< the disk or the quota is full; error::sys is the errno
    not_found,         ///< no such file or database
    exists,            ///< the file or database exists, but must not
    locked,            ///< the file or database is in use, in this process or another
    closed,            ///< the database was closed
    read_only,         ///< the database was opened for reading only
    stale,             ///< the files that were to be read are gone: another process changes the directory
    over_budget,       ///< the memory budget has no room for another snapshot or cursor
    invalid_argument,  ///< an argument, or a combination of them, that the call does not accept
};

/// Returns the name of the enumerator, for example "bad_magic".
[[nodiscard]] constexpr std::string_view to_string(errc code) noexcept {
    switch (code) {
        case errc::short_input: return "short_input";
        case errc::bad_magic: return "bad_magic";
        case errc::bad_block: return "bad_block";
        case errc::unsorted: return "unsorted";
        case errc::bad_tombstone: return "bad_tombstone";
        case errc::bad_type: return "bad_type";
        case errc::index_out_of_range: return "index_out_of_range";
        case errc::trailing_bytes: return "trailing_bytes";
        case errc::bad_checksum: return "bad_checksum";
        case errc::bad_manifest: return "bad_manifest";
        case errc::corruption: return "corruption";
        case errc::bad_key: return "bad_key";
        case errc::bad_value: return "bad_value";
        case errc::too_large: return "too_large";
        case errc::io: return "io";
        case errc::no_space: return "no_space";
        case errc::not_found: return "not_found";
        case errc::exists: return "exists";
        case errc::locked: return "locked";
        case errc::closed: return "closed";
        case errc::read_only: return "read_only";
        case errc::stale: return "stale";
        case errc::over_budget: return "over_budget";
        case errc::invalid_argument: return "invalid_argument";
    }
    return "unknown";
}

/// An error: its kind, the errno of a failed system call (otherwise 0), and a text for people that names the place (the
/// file, and the offset or line in it) and the defect.
struct error {
    errc code;
    int sys = 0;
    std::string what;

    /// Returns the same error with "<file>: " in front of its text.
    [[nodiscard]] error in(std::string_view file) && noexcept;
};

namespace detail {

/// Returns make_error(). If memory for its text runs out, returns an error with the same `code` and `sys` and a text
/// that needs no memory.
template <class MakeError>
[[nodiscard]] error with_fallback_text(errc code, int sys, MakeError make_error) noexcept {
#if defined(__cpp_exceptions)
    try {
        return make_error();
    } catch (const std::bad_alloc&) {
        return {code, sys, "no memory"};  // short enough for the string's own buffer
    }
#else
    static_cast<void>(code), static_cast<void>(sys);
    return make_error();
#endif
}

/// Returns an error with the text "<code>: <detail>". Use failure_at() for a defect at an offset.
[[nodiscard]] LSM_COLD inline error failure(errc code, std::string_view detail) noexcept {
    return with_fallback_text(code, 0, [&]() -> error {
        std::string what(to_string(code));
        what.append(": ").append(detail);
        return {code, 0, std::move(what)};
    });
}

/// Returns an error with the text "offset <offset>: <code>: <detail>".
[[nodiscard]] LSM_COLD inline error failure_at(unsigned long long offset, errc code, std::string_view detail) noexcept {
    return with_fallback_text(code, 0, [&] { return failure(code, detail).in("offset " + std::to_string(offset)); });
}

/// Returns the error of a failed system call, with the text "<operation>: <the system's message for sys>". `sys` is its
/// errno, which determines the code: no_space, not_found, exists, or io for all others.
[[nodiscard]] LSM_COLD inline error system_failure(std::string_view operation, int sys) noexcept {
    errc code = errc::io;
    if (sys == ENOSPC || sys == EDQUOT) code = errc::no_space;
    if (sys == ENOENT) code = errc::not_found;
    if (sys == EEXIST) code = errc::exists;
    return with_fallback_text(code, sys, [&]() -> error {
        std::string what(operation);
        what.append(": ").append(std::generic_category().message(sys));
        return {code, sys, std::move(what)};
    });
}

/// Returns a copy. If memory for the text runs out, the copy has the fallback text.
[[nodiscard]] inline error copy_of(const error& original) noexcept {
    return with_fallback_text(original.code, original.sys, [&] { return original; });
}

}  // namespace detail

LSM_COLD inline error error::in(std::string_view file) && noexcept {
    return detail::with_fallback_text(code, sys, [&] {
        what.reserve(file.size() + 2 + what.size());
        what.insert(0, ": ").insert(0, file);
        return std::move(*this);
    });
}

}  // namespace lsm
