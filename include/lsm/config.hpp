#pragma once

#if defined(_MSVC_LANG) ? _MSVC_LANG < 202002L : __cplusplus < 202002L
#error "lsm needs C++20: compile with -std=c++20 or newer"
#endif

#if !defined(__unix__) && !defined(__APPLE__)
#error "lsm needs a POSIX system"
#endif

static_assert(sizeof(void*) >= 8, "lsm needs a 64-bit system: sizes of files are sizes in memory");

// Marks what runs only when something went wrong, to keep it out of the way of what runs always.
#define LSM_COLD __attribute__((cold, noinline))
