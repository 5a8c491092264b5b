#pragma once

#include <cerrno>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <lsm/config.hpp>

namespace lsm {

/// What went wrong. The first group are the defects that the format page names.
enum class errc : unsigned char {
    short_input = 1,     ///< fewer bytes than a field needs
    bad_magic,           ///< the file is of another kind
    bad_block,           ///< an SSTable's block or index does not parse
    unsorted,            ///< a key that is not greater than the one before it
    bad_tombstone,       ///< a tombstone with a value
    bad_type,            ///< an entry type other than value and tombstone
    index_out_of_range,  ///< an SSTable's index or block lies outside its place
    trailing_bytes,      ///< bytes behind the last record
    bad_checksum,        ///< bytes that are not the ones that were written
    bad_manifest,        ///< a MANIFEST that breaks a rule of the format, or is missing beside data
    corruption,          ///< a damaged log: damage that is followed by intact data, or must not be there at all

    bad_key,           ///< bytes that are no key of this key type
    bad_value,         ///< bytes that are no value of this value type
    too_large,         ///< longer than the formats can store
    io,                ///< the system refused; error::sys is its errno
    no_space,          ///< the disk or quota is full; error::sys is the errno
    not_found,         ///< no such file or database
    exists,            ///< a file or database that should not be there is
    locked,            ///< the database is open already, here or in another process
    closed,            ///< the database was closed
    read_only,         ///< the database was opened to be read
    stale,             ///< what was read is gone: another process changes the directory
    over_budget,       ///< the memory budget has no room for another snapshot or cursor
    invalid_argument,  ///< a call that cannot be meant
};

/// The enumerator's name: "bad_magic".
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

/// One failure: what kind, the system's errno where it has one (else 0), and a line for people that says where (file,
/// offset or line) and what.
struct error {
    errc code;
    int sys = 0;
    std::string what;

    /// The same failure, told by someone who knows in which file it happened.
    [[nodiscard]] error in(std::string_view file) && noexcept;
};

namespace detail {

/// What `tell` returns; where there is no memory for its words, the failure in fewer: it is told all the same.
template <class Tell>
[[nodiscard]] error with_fallback_text(errc code, int sys, Tell tell) noexcept {
#if defined(__cpp_exceptions)
    try {
        return tell();
    } catch (const std::bad_alloc&) {
        return {code, sys, "no memory"};
    }
#else
    static_cast<void>(code), static_cast<void>(sys);
    return tell();
#endif
}

/// "bad_type: <detail>", for failures that have no place in a file.
[[nodiscard]] LSM_COLD inline error failure(errc code, std::string_view detail) noexcept {
    return with_fallback_text(code, 0, [&]() -> error {
        std::string what(to_string(code));
        what.append(": ").append(detail);
        return {code, 0, std::move(what)};
    });
}

/// "offset 17: bad_type: <detail>".
[[nodiscard]] LSM_COLD inline error failure_at(unsigned long long offset, errc code, std::string_view detail) noexcept {
    return with_fallback_text(code, 0, [&] { return failure(code, detail).in("offset " + std::to_string(offset)); });
}

/// A failed system call: "<operation>: <the system's words for sys>".
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

/// A copy that takes no memory when there is none.
[[nodiscard]] inline error copy_of(const error& why) noexcept {
    return with_fallback_text(why.code, why.sys, [&] { return why; });
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
