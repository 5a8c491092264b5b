#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/env.h>
#include <leveldb/filter_policy.h>
#include <leveldb/write_batch.h>

#include <atomic>

#include "leveldb_family.hpp"

namespace bench {
namespace {

struct leveldb_api {
    using db = leveldb::DB;
    using slice = leveldb::Slice;
    using status = leveldb::Status;
    using iterator = leveldb::Iterator;
    using batch = leveldb::WriteBatch;
    using write_options = leveldb::WriteOptions;
    using read_options = leveldb::ReadOptions;
    using value = std::string;

    static status get(db& from, const read_options& options, const slice& key, value& out) {
        return from.Get(options, key, &out);
    }
    static void release(value&) {}
};

/// Counts the background jobs, so that settle() can wait for them. LevelDB schedules the next job before a job ends, so
/// the count is 0 only when no work is left.
class counting_env : public leveldb::EnvWrapper {
public:
    counting_env() : EnvWrapper(leveldb::Env::Default()) {}

    void Schedule(void (*function)(void*), void* argument) override {
        ++jobs_;
        target()->Schedule(run, new job{this, function, argument});
    }
    void wait() const {
        for (int jobs = jobs_; jobs != 0; jobs = jobs_) jobs_.wait(jobs);
    }

private:
    struct job {
        counting_env* env;
        void (*function)(void*);
        void* argument;
    };

    static void run(void* scheduled) {
        const std::unique_ptr<job> now(static_cast<job*>(scheduled));
        now->function(now->argument);
        --now->env->jobs_;
        now->env->jobs_.notify_all();
    }

    std::atomic<int> jobs_ = 0;
};

class leveldb_engine : public leveldb_family<leveldb_api> {
public:
    std::string version() const override {
        return std::to_string(leveldb::kMajorVersion) + "." + std::to_string(leveldb::kMinorVersion);
    }
    void open(const config& settings) override {
        cache_.reset(leveldb::NewLRUCache(settings.cache_bytes));
        filter_.reset(leveldb::NewBloomFilterPolicy(static_cast<int>(settings.filter_bits_per_key)));
        leveldb::Options options;
        options.env = &env();
        options.create_if_missing = true;
        options.write_buffer_size = settings.write_buffer_bytes;
        options.block_cache = cache_.get();
        options.filter_policy = filter_.get();
        options.compression = leveldb::kNoCompression;
        write_options_.sync = settings.sync;
        read_options_.verify_checksums = settings.check_reads;
        leveldb::DB* opened = nullptr;
        must(leveldb::DB::Open(options, settings.directory, &opened));
        db_.reset(opened);
    }
    void close() override { db_.reset(); }
    void compact() override { db_->CompactRange(nullptr, nullptr); }
    void settle() override { env().wait(); }

private:
    // Outlives every database: the background thread uses it after a database is closed.
    static counting_env& env() {
        static counting_env instance;
        return instance;
    }

    std::unique_ptr<leveldb::Cache> cache_;
    std::unique_ptr<const leveldb::FilterPolicy> filter_;
};

}  // namespace

std::unique_ptr<engine> make_leveldb() { return std::make_unique<leveldb_engine>(); }

}  // namespace bench
