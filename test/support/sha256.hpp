#pragma once

#include <string>

#include <lsm/core/bytes.hpp>
#include <lsm/core/hex.hpp>
#include <lsm/core/sha256.hpp>

namespace lsm::test {

inline std::string hex_of(const detail::sha256::digest& hash) { return hex(bytes(hash.begin(), hash.end())); }

/// SHA-256 in lower-case hex.
inline std::string sha256(bytes_view data) {
    detail::sha256 hash;
    hash.update(data);
    return hex_of(hash.finish());
}

}  // namespace lsm::test
