// Runs an entry point under libFuzzer: fuzz --entry=NAME [libFuzzer's own arguments]. scripts/fuzz.sh runs them all.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "campaigns/fuzz/entries.hpp"
#include "support/results.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

namespace {

const lsm::test::fuzz::entry* chosen = nullptr;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
    constexpr std::string_view option = "--entry=";
    for (int i = 1; i < *argc; ++i) {
        const std::string_view argument = (*argv)[i];
        if (!argument.starts_with(option)) continue;
        chosen =
            std::ranges::find(lsm::test::fuzz::entries, argument.substr(option.size()), &lsm::test::fuzz::entry::name);
    }
    if (chosen == nullptr || chosen == std::end(lsm::test::fuzz::entries)) {
        std::fputs("usage: fuzz --entry=NAME [libFuzzer's own arguments]; NAME is one of", stderr);
        for (const auto& known : lsm::test::fuzz::entries)
            std::fprintf(stderr, " %.*s", static_cast<int>(known.name.size()), known.name.data());
        std::fputs("\n", stderr);
        std::exit(2);
    }
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        chosen->body({reinterpret_cast<const char*>(data), size});
    } catch (const lsm::test::failed_check& found) {
        std::fprintf(stderr, "finding: %s\n", found.what());
        std::abort();
    }
    return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
    size = LLVMFuzzerMutate(data, size, most);
    // One input in four keeps its wrong checksums, so that the checks themselves are fuzzed too.
    if (chosen->reseal == nullptr || seed % 4 == 0) return size;
    const lsm::bytes resealed = chosen->reseal(lsm::bytes(reinterpret_cast<const char*>(data), size));
    size = std::min(resealed.size(), most);
    std::copy_n(resealed.begin(), size, data);
    return size;
}
