#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <exception>
#include <string>
#include <type_traits>

#include "engine.hpp"

namespace bench {

/// Runs `body` in a child process and returns its result. The child exits without running destructors, as if it were
/// killed. Throws failure if `body` throws or the child dies. Requires that the process has no other threads.
template <class Body>
auto in_child(Body body) {
    using outcome = std::invoke_result_t<Body>;
    struct message {
        outcome value;
        std::array<char, 500> error;  // empty on success
    };
    static_assert(std::is_trivially_copyable_v<message>);

    int ends[2];
    if (::pipe(ends) != 0) throw failure("cannot make a pipe");
    const pid_t child = ::fork();
    if (child == -1) throw failure("cannot fork");
    message answer{};
    if (child == 0) {
        try {
            answer.value = body();
        } catch (const std::exception& e) {
            std::strncpy(answer.error.data(), e.what(), answer.error.size() - 1);
        }
        ::_exit(::write(ends[1], &answer, sizeof answer) == ssize_t{sizeof answer} ? 0 : 1);
    }
    ::close(ends[1]);
    const bool answered = ::read(ends[0], &answer, sizeof answer) == ssize_t{sizeof answer};
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!answered)
        throw failure(WIFSIGNALED(status) ? "killed by signal " + std::to_string(WTERMSIG(status))
                                          : "ended without a result");
    if (answer.error[0] != '\0') throw failure(answer.error.data());
    return answer.value;
}

}  // namespace bench
