// The main function of the tests, which Catch2 2 does not provide.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
