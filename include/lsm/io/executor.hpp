#pragma once

#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <utility>

namespace lsm::io {

/// Runs the background work of a database: flushes and compactions. Implementations: thread_executor, inline_executor.
///
/// Several databases may share an executor. A job of a database does one flush or compaction, or pauses for some
/// seconds after one that failed, and then submits itself again. So an executor that runs jobs in the order of their
/// submission lets each database make progress.
///
/// An implementation must run every job that is submitted, even while another thread is in db::close(), which waits for
/// the jobs of its database. A program that submits jobs of its own must not let one of them wait for a database whose
/// jobs may have to wait for that job.
class executor {
public:
    /// A piece of work. Owned by its submitter. Must not be submitted again until run() has begun; run() may submit its
    /// own job.
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

    /// Runs `task` once, now or later. Must not throw, and must not wait for other jobs. Thread-safe.
    virtual void submit(job& task) = 0;
    /// How many jobs can run in parallel with their submitters; 0 if submit() runs the job itself. Any submit() may
    /// change it.
    [[nodiscard]] virtual unsigned threads() const noexcept = 0;
};

/// Runs every job inside submit(): for programs without threads, and for runs that must be reproducible to the byte.
class inline_executor final : public executor {
public:
    void submit(job& task) override { task.run(); }
    [[nodiscard]] unsigned threads() const noexcept override { return 0; }
};

/// Runs jobs in the order of their submission, in threads that start when they are first needed. If the system refuses
/// to start the first thread, submit() runs the job itself. The destructor runs what is left and blocks until the
/// threads have ended.
class thread_executor final : public executor {
public:
    static constexpr unsigned most_threads = 16;

    /// `threads` is clamped to 1..most_threads.
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

    void submit(job& task) override {
        {
            const std::lock_guard guard(mutex_);
            // If every idle thread has a waiting job to take, this one needs another thread.
            if (idle_ <= waiting_ && started_ < wanted_ && start_thread()) ++started_;
            has_threads_ = started_ != 0;
            if (has_threads_) {
                if (last_ == nullptr)
                    first_ = &task;
                else
                    last_->next_ = &task;
                last_ = &task;
                ++waiting_;
                work_.notify_one();
                return;
            }
        }
        task.run();
    }
    [[nodiscard]] unsigned threads() const noexcept override { return has_threads_ ? wanted_ : 0; }

private:
    // Not std::thread, which reports failure only by an exception.
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
            // Unlinked before it runs, since running it may submit it again.
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
    std::atomic<bool> has_threads_ = true;  // false while the system refuses to start the first thread
    std::mutex mutex_;
    std::condition_variable work_;
    job* first_ = nullptr;  // a list of the jobs that wait, linked by job::next_
    job* last_ = nullptr;
    unsigned waiting_ = 0;  // jobs in that list
    unsigned idle_ = 0;     // threads that wait for a job
    unsigned started_ = 0;  // threads that run, and are to be joined
    bool ending_ = false;
    std::array<pthread_t, most_threads> threads_;
};

}  // namespace lsm::io
