#pragma once

// Catch2 2 and 3 differ in their headers, hardly in what tests write.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif
