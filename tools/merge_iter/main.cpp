// merge_iter: writes the merge stream of SSTables. See docs/tools.md.

#include <lsm/merge/merging_iterator.hpp>
#include <lsm/merge/serialize_stream.hpp>
#include <lsm/sstable/reader.hpp>

#include "common/cli.hpp"
#include "common/instantiation.hpp"
#include "common/output.hpp"
#include "common/updated_file.hpp"

namespace {

constexpr std::string_view usage = "[--drop-tombstones] IN1.sst IN2.sst ...";

using source = decltype(std::declval<cli::sst_reader>().byte_cursor());

// A merge that reports its progress.
class counted_merge {
public:
    counted_merge(std::vector<source> sources, lsm::merge_options options)
        : merge_(std::move(sources), options, cli::allocator()) {}
    [[nodiscard]] bool valid() const { return merge_.valid(); }
    [[nodiscard]] lsm::bytes_view key() const { return merge_.key(); }
    [[nodiscard]] lsm::entry_view entry() const { return merge_.entry(); }
    [[nodiscard]] lsm::result<void> status() const { return merge_.status(); }
    void next() {
        merge_.next();
        progress_.step();
    }

private:
    lsm::merging_iterator<source, cli::allocator_type> merge_;
    cli::progress progress_;
};

void merge(const cli::command_line& line) {
    const auto& paths = line.words;
    if (paths.empty()) throw cli::usage_error{"usage: merge_iter " + std::string(usage)};
    // Opening checks the index, so that most damage is reported before the first byte goes out.
    std::vector<source> newest_first;
    for (const std::string& path : paths)
        newest_first.push_back(cli::guard_memory(path, [&] {
            return cli::must(cli::sst_reader::open(cli::open_input(path), cli::allocator())).byte_cursor();
        }));
    // The merge does not report which input has a block that is too large for the memory, so the error names them all.
    const std::string inputs = paths.size() == 1 ? paths.front() : paths.front() + " to " + paths.back();
    cli::guard_memory(inputs, [&] {
        counted_merge merged(std::move(newest_first), {.drop_tombstones = line.options["drop-tombstones"].as<bool>()});
        cli::standard_output out;
        cli::must(lsm::serialize_stream(merged, out));
    });
}

}  // namespace

int main(int argc, char** argv) {
    cxxopts::Options known("merge_iter", "Write the merge stream of SSTables to standard output; IN1 is the newest\n");
    known.custom_help(std::string(usage));
    known.add_options()("drop-tombstones", "leave out deleted keys", cxxopts::value<bool>()->default_value("false"));
    return cli::run(known, argc, argv, [&] { merge(cli::parse(known, argc, argv)); });
}
