// sstable: SSTables of MemTable dumps, and a look into them. See docs/tools.md.

#include <lsm/memtable/dump.hpp>
#include <lsm/sstable/reader.hpp>
#include <lsm/sstable/writer.hpp>

#include "common/cli.hpp"
#include "common/instantiation.hpp"
#include "common/output.hpp"
#include "common/updated_file.hpp"

namespace {

cli::sst_reader open(const std::string& path) {
    return cli::must(cli::sst_reader::open(cli::open_input(path), cli::allocator()));
}

// One entry in memory at a time, whatever the size of the dump.
void build(const std::string& in, const std::string& out, lsm::sst_options options) {
    if (in == out || cli::same_file(in, out)) throw cli::usage_error{in + " and " + out + " are the same file"};
    const auto dump = cli::open_input(in);
    cli::dump_reader entries(lsm::io::input(dump, cli::must(dump.size()), cli::allocator()), cli::allocator());
    cli::updated_file target(out);
    target.replace([&](lsm::io::sink& to) {
        cli::sst_writer table(to, options, cli::allocator());
        cli::progress so_far;
        for (; entries.valid(); entries.next()) {
            const auto entry = entries.entry();
            cli::must(table.add(entries.key(), entry.tombstone() ? cli::sst_writer::entry() : entry.value));
            so_far.step();
        }
        cli::must(entries.status());
        cli::must(table.finish());
    });
}

std::uint64_t count(const cli::sst_reader& table) {
    const cli::long_work now("counting ...");
    return cli::must(table.len());
}

std::string described(const lsm::sst_footer& footer) {
    return "index_offset=" + std::to_string(footer.index_offset) + " index_size=" + std::to_string(footer.index_size) +
           " num_blocks=" + std::to_string(footer.num_blocks) + " magic_ok=" + (footer.magic_ok ? "true" : "false");
}

void obey(const std::string& command, const std::vector<std::string>& words, const cxxopts::ParseResult& options) {
    if (options.count("block-size") + options.count("extended") != 0 && command != "build")
        throw cli::usage_error{"options go with build only"};
    if (command == "build") {
        cli::expect_words(words, 2, "sstable build IN.mt OUT.sst [--block-size BYTES] [--extended]");
        lsm::sst_options how{.extended = options["extended"].as<bool>()};
        if (options.count("block-size") != 0)
            how.block_size = cli::number("BYTES", options["block-size"].as<std::string>(), 1);
        build(words[0], words[1], how);
    } else if (command == "footer") {
        cli::expect_words(words, 1, "sstable footer FILE.sst");
        cli::print(described(cli::must(cli::sst_reader::read_footer(cli::open_input(words[0])))));
    } else if (command == "get") {
        cli::expect_words(words, 2, "sstable get FILE.sst KEY");
        cli::print_lookup(cli::must(open(words[0]).get(words[1])));
    } else if (command == "iter") {
        cli::expect_words(words, 1, "sstable iter FILE.sst");
        auto entries = open(words[0]).iter();
        cli::print_entries(entries);
    } else if (command == "size") {
        cli::expect_words(words, 1, "sstable size FILE.sst");
        const auto table = open(words[0]);
        cli::print("file_bytes=" + std::to_string(table.file_bytes()) + " entries=" + std::to_string(count(table)) +
                   " num_blocks=" + std::to_string(table.num_blocks()));
    } else {
        throw cli::usage_error{"unknown command \"" + command + "\"; see sstable --help"};
    }
}

void run(cxxopts::Options& known, int argc, const char* const* argv) {
    auto given = cli::parse(known, argc, argv, {"get"}, "--block-size");
    auto& words = given.words;
    if (words.empty()) throw cli::usage_error{"no command given; see sstable --help"};
    const std::string command = words.front();
    words.erase(words.begin());
    cli::naming(words.empty() ? "" : words.front(), [&] { obey(command, words, given.options); });
}

}  // namespace

int main(int argc, char** argv) {
    cxxopts::Options known("sstable",
                           "SSTables\n\n"
                           "  sstable build IN.mt OUT.sst [--block-size BYTES] [--extended]\n"
                           "  sstable footer FILE.sst\n"
                           "  sstable get FILE.sst KEY\n"
                           "  sstable iter FILE.sst\n"
                           "  sstable size FILE.sst\n");
    known.custom_help("COMMAND FILE ...");
    known.add_options()("block-size", "the target size of a data block", cxxopts::value<std::string>(), "BYTES")(
        "extended", "add checksums, properties and a filter", cxxopts::value<bool>()->default_value("false"));
    return cli::run(known, argc, argv, run);
}
