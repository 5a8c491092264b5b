#pragma once

#include <cstdio>
#include <cstdlib>

#include <cxxopts.hpp>

namespace lsm::test {

/// The flags of a test program. Exits: with 0 after --help, which prints the known flags, and with 2 after an error on
/// the command line.
inline cxxopts::ParseResult parsed(cxxopts::Options known, int argc, char** argv) {
    known.add_options()("help", "this");
    try {
        auto given = known.parse(argc, argv);
        if (!given.unmatched().empty()) throw cxxopts::exceptions::no_such_option(given.unmatched().front());
        if (given.count("help") == 0) return given;
        std::puts(known.help().c_str());
        std::exit(0);
    } catch (const cxxopts::exceptions::exception& problem) {
        std::fprintf(stderr, "%s: %s\n", known.program().c_str(), problem.what());
        std::exit(2);
    }
}

}  // namespace lsm::test
