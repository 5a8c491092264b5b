#pragma once

#if defined(_MSVC_LANG) ? _MSVC_LANG < 202002L : __cplusplus < 202002L
#error "lsm needs C++20: compile with -std=c++20 or newer"
#endif

#if !defined(__unix__) && !defined(__APPLE__)
#error "lsm needs a POSIX system"
#endif

static_assert(sizeof(void*) >= 8, "lsm needs a 64-bit system: file sizes must fit into std::size_t");

// Marks functions that run only after an error. The compiler keeps them out of line, away from the hot code.
#define LSM_COLD __attribute__((cold, noinline))
