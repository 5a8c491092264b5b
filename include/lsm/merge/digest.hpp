#pragma once

#include <utility>

#include <lsm/core/bytes.hpp>
#include <lsm/core/cursor.hpp>
#include <lsm/core/result.hpp>
#include <lsm/core/sha256.hpp>
#include <lsm/io/sink.hpp>
#include <lsm/merge/serialize_stream.hpp>

namespace lsm::detail {

/// Computes the SHA-256 of the bytes appended to it. append() cannot fail.
class sha256_sink final : public io::sink {
public:
    result<void> append(bytes_view data) override {
        hash_.update(data);
        return {};
    }
    /// The hash of everything appended. Neither append() nor finish() may follow.
    [[nodiscard]] sha256::digest finish() noexcept { return hash_.finish(); }

private:
    sha256 hash_;
};

/// Returns the SHA-256 of the merge stream (serialize_stream()) of the entries from the cursor's position to its end.
/// Moves the cursor there. Errors: those of the cursor. O(bytes), with one buffer in memory, from `alloc`.
template <forward_cursor C, class Alloc>
result<sha256::digest> stream_digest(C& entries, const Alloc& alloc) {
    sha256_sink out;
    if (auto done = serialize_stream(entries, out, alloc); !done) return std::move(done).error();
    return out.finish();
}

}  // namespace lsm::detail
