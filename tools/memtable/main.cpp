// memtable: one MemTable in a file. See docs/tools.md.

#include <lsm/memtable/memtable.hpp>

#include "common/cli.hpp"
#include "common/instantiation.hpp"
#include "common/output.hpp"
#include "common/updated_file.hpp"

namespace {

cli::memtable load(const std::string& path) {
    const cli::long_work now("reading ...");
    const auto file = cli::open_input(path);
    return cli::must(
        cli::memtable::decode(lsm::io::input(file, cli::must(file.size()), cli::allocator()), cli::allocator()));
}

void save(const cli::memtable& table, cli::updated_file& file) {
    const cli::long_work now("writing ...");
    file.replace([&](lsm::io::sink& out) { cli::must(table.encode(out)); });
}

template <class Change>
void update(const std::string& path, Change change) {
    cli::updated_file file(path);
    auto table = load(file.target());
    change(table);
    save(table, file);
}

void bulk(const std::string& path, std::uint32_t count) {
    cli::updated_file file(path);
    auto table = file.exists() ? load(file.target()) : cli::memtable(cli::allocator());
    cli::progress so_far;
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::string number = std::to_string(i);
        table.put("key" + number, "val" + number);
        so_far.step();
    }
    save(table, file);
}

void obey(const std::string& command, const std::vector<std::string>& words) {
    if (command == "new") {
        cli::expect_words(words, 1, "memtable new PATH");
        cli::updated_file file(words[0]);
        save(cli::memtable(cli::allocator()), file);
    } else if (command == "put") {
        cli::expect_words(words, 3, "memtable put PATH KEY VALUE");
        update(words[0], [&](cli::memtable& table) { table.put(words[1], words[2]); });
    } else if (command == "del") {
        cli::expect_words(words, 2, "memtable del PATH KEY");
        update(words[0], [&](cli::memtable& table) { table.del(words[1]); });
    } else if (command == "get") {
        cli::expect_words(words, 2, "memtable get PATH KEY");
        cli::print_lookup(load(words[0]).get(words[1]));
    } else if (command == "iter") {
        cli::expect_words(words, 1, "memtable iter PATH");
        auto entries = load(words[0]).iter();
        cli::print_entries(entries);
    } else if (command == "bulk") {
        cli::expect_words(words, 2, "memtable bulk PATH N");
        bulk(words[0], cli::number("N", words[1], 0));
    } else if (command == "size") {
        cli::expect_words(words, 1, "memtable size PATH");
        const auto table = load(words[0]);
        cli::print("entries=" + std::to_string(table.len()) + " size_bytes=" + std::to_string(table.size_bytes()));
    } else {
        throw cli::usage_error{"unknown command \"" + command + "\"; see memtable --help"};
    }
}

void run(cxxopts::Options& known, int argc, const char* const* argv) {
    auto words = cli::parse(known, argc, argv, {"put", "del", "get"}).words;
    if (words.empty()) throw cli::usage_error{"no command given; see memtable --help"};
    const std::string command = words.front();
    words.erase(words.begin());
    cli::naming(words.empty() ? "" : words.front(), [&] { obey(command, words); });
}

}  // namespace

int main(int argc, char** argv) {
    cxxopts::Options known("memtable",
                           "A MemTable in a file\n\n"
                           "  memtable new PATH\n"
                           "  memtable put PATH KEY VALUE\n"
                           "  memtable del PATH KEY\n"
                           "  memtable get PATH KEY\n"
                           "  memtable iter PATH\n"
                           "  memtable bulk PATH N\n"
                           "  memtable size PATH\n");
    known.custom_help("COMMAND PATH ...");
    return cli::run(known, argc, argv, run);
}
