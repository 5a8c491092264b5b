#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/coding.hpp>
#include <lsm/db/db.hpp>
#include <lsm/io/simulated_file_system.hpp>

#include "support/tiny.hpp"

/// A program that uses a database on a simulated disk and knows what must be in it: what both crash tests run.
namespace lsm::test {

/// What a check found to be wrong.
struct wrong : std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline void expect(bool good, const std::string& what) {
    if (!good) throw wrong(what);
}
template <class T>
T must(result<T> outcome, std::string_view what) {
    if (!outcome) throw wrong(std::string(what) + ": " + outcome.error().what);
    if constexpr (!std::is_void_v<T>) return *std::move(outcome);
}

using contents = std::map<bytes, std::optional<bytes>>;
/// Keys and their values; nothing is a deletion.
using operations = std::vector<std::pair<bytes, std::optional<bytes>>>;

inline void apply(const operations& batch, contents& to) {
    for (const auto& [key, value] : batch) value ? void(to[key] = value) : void(to.erase(key));
}

inline write_batch encoded(const operations& batch) {
    write_batch out;
    for (const auto& [key, value] : batch) value ? out.put(key, *value) : out.del(key);
    return out;
}

/// What a database can hold, after each write of its one writer. One that failed has happened or not.
class history {
public:
    explicit history(contents base = {}) : steps_{{std::move(base)}} {}

    void begin(const operations& batch) {
        auto after = steps_.back();
        for (contents& one : after) apply(batch, one);
        applied_ = after;
        for (const contents& before : steps_.back())
            if (std::find(after.begin(), after.end(), before) == after.end()) after.push_back(before);
        steps_.push_back(std::move(after));
    }
    /// The write that was begun is acknowledged.
    void acknowledge(bool durable) {
        steps_.back() = std::move(applied_);
        if (durable) all_durable();
    }
    /// It was refused, and left no trace.
    void refuse() { steps_.pop_back(); }
    void all_durable() { durable_ = steps_.size() - 1; }

    /// That `found` is there is seen after the end of the process.
    void seen(const contents& found) { steps_.back() = {found}; }

    /// Whether `found` can be there after the end of the process.
    [[nodiscard]] bool possible(const contents& found) const { return holds(steps_.back(), found); }
    /// The same after a power cut: what is durable, and of the writes since then the first ones.
    [[nodiscard]] bool possible_after_power_loss(const contents& found) const {
        return std::any_of(steps_.begin() + static_cast<std::ptrdiff_t>(durable_), steps_.end(),
                           [&](const auto& step) { return holds(step, found); });
    }
    /// Whether a reader may see this for a key.
    [[nodiscard]] bool possible_value(const bytes& key, const std::optional<bytes>& value) const {
        return std::any_of(steps_.back().begin(), steps_.back().end(), [&](const contents& one) {
            const auto found = one.find(key);
            return found == one.end() ? !value : value == found->second;
        });
    }
    /// Where it is, to tell states apart.
    [[nodiscard]] std::pair<std::size_t, std::size_t> place() const noexcept { return {durable_, steps_.size()}; }
    /// What must be there, if no write failed.
    [[nodiscard]] const contents& now() const noexcept { return steps_.back().front(); }

private:
    static bool holds(const std::vector<contents>& step, const contents& found) {
        return std::find(step.begin(), step.end(), found) != step.end();
    }

    std::vector<std::vector<contents>> steps_;
    std::vector<contents> applied_;
    std::size_t durable_ = 0;
};

inline contents contents_of(const db& from) { return must(scanned(from), "scan"); }

class program {
public:
    program(io::simulated_file_system& disk, options how, std::string directory, std::uint64_t seed)
        : disk_(disk), how_(how), directory_(std::move(directory)), choose_(seed), values_(1000 * seed) {
        how_.file_system = &disk;
        if (how_.map_log) disk.offer_maps();
    }

    history expected;
    struct copy {
        std::string directory;
        history expected;
        bool complete;
    };
    std::vector<copy> checkpoints;

    [[nodiscard]] const options& how() const noexcept { return how_; }
    [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
    [[nodiscard]] io::simulated_file_system& disk() noexcept { return disk_; }
    [[nodiscard]] db* database() noexcept { return db_ ? &*db_ : nullptr; }
    [[nodiscard]] std::uint64_t below(std::uint64_t bound) { return choose_.below(bound); }

    result<void> open() {
        auto opened = db::open(directory_, how_);
        if (!opened) return std::move(opened).error();
        db_.emplace(*std::move(opened));
        poisoned_ = false;
        return {};
    }
    result<void> close() {
        if (!db_) return {};
        auto done = db_->close();
        if (done && !poisoned_) expected.all_durable();
        db_.reset();
        return done;
    }
    /// The process ends, or the machine does.
    void drop() { db_.reset(); }

    result<void> write(const operations& batch, bool sync = true) {
        expected.begin(batch);
        auto done = db_->write(encoded(batch), {.sync = sync});
        if (done) {
            expect(!poisoned_, "a database that takes no more writes takes one");
            expected.acknowledge(sync);
        } else {
            // In doubt is only the write that was on its way to the log when that failed.
            const bool refused = poisoned_ || !poisons(done.error());
            if (refused) expected.refuse();
            poisoned_ = poisoned_ || poisons(done.error());
        }
        return done;
    }
    result<void> flush() { return settled(db_->flush()); }
    result<void> compact() { return settled(db_->compact()); }
    result<void> checkpoint(const std::string& to) {
        checkpoints.push_back({to, expected, false});
        auto done = db_->checkpoint(to);
        if (done) checkpoints.back().complete = true;
        return done;
    }

    /// Random operations of a few dozen keys, with values of up to so many bytes.
    operations some(std::size_t count, std::size_t longest = 120) {
        operations out(count);
        for (auto& [key, value] : out) {
            key = "key" + std::to_string(below(48));
            if (below(5) == 0) continue;
            value = std::to_string(++values_) + ":";
            value->append(static_cast<std::size_t>(below(longest + 1)), static_cast<char>('a' + values_ % 26));
        }
        return out;
    }

private:
    static bool poisons(const error& why) { return why.what.find("takes no more writes") != std::string::npos; }
    result<void> settled(result<void> done) {
        if (done) expected.all_durable();
        poisoned_ = poisoned_ || (!done && poisons(done.error()));
        return done;
    }

    io::simulated_file_system& disk_;
    options how_;
    std::string directory_;
    detail::seeded_choice choose_;
    std::uint64_t values_;  // each is another
    std::optional<db> db_;
    bool poisoned_ = false;
};

inline bytes bytes_of(io::file_system& fs, const std::string& path) {
    const auto in = must(io::file::open(fs, path, io::open_mode::read), "open");
    bytes out(static_cast<std::size_t>(must(in.size(), "size")), '\0');
    must(in.read_exactly(0, out), "read");
    return out;
}
inline void write_durably(io::file_system& fs, const std::string& path, bytes_view what) {
    auto file = must(io::file::open(fs, path, io::open_mode::create_exclusive), "create");
    must(file.append(what), "write");
    must(file.sync(), "sync");
    must(io::sync_directory(fs, detail::parent_directory(path)), "sync");
}

/// Leaves a database in `p`'s directory that has a table, frozen logs or none, and perhaps the last log, all of it
/// durable. Where the recovery mode of `p` goes on in spite of damage, a byte of the logs is another. Returns what
/// recovery has to keep of the logs; what it leaves is expected of `p`.
inline bytes leave_logs(program& p) {
    must(p.open(), "open");
    must(p.write(p.some(3)), "write");
    must(p.flush(), "flush");
    contents left = p.expected.now();
    std::vector<operations> batches(4 + p.below(5));
    for (operations& batch : batches) {
        batch = p.some(1 + p.below(3), 60);
        must(p.write(batch), "write");
    }
    must(p.close(), "close");

    io::file_system& fs = p.disk();
    const std::string log = detail::joined(p.directory(), detail::log_name);
    bytes rest = bytes_of(fs, log);
    std::vector<bytes> records;
    for (std::size_t size = 0; !rest.empty(); rest.erase(0, size)) {
        size = 8 + detail::load_le<std::uint32_t>(rest.data());
        records.push_back(rest.substr(0, size));
    }
    expect(records.size() == batches.size(), "a write is not a record");

    const bool salvages = p.how().wal_recovery == wal::recovery::salvage;
    const bool goes_on = salvages || p.how().wal_recovery == wal::recovery::point_in_time;
    const auto damaged = goes_on ? static_cast<std::size_t>(p.below(records.size())) : records.size();
    if (goes_on) records[damaged].back() = static_cast<char>(records[damaged].back() ^ 1);
    bytes kept;
    for (std::size_t i = 0; i < records.size(); ++i)
        if (i < damaged || (salvages && i > damaged))
            test::apply(batches[i], left);
        else
            kept += records[i];

    must(fs.remove(log), "remove");
    const auto frozen = p.below(3);
    std::size_t next = 0;
    for (std::uint64_t number = 1; number <= frozen; ++number) {
        bytes some;
        for (auto count = p.below(records.size() - next + 1); count > 0; --count) some += records[next++];
        write_durably(fs, detail::joined(p.directory(), detail::frozen_log_name(number)), some);
    }
    bytes last;
    while (next < records.size()) last += records[next++];
    if (!last.empty() || p.below(2) == 0) write_durably(fs, log, last);
    p.expected = history(left);
    return kept;
}

/// A checkpoint is there whole, or not at all.
inline void check_copy(options how, io::file_system& disk, const program::copy& copy) {
    how.file_system = &disk;
    how.create_if_missing = false;
    const auto opened = db::open(copy.directory, how);
    if (opened) return expect(copy.expected.possible(contents_of(*opened)), "a checkpoint that opens is not whole");
    expect(!copy.complete, "a complete checkpoint does not open: " + opened.error().what);
    const bool listed = io::file::open(disk, copy.directory + "/MANIFEST", io::open_mode::read).has_value();
    expect(!listed, "an incomplete checkpoint: " + opened.error().what);
}

/// After a clean close: nothing but what the database consists of.
inline void check_names(io::file_system& fs, const std::string& directory, const std::vector<live_table>& tables) {
    std::set<std::string> allowed{"MANIFEST", "LOCK", "wal.log"};
    for (const live_table& t : tables) allowed.insert(detail::table_name(t.id));
    std::string strange;
    must(fs.list(directory,
                 [&](std::string_view name) {
                     const bool kept =
                         name.starts_with("cut-") || name.starts_with("damaged-") || name.starts_with("MANIFEST.bak");
                     if (!kept && allowed.erase(std::string(name)) == 0) strange = name;
                 }),
         "list");
    expect(strange.empty(), "an orphan stays: " + strange);
}

/// Opens the database after a crash: what is there must be one of the things that can be, and it must be fit for work.
template <class Possible>
void check_recovered(options how, io::simulated_file_system& disk, const std::string& directory, Possible possible) {
    how.file_system = &disk;
    auto opened = must(db::open(directory, how), "open");
    contents now = contents_of(opened);
    expect(possible(now), "what is there was never written so, or something is missing");
    for (const operations& batch :
         {operations{{"key7", "written afterwards"}, {"key8", std::nullopt}}, operations{{"key9", bytes(700, 'z')}}}) {
        must(opened.write(encoded(batch), {.sync = true}), "write");
        apply(batch, now);
    }
    for (const char* key : {"key7", "key8", "key9", "key10"}) {
        const auto got = must(opened.get(key), "get");
        const auto there = now.find(key);
        expect(there == now.end() ? !got : got == there->second, std::string("get of ") + key);
    }
    if (now.size() % 2 == 0) must(opened.flush(), "flush");
    expect(contents_of(opened) == now, "what was written afterwards is not there");

    auto crashed = disk.after_power_loss({io::power_loss::kind::nothing});
    how.file_system = &crashed;
    expect(contents_of(must(db::open(directory, how), "open after another power cut")) == now,
           "what was written afterwards is lost in another power cut");

    must(opened.close(), "close");
    how.file_system = &disk;
    opened = must(db::open(directory, how), "open again");
    expect(contents_of(opened) == now, "what was written afterwards is lost");
    const auto report = must(opened.verify(), "verify");
    expect(report.damage.empty(), "verify finds damage");
    const auto tables = opened.live_tables();
    must(opened.close(), "close");
    check_names(disk, directory, tables);
}

}  // namespace lsm::test
