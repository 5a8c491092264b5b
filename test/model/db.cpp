#include <lsm/db/db.hpp>

#include <optional>

#include "support/databases.hpp"
#include "support/seed.hpp"

namespace {

using namespace lsm::test;

lsm::options random_options(std::mt19937_64& random) {
    static constexpr std::size_t write_buffers[] = {0, 1500, 5000, 40'000, std::size_t{16} << 20};
    static constexpr std::size_t caches[] = {0, 500, 20'000, std::size_t{8} << 20};
    static constexpr std::uint32_t blocks[] = {0, 1, 64, 500, 4096};
    return {.write_buffer_bytes = write_buffers[random() % 5],
            .block_cache_bytes = caches[random() % 4],
            .block_bytes = blocks[random() % 5],
            .filter_bits_per_key = static_cast<unsigned>(random() % 12),
            .extended_tables = random() % 3 != 0,
            .sync = random() % 2 == 0};
}

/// A database and the map it should be. What is done to it comes from one source of random numbers, how it is kept and
/// read from another one, so that the same history can be had with other options.
class modelled_db {
public:
    modelled_db(std::uint64_t history, std::uint64_t ways) : history_(history), ways_(ways) { reopen(); }

    void step() {
        const auto choice = history_() % 100;
        if (choice < 45) {
            const auto key = random_key(history_), value = random_value(history_);
            must(db_->put(key, value));
            model_[key] = value;
        } else if (choice < 60) {
            const auto key = random_key(history_);
            must(db_->del(key));
            model_.erase(key);
        } else if (choice < 70) {
            write_batch();
        } else {
            const auto key = random_key(history_);
            const auto expected = model_.find(key);
            REQUIRE(must(db_->contains(key)) == (expected != model_.end()));
            REQUIRE(value_in(*db_, key) == (expected == model_.end() ? std::nullopt : expected->second));
        }
        const auto way = ways_() % 400;
        if (way < 6) must(db_->flush());
        if (way == 6) reopen();
        if (way > 6 && way < 12) check_scans();
        if (way == 12) keep_a_cursor();
    }

    void check_all() {
        check_scans();
        for (auto& [at, expected] : kept_) REQUIRE(walk(at) == list_of(expected));
        kept_.clear();
        REQUIRE(contents_of(*db_) == model_);
        REQUIRE(view() == stream_of(model_));
    }

    [[nodiscard]] lsm::bytes view() const { return view_bytes(*db_); }
    void reopen() {
        if (db_) must(db_->close());
        db_.reset();
        db_.emplace(directory_.open(random_options(ways_)));
    }

private:
    void write_batch() {
        entry_list batch(history_() % 12);
        for (auto& [key, value] : batch) {
            key = random_key(history_);
            if (history_() % 3 != 0) value = random_value(history_);
            value ? void(model_[key] = value) : void(model_.erase(key));
        }
        must(db_->write(batch_of(batch)));
    }

    void check_scans() {
        auto all = db_->scan();
        check_random_moves(all, model_, ways_, 60);
        const auto from = random_key(ways_), to = random_key(ways_);
        const bool reverse = ways_() % 2 == 0;
        check_part({.from = from, .to = to, .reverse = reverse},
                   [&](bytes_view key) { return key >= from && key < to; });
        check_part({.prefix = from, .reverse = reverse}, [&](bytes_view key) { return key.starts_with(from); });
    }

    using bytes_view = lsm::bytes_view;

    template <class Inside>
    void check_part(const lsm::db::scan_options& part, Inside inside) {
        entry_map expected = model_;
        std::erase_if(expected, [&](const auto& entry) { return !inside(entry.first); });
        auto at = db_->scan(part);
        REQUIRE(walk(at) == (part.reverse ? entry_list(expected.rbegin(), expected.rend()) : list_of(expected)));
        if (part.reverse) return;
        at.seek_to_first();
        check_random_moves(at, expected, ways_, 30);
    }

    void keep_a_cursor() {
        if (kept_.size() < 4) kept_.emplace_back(db_->scan(), model_);
    }

    memory_directory directory_;
    std::mt19937_64 history_;
    std::mt19937_64 ways_;
    entry_map model_;
    std::optional<lsm::db> db_;
    std::vector<std::pair<lsm::db::cursor, entry_map>> kept_;
};

}  // namespace

TEST_CASE("model: a db is a map whatever its options") {
    const auto seed = seed_or(4);
    const auto operations = number_or("LSM_OPERATIONS", 1500);
    for (std::uint64_t round = 0; round < number_or("LSM_ROUNDS", 12); ++round) {
        INFO("LSM_SEED=" << seed << ", round " << round);
        modelled_db db(seed * 1000 + round, seed + round);
        for (auto left = operations; left > 0; --left) db.step();
        db.check_all();
        db.reopen();
        db.check_all();
    }
}

TEST_CASE("model: one history makes one view under all options") {
    const auto seed = seed_or(5);
    const auto operations = number_or("LSM_OPERATIONS", 1000);
    for (std::uint64_t round = 0; round < number_or("LSM_ROUNDS", 3); ++round) {
        INFO("LSM_SEED=" << seed << ", round " << round);
        std::optional<lsm::bytes> view;
        for (std::uint64_t way = 0; way < 4; ++way) {
            modelled_db db(seed * 1000 + round, way);
            for (auto left = operations; left > 0; --left) db.step();
            if (!view) view = db.view();
            REQUIRE(db.view() == *view);
        }
    }
}
