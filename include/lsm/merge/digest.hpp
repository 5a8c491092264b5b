#pragma once

#include <lsm/core/bytes.hpp>
#include <lsm/core/cursor.hpp>
#include <lsm/core/result.hpp>
#include <lsm/core/sha256.hpp>
#include <lsm/io/sink.hpp>
#include <lsm/merge/serialize_stream.hpp>

namespace lsm::detail {

/// A sink that hashes what is appended to it.
class sha256_sink final : public io::sink {
public:
    result<void> append(bytes_view data) override {
        hash_.update(data);
        return {};
    }
    [[nodiscard]] sha256::digest finish() { return hash_.finish(); }

private:
    sha256 hash_;
};

/// Returns the SHA-256 of the merge stream of the entries from where the cursor stands to its end. Errors: those of the
/// cursor.
template <forward_cursor C, class Alloc>
result<sha256::digest> stream_digest(C& entries, const Alloc& alloc) {
    sha256_sink out;
    if (auto done = serialize_stream(entries, out, alloc); !done) return std::move(done).error();
    return out.finish();
}

}  // namespace lsm::detail
