#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <lsm/core/hex.hpp>
#include <lsm/db/db.hpp>
#include <lsm/io/executor.hpp>
#include <lsm/io/memory_file_system.hpp>

#include "support/results.hpp"

/// Histories: sequences of operations that are applied to a database and to a std::map, which must agree. A history is
/// encoded in bytes, and any bytes are a history, so that random numbers and fuzzers can generate them.
namespace lsm::test {

/// Takes values off the front of bytes. After their end every byte is 0.
class byte_source {
public:
    explicit byte_source(bytes_view in) : in_(in) {}

    [[nodiscard]] bool empty() const { return taken_ == in_.size(); }
    [[nodiscard]] std::size_t taken() const { return taken_; }
    std::size_t next() { return empty() ? 0 : static_cast<unsigned char>(in_[taken_++]); }

    /// A key like those of random_key().
    bytes key() {
        static constexpr char letters[] = {'\0', '\x01', 'a', 'b', '\x7f', '\x80', '\xfe', '\xff'};
        const std::size_t form = next();
        bytes out = form % 8 == 4 ? "shared/prefix/" : "";
        const bool is_long = form >= 252;
        for (std::size_t left = is_long ? 1 : form % 4; left > 0; --left)
            out.append(is_long ? 200 : 1, letters[next() % sizeof letters]);
        return out;
    }
    bytes value() {
        const std::size_t form = next();
        std::minstd_rand random(static_cast<unsigned>(next() << 8 | next()));
        bytes out(form == 255 ? 80 * next() : form % 20, '\0');
        for (char& c : out) c = static_cast<char>(random() >> 8);
        return out;
    }

private:
    bytes_view in_;
    std::size_t taken_ = 0;
};

/// What an operation does.
enum class act : unsigned char {
    put,
    del,
    batch,
    get,
    multi_get,
    scan,
    walk,
    snapshot,
    cursor,
    kept,
    flush,
    compact,
    compact_range,
    checkpoint,
    look,
    verify,
    reopen,
    crash,
};
struct kind_of_act {
    const char* name;
    std::size_t weight;  // operations of this kind out of 256
    std::size_t keys;    // the number of keys, or `some`: a byte of the history is the number
    bool values;         // whether each key has a value
};
inline constexpr std::size_t some = SIZE_MAX;
inline constexpr std::array<kind_of_act, 18> acts = {{{"put", 96, 1, true},
                                                      {"del", 28, 1, false},
                                                      {"batch", 18, some, true},
                                                      {"get", 50, 1, false},
                                                      {"multi_get", 8, some, false},
                                                      {"scan", 16, 2, false},
                                                      {"walk", 6, 2, false},
                                                      {"snapshot", 6, 0, false},
                                                      {"cursor", 3, 0, false},
                                                      {"kept", 8, 1, false},
                                                      {"flush", 6, 0, false},
                                                      {"compact", 1, 0, false},
                                                      {"compact_range", 2, 2, false},
                                                      {"checkpoint", 1, 0, false},
                                                      {"look", 1, 0, false},
                                                      {"verify", 1, 0, false},
                                                      {"reopen", 2, 0, false},
                                                      {"crash", 3, 0, false}}};

constexpr std::size_t all_weights() {
    std::size_t out = 0;
    for (const auto& one : acts) out += one.weight;
    return out;
}
static_assert(all_weights() == 256, "one byte chooses the kind");

struct operation {
    act kind{};
    unsigned way = 0;  // chooses between variants of the operation, and seeds its random numbers
    std::vector<bytes> keys;
    std::vector<std::optional<bytes>> values;
    bytes raw;  // its encoding
};

/// Decodes a history.
inline std::vector<operation> operations_of(bytes_view history) {
    std::vector<operation> out;
    byte_source in(history);
    while (!in.empty()) {
        const std::size_t begin = in.taken();
        operation one;
        std::size_t choice = in.next(), kind = 0;
        for (; choice >= acts[kind].weight; ++kind) choice -= acts[kind].weight;
        one.kind = static_cast<act>(kind);
        one.way = static_cast<unsigned>(in.next());
        for (auto left = acts[kind].keys == some ? in.next() % 12 : acts[kind].keys; left > 0; --left) {
            one.keys.push_back(in.key());
            if (!acts[kind].values) continue;
            const bool deletes = one.kind == act::batch && in.next() % 3 == 0;
            one.values.push_back(deletes ? std::nullopt : std::optional(in.value()));
        }
        one.raw = history.substr(begin, in.taken() - begin);
        out.push_back(std::move(one));
    }
    return out;
}

/// One readable line.
inline std::string text_of(const operation& one) {
    std::string out = acts[static_cast<std::size_t>(one.kind)].name;
    for (std::size_t i = 0; i < one.keys.size(); ++i) {
        out.append(" \"").append(hex(one.keys[i])).append("\"");
        if (i >= one.values.size()) continue;
        const auto& value = one.values[i];
        out.append(value ? "=" + (value->size() > 20 ? std::to_string(value->size()) + " bytes" : hex(*value)) : "-");
    }
    return out.append(" (").append(std::to_string(one.way)).append(")");
}

/// A database in memory and the map that it must equal. The options of the database depend on the seed `ways` alone, so
/// that a test can run one history under many options.
class modelled_db {
public:
    explicit modelled_db(std::uint64_t ways) : ways_(ways) {
        must(fs_->make_directory("db"));
        open();
    }

    /// Applies an operation to both. Throws failed_check if they differ.
    void apply(const operation& one) {
        std::mt19937 random(one.way);
        switch (one.kind) {
            case act::put: return put(one.keys[0], *one.values[0], one.way);
            case act::del:
                must(db_->del(one.keys[0], synced(one.way)));
                model_.erase(one.keys[0]);
                return;
            case act::batch: return batch(one);
            case act::get: return get(one.keys[0], one.way);
            case act::multi_get: return multi_get(one.keys);
            case act::scan: return scan(one);
            case act::walk: return walk(one.keys[0], one.keys[1], random);
            case act::snapshot: return snapshot();
            case act::cursor: return keep_cursor();
            case act::kept: return check_kept(one.way, one.keys[0]);
            case act::flush: return must(db_->flush());
            case act::compact: return must(db_->compact());
            case act::compact_range: return compact_range(one);
            case act::checkpoint: return checkpoint();
            case act::look: return look("db", true);
            case act::verify: return verify();
            case act::reopen: return reopen();
            case act::crash: return crash();
        }
    }

    /// Compares the whole contents, and those of all kept cursors and snapshots. Returns the digest. Throws
    /// failed_check if there is a difference.
    std::array<unsigned char, 32> finish() {
        while (!snapshots_.empty()) check_kept(0, "");
        while (!cursors_.empty()) check_kept(1, "");
        opts_.memory_budget_bytes = 0;  // so that no read is refused
        reopen_with_same_options();
        verify();
        compare(*db_, {}, model_);
        compare(*db_, {.reverse = true}, model_);
        return must(db_->digest());
    }

private:
    using map = std::map<bytes, bytes>;
    struct kept_cursor {
        std::shared_ptr<io::memory_file_system> fs;  // outlives the cursor
        map expected;
        db::cursor at;
    };
    struct kept_snapshot {
        map expected;
        db::snapshot_type at;
    };

    template <class T>
    T any_of(std::initializer_list<T> all) {
        return all.begin()[ways_() % all.size()];
    }

    void draw_options() {
        opts_ = {.write_buffer_bytes =
                     any_of<std::size_t>({0, 1500, 1500, 5000, 5000, 40'000, 40'000, std::size_t{16} << 20}),
                 .max_write_buffers = any_of({2u, 3u, 4u}),
                 .block_cache_bytes = any_of<std::size_t>({0, 500, 20'000, std::size_t{8} << 20}),
                 .memory_budget_bytes = any_of<std::size_t>({0, 0, 0, 100'000, std::size_t{1} << 20}),
                 .block_bytes = any_of<std::uint32_t>({0, 1, 64, 500, 4096}),
                 .filter_bits_per_key = any_of({0u, 1u, 5u, 10u, 30u}),
                 .extended_tables = any_of({true, true, false}),
                 .compaction = {.style = any_of({compaction_style::leveled, compaction_style::leveled,
                                                 compaction_style::size_tiered, compaction_style::none}),
                                .level0_trigger = any_of({2u, 3u, 4u}),
                                .level0_slowdown = 10'000,  // no delays
                                .level0_stop = 10'000,
                                .level_factor = any_of({2u, 4u, 10u}),
                                .level1_bytes = any_of<std::uint64_t>({0, 2000, 10'000}),
                                .target_table_bytes = any_of<std::uint64_t>({0, 1, 500, 3000, 100'000, 100'000})},
                 .sync = any_of({true, false}),
                 .log_preallocation_bytes = any_of<std::uint64_t>({0, 4096}),
                 .executor = &at_once_};
    }

    void open() {
        draw_options();
        reopen_with_same_options();
    }
    void reopen() {
        open();
        compare(*db_, {}, model_);
    }
    void reopen_with_same_options() {
        snapshots_.clear();  // they are read through the database; cursors outlive it
        if (db_) must(db_->close());
        db_.reset();
        opts_.file_system = fs_.get();
        db_.emplace(must(db::open("db", opts_)));
    }

    // Simulates the end of the process: only the bytes in the files are left.
    void crash() {
        snapshots_.clear();
        const auto left = std::make_shared<io::memory_file_system>();
        copy_files(*fs_, *left);
        db_.reset();
        fs_ = left;
        reopen();
    }
    static void copy_files(io::file_system& from, io::file_system& to) {
        must(to.make_directory("db"));
        std::vector<std::string> names;
        must(from.list("db", [&](std::string_view name) { names.push_back(detail::joined("db", name)); }));
        for (const auto& name : names) {
            const auto in = must(io::file::open(from, name, io::open_mode::read));
            bytes contents(static_cast<std::size_t>(must(in.size())), '\0');
            must(in.read_exactly(0, contents));
            must(must(io::file::open(to, name, io::open_mode::create_exclusive)).append(contents));
        }
    }

    static write_options synced(unsigned way) {
        if (way % 4 == 0) return {.sync = way % 8 == 0};
        return {};
    }
    static db::read_options reading(unsigned way) {
        return {.verify_checksums = way % 8 != 0, .fill_cache = way % 4 != 0};
    }

    void put(const bytes& key, const bytes& value, unsigned way) {
        must(db_->put(key, value, synced(way)));
        model_[key] = value;
    }
    void batch(const operation& one) {
        write_batch operations;
        for (std::size_t i = 0; i < one.keys.size(); ++i) {
            if (one.values[i]) {
                operations.put(one.keys[i], *one.values[i]);
                model_[one.keys[i]] = *one.values[i];
            } else {
                operations.del(one.keys[i]);
                model_.erase(one.keys[i]);
            }
        }
        must(db_->write(operations, synced(one.way)));
    }

    static std::optional<bytes> value_in(const map& where, const bytes& key) {
        const auto found = where.find(key);
        return found == where.end() ? std::nullopt : std::optional(found->second);
    }
    void get(const bytes& key, unsigned way) {
        const auto expected = value_in(model_, key);
        if (way % 4 == 3)
            require(must(db_->contains(key, reading(way))) == expected.has_value(), "contains() is wrong");
        else
            require(must(db_->get(key, reading(way))) == expected, "get() is wrong");
    }
    void multi_get(const std::vector<bytes>& keys) {
        const auto got = must(db_->multi_get(keys));
        require(got.size() == keys.size(), "multi_get() returns another number of values");
        for (std::size_t i = 0; i < keys.size(); ++i)
            require(got[i] == value_in(model_, keys[i]), "multi_get() is wrong");
    }

    // Whether a cursor or snapshot was refused because of the memory budget.
    template <class T>
    [[nodiscard]] bool refused(const result<T>& r) const {
        return !r && r.error().code == errc::over_budget && opts_.memory_budget_bytes != 0;
    }

    template <class From, class To>
    void compare_range(db::cursor& at, From from, To to) {
        for (; from != to; ++from, at.next()) {
            if (!at.valid()) {
                if (refused(at.status())) return;
                must(at.status());
                throw failed_check("a scan ends early");
            }
            require(at.key() == from->first, "a scan shows another key");
            require(at.value() == from->second, "a scan shows another value");
        }
        require(!at.valid(), "a scan shows too many entries");
        if (!refused(at.status())) must(at.status());
    }
    // A range of a map.
    struct part {
        map::const_iterator begin, end;
    };
    [[nodiscard]] static part part_of(const map& all, const bytes& from, const bytes& to) {
        if (from >= to) return {all.end(), all.end()};
        return {all.lower_bound(from), all.lower_bound(to)};
    }
    [[nodiscard]] static part part_with(const map& all, const bytes& prefix) {
        const auto begin = all.lower_bound(prefix);
        return {begin, std::find_if(begin, all.end(), [&](const auto& e) { return !e.first.starts_with(prefix); })};
    }
    void compare(const db& scanned, const db::scan_options& options, const part& expected) {
        using backwards = std::reverse_iterator<map::const_iterator>;
        auto at = scanned.scan(options);
        options.reverse ? compare_range(at, backwards(expected.end), backwards(expected.begin))
                        : compare_range(at, expected.begin, expected.end);
    }
    void compare(const db& scanned, const db::scan_options& options, const map& expected) {
        compare(scanned, options, part{expected.begin(), expected.end()});
    }

    void scan(const operation& one) {
        const bytes &from = one.keys[0], &to = one.keys[1];
        const bool by_prefix = one.way % 8 > 4;
        const auto expected = by_prefix ? part_with(model_, from) : part_of(model_, from, to);
        db::scan_options options = {.reverse = one.way % 2 == 0, .fill_cache = one.way % 4 < 2};
        if (by_prefix) {
            options.prefix = from;
        } else {
            options.from = from;
            options.to = to;
        }
        compare(*db_, options, expected);
    }

    // Moves a cursor at random; half of the cursors are confined to a range.
    void walk(const bytes& from, const bytes& to, std::mt19937& random) {
        const bool whole = random() % 2 == 0;
        const auto expected = whole ? part{model_.begin(), model_.end()} : part_of(model_, from, to);
        auto at = whole ? db_->scan() : db_->scan({.from = from, .to = to});
        if (refused(at.status())) return;
        auto place = expected.begin;
        for (auto left = random() % 40;; --left) {
            must(at.status());
            require(at.valid() == (place != expected.end),
                    "a cursor that was moved at random is at the wrong position");
            if (at.valid())
                require(at.key() == place->first && at.value() == place->second,
                        "a cursor that was moved at random shows another entry");
            if (left == 0) return;
            const auto choice = random() % 8;
            if (choice == 0) {
                at.seek_to_first();
                place = expected.begin;
            } else if (choice == 1) {
                at.seek_to_last();
                place = expected.begin == expected.end ? expected.end : std::prev(expected.end);
            } else if (choice == 2 || place == expected.end) {
                const auto near = model_.lower_bound(choice % 2 == 0 ? from : to);
                const bytes key = near == model_.end() || random() % 2 == 0 ? to : near->first + '\0';
                at.seek(key);
                place = std::find_if(expected.begin, expected.end, [&](const auto& e) { return e.first >= key; });
            } else if (choice < 6) {
                at.next();
                ++place;
            } else {
                at.prev();
                place = place == expected.begin ? expected.end : std::prev(place);
            }
        }
    }

    void snapshot() {
        if (snapshots_.size() >= most_kept) return;
        auto taken = db_->snapshot();
        if (!refused(taken)) snapshots_.push_back({model_, must(std::move(taken))});
    }
    void keep_cursor() {
        if (cursors_.size() >= most_kept) return;
        auto at = db_->scan();
        if (!refused(at.status())) cursors_.push_back({fs_, model_, std::move(at)});
    }
    // Compares a kept snapshot or cursor with the contents of its moment, and releases it.
    void check_kept(unsigned way, const bytes& key) {
        if (way % 2 == 0 && !snapshots_.empty()) {
            const auto& [expected, at] = snapshots_[way / 2 % snapshots_.size()];
            require(must(db_->get(key, {.at = &at})) == value_in(expected, key), "a snapshot has another value");
            compare(*db_, {.reverse = way % 4 == 0, .at = &at}, expected);
            snapshots_.erase(snapshots_.begin() + way / 2 % static_cast<std::ptrdiff_t>(snapshots_.size()));
        } else if (!cursors_.empty()) {
            auto& kept = cursors_.front();
            compare_range(kept.at, kept.expected.begin(), kept.expected.end());
            cursors_.pop_front();
        }
    }

    void compact_range(const operation& one) {
        const auto &a = one.keys[0], &b = one.keys[1];
        must(db_->compact({.from = std::min(a, b), .to = std::max(a, b)}));
    }

    void checkpoint() {
        const std::string name = "checkpoint" + std::to_string(checkpoints_++);
        must(db_->checkpoint(name));
        look(name, false);
    }
    void look(const std::string& directory, bool read_only) {
        options opts = opts_;
        opts.read_only = read_only;
        opts.create_if_missing = false;
        opts.memory_budget_bytes = 0;
        auto opened = must(db::open(directory, opts));
        compare(opened, {}, model_);
        must(opened.close());
    }
    void verify() const {
        const auto report = must(db_->verify());
        require(report.damage.empty(), "verify() finds damage");
        static_cast<void>(db_->stats());
    }

    static constexpr std::size_t most_kept = 4;

    io::inline_executor at_once_;
    std::mt19937_64 ways_;
    std::shared_ptr<io::memory_file_system> fs_ = std::make_shared<io::memory_file_system>();
    options opts_;
    map model_;
    std::list<kept_cursor> cursors_;
    std::optional<db> db_;
    std::vector<kept_snapshot> snapshots_;
    unsigned checkpoints_ = 0;
};

}  // namespace lsm::test
