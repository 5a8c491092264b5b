#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <lsm/db/db.hpp>

#include "support/catch.hpp"
#include "support/databases.hpp"
#include "support/file_systems.hpp"
#include "support/hooked_file_system.hpp"
#include "support/seed.hpp"
#include "support/threads.hpp"

/// Compares what many threads see of a database with a model. Every key has one writer, which writes the numbers 1, 2,
/// 3 and so on to it; some numbers are deletes. The writer publishes the number that it is about to write and the last
/// one that it has written, so that a reader knows the range of the numbers it may see.
///
/// The environment variables LSM_SEED and LSM_WRITES (writes of each writer) give other and longer runs.

namespace {

using namespace lsm::test;
using lsm::bytes;

constexpr int writers = 3;
constexpr int readers = 4;
constexpr int items_each = 40;  // items of each writer
constexpr int items = writers * items_each;

constexpr char filler = '!';  // in keys that belong to no item

constexpr bool is_delete(std::uint64_t number) { return number % 7 == 3; }
constexpr bool is_triple(int item) { return item % 4 == 0; }

/// One key, or three that are always written in one batch.
struct item {
    std::vector<bytes> keys;
    std::atomic<std::uint64_t> begun = 0, written = 0;  // the last numbers
};

class model {
public:
    model() {
        for (int i = 0; i < items; ++i) {
            auto& one = all_.emplace_back();
            // Neighbouring keys belong to different items.
            if (is_triple(i))
                for (const char part : {'a', 'm', 'z'}) one.keys.push_back(bytes(1, part) + "/" + std::to_string(i));
            else
                one.keys.push_back("k/" + std::to_string(i));
            keys.insert(keys.end(), one.keys.begin(), one.keys.end());
        }
    }

    [[nodiscard]] item& at(int i) { return all_[static_cast<std::size_t>(i)]; }

    /// The value identifies its key and its number, and shows whether it is whole.
    [[nodiscard]] static bytes value(const bytes& key, std::uint64_t number) {
        bytes out = std::to_string(number) + " " + key + " ";
        out.append(static_cast<std::size_t>(number * 37 % 600), static_cast<char>('a' + number % 26));
        return out;
    }
    [[nodiscard]] static std::uint64_t number_in(const bytes& value) {
        return std::strtoull(value.c_str(), nullptr, 10);
    }

    std::vector<bytes> keys;

private:
    std::deque<item> all_;  // a deque does not move its items
};

/// The range of the numbers that a reader may see, for each item.
class bounds {
public:
    /// Before the read: a number that was written already, or a later one, must be seen.
    explicit bounds(model& all) : all_(all), from_(items), to_(items) {
        for (int i = 0; i < items; ++i) from_[index(i)] = all.at(i).written;
    }
    /// After the read: a number that was begun later cannot have been seen.
    void close() {
        for (int i = 0; i < items; ++i) to_[index(i)] = all_.at(i).begun;
    }
    [[nodiscard]] std::uint64_t from(int i) const { return from_[index(i)]; }
    [[nodiscard]] std::uint64_t to(int i) const { return to_[index(i)]; }
    /// The smallest number from `at_least` on for which a missing value is correct: 0, or a delete. Nothing if none is
    /// in the range.
    [[nodiscard]] std::optional<std::uint64_t> absent(int i, std::uint64_t at_least) const {
        for (std::uint64_t n = std::max(from(i), at_least); n <= to(i); ++n)
            if (n == 0 || is_delete(n)) return n;
        return std::nullopt;
    }

private:
    static std::size_t index(int i) { return static_cast<std::size_t>(i); }
    model& all_;
    std::vector<std::uint64_t> from_, to_;
};

/// All keys and values that one read has shown.
using view = std::map<bytes, bytes>;

class reader {
public:
    reader(const lsm::db& db, model& all, findings& wrong, std::uint64_t seed)
        : db_(db), all_(all), wrong_(wrong), random_(seed), last_(items) {}

    void step() {
        switch (random_() % 6) {
            case 0:
            case 1: return one_key();
            case 2: return many_keys();
            case 3: return walk(false);
            case 4: return walk(true);
            default: return snapshot();
        }
    }

private:
    void one_key() {
        const int i = static_cast<int>(random_() % items);
        const auto& one = all_.at(i);
        const bytes& key = one.keys[random_() % one.keys.size()];
        bounds limits(all_);
        const auto seen = db_.get(key);
        limits.close();
        if (wrong_.succeeded(seen)) check(i, key, *seen, limits, "get");
    }

    void many_keys() {
        bounds limits(all_);
        const auto seen = db_.multi_get(all_.keys);
        limits.close();
        if (!wrong_.succeeded(seen)) return;
        view all;
        for (std::size_t k = 0; k < seen->size(); ++k)
            if ((*seen)[k]) all.emplace(all_.keys[k], *(*seen)[k]);
        check(all, limits, "multi_get");
    }

    void walk(bool reverse) {
        bounds limits(all_);
        auto at = db_.scan({.reverse = reverse});
        limits.close();
        const view first = read(at, reverse);
        check(first, limits, reverse ? "reverse scan" : "scan");
        // The cursor must show the same moment in the other direction, though writers have gone on.
        view again;
        for (at.seek_to_last(); at.valid(); at.prev())
            if (at.key().find(filler) == lsm::bytes_view::npos) again.emplace(at.key(), at.value());
        wrong_.succeeded(at.status());
        wrong_.expect(first == again, "a cursor shows other contents in the other direction");
    }

    void snapshot() {
        bounds limits(all_);
        const auto taken = db_.snapshot();
        limits.close();
        if (!wrong_.succeeded(taken)) return;
        auto at = db_.scan({.at = &*taken, .fill_cache = false});
        const view first = read(at, false);
        check(first, limits, "snapshot");
        for (int i = 0; i < 3; ++i) {
            const bytes& key = all_.keys[random_() % all_.keys.size()];
            const auto seen = db_.get(key, {.at = &*taken});
            const auto expected = first.find(key);
            if (wrong_.succeeded(seen))
                wrong_.expect(*seen == (expected == first.end() ? std::nullopt : std::optional(expected->second)),
                              "a snapshot has changed at " + key);
        }
        auto later = db_.scan({.reverse = true, .at = &*taken});
        wrong_.expect(read(later, true) == first, "a snapshot has changed");
    }

    view read(lsm::db::cursor& at, bool reverse) {
        view out;
        bytes previous;
        for (; at.valid(); at.next()) {
            const bytes key(at.key());
            if (!previous.empty()) wrong_.expect(reverse ? key < previous : key > previous, "keys are out of order");
            previous = key;
            if (key.find(filler) == bytes::npos) out.emplace(key, at.value());
        }
        wrong_.succeeded(at.status());
        return out;
    }

    // Checks a read of all keys at one moment; `read` is its name.
    void check(const view& all, const bounds& limits, const char* read) {
        std::size_t found = 0;
        for (int i = 0; i < items; ++i) {
            std::optional<std::optional<std::uint64_t>> first;
            for (const bytes& key : all_.at(i).keys) {
                const auto at = all.find(key);
                const auto value = at == all.end() ? std::nullopt : std::optional(at->second);
                found += value.has_value();
                const auto number = value ? std::optional(model::number_in(*value)) : std::nullopt;
                wrong_.expect(!first || *first == number, "half a batch in a " + bytes(read) + " at " + key);
                first = number;
                check(i, key, value, limits, read);
            }
        }
        wrong_.expect(found == all.size(), "keys that no writer wrote");
    }

    void check(int i, const bytes& key, const std::optional<bytes>& value, const bounds& limits, const char* read) {
        const std::size_t index = static_cast<std::size_t>(i);
        const auto complain = [&](const bytes& defect) {
            wrong_.note(bytes(read) + " of " + key + ": " + defect + ", between " + std::to_string(limits.from(i)) +
                        " and " + std::to_string(limits.to(i)) + ", last " + std::to_string(last_[index]));
        };
        if (!value) {
            if (const auto deleted = limits.absent(i, last_[index]))
                last_[index] = *deleted;
            else
                complain("absent");
            return;
        }
        const std::uint64_t number = model::number_in(*value);
        if (number < limits.from(i) || number < last_[index]) complain("too old: " + std::to_string(number));
        if (number > limits.to(i)) complain("too new: " + std::to_string(number));
        if (is_delete(number) || *value != model::value(key, number)) complain("a value that no writer wrote");
        last_[index] = std::max(last_[index], number);
    }

    const lsm::db& db_;
    model& all_;
    findings& wrong_;
    std::mt19937_64 random_;
    std::vector<std::uint64_t> last_;  // by item: the last number seen, since a reader never goes back in time
};

void write_some(lsm::db& db, model& all, findings& wrong, int self, std::uint64_t seed, std::uint64_t writes) {
    std::mt19937_64 random(seed);
    for (std::uint64_t n = 0; n < writes; ++n) {
        item& one = all.at(self * items_each + static_cast<int>(random() % items_each));
        const std::uint64_t number = ++one.begun;
        const lsm::write_options options{.sync = random() % 64 == 0};
        lsm::write_batch batch;
        for (const bytes& key : one.keys) {
            if (is_delete(number))
                batch.del(key);
            else
                batch.put(key, model::value(key, number));
        }
        const auto done = one.keys.size() == 1 && is_delete(number) ? db.del(one.keys[0], options)
                          : one.keys.size() == 1 ? db.put(one.keys[0], model::value(one.keys[0], number), options)
                                                 : db.write(batch, options);
        if (!wrong.succeeded(done)) return;
        one.written = number;
        // A key that belongs to no item, next to one that does.
        bytes neighbour = all.keys[random() % all.keys.size()];
        neighbour.back() = filler;
        if (!wrong.succeeded(db.put(neighbour + std::to_string(n), {}, {.sync = false}))) return;
    }
}

// Does everything else that a program may do beside writers and readers, until `done`.
void look_after(lsm::db& db, model& all, findings& wrong, lsm::io::file_system& fs, const std::string& root,
                std::uint64_t seed, const std::atomic<bool>& done) {
    std::mt19937_64 random(seed);
    for (int n = 0; !done; ++n) {
        const bytes& key = all.keys[random() % all.keys.size()];
        switch (random() % 8) {
            case 0: wrong.succeeded(db.flush()); break;
            case 1: wrong.succeeded(db.compact({.from = key})); break;
            case 2: wrong.succeeded(db.compact({.from = "k", .to = "l"})); break;
            case 3: {
                const auto report = db.verify();
                if (wrong.succeeded(report)) wrong.expect(report->damage.empty(), "a damaged table");
                break;
            }
            case 4: {
                const std::string copy = root + "/copy" + std::to_string(n);
                bounds limits(all);
                if (!wrong.succeeded(db.checkpoint(copy))) break;
                limits.close();
                auto opened = lsm::db::open(copy, {.compaction = {.style = lsm::compaction_style::none},
                                                   .background_threads = 1,
                                                   .file_system = &fs});
                if (!wrong.succeeded(opened)) break;
                const auto seen = opened->multi_get(all.keys);
                if (!wrong.succeeded(seen)) break;
                std::size_t k = 0;
                for (int i = 0; i < items; ++i)
                    for (std::size_t part = 0; part < all.at(i).keys.size(); ++part, ++k) {
                        const auto& value = (*seen)[k];
                        const auto number = value ? std::optional(model::number_in(*value)) : limits.absent(i, 0);
                        wrong.expect(number && *number >= limits.from(i) && *number <= limits.to(i),
                                     "a checkpoint of another moment at " + all.keys[k]);
                    }
                break;
            }
            case 5: {
                const auto taken = db.snapshot();
                if (!wrong.succeeded(taken)) break;
                const auto first = db.digest(&*taken), second = db.digest(&*taken);
                if (wrong.succeeded(first) && wrong.succeeded(second))
                    wrong.expect(*first == *second, "a snapshot's digest has changed");
                break;
            }
            case 6: static_cast<void>(db.live_tables()); break;
            default: wrong.expect(!db.stats().trouble, "stats report trouble");
        }
        sleep_ms(1);
    }
}

template <class FileSystem>
void run(lsm::compaction_style style, unsigned background, std::uint64_t seed) {
    FileSystem where;
    hooked_file_system fs(where.system);
    const lsm::options opts{.write_buffer_bytes = 64 << 10,
                            .max_write_buffers = 2 + background,
                            .block_cache_bytes = 256 << 10,
                            .block_bytes = 512,
                            .compaction = {.style = style,
                                           .level0_trigger = 2,
                                           .level0_slowdown = 8,
                                           .level0_stop = 24,
                                           .level_factor = 2,
                                           .level1_bytes = 32 << 10,
                                           .target_table_bytes = 16 << 10},
                            .wal_recovery = lsm::wal::recovery::point_in_time,
                            .background_threads = background,
                            .file_system = &fs};
    const std::string path = where.path("db");
    auto db = must(lsm::db::open(path, opts));
    model all;
    findings wrong;
    std::atomic<bool> done = false;
    std::atomic<int> steps = 0;
    thread_group watching;
    watching.start(readers, [&](int self) {
        reader me(db, all, wrong, seed + 100 + static_cast<std::uint64_t>(self));
        while (!done && wrong.none()) {
            me.step();
            ++steps;
        }
        me.step();  // once more after the last write
    });
    watching.start([&] { look_after(db, all, wrong, fs, where.root(), seed + 200, done); });
    const std::uint64_t writes = number_or("LSM_WRITES", 250);
    do {  // again if no reader had a turn meanwhile, as happens on a busy machine
        in_threads(writers, [&](int self) {
            write_some(db, all, wrong, self, seed + static_cast<std::uint64_t>(self), writes);
        });
    } while (steps == 0 && wrong.none());
    done = true;
    watching.join();
    CHECK(wrong.text() == "");
    must(db.settle());
    CHECK(db.stats().flushes > (writes < 250 ? 0u : 1u));  // a shortened run may have only one
    CHECK(db.stats().pins.empty());
    const std::size_t tables = db.live_tables().size();
    CHECK(fs.open_files() <= tables + 2);  // the log and LOCK
    must(db.close());
    db = must(lsm::db::open(path, opts));
    for (int i = 0; i < items; ++i)
        for (const bytes& key : all.at(i).keys) {
            const std::uint64_t number = all.at(i).written;
            const bool there = number != 0 && !is_delete(number);
            CHECK(value_in(db, key) == (there ? std::optional(model::value(key, number)) : std::nullopt));
        }
    CHECK(must(db.verify()).damage.empty());
}

}  // namespace

TEST_CASE("concurrent model: readers see whole batches in the order they were written whatever else goes on") {
    const auto style =
        GENERATE(lsm::compaction_style::leveled, lsm::compaction_style::size_tiered, lsm::compaction_style::none);
    const unsigned background = GENERATE(1u, 2u, 4u);
    const std::uint64_t seed = seed_or(20261121);
    CAPTURE(seed, background, static_cast<int>(style));
    SECTION("in memory") { run<in_memory>(style, background, seed); }
    SECTION("on the disk") { run<on_disk>(style, background, seed); }
}
