#pragma once

#include <cstdint>
#include <cstdlib>

namespace lsm::test {

/// The seed of a random test: the environment variable LSM_SEED, else `fixed`.
inline std::uint64_t seed_or(std::uint64_t fixed) {
    const char* const given = std::getenv("LSM_SEED");
    return given == nullptr ? fixed : std::strtoull(given, nullptr, 10);
}

}  // namespace lsm::test
