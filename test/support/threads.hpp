#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <lsm/core/result.hpp>

#include "support/sanitized.hpp"

/// Helpers for tests with many threads. Catch's macros are for one thread only, so the threads of a test record what is
/// wrong in findings.
namespace lsm::test {

/// A time limit, longer under a sanitizer, which makes programs slow.
inline constexpr std::chrono::milliseconds within(int milliseconds) {
    return std::chrono::milliseconds(milliseconds * (sanitized ? 10 : 1));
}

using clock = std::chrono::steady_clock;

inline std::chrono::milliseconds since(clock::time_point begun) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - begun);
}

inline void sleep_ms(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

/// Waits until `condition` holds. Returns false if it does not within 5 s (50 s under a sanitizer).
inline bool eventually(const std::function<bool()>& condition) {
    const auto begun = clock::now();
    while (!condition()) {
        if (since(begun) > within(5000)) return false;
        sleep_ms(1);
    }
    return true;
}

/// The first few failures that the threads of a test have recorded. Thread-safe.
class findings {
public:
    void note(std::string_view failure) {
        const std::lock_guard guard(mutex_);
        if (all_.size() < 8) all_.emplace_back(failure);
    }
    /// Records `failure` if `condition` is false. Returns `condition`.
    bool expect(bool condition, std::string_view failure) {
        if (!condition) note(failure);
        return condition;
    }
    /// Records the error if there is one. Returns whether there is none.
    template <class T>
    bool succeeded(const result<T>& outcome) {
        if (!outcome) note(outcome.error().what);
        return outcome.has_value();
    }
    /// One line for each failure; empty if there is none.
    [[nodiscard]] std::string text() const {
        const std::lock_guard guard(mutex_);
        std::string out;
        for (const auto& one : all_) out.append(one).append("\n");
        return out;
    }
    [[nodiscard]] bool none() const {
        const std::lock_guard guard(mutex_);
        return all_.empty();
    }

private:
    mutable std::mutex mutex_;
    std::vector<std::string> all_;
};

/// Threads that join() and the destructor join.
class thread_group {
public:
    thread_group() = default;
    thread_group(const thread_group&) = delete;
    ~thread_group() { join(); }

    template <class Body>
    void start(Body body) {
        threads_.emplace_back(std::move(body));
    }
    /// Starts `count` threads; thread i runs body(i).
    template <class Body>
    void start(int count, Body body) {
        for (int i = 0; i < count; ++i) threads_.emplace_back(body, i);
    }
    void join() {
        for (auto& t : threads_)
            if (t.joinable()) t.join();
        threads_.clear();
    }

private:
    std::vector<std::thread> threads_;
};

/// Runs body(i) in `count` threads, and returns when all have finished.
template <class Body>
void in_threads(int count, Body body) {
    thread_group threads;
    threads.start(count, body);
}

}  // namespace lsm::test
