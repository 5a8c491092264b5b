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

/// Gives what `body` returned in a process of its own, which ends with it as if it had been killed. Throws failure with
/// what it threw, or how it died. Requires that there are no threads.
template <class Body>
auto in_child(Body body) {
    using outcome = std::invoke_result_t<Body>;
    struct message {
        outcome value;
        std::array<char, 500> complaint;
    };
    static_assert(std::is_trivially_copyable_v<message>);

    int ends[2];
    if (::pipe(ends) != 0) throw failure("cannot make a pipe");
    const pid_t child = ::fork();
    if (child == -1) throw failure("cannot fork");
    message told{};
    if (child == 0) {
        try {
            told.value = body();
        } catch (const std::exception& e) {
            std::strncpy(told.complaint.data(), e.what(), told.complaint.size() - 1);
        }
        ::_exit(::write(ends[1], &told, sizeof told) == ssize_t{sizeof told} ? 0 : 1);
    }
    ::close(ends[1]);
    const bool heard = ::read(ends[0], &told, sizeof told) == ssize_t{sizeof told};
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!heard)
        throw failure(WIFSIGNALED(status) ? "died of signal " + std::to_string(WTERMSIG(status)) : "said nothing");
    if (told.complaint[0] != '\0') throw failure(told.complaint.data());
    return told.value;
}

}  // namespace bench
