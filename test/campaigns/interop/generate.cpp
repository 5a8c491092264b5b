// Makes random inputs for scripts/cross_test.sh. The same seed gives the same bytes.
//
//     interop_generate dump SEED OUT          writes a MemTable dump
//     interop_generate script SEED OUT        writes commands for dbctl
//     interop_generate gaps SEED IN OUT       copies an SSTable and adds bytes that belong to no block
//     interop_generate damage SEED IN OUT     copies a file and makes one defect

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>

#include <lsm/core/coding.hpp>
#include <lsm/memtable/memtable.hpp>
#include <lsm/sstable/format.hpp>

#include "support/random_keys.hpp"

namespace {

using random_source = std::mt19937_64;

std::string dump(random_source& random) {
    lsm::memtable table;
    const auto operations = random() % 200;
    for (std::uint64_t i = 0; i < operations; ++i) {
        if (random() % 4 == 0)
            table.del(lsm::test::random_key(random));
        else
            table.put(lsm::test::random_key(random), lsm::test::random_value(random));
    }
    return table.encode();
}

// Returns a word that dbctl reads as one word: not empty, without white space, and not the start of a comment.
std::string word(random_source& random) {
    static constexpr std::string_view letters = "abcdefgh\x01\x7f\x80\xff\"'\\-=";
    std::string out(1 + random() % 3, 'k');
    for (char& c : out) c = letters[random() % letters.size()];
    return random() % 20 == 0 ? out + std::string(300, 'x') : out;
}

std::string script(random_source& random) {
    static constexpr std::string_view blanks[] = {" ", "  ", "\t", "\v", "\f", " \r"};
    const auto blank = [&] { return std::string(blanks[random() % std::size(blanks)]); };
    std::string out;
    const auto lines = 1 + random() % 120;
    for (std::uint64_t i = 0; i < lines; ++i) {
        switch (random() % 16) {
            case 0: out += "FLUSH"; break;
            case 1: out += "DUMP"; break;
            case 2: out += "DUMP_WITH_TOMBS" + blank(); break;
            case 3: out += "# " + word(random); break;
            case 4: out += blank(); break;
            case 5:
            case 6:
            case 7:
            case 8: out += "DEL" + blank() + word(random); break;
            default: out += blank() + "PUT" + blank() + word(random) + blank() + word(random); break;
        }
        out += random() % 10 == 0 ? "\r\n" : "\n";
    }
    return out;
}

// Inserts bytes between the last block and the index.
std::string gaps(random_source& random, std::string table) {
    std::string junk(random() % 100, '\0');
    for (char& c : junk) c = static_cast<char>(random());
    char* const footer = table.data() + table.size() - lsm::detail::sst_footer_bytes;
    const auto index = lsm::detail::load_le<std::uint64_t>(footer);
    lsm::detail::store_le(footer, index + junk.size());
    return table.insert(static_cast<std::size_t>(index), junk);
}

std::string damage(random_source& random, std::string file) {
    if (file.empty()) return file;
    const auto at = static_cast<std::size_t>(random() % file.size());
    const auto length = std::min<std::size_t>(file.size() - at, 1 + random() % 16);
    switch (random() % 6) {
        case 0: return file.substr(0, at);
        case 1: return file.erase(at, length);
        case 2: return file.insert(at, file.substr(random() % file.size(), length));
        case 3: return file.replace(at, length, length, '\0');
        case 4: file[at] = static_cast<char>(random()); return file;
        default: file[at] = static_cast<char>(file[at] ^ 1 << random() % 8); return file;
    }
}

std::string read(const char* path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace

int main(int argc, char** argv) {
    const std::string command = argc > 1 ? argv[1] : "";
    random_source random(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0);
    std::string out;
    if (argc == 4 && command == "dump") {
        out = dump(random);
    } else if (argc == 4 && command == "script") {
        out = script(random);
    } else if (argc == 5 && command == "gaps") {
        out = gaps(random, read(argv[3]));
    } else if (argc == 5 && command == "damage") {
        out = damage(random, read(argv[3]));
    } else {
        std::cerr << "usage: interop_generate dump|script SEED OUT | gaps|damage SEED IN OUT\n";
        return 2;
    }
    std::ofstream file(argv[argc - 1], std::ios::binary);
    file << out << std::flush;
    return file ? 0 : 1;
}
