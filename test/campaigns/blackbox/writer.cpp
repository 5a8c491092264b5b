// A small program that uses the database as most do: with threads in the background, its log allocated ahead, and its
// tables mapped. Every other write is not synced, and goes to the log through a map. It says "ok N" on stdout when its
// N-th write is acknowledged, and "full N" each time the disk has no room for it, which it bears TRIES times. Write N
// puts the key "k<N mod 7>" with the value "<N>" and as many letters as are asked for.
//
//   writer DIR WRITES LETTERS TRIES     exit status 1, and a line on stderr, if something fails

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

namespace {

struct failed : std::runtime_error {
    using std::runtime_error::runtime_error;
};
[[noreturn]] void fail(const std::string& what) { throw failed(what); }
template <class T>
T must(lsm::result<T> outcome) {
    if (!outcome) fail(outcome.error().what);
    if constexpr (!std::is_void_v<T>) return *std::move(outcome);
}

void say(const char* what, unsigned long number) {
    const std::string line = what + std::to_string(number) + "\n";
    if (::write(STDOUT_FILENO, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
        fail(std::string("standard output: ") + std::strerror(errno));
}

void run(int argc, char** argv) {
    if (argc != 5) fail("usage: writer DIR WRITES LETTERS TRIES");
    std::signal(SIGXFSZ, SIG_IGN);
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
            if (done.error().code != lsm::errc::no_space || tries-- == 0) fail(done.error().what);
            say("full ", i);
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
        say("ok ", i);
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
    } catch (const failed& e) {
        line += e.what();
    } catch (const std::exception& e) {
        line.append("out of memory: ").append(e.what());
    }
    line += '\n';
    static_cast<void>(!::write(STDERR_FILENO, line.data(), line.size()));
    return 1;
}
