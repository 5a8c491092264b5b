// Random histories of a database, each under several sets of options, against a std::map. One that fails is made
// shorter as long as it fails, and printed. scripts/model.sh runs many.

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <cxxopts.hpp>

#include "support/flags.hpp"
#include "support/history.hpp"

namespace {

using lsm::bytes;
using lsm::test::operation;
using history = std::vector<operation>;

history random_history(std::uint64_t seed, std::size_t operations) {
    std::mt19937_64 random(seed);
    history out;
    while (out.size() < operations) {
        bytes raw(std::size_t{64} << 10, '\0');
        for (char& c : raw) c = static_cast<char>(random());
        auto more = lsm::test::operations_of(raw);
        more.pop_back();  // it may be cut off
        std::ranges::move(more, std::back_inserter(out));
    }
    out.resize(operations);
    return out;
}

// How a database is kept: the first two bytes of a history that is a file.
unsigned ways(std::uint64_t seed, unsigned which) { return static_cast<unsigned>(seed * 31 + which) & 0xffff; }

std::string run_all(const history& what, std::uint64_t seed, unsigned sets) {
    std::optional<std::array<unsigned char, 32>> digest;
    for (unsigned which = 0; which < sets; ++which) {
        try {
            lsm::test::modelled_db db(ways(seed, which));
            for (const auto& one : what) db.apply(one);
            const auto now = db.finish();
            if (digest) lsm::test::require(now == *digest, "the digest is not the one under other options");
            digest = now;
        } catch (const lsm::test::finding& found) {
            return "option set " + std::to_string(which) + ": " + found.what();
        }
    }
    return {};
}

/// What is wrong; empty if nothing is. In a process of its own, which may crash or hang.
std::string defect_of(const history& what, std::uint64_t seed, unsigned sets) {
    constexpr unsigned longest_seconds = 600;
    int ends[2];
    if (::pipe(ends) != 0) std::exit(2);
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(longest_seconds);
        const std::string defect = run_all(what, seed, sets);
        static_cast<void>(!::write(ends[1], defect.data(), defect.size()));
        ::_exit(0);
    }
    ::close(ends[1]);
    std::string out;
    char piece[512];
    for (ssize_t got; (got = ::read(ends[0], piece, sizeof piece)) > 0;)
        out.append(piece, static_cast<std::size_t>(got));
    ::close(ends[0]);
    int status = 0;
    if (::waitpid(child, &status, 0) != child) std::exit(2);
    if (status != 0) out += "the process ended with status " + std::to_string(status);
    return out;
}

/// A history that fails still, and no longer does without any one of its operations (if time allows).
history shortest(history what, std::uint64_t seed, unsigned sets) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(5);
    for (std::size_t size = what.size() / 2; size > 0; size /= 2)
        for (std::size_t at = 0; at < what.size() && std::chrono::steady_clock::now() < until;) {
            history without = what;
            const auto first = without.begin() + static_cast<std::ptrdiff_t>(at);
            without.erase(first, first + static_cast<std::ptrdiff_t>(std::min(size, what.size() - at)));
            if (defect_of(without, seed, sets).empty())
                at += size;
            else
                what = std::move(without);
        }
    return what;
}

void print(const history& what, std::uint64_t seed, unsigned sets) {
    std::printf("%zu operations: %s\n", what.size(), defect_of(what, seed, sets).c_str());
    std::string raw;
    for (const auto& one : what) {
        std::printf("  %s\n", lsm::test::text_of(one).c_str());
        raw += one.raw;
    }
    if (raw.size() > 10'000) return;
    std::printf("for test/fuzz/corpus/operations, with one of the first two bytes for the option set:\n");
    for (unsigned which = 0; which < sets; ++which) std::printf(" %04x", ways(seed, which));
    std::printf("\n  %s\n", lsm::hex(raw).c_str());
}

}  // namespace

int main(int argc, char** argv) {
    cxxopts::Options known("model", "Random histories of a database against a std::map");
    known.add_options()("seeds", "histories", cxxopts::value<std::uint64_t>()->default_value("200"))(
        "seed", "of the first one", cxxopts::value<std::uint64_t>()->default_value("1"))(
        "operations", "of each", cxxopts::value<std::size_t>()->default_value("5000"))(
        "option-sets", "that each has", cxxopts::value<unsigned>()->default_value("2"));
    const auto given = lsm::test::parsed(std::move(known), argc, argv);
    const auto seeds = given["seeds"].as<std::uint64_t>(), first = given["seed"].as<std::uint64_t>();
    const auto operations = given["operations"].as<std::size_t>();
    const auto sets = given["option-sets"].as<unsigned>();
    const auto begun = std::chrono::steady_clock::now();
    for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
        const auto what = random_history(seed, operations);
        const auto defect = defect_of(what, seed, sets);
        if (defect.empty()) continue;
        std::printf("seed %" PRIu64 " fails: %s\n", seed, defect.c_str());
        std::fflush(stdout);
        print(shortest(what, seed, sets), seed, sets);
        return 1;
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    std::printf("%" PRIu64 " histories of %zu operations under %u option sets each: %.0f operations in %.1f s\n", seeds,
                operations, sets, static_cast<double>(seeds * operations * sets), took.count());
    std::puts("=== OK ===");
}
