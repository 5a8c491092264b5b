#pragma once

#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <utility>

namespace lsm::io {

/// Where the work that a database does behind its caller's back runs: flushes and compactions.
/// Implementations: thread_executor, inline_executor.
///
/// Several databases may share one. A job of theirs does one flush or compaction, or pauses for some seconds behind one
/// that failed, and then submits itself again: jobs that are run in their order all get their turns. Every job that is
/// submitted must be run, or close() waits for it for ever; also while another thread is in close(). No job of the
/// caller's own may wait for a database whose jobs may have to wait for it.
class executor {
public:
    /// Something to run. Belongs to whoever submits it, and is not submitted again before it has begun to run; when it
    /// runs it may submit itself.
    class job {
    public:
        virtual void run() noexcept = 0;

    protected:
        ~job() = default;

    private:
        friend class thread_executor;
        job* next_ = nullptr;
    };

    virtual ~executor() = default;

    /// Runs `what` once, now or later. Many threads may submit. Must not throw, nor wait for other jobs.
    virtual void submit(job& what) = 0;
    /// How many jobs run beside their submitter; 0 if a job runs inside submit(), which can change with a submit().
    [[nodiscard]] virtual unsigned threads() const noexcept = 0;
};

/// Runs every job at once, in the thread that submits it: for programs without threads, and for runs that must repeat
/// to the byte.
class inline_executor final : public executor {
public:
    void submit(job& what) override { what.run(); }
    [[nodiscard]] unsigned threads() const noexcept override { return 0; }
};

/// Runs jobs in the order they come, in threads that start when they are first needed and end with the executor, which
/// runs what it still has. Where the system has no thread to give and none runs yet, a job runs inside submit().
class thread_executor final : public executor {
public:
    static constexpr unsigned most_threads = 16;

    explicit thread_executor(unsigned threads = 2) noexcept : wanted_(std::clamp(threads, 1u, most_threads)) {}
    thread_executor(const thread_executor&) = delete;
    thread_executor& operator=(const thread_executor&) = delete;
    ~thread_executor() override {
        {
            const std::lock_guard guard(mutex_);
            ending_ = true;
        }
        work_.notify_all();
        for (unsigned i = 0; i < started_; ++i) ::pthread_join(threads_[i], nullptr);
    }

    void submit(job& what) override {
        {
            const std::lock_guard guard(mutex_);
            if (idle_ <= waiting_ && started_ < wanted_ && start_thread()) ++started_;
            has_threads_ = started_ != 0;
            if (has_threads_) {
                (last_ == nullptr ? first_ : last_->next_) = &what;
                last_ = &what;
                ++waiting_;
                work_.notify_one();
                return;
            }
        }
        what.run();
    }
    [[nodiscard]] unsigned threads() const noexcept override { return has_threads_ ? wanted_ : 0; }

private:
    // Not std::thread, which can tell of a failure only by an exception.
    bool start_thread() noexcept {
        return ::pthread_create(
                   &threads_[started_], nullptr,
                   [](void* self) -> void* {
                       static_cast<thread_executor*>(self)->serve();
                       return nullptr;
                   },
                   this) == 0;
    }

    void serve() noexcept {
        std::unique_lock guard(mutex_);
        for (;;) {
            ++idle_;
            work_.wait(guard, [this] { return first_ != nullptr || ending_; });
            --idle_;
            if (first_ == nullptr) return;
            job& next = *first_;
            first_ = std::exchange(next.next_, nullptr);
            if (first_ == nullptr) last_ = nullptr;
            --waiting_;
            guard.unlock();
            next.run();
            guard.lock();
        }
    }

    const unsigned wanted_;
    std::atomic<bool> has_threads_ = true;  // false as long as the system refuses the first
    std::mutex mutex_;
    std::condition_variable work_;
    job* first_ = nullptr;
    job* last_ = nullptr;
    unsigned waiting_ = 0;
    unsigned idle_ = 0;
    unsigned started_ = 0;
    bool ending_ = false;
    std::array<pthread_t, most_threads> threads_;
};

}  // namespace lsm::io
