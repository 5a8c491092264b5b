#pragma once

namespace lsm::test {

/// Whether the build has AddressSanitizer or ThreadSanitizer. A sanitizer makes programs slow, reserves more address
/// space than a memory limit allows, and does not work under a tracer.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr bool sanitized = true;
#elif !defined(__has_feature)
inline constexpr bool sanitized = false;
#elif __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

}  // namespace lsm::test
