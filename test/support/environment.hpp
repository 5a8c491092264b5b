#pragma once

#include <cstdint>
#include <cstdlib>

namespace lsm::test {

/// The number in an environment variable, else `otherwise`: how long random tests run.
inline std::uint64_t number_or(const char* variable, std::uint64_t otherwise) {
    const char* const given = std::getenv(variable);
    return given != nullptr && *given != '\0' ? std::strtoull(given, nullptr, 10) : otherwise;
}

}  // namespace lsm::test
