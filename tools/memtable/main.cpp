// memtable: reads and changes a MemTable in a file. See docs/tools.md.

#include <lsm/memtable/memtable.hpp>

#include "common/cli.hpp"
#include "common/instantiation.hpp"
#include "common/output.hpp"
#include "common/updated_file.hpp"

namespace {

cli::memtable load(const std::string& path) {
    const cli::long_work work("reading ...");
    const auto file = cli::open_input(path);
    return cli::must(
        cli::memtable::decode(lsm::io::input(file, cli::must(file.size()), cli::allocator()), cli::allocator()));
}

void save(const cli::memtable& table, cli::updated_file& file) {
    const cli::long_work work("writing ...");
    file.replace([&](lsm::io::sink& out) { cli::must(table.encode(out)); });
}

template <class Change>
void update(const std::string& path, Change change) {
    cli::updated_file file(path);
    auto table = load(file.target());
    change(table);
    save(table, file);
}

void create(const cli::command_line& line) {
    cli::updated_file file(line.words[0]);
    save(cli::memtable(cli::allocator()), file);
}

void put(const cli::command_line& line) {
    update(line.words[0], [&](cli::memtable& table) { table.put(line.words[1], line.words[2]); });
}

void del(const cli::command_line& line) {
    update(line.words[0], [&](cli::memtable& table) { table.del(line.words[1]); });
}

void get(const cli::command_line& line) { cli::print_lookup(load(line.words[0]).get(line.words[1])); }

void iter(const cli::command_line& line) {
    auto entries = load(line.words[0]).iter();
    cli::print_entries(entries);
}

void bulk(const cli::command_line& line) {
    const std::uint32_t count = cli::number("N", line.words[1], 0);
    cli::updated_file file(line.words[0]);
    auto table = file.exists() ? load(file.target()) : cli::memtable(cli::allocator());
    cli::progress progress;
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::string number = std::to_string(i);
        table.put("key" + number, "val" + number);
        progress.step();
    }
    save(table, file);
}

void size(const cli::command_line& line) {
    const auto table = load(line.words[0]);
    cli::print("entries=" + std::to_string(table.len()) + " size_bytes=" + std::to_string(table.size_bytes()));
}

constexpr cli::command commands[] = {
    {"new", "PATH", "write an empty MemTable, replacing what was there", 1, create},
    {"put", "PATH KEY VALUE", "set KEY to VALUE", 3, put, cli::syntax::literal},
    {"del", "PATH KEY", "write a tombstone for KEY", 2, del, cli::syntax::literal},
    {"get", "PATH KEY", "print value: <hex> | tombstone | absent", 2, get, cli::syntax::literal},
    {"iter", "PATH", "print V <hex-key> <hex-value> | T <hex-key> for each entry", 1, iter},
    {"bulk", "PATH N", "put key0 = val0 to key{N-1} = val{N-1}; create the file if missing", 2, bulk},
    {"size", "PATH", "print entries=<N> size_bytes=<B>", 1, size},
};

}  // namespace

int main(int argc, char** argv) {
    cxxopts::Options known("memtable",
                           "Read and change a MemTable in a file\n\n" + cli::help_of("memtable ", commands));
    known.custom_help("COMMAND PATH ...");
    return cli::run(known, argc, argv, [&] { cli::run_command(known, argc, argv, {}, commands); });
}
