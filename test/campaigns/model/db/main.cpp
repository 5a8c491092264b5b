// Runs random histories of operations on a database and on a std::map, each under several sets of options. Shortens a
// history that fails as far as possible, and prints it. scripts/model.sh runs many.

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
        more.pop_back();  // its bytes may be incomplete
        std::ranges::move(more, std::back_inserter(out));
    }
    out.resize(operations);
    return out;
}

// The seed of an option set: the first two bytes of a history in the fuzzers' corpus.
unsigned options_seed(std::uint64_t seed, unsigned set) { return static_cast<unsigned>(seed * 31 + set) & 0xffff; }

std::string run_all(const history& operations, std::uint64_t seed, unsigned sets) {
    std::optional<std::array<unsigned char, 32>> digest;
    for (unsigned set = 0; set < sets; ++set) {
        try {
            lsm::test::modelled_db db(options_seed(seed, set));
            for (const auto& operation : operations) db.apply(operation);
            const auto now = db.finish();
            if (digest) lsm::test::require(now == *digest, "the digest differs from that under other options");
            digest = now;
        } catch (const lsm::test::failed_check& found) {
            return "option set " + std::to_string(set) + ": " + found.what();
        }
    }
    return {};
}

/// Runs a history and returns what is wrong, or an empty string. The history runs in a child process, because it may
/// crash or hang.
std::string defect_of(const history& operations, std::uint64_t seed, unsigned sets) {
    constexpr unsigned longest_seconds = 600;
    int ends[2];
    if (::pipe(ends) != 0) std::exit(2);
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(longest_seconds);
        const std::string defect = run_all(operations, seed, sets);
        static_cast<void>(!::write(ends[1], defect.data(), defect.size()));
        ::_exit(0);
    }
    ::close(ends[1]);
    std::string out;
    char piece[512];
    for (;;) {
        const ssize_t got = ::read(ends[0], piece, sizeof piece);
        if (got <= 0) break;
        out.append(piece, static_cast<std::size_t>(got));
    }
    ::close(ends[0]);
    int status = 0;
    if (::waitpid(child, &status, 0) != child) std::exit(2);
    if (status != 0) out += "the process ended with status " + std::to_string(status);
    return out;
}

/// Shortens a history that fails, for at most five minutes: leaves out runs of operations, long runs first and single
/// operations last, if the rest still fails without them.
history shortest(history operations, std::uint64_t seed, unsigned sets) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(5);
    for (std::size_t size = operations.size() / 2; size > 0; size /= 2)
        for (std::size_t at = 0; at < operations.size() && std::chrono::steady_clock::now() < until;) {
            history without = operations;
            const auto first = without.begin() + static_cast<std::ptrdiff_t>(at);
            without.erase(first, first + static_cast<std::ptrdiff_t>(std::min(size, operations.size() - at)));
            if (defect_of(without, seed, sets).empty())
                at += size;
            else
                operations = std::move(without);
        }
    return operations;
}

void print(const history& operations, std::uint64_t seed, unsigned sets) {
    std::printf("%zu operations: %s\n", operations.size(), defect_of(operations, seed, sets).c_str());
    std::string raw;
    for (const auto& operation : operations) {
        std::printf("  %s\n", lsm::test::text_of(operation).c_str());
        raw += operation.raw;
    }
    if (raw.size() > 10'000) return;
    std::printf("input for test/campaigns/fuzz/corpus/operations; the first two bytes select the option set, one of\n");
    for (unsigned set = 0; set < sets; ++set) std::printf(" %04x", options_seed(seed, set));
    std::printf("\nand the history follows them:\n  %s\n", lsm::hex(raw).c_str());
}

}  // namespace

int main(int argc, char** argv) {
    cxxopts::Options flags("model", "Random histories of operations on a database, checked against a std::map");
    flags.add_options()("seeds", "number of histories", cxxopts::value<std::uint64_t>()->default_value("200"))(
        "seed", "seed of the first history", cxxopts::value<std::uint64_t>()->default_value("1"))(
        "operations", "operations in each history", cxxopts::value<std::size_t>()->default_value("5000"))(
        "option-sets", "option sets that each history runs under", cxxopts::value<unsigned>()->default_value("2"));
    const auto given = lsm::test::parsed(std::move(flags), argc, argv);
    const auto seeds = given["seeds"].as<std::uint64_t>(), first = given["seed"].as<std::uint64_t>();
    const auto operations = given["operations"].as<std::size_t>();
    const auto sets = given["option-sets"].as<unsigned>();
    const auto begun = std::chrono::steady_clock::now();
    for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
        const auto tried = random_history(seed, operations);
        const auto defect = defect_of(tried, seed, sets);
        if (defect.empty()) continue;
        std::printf("seed %" PRIu64 " fails: %s\n", seed, defect.c_str());
        std::fflush(stdout);
        print(shortest(tried, seed, sets), seed, sets);
        return 1;
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    std::printf("%" PRIu64 " histories of %zu operations, each under %u option sets: %.0f operations in %.1f s\n",
                seeds, operations, sets, static_cast<double>(seeds * operations * sets), took.count());
    std::puts("=== OK ===");
}
