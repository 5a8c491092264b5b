// A small program for the attacks to run. Uses a database as most programs do: with background threads, a preallocated
// log and mapped tables. Every second write is not synced, and goes to the log through a map. Write N puts the key
// "k<N mod 7>" with the value "<N>" and LETTERS letters after it. Prints "ok N" when write N is acknowledged, and "full
// N" each time the disk has no room for it; gives up after TRIES of those.
//
//   writer DIR WRITES LETTERS TRIES     exit status 1, and one line on stderr, if something fails

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>

#include <lsm/db/db.hpp>

#include "support/results.hpp"

namespace {

using lsm::test::failed_check;
using lsm::test::must;

// Written at once, so that the line is there even if the program is killed afterwards.
void print(const char* word, unsigned long number) {
    const std::string line = word + std::to_string(number) + "\n";
    if (::write(STDOUT_FILENO, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
        throw failed_check(std::string("standard output: ") + std::strerror(errno));
}

void run(int argc, char** argv) {
    if (argc != 5) throw failed_check("usage: writer DIR WRITES LETTERS TRIES");
    std::signal(SIGXFSZ, SIG_IGN);  // under a file size limit writes fail with EFBIG instead
    auto db = must(lsm::db::open(argv[1], {.write_buffer_bytes = 4 << 10,
                                           .map_tables = true,
                                           .map_log = true,
                                           .compaction = {.level0_trigger = 2},
                                           .log_preallocation_bytes = 4 << 10}));
    const unsigned long writes = std::strtoul(argv[2], nullptr, 10);
    unsigned long tries = std::strtoul(argv[4], nullptr, 10);
    const std::string letters(std::strtoul(argv[3], nullptr, 10), 'x');
    for (unsigned long i = 1; i <= writes; ++i) {
        for (;;) {
            auto done = db.put("k" + std::to_string(i % 7), std::to_string(i) + letters, {.sync = i % 2 == 0});
            if (done) break;
            if (done.error().code != lsm::errc::no_space || tries-- == 0) throw failed_check(done.error().what);
            print("full ", i);
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
        print("ok ", i);
        if (i == writes / 2) must(db.flush());
    }
    must(db.compact());
    must(db.settle());
    must(db.close());
}

}  // namespace

int main(int argc, char** argv) {
    std::string line = "writer: ";
    try {
        run(argc, argv);
        return 0;
    } catch (const failed_check& e) {
        line += e.what();
    } catch (const std::exception& e) {
        line.append("out of memory: ").append(e.what());
    }
    line += '\n';
    static_cast<void>(!::write(STDERR_FILENO, line.data(), line.size()));
    return 1;
}
