// Runs the entry points without libFuzzer, on the kept corpus and on random mutations of it.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <lsm/core/hex.hpp>

#include "campaigns/fuzz/entries.hpp"
#include "support/catch.hpp"
#include "support/results.hpp"
#include "support/seed.hpp"
#include "support/threads.hpp"

using lsm::bytes;
using namespace lsm::test;

namespace {

struct kept_input {
    std::string name;
    bytes contents;
};

std::vector<kept_input> corpus_of(const fuzz::entry& entry) {
    std::vector<kept_input> out;
    for (const auto& file : std::filesystem::directory_iterator(std::filesystem::path(LSM_FUZZ_CORPUS) / entry.name)) {
        std::ifstream in(file.path(), std::ios::binary);
        out.push_back({file.path().filename(), bytes(std::istreambuf_iterator<char>(in), {})});
    }
    std::ranges::sort(out, {}, &kept_input::name);
    return out;
}

// The finding that an entry point throws for an input, if it throws one.
std::optional<std::string> finding_in(const fuzz::entry& entry, const bytes& input, bool* accepted = nullptr) {
    try {
        const bool good = entry.body(input);
        if (accepted != nullptr) *accepted |= good;
        return std::nullopt;
    } catch (const failed_check& found) {
        return found.what();
    }
}

/// Makes inputs by changing those of a corpus at random.
class mutator {
public:
    mutator(const std::vector<kept_input>& corpus, std::uint64_t seed) : corpus_(corpus), random_(seed) {}

    bytes next() {
        bytes out = any();
        for (auto changes = random_() % 3 + 1; changes > 0; --changes) change(out);
        return out;
    }
    bool one_in(unsigned count) { return random_() % count == 0; }

private:
    std::size_t below(std::size_t end) { return static_cast<std::size_t>(random_() % end); }
    const bytes& any() { return corpus_[below(corpus_.size())].contents; }
    bytes piece_of(const bytes& from) { return from.substr(below(from.size() + 1), below(32)); }

    void change(bytes& out) {
        const std::size_t at = below(out.size() + 1);
        switch (random_() % 5) {
            case 0: out.erase(at, below(16)); break;
            case 1: out.insert(at, piece_of(any())); break;
            case 2: out.replace(at, below(32), piece_of(out)); break;
            case 3:
                if (at < out.size()) out[at] = static_cast<char>(out[at] ^ 1 << random_() % 8);
                break;
            default: {
                static constexpr std::uint64_t limits[] = {0, 1, 0xff, 0x7fff'ffff, 0xffff'fff7, 0xffff'ffff, ~0ull};
                const auto number = one_in(2) ? random_() : limits[below(std::size(limits))];
                for (std::size_t i = at; i < std::min(out.size(), at + below(9)); ++i)
                    out[i] = static_cast<char>(number >> 8 * (i - at));
            }
        }
    }

    const std::vector<kept_input>& corpus_;
    std::mt19937_64 random_;
};

}  // namespace

TEST_CASE("fuzz: no input of the kept corpus is a finding") {
    for (const auto& entry : fuzz::entries) {
        INFO(entry.name);
        bool accepted = false;
        for (const auto& [name, contents] : corpus_of(entry)) {
            INFO(name);
            const auto found = finding_in(entry, contents, &accepted);
            INFO(found.value_or(""));
            CHECK_FALSE(found);
        }
        CHECK(accepted);  // a corpus of refused inputs alone would not reach the code after the checks
    }
}

TEST_CASE("fuzz: no random mutation of the kept corpus is a finding") {
    const auto seed = seed_or(606);
    for (const auto& entry : fuzz::entries) {
        const auto corpus = corpus_of(entry);
        mutator mutated(corpus, seed);
        for (auto left = number_or("LSM_ROUNDS", sanitized ? 300 : 3000); left > 0; --left) {
            bytes input = mutated.next();
            if (entry.reseal != nullptr && !mutated.one_in(4)) input = entry.reseal(std::move(input));
            INFO("LSM_SEED=" << seed << ", entry " << entry.name << ", input " << lsm::hex(input));
            const auto found = finding_in(entry, input);
            INFO(found.value_or(""));
            REQUIRE_FALSE(found);
        }
    }
}
