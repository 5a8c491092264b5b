// merge_iter: the merge stream of SSTables. See docs/tools.md.

#include <lsm/merge/merging_iterator.hpp>
#include <lsm/merge/serialize_stream.hpp>
#include <lsm/sstable/reader.hpp>

#include "common/cli.hpp"
#include "common/instantiation.hpp"
#include "common/output.hpp"
#include "common/updated_file.hpp"

namespace {

using source = decltype(std::declval<cli::sst_reader>().byte_cursor());

// A merge that counts what it has shown.
class counted_merge {
public:
    counted_merge(std::vector<source> sources, lsm::merge_options how)
        : merge_(std::move(sources), how, cli::allocator()) {}
    [[nodiscard]] bool valid() const { return merge_.valid(); }
    [[nodiscard]] lsm::bytes_view key() const { return merge_.key(); }
    [[nodiscard]] lsm::entry_view entry() const { return merge_.entry(); }
    [[nodiscard]] lsm::result<void> status() const { return merge_.status(); }
    void next() {
        merge_.next();
        so_far_.step();
    }

private:
    lsm::merging_iterator<source, cli::allocator_type> merge_;
    cli::progress so_far_;
};

void run(cxxopts::Options& known, int argc, const char* const* argv) {
    const auto given = cli::parse(known, argc, argv);
    const auto& paths = given.words;
    if (paths.empty()) throw cli::usage_error{"usage: merge_iter [--drop-tombstones] IN1.sst IN2.sst ..."};
    std::vector<source> newest_first;
    for (const std::string& path : paths)
        newest_first.push_back(cli::naming(path, [&] {
            return cli::must(cli::sst_reader::open(cli::open_input(path), cli::allocator())).byte_cursor();
        }));
    // Which of them has the block that is too large for the memory there is, a merge does not tell.
    cli::naming(paths.size() == 1 ? paths.front() : paths.front() + " to " + paths.back(), [&] {
        counted_merge merged(std::move(newest_first), {.drop_tombstones = given.options["drop-tombstones"].as<bool>()});
        cli::standard_output out;
        cli::must(lsm::serialize_stream(merged, out));
    });
}

}  // namespace

int main(int argc, char** argv) {
    cxxopts::Options known("merge_iter",
                           "The merge stream of SSTables on standard output, IN1 the newest\n\n"
                           "  merge_iter [--drop-tombstones] IN1.sst IN2.sst ...\n");
    known.custom_help("[--drop-tombstones] IN1.sst IN2.sst ...");
    known.add_options()("drop-tombstones", "leave out deleted keys", cxxopts::value<bool>()->default_value("false"));
    return cli::run(known, argc, argv, run);
}
