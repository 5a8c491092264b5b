#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace lsm::test {

/// How a process ended, and what it wrote to standard output and standard error.
struct outcome {
    int status;  // the exit status, or 128 + the signal that ended the process
    std::string out;
    std::string err;
};

/// A running program with pipes for its three standard streams. The destructor kills it and waits for its end.
class process {
public:
    /// Calls `prepare` in the new process before it runs the program.
    explicit process(
        const std::vector<std::string>& command, const std::function<void()>& prepare = [] {}) {
        int in[2], out[2], err[2];
        if (::pipe(in) != 0 || ::pipe(out) != 0 || ::pipe(err) != 0) FAIL("no pipe");
        std::vector<char*> arguments;
        for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
        arguments.push_back(nullptr);
        id_ = ::fork();
        if (id_ < 0) FAIL("no process");
        if (id_ == 0) {
            ::dup2(in[0], 0);
            ::dup2(out[1], 1);
            ::dup2(err[1], 2);
            for (int descriptor = 3; descriptor < 64; ++descriptor) ::close(descriptor);
            ::signal(SIGPIPE, SIG_DFL);
            prepare();
            ::execv(arguments[0], arguments.data());
            ::_exit(127);
        }
        ::close(in[0]);
        ::close(out[1]);
        ::close(err[1]);
        input_ = in[1];
        output_ = out[0];
        errors_ = err[0];
        for (const int descriptor : {input_, output_, errors_}) ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    }
    process(const process&) = delete;
    ~process() {
        close_input();
        ::close(output_);
        ::close(errors_);
        if (id_ > 0) {
            kill();
            wait();
        }
    }

    /// Writes to standard input; ignores what the program does not read.
    void write(std::string_view text) {
        while (!text.empty()) {
            const auto written = ::write(input_, text.data(), text.size());
            if (written <= 0) return;  // the program has ended
            text.remove_prefix(static_cast<std::size_t>(written));
        }
    }
    void close_input() {
        if (input_ >= 0) ::close(input_);
        input_ = -1;
    }
    void close_output() {
        ::close(output_);
        output_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    }

    /// Reads standard output up to and including `text`. Blocks until the program has written it; fails the test if the
    /// program ends first.
    void read_until(std::string_view text) {
        std::string seen;
        char c = 0;
        while (seen.find(text) == std::string::npos) {
            if (::read(output_, &c, 1) != 1) FAIL("the program ended before it wrote " << text);
            seen.push_back(c);
        }
    }

    void kill() const { ::kill(id_, SIGKILL); }
    [[nodiscard]] pid_t id() const { return id_; }

    /// Closes standard input, reads what the program still writes, and blocks until it ends.
    outcome finish() {
        close_input();
        outcome result{0, {}, {}};
        pollfd streams[2] = {{output_, POLLIN, 0}, {errors_, POLLIN, 0}};
        std::string* const into[2] = {&result.out, &result.err};
        for (int open = 2; open > 0;) {
            ::poll(streams, 2, -1);
            for (int i = 0; i < 2; ++i) {
                if (streams[i].fd < 0 || streams[i].revents == 0) continue;
                char piece[65536];
                const auto got = ::read(streams[i].fd, piece, sizeof piece);
                if (got > 0) {
                    into[i]->append(piece, static_cast<std::size_t>(got));
                } else {
                    streams[i].fd = -1;
                    --open;
                }
            }
        }
        result.status = wait();
        return result;
    }

private:
    int wait() {
        int status = 0;
        ::waitpid(id_, &status, 0);
        id_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }

    pid_t id_ = -1;
    int input_ = -1;
    int output_ = -1;
    int errors_ = -1;
};

/// Runs a program with this standard input until it ends.
inline outcome run(
    const std::vector<std::string>& command, std::string_view input = {},
    const std::function<void()>& prepare = [] {}) {
    process program(command, prepare);
    ::signal(SIGPIPE, SIG_IGN);
    program.write(input);
    return program.finish();
}

/// The path of a tool of this build.
inline std::string tool(const std::string& name) { return std::string(LSM_TOOLS_DIRECTORY) + "/" + name; }

}  // namespace lsm::test
