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

    static status get(db& from, const read_options& options, const slice& key, value& out) {
        return from.Get(options, from.DefaultColumnFamily(), key, &out);
    }
    static void release(value& pinned) { pinned.Reset(); }
};

class rocksdb_engine : public leveldb_family<rocksdb_api> {
public:
    std::string version() const override { return rocksdb::GetRocksVersionAsString(); }
    void open(const config& settings) override {
        rocksdb::BlockBasedTableOptions table;
        table.block_cache = rocksdb::NewLRUCache(settings.cache_bytes);
        table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(settings.filter_bits_per_key));
        rocksdb::Options options;
        options.create_if_missing = true;
        options.write_buffer_size = settings.write_buffer_bytes;
        options.compression = rocksdb::kNoCompression;
        options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
        // The defaults are made for a write buffer of 64 MiB. Keep their proportions to the buffer.
        options.target_file_size_base = settings.write_buffer_bytes;
        options.max_bytes_for_level_base = 4 * settings.write_buffer_bytes;
        write_options_.sync = settings.sync;
        rocksdb::DB* opened = nullptr;
        must(rocksdb::DB::Open(options, settings.directory, &opened));
        db_.reset(opened);
    }
    void close() override {
        must(db_->Close());
        db_.reset();
    }
    void compact() override { must(db_->CompactRange({}, nullptr, nullptr)); }
    void settle() override {
        // Work can move from one property to another while busy() reads them, so one idle answer is not enough.
        for (int idle = 0; idle < 2; std::this_thread::sleep_for(std::chrono::milliseconds(1)))
            idle = busy() ? 0 : idle + 1;
    }

private:
    bool busy() const {
        for (const auto& property :
             {rocksdb::DB::Properties::kNumImmutableMemTable, rocksdb::DB::Properties::kCompactionPending,
              rocksdb::DB::Properties::kNumRunningCompactions}) {
            std::uint64_t count = 0;
            if (!db_->GetIntProperty(property, &count)) throw failure("unknown property " + property);
            if (count != 0) return true;
        }
        return false;
    }
};

}  // namespace

std::unique_ptr<engine> make_rocksdb() { return std::make_unique<rocksdb_engine>(); }

}  // namespace bench
