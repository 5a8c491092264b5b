// sstable: builds SSTables from MemTable dumps and reads them. See docs/tools.md.

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

void build(const cli::command_line& line) {
    lsm::sst_options options{.extended = line.options["extended"].as<bool>()};
    if (line.options.count("block-size") != 0)
        options.block_size = cli::number("BYTES", line.options["block-size"].as<std::string>(), 1);
    const std::string &in = line.words[0], &out = line.words[1];
    if (in == out || cli::same_file(in, out)) throw cli::usage_error{in + " and " + out + " are the same file"};

    // Streamed: one entry in memory at a time, whatever the size of the dump.
    const auto dump = cli::open_input(in);
    cli::dump_reader entries(lsm::io::input(dump, cli::must(dump.size()), cli::allocator()), cli::allocator());
    cli::updated_file target(out);
    target.replace([&](lsm::io::sink& sink) {
        cli::sst_writer table(sink, options, cli::allocator());
        cli::progress progress;
        for (; entries.valid(); entries.next()) {
            const auto entry = entries.entry();
            cli::must(table.add(entries.key(), entry.tombstone() ? cli::sst_writer::entry() : entry.value));
            progress.step();
        }
        cli::must(entries.status());
        cli::must(table.finish());
    });
}

void footer(const cli::command_line& line) {
    const auto footer = cli::must(cli::sst_reader::read_footer(cli::open_input(line.words[0])));
    cli::print("index_offset=" + std::to_string(footer.index_offset) +
               " index_size=" + std::to_string(footer.index_size) + " num_blocks=" + std::to_string(footer.num_blocks) +
               " magic_ok=" + (footer.magic_ok ? "true" : "false"));
}

void get(const cli::command_line& line) { cli::print_lookup(cli::must(open(line.words[0]).get(line.words[1]))); }

void iter(const cli::command_line& line) {
    auto entries = open(line.words[0]).iter();
    cli::print_entries(entries);
}

std::uint64_t count_entries(const cli::sst_reader& table) {
    const cli::long_work work("counting ...");
    return cli::must(table.len());
}

void size(const cli::command_line& line) {
    const auto table = open(line.words[0]);
    cli::print("file_bytes=" + std::to_string(table.file_bytes()) + " entries=" + std::to_string(count_entries(table)) +
               " num_blocks=" + std::to_string(table.num_blocks()));
}

constexpr cli::command commands[] = {
    {"build", "IN.mt OUT.sst [--block-size BYTES] [--extended]", "write the entries of a MemTable dump as an SSTable",
     2, build, cli::syntax::options},
    {"footer", "FILE.sst", "print index_offset=<N> index_size=<N> num_blocks=<N> magic_ok=<true|false>", 1, footer},
    {"get", "FILE.sst KEY", "print value: <hex> | tombstone | absent", 2, get, cli::syntax::literal},
    {"iter", "FILE.sst", "print V <hex-key> <hex-value> | T <hex-key> for each entry", 1, iter},
    {"size", "FILE.sst", "print file_bytes=<N> entries=<N> num_blocks=<N>", 1, size},
};

}  // namespace

int main(int argc, char** argv) {
    cxxopts::Options known("sstable", "Build and read SSTables\n\n" + cli::help_of("sstable ", commands));
    known.custom_help("COMMAND FILE ...");
    known.add_options()("block-size", "the target size of a data block (default: 4096)", cxxopts::value<std::string>(),
                        "BYTES")("extended", "add checksums, properties and a filter",
                                 cxxopts::value<bool>()->default_value("false"));
    return cli::run(known, argc, argv, [&] { cli::run_command(known, argc, argv, "--block-size", commands); });
}
