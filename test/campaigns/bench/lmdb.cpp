#include <lmdb.h>

#include <atomic>
#include <filesystem>
#include <mutex>
#include <vector>

#include "engine.hpp"

namespace bench {
namespace {

void must(int outcome) {
    if (outcome != MDB_SUCCESS) throw failure(mdb_strerror(outcome));
}

MDB_val to_val(std::string_view text) { return {text.size(), const_cast<char*>(text.data())}; }
std::string_view to_view(const MDB_val& val) { return {static_cast<const char*>(val.mv_data), val.mv_size}; }

/// LMDB has no cache of its own, write buffer or filters: it maps its file, and the operating system caches the pages.
class lmdb_engine : public engine {
public:
    std::string version() const override {
        int part[3];
        mdb_version(&part[0], &part[1], &part[2]);
        return std::to_string(part[0]) + "." + std::to_string(part[1]) + "." + std::to_string(part[2]);
    }
    void open(const config& settings) override {
        std::filesystem::create_directories(settings.directory);
        must(mdb_env_create(&env_));
        must(mdb_env_set_mapsize(env_, std::size_t{256} << 30));
        const unsigned flags = MDB_NOTLS | (settings.sync ? 0u : unsigned{MDB_NOSYNC});
        must(mdb_env_open(env_, settings.directory.c_str(), flags, 0644));
        in_transaction([&](MDB_txn* txn) { return mdb_dbi_open(txn, nullptr, 0, &dbi_); });
        static std::atomic<unsigned> count = 0;
        opening_ = ++count;
    }
    void close() override {
        for (const reader& r : readers_) {
            mdb_cursor_close(r.cursor);
            mdb_txn_abort(r.txn);
        }
        readers_.clear();
        mdb_env_close(env_);
    }
    void put(std::string_view key, std::string_view value) override {
        in_transaction([&](MDB_txn* txn) { return put(txn, key, value, 0); });
    }
    void put_batch(std::span<const entry> entries) override { put_all(entries, 0); }
    void append_batch(std::span<const entry> entries) override { put_all(entries, MDB_APPEND); }
    void del(std::string_view key) override {
        MDB_val k = to_val(key);
        in_transaction([&](MDB_txn* txn) {
            const int outcome = mdb_del(txn, dbi_, &k, nullptr);
            return outcome == MDB_NOTFOUND ? MDB_SUCCESS : outcome;
        });
    }
    bool get(std::string_view key, value_visitor visit) override {
        MDB_val k = to_val(key);
        MDB_val found;
        const reading at(*this);
        const int outcome = mdb_get(at.txn, dbi_, &k, &found);
        if (outcome == MDB_NOTFOUND) return false;
        must(outcome);
        visit(to_view(found));
        return true;
    }
    seen walk_up(std::string_view from, std::uint64_t most) override {
        return walk(from, most, from.empty() ? MDB_FIRST : MDB_SET_RANGE, MDB_NEXT);
    }
    seen walk_down(std::uint64_t most) override { return walk({}, most, MDB_LAST, MDB_PREV); }
    // The other engines sync their tables even if the log is not synced, so LMDB has to sync its file here.
    void settle() override { must(mdb_env_sync(env_, 1)); }

private:
    /// The read transaction and cursor of a thread.
    struct reader {
        MDB_txn* txn;
        MDB_cursor* cursor;
    };
    /// One read with them. As LMDB's documentation advises, a transaction is created once and then renewed.
    struct reading : reader {
        explicit reading(lmdb_engine& in) : reader(in.reader_of_thread()) { must(mdb_txn_renew(txn)); }
        reading(const reading&) = delete;
        reading& operator=(const reading&) = delete;
        ~reading() { mdb_txn_reset(txn); }
    };

    reader reader_of_thread() {
        thread_local reader mine;
        thread_local unsigned opened_in = 0;  // the opening that `mine` belongs to
        if (opened_in == opening_) return mine;
        must(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &mine.txn));
        must(mdb_cursor_open(mine.txn, dbi_, &mine.cursor));
        mdb_txn_reset(mine.txn);
        opened_in = opening_;
        const std::lock_guard hold(readers_mutex_);
        readers_.push_back(mine);
        return mine;
    }

    /// Runs `body` in a write transaction. Commits it if `body` returns MDB_SUCCESS; otherwise aborts it and throws.
    void in_transaction(auto body) {
        MDB_txn* txn = nullptr;
        must(mdb_txn_begin(env_, nullptr, 0, &txn));
        if (const int outcome = body(txn); outcome != MDB_SUCCESS) {
            mdb_txn_abort(txn);
            must(outcome);
        }
        must(mdb_txn_commit(txn));
    }

    int put(MDB_txn* txn, std::string_view key, std::string_view value, unsigned flags) const {
        MDB_val k = to_val(key);
        MDB_val v = to_val(value);
        return mdb_put(txn, dbi_, &k, &v, flags);
    }
    void put_all(std::span<const entry> entries, unsigned flags) {
        in_transaction([&](MDB_txn* txn) {
            int outcome = MDB_SUCCESS;
            for (const auto& [key, value] : entries)
                if (outcome == MDB_SUCCESS) outcome = put(txn, key, value, flags);
            return outcome;
        });
    }

    seen walk(std::string_view from, std::uint64_t most, MDB_cursor_op start, MDB_cursor_op step) {
        MDB_val k = to_val(from);
        MDB_val v{};
        const reading in(*this);
        must(mdb_cursor_renew(in.txn, in.cursor));
        seen out;
        int outcome = mdb_cursor_get(in.cursor, &k, &v, start);
        for (; outcome == MDB_SUCCESS; outcome = mdb_cursor_get(in.cursor, &k, &v, step)) {
            out.add(to_view(k), to_view(v));
            if (out.entries == most) break;
        }
        if (outcome != MDB_NOTFOUND) must(outcome);
        return out;
    }

    MDB_env* env_ = nullptr;
    MDB_dbi dbi_ = 0;
    /// The number of this opening: a reader of an earlier one must not be used.
    unsigned opening_ = 0;
    std::mutex readers_mutex_;
    std::vector<reader> readers_;
};

}  // namespace

std::unique_ptr<engine> make_lmdb() { return std::make_unique<lmdb_engine>(); }

}  // namespace bench
