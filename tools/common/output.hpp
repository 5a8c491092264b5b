#pragma once

#include <poll.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include <lsm/core/entry.hpp>
#include <lsm/core/hex.hpp>
#include <lsm/core/result.hpp>
#include <lsm/io/sink.hpp>

#include "common/cli.hpp"

namespace cli {

/// Blocks until a non-blocking descriptor is ready for `events` (of poll).
inline void wait_for(int descriptor, short events) {
    pollfd waiting{descriptor, events, 0};
    static_cast<void>(::poll(&waiting, 1, -1));
}

/// Writes to standard output, unbuffered.
class standard_output final : public lsm::io::sink {
public:
    lsm::result<void> append(lsm::bytes_view data) override {
        while (!data.empty()) {
            const auto written = ::write(STDOUT_FILENO, data.data(), data.size());
            if (written >= 0)
                data.remove_prefix(static_cast<std::size_t>(written));
            else if (errno == EAGAIN)
                wait_for(STDOUT_FILENO, POLLOUT);
            else if (errno != EINTR)
                return lsm::detail::system_failure("write", errno).in("standard output");
        }
        return {};
    }
};

/// Prints lines to standard output. Call flush() after the last one: the destructor does not.
class printer {
public:
    void line(std::string text) {
        text.push_back('\n');
        must(buffer_.append(text));
    }
    void flush() { must(buffer_.flush()); }

private:
    standard_output out_;
    lsm::io::buffered_sink<> buffer_{out_};
};

inline void print(std::string text) {
    printer out;
    out.line(std::move(text));
    out.flush();
}

/// Prints what a lookup found: "value: <hex>", "tombstone" or "absent".
template <class Lookup>
void print_lookup(const Lookup& found) {
    if (found.found()) return print("value: " + lsm::hex(found.value()));
    print(found.tombstone() ? "tombstone" : "absent");
}

/// Shows on stderr how many steps of long work are done. Shows nothing if stderr is not a terminal.
class progress {
public:
    explicit progress(const char* unit = "entries") : unit_(unit), on_terminal_(::isatty(STDERR_FILENO) == 1) {}
    progress(const progress&) = delete;
    ~progress() { clear(); }

    /// Counts one more step. Updates the line on the terminal now and then.
    void step() {
        if (++done_ % 65536 != 0 || !on_terminal_) return;
        const auto now = std::chrono::steady_clock::now();
        if (now - last_ < std::chrono::milliseconds(200)) return;
        last_ = now;
        visible_ = true;
        std::fprintf(stderr, "\r%llu %s", done_, unit_);
    }
    /// Erases the line. A later step() may show it again.
    void clear() {
        if (std::exchange(visible_, false)) std::fputs("\r\x1b[K", stderr);
    }

private:
    const char* unit_;
    bool on_terminal_;
    bool visible_ = false;
    unsigned long long done_ = 0;
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// Shows `activity` on stderr while this object lives, once that has been half a second. Shows nothing if stderr is not
/// a terminal. Requires that `activity` outlives the object, and that no other long_work exists: it uses SIGALRM.
class long_work {
public:
    explicit long_work(std::string_view activity) : on_terminal_(::isatty(STDERR_FILENO) == 1) {
        if (!on_terminal_) return;
        activity_ = activity;
        visible_ = 0;
        struct sigaction show = {};
        show.sa_handler = [](int) {
            visible_ =
                ::write(STDERR_FILENO, "\r", 1) > 0 && ::write(STDERR_FILENO, activity_.data(), activity_.size()) > 0;
        };
        // The signal must not make a system call of the work fail with EINTR.
        show.sa_flags = SA_RESTART;
        ::sigaction(SIGALRM, &show, nullptr);
        const itimerval half_a_second{{}, {0, 500'000}};
        ::setitimer(ITIMER_REAL, &half_a_second, nullptr);
    }
    long_work(const long_work&) = delete;
    ~long_work() {
        if (!on_terminal_) return;
        const itimerval never{};
        ::setitimer(ITIMER_REAL, &never, nullptr);
        if (visible_ != 0) std::fputs("\r\x1b[K", stderr);
    }

private:
    bool on_terminal_;
    static inline std::string_view activity_;
    static inline volatile std::sig_atomic_t visible_ = 0;
};

/// Prints "V <hex-key> <hex-value>" or "T <hex-key>" for each entry, from the cursor's position to the end.
template <class Cursor>
void print_entries(Cursor& entries) {
    printer out;
    progress printed;
    for (; entries.valid(); entries.next()) {
        std::string line(entries.entry().tombstone() ? "T " : "V ");
        lsm::append_hex(line, entries.key());
        if (!entries.entry().tombstone()) {
            line.push_back(' ');
            lsm::append_hex(line, entries.entry().value);
        }
        out.line(std::move(line));
        printed.step();
    }
    // The entries before damage are printed before the error ends the run.
    out.flush();
    must(entries.status());
}

}  // namespace cli
