#include <lsm/io/replacement.hpp>

#include <cerrno>
#include <set>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/file_systems.hpp"
#include "support/files.hpp"
#include "support/recording_file_system.hpp"
#include "support/results.hpp"

using lsm::bytes;
using lsm::errc;
using lsm::result;
using lsm::io::memory_file_system;
using lsm::io::replacement;
using lsm::test::in_memory;
using lsm::test::must;
using lsm::test::must_fail;
using lsm::test::names_in;
using lsm::test::on_disk;
using lsm::test::read_file;
using lsm::test::recording_file_system;
using lsm::test::write_file;

namespace {

using names = std::set<std::string>;

result<void> replace(lsm::io::file_system& fs, bool& renamed) {
    auto next = replacement::create(fs, "target.tmp", "target");
    if (!next) return std::move(next).error();
    for (const char* const piece : {"new ", "contents"})
        if (auto written = next->file().append(piece); !written) return written;
    auto committed = next->commit();
    renamed = next->renamed();
    return committed;
}

}  // namespace

TEMPLATE_TEST_CASE("replacement: commit puts the new version in place", "", on_disk, in_memory) {
    TestType fs;
    for (const bool had_one : {false, true}) {
        if (had_one) write_file(fs.system, fs.path("target"), "old");
        auto next = must(replacement::create(fs.system, fs.path("target.tmp"), fs.path("target")));
        CHECK_FALSE(next.renamed());
        must(next.file().append("new"));
        if (had_one) CHECK(read_file(fs.system, fs.path("target")) == "old");
        must(next.commit());
        CHECK(next.renamed());
        CHECK(read_file(fs.system, fs.path("target")) == "new");
        CHECK(names_in(fs.system, fs.root()) == names{"target"});
    }
    CHECK(names_in(fs.system, fs.root()) == names{"target"});
}

TEMPLATE_TEST_CASE("replacement: without commit the target is unchanged and the temporary file is removed", "", on_disk,
                   in_memory) {
    TestType fs;
    write_file(fs.system, fs.path("target"), "old");
    {
        auto next = must(replacement::create(fs.system, fs.path("target.tmp"), fs.path("target")));
        must(next.file().append("new"));
        CHECK(names_in(fs.system, fs.root()) == names{"target", "target.tmp"});
    }
    CHECK(names_in(fs.system, fs.root()) == names{"target"});
    CHECK(read_file(fs.system, fs.path("target")) == "old");
}

TEMPLATE_TEST_CASE("replacement: an existing temporary file is refused and kept", "", on_disk, in_memory) {
    TestType fs;
    write_file(fs.system, fs.path("target.tmp"), "of another process");
    const auto failure = must_fail(replacement::create(fs.system, fs.path("target.tmp"), fs.path("target")));
    CHECK(failure.code == errc::exists);
    CHECK(failure.what.starts_with(fs.path("target.tmp") + ": "));
    CHECK(read_file(fs.system, fs.path("target.tmp")) == "of another process");
}

TEST_CASE("replacement: commit syncs the file before the rename and the directory after it") {
    memory_file_system memory;
    must(memory.make_directory("directory"));
    recording_file_system fs(memory);
    auto next = must(replacement::create(fs, "directory/target.tmp", "directory/target"));
    must(next.file().append("new"));
    must(next.commit());
    CHECK(fs.calls_without_reads() ==
          std::vector<std::string>{"create directory/target.tmp", "write directory/target.tmp",
                                   "fsync directory/target.tmp", "close directory/target.tmp",
                                   "rename directory/target.tmp directory/target", "fsync-directory directory"});
}

TEST_CASE("replacement: a failure at any step leaves the old or the new version and no temporary file") {
    bool done = false;
    int renamed_with_error = 0;
    for (std::size_t step = 0; !done; ++step) {
        INFO("step " << step);
        REQUIRE(step < 20);
        memory_file_system memory;
        write_file(memory, "target", "old");
        recording_file_system fs(memory);
        std::size_t calls = 0;
        fs.fault = [&](std::string_view) { return calls++ == step ? EIO : 0; };
        bool renamed = false;
        const auto replaced = replace(fs, renamed);
        done = calls <= step;
        CHECK(replaced.has_value() == done);
        if (!replaced) CHECK(replaced.error().sys == EIO);
        if (!replaced && renamed) ++renamed_with_error;
        CHECK(read_file(memory, "target") == (renamed ? "new contents" : "old"));
        CHECK(names_in(memory, ".") == names{"target"});
        CHECK(fs.open_files() == 0);
    }
    CHECK(renamed_with_error == 1);  // the sync of the directory
}

TEST_CASE("replacement: errors of commit name the target") {
    memory_file_system memory;
    must(memory.make_directory("directory"));
    recording_file_system fs(memory);
    const auto failing_at = [&](std::string_view step) {
        fs.fault = [step](std::string_view call) { return call.starts_with(step) ? EIO : 0; };
        auto next = must(replacement::create(fs, "directory/target.tmp", "directory/target"));
        return must_fail(next.commit()).what;
    };
    // The caller knows the target, and has never heard of the temporary file.
    CHECK(failing_at("fsync directory/target").starts_with("directory/target: "));
    CHECK(failing_at("close directory/target").starts_with("directory/target: "));
    CHECK(failing_at("rename").starts_with("directory/target: "));
    CHECK(failing_at("fsync-directory").starts_with("directory/target: directory: "));
}

TEST_CASE("replacement: after a move only the new object cleans up") {
    memory_file_system fs;
    {
        auto next = must(replacement::create(fs, "target.tmp", "target"));
        {
            replacement moved = std::move(next);
            must(moved.file().append("new"));
            must(moved.commit());
        }
        write_file(fs, "target.tmp", "of another program");
    }
    CHECK(names_in(fs, ".") == names{"target", "target.tmp"});
    CHECK(read_file(fs, "target") == "new");
}

TEST_CASE("replacement: the target of a move cleans up without commit") {
    memory_file_system fs;
    {
        auto next = must(replacement::create(fs, "target.tmp", "target"));
        const replacement moved = std::move(next);
        CHECK(names_in(fs, ".") == names{"target.tmp"});
    }
    CHECK(names_in(fs, ".").empty());
}
