#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/version.h>
#include <rocksdb/write_batch.h>

#include <chrono>
#include <thread>

#include "leveldb_family.hpp"

namespace bench {
namespace {

struct rocksdb_api {
    using db = rocksdb::DB;
    using slice = rocksdb::Slice;
    using status = rocksdb::Status;
    using iterator = rocksdb::Iterator;
    using batch = rocksdb::WriteBatch;
    using write_options = rocksdb::WriteOptions;
    using read_options = rocksdb::ReadOptions;
    using value = rocksdb::PinnableSlice;

    static status get(db& from, const read_options& how, const slice& key, value& out) {
        return from.Get(how, from.DefaultColumnFamily(), key, &out);
    }
    static void release(value& pinned) { pinned.Reset(); }
};

class rocksdb_engine : public leveldb_family<rocksdb_api> {
public:
    std::string version() const override { return rocksdb::GetRocksVersionAsString(); }
    void open(const config& how) override {
        rocksdb::BlockBasedTableOptions table;
        table.block_cache = rocksdb::NewLRUCache(how.cache_bytes);
        table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(how.filter_bits_per_key));
        rocksdb::Options options;
        options.create_if_missing = true;
        options.write_buffer_size = how.write_buffer_bytes;
        options.compression = rocksdb::kNoCompression;
        options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
        // Its defaults are for a buffer of 64 MiB; the same proportions for any.
        options.target_file_size_base = how.write_buffer_bytes;
        options.max_bytes_for_level_base = 4 * how.write_buffer_bytes;
        write_options_.sync = how.sync;
        rocksdb::DB* opened = nullptr;
        must(rocksdb::DB::Open(options, how.directory, &opened));
        db_.reset(opened);
    }
    void close() override {
        must(db_->Close());
        db_.reset();
    }
    void compact() override { must(db_->CompactRange({}, nullptr, nullptr)); }
    void settle() override {
        // Between two questions work can go from one answer to the other, so that one round of noes is not enough.
        for (int idle = 0; idle < 2; std::this_thread::sleep_for(std::chrono::milliseconds(1)))
            idle = busy() ? 0 : idle + 1;
    }

private:
    bool busy() const {
        for (const auto& what :
             {rocksdb::DB::Properties::kNumImmutableMemTable, rocksdb::DB::Properties::kCompactionPending,
              rocksdb::DB::Properties::kNumRunningCompactions}) {
            std::uint64_t count = 0;
            if (!db_->GetIntProperty(what, &count)) throw failure("no property " + what);
            if (count != 0) return true;
        }
        return false;
    }
};

}  // namespace

std::unique_ptr<engine> make_rocksdb() { return std::make_unique<rocksdb_engine>(); }

}  // namespace bench
