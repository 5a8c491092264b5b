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

/// Waits until a descriptor that somebody made non-blocking can be read or written.
inline void wait_for(int descriptor, short what) {
    pollfd one{descriptor, what, 0};
    static_cast<void>(::poll(&one, 1, -1));
}

/// Standard output, unbuffered.
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

/// Prints lines on standard output; flush() before the end of the run.
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

/// Says on stderr how far long work has come, if stderr is a terminal.
class progress {
public:
    explicit progress(const char* of = "entries") : of_(of), shown_(::isatty(STDERR_FILENO) == 1) {}
    progress(const progress&) = delete;
    ~progress() { clear(); }

    /// One more is done.
    void step() {
        if (++done_ % 65536 != 0 || !shown_) return;
        const auto now = std::chrono::steady_clock::now();
        if (now - last_ < std::chrono::milliseconds(200)) return;
        last_ = now;
        said_ = true;
        std::fprintf(stderr, "\r%llu %s", done_, of_);
    }
    /// Takes it away, until the next step is to be told.
    void clear() {
        if (std::exchange(said_, false)) std::fputs("\r\x1b[K", stderr);
    }

private:
    const char* of_;
    bool shown_;
    bool said_ = false;
    unsigned long long done_ = 0;
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// Says on stderr, if that is a terminal, what goes on when it takes longer than a moment. One at a time.
class long_work {
public:
    explicit long_work(std::string_view what) : shown_(::isatty(STDERR_FILENO) == 1) {
        if (!shown_) return;
        what_ = what;
        said_ = 0;
        struct sigaction telling = {};
        telling.sa_handler = [](int) {
            said_ = ::write(STDERR_FILENO, "\r", 1) > 0 && ::write(STDERR_FILENO, what_.data(), what_.size()) > 0;
        };
        telling.sa_flags = SA_RESTART;
        ::sigaction(SIGALRM, &telling, nullptr);
        const itimerval moment{{}, {0, 500'000}};
        ::setitimer(ITIMER_REAL, &moment, nullptr);
    }
    long_work(const long_work&) = delete;
    ~long_work() {
        if (!shown_) return;
        const itimerval never{};
        ::setitimer(ITIMER_REAL, &never, nullptr);
        if (said_ != 0) std::fputs("\r\x1b[K", stderr);
    }

private:
    bool shown_;
    static inline std::string_view what_;
    static inline volatile std::sig_atomic_t said_ = 0;
};

/// Prints "V <hex-key> <hex-value>" or "T <hex-key>" for each entry from where the cursor stands on.
template <class Cursor>
void print_entries(Cursor& entries) {
    printer out;
    progress so_far;
    for (; entries.valid(); entries.next()) {
        std::string line(entries.entry().tombstone() ? "T " : "V ");
        lsm::append_hex(line, entries.key());
        if (!entries.entry().tombstone()) {
            line.push_back(' ');
            lsm::append_hex(line, entries.entry().value);
        }
        out.line(std::move(line));
        so_far.step();
    }
    out.flush();
    must(entries.status());
}

}  // namespace cli
