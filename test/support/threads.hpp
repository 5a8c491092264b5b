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

/// What tests of many threads need. Catch's macros are for one thread: what threads find out is noted in findings.
namespace lsm::test {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr bool sanitized = true;
#elif !defined(__has_feature)
inline constexpr bool sanitized = false;
#elif __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

/// A limit of time, longer for programs that a sanitizer makes slow.
inline constexpr std::chrono::milliseconds within(int milliseconds) {
    return std::chrono::milliseconds(milliseconds * (sanitized ? 10 : 1));
}

using clock = std::chrono::steady_clock;

inline std::chrono::milliseconds since(clock::time_point begun) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - begun);
}

inline void sleep_ms(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

/// Waits until `condition` holds; false if it does not for long.
inline bool eventually(const std::function<bool()>& condition) {
    const auto begun = clock::now();
    while (!condition()) {
        if (since(begun) > within(5000)) return false;
        sleep_ms(1);
    }
    return true;
}

/// What is wrong, in the words of whichever thread saw it; the first few of it.
class findings {
public:
    void note(std::string_view what) {
        const std::lock_guard guard(mutex_);
        if (all_.size() < 8) all_.emplace_back(what);
    }
    /// Returns `good`.
    bool expect(bool good, std::string_view what) {
        if (!good) note(what);
        return good;
    }
    template <class T>
    bool succeeded(const result<T>& r) {
        if (!r) note(r.error().what);
        return r.has_value();
    }
    /// A line for each; empty if all is well.
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

/// Threads that are waited for in the end.
class thread_group {
public:
    thread_group() = default;
    thread_group(const thread_group&) = delete;
    ~thread_group() { join(); }

    template <class Body>
    void start(Body body) {
        threads_.emplace_back(std::move(body));
    }
    /// `count` threads, each with its number.
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

/// Runs `body(i)` in `count` threads, and returns when all are through.
template <class Body>
void in_threads(int count, Body body) {
    thread_group threads;
    threads.start(count, body);
}

}  // namespace lsm::test
