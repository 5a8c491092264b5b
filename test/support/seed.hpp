#pragma once

#include <cstdint>
#include <cstdlib>

namespace lsm::test {

/// The number in an environment variable; `otherwise` if it is not set or empty.
inline std::uint64_t number_or(const char* variable, std::uint64_t otherwise) {
    const char* const given = std::getenv(variable);
    return given != nullptr && *given != '\0' ? std::strtoull(given, nullptr, 10) : otherwise;
}

/// The seed of a random test: the number in LSM_SEED, else `fixed`.
inline std::uint64_t seed_or(std::uint64_t fixed) { return number_or("LSM_SEED", fixed); }

}  // namespace lsm::test
