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

#include "support/databases.hpp"

/// What both crash tests run: a program that uses a database on a simulated disk and knows what must be in it.
namespace lsm::test {

/// The contents that a database can have after each write of its only writer. A step holds several contents if a write
/// failed: the write may or may not have been applied.
class history {
public:
    explicit history(entry_map base = {}) : steps_{{std::move(base)}} {}

    /// Begins a write. Until it is acknowledged or refused, it may or may not have been applied.
    void begin(const entry_list& batch) {
        auto after = steps_.back();
        for (entry_map& one : after) apply_operations(batch, one);
        applied_ = after;
        for (const entry_map& before : steps_.back())
            if (std::find(after.begin(), after.end(), before) == after.end()) after.push_back(before);
        steps_.push_back(std::move(after));
    }
    /// The write was acknowledged.
    void acknowledge(bool durable) {
        steps_.back() = std::move(applied_);
        if (durable) all_durable();
    }
    /// The write was refused and left no trace.
    void refuse() { steps_.pop_back(); }
    void all_durable() { durable_ = steps_.size() - 1; }

    /// After the end of the process the database had the contents `found`, which settles what was in doubt.
    void seen(const entry_map& found) { steps_.back() = {found}; }

    /// Whether the database can have the contents `found` after the end of the process.
    [[nodiscard]] bool possible(const entry_map& found) const { return holds(steps_.back(), found); }
    /// Whether the database can have the contents `found` after a power cut: everything durable, and a prefix of the
    /// writes since then.
    [[nodiscard]] bool possible_after_power_loss(const entry_map& found) const {
        return std::any_of(steps_.begin() + static_cast<std::ptrdiff_t>(durable_), steps_.end(),
                           [&](const auto& step) { return holds(step, found); });
    }
    /// Whether a reader may see `value` for `key`.
    [[nodiscard]] bool possible_value(const bytes& key, const std::optional<bytes>& value) const {
        return std::any_of(steps_.back().begin(), steps_.back().end(), [&](const entry_map& one) {
            const auto found = one.find(key);
            return found == one.end() ? !value : value == found->second;
        });
    }
    /// The position in this history: the last durable step, and the number of steps.
    [[nodiscard]] std::pair<std::size_t, std::size_t> place() const noexcept { return {durable_, steps_.size()}; }
    /// The contents that the database must have. Requires that no write failed.
    [[nodiscard]] const entry_map& now() const noexcept { return steps_.back().front(); }

private:
    static bool holds(const std::vector<entry_map>& step, const entry_map& found) {
        return std::find(step.begin(), step.end(), found) != step.end();
    }

    std::vector<std::vector<entry_map>> steps_;
    std::vector<entry_map> applied_;  // the last step if the write that was begun is acknowledged
    std::size_t durable_ = 0;
};

class program {
public:
    program(io::simulated_file_system& disk, options opts, std::string directory, std::uint64_t seed)
        : disk_(disk), opts_(opts), directory_(std::move(directory)), choose_(seed), values_(1000 * seed) {
        opts_.file_system = &disk;
        if (opts_.map_log) disk.offer_maps();
    }

    history expected;
    struct copy {
        std::string directory;
        history expected;
        bool complete;  // whether checkpoint() returned success
    };
    std::vector<copy> checkpoints;

    [[nodiscard]] const options& opts() const noexcept { return opts_; }
    [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
    [[nodiscard]] io::simulated_file_system& disk() noexcept { return disk_; }
    [[nodiscard]] db* database() noexcept { return db_ ? &*db_ : nullptr; }
    [[nodiscard]] std::uint64_t below(std::uint64_t bound) { return choose_.below(bound); }

    result<void> open() {
        auto opened = db::open(directory_, opts_);
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
    /// Destroys the database object, after a simulated end of the process or a power cut.
    void drop() { db_.reset(); }

    result<void> write(const entry_list& batch, bool sync = true) {
        expected.begin(batch);
        auto done = db_->write(batch_of(batch), {.sync = sync});
        if (done) {
            require(!poisoned_, "a database that reported that it takes no more writes takes one");
            expected.acknowledge(sync);
        } else {
            // Only the write during which the log failed is in doubt. All later ones are refused.
            const bool refused = poisoned_ || !poisons(done.error());
            if (refused) expected.refuse();
            poisoned_ = poisoned_ || poisons(done.error());
        }
        return done;
    }
    result<void> flush() { return durable_if(db_->flush()); }
    result<void> compact() { return durable_if(db_->compact()); }
    result<void> checkpoint(const std::string& to) {
        checkpoints.push_back({to, expected, false});
        auto done = db_->checkpoint(to);
        if (done) checkpoints.back().complete = true;
        return done;
    }

    /// Returns random puts and deletes of 48 keys. No value repeats, and none is longer than about `longest` bytes.
    entry_list some(std::size_t count, std::size_t longest = 120) {
        entry_list out(count);
        for (auto& [key, value] : out) {
            key = "key" + std::to_string(below(48));
            if (below(5) == 0) continue;
            value = std::to_string(++values_) + ":";
            value->append(static_cast<std::size_t>(below(longest + 1)), static_cast<char>('a' + values_ % 26));
        }
        return out;
    }

private:
    static bool poisons(const error& error) { return error.what.find("takes no more writes") != std::string::npos; }
    // A flush or compaction that succeeds makes every write before it durable.
    result<void> durable_if(result<void> done) {
        if (done) expected.all_durable();
        poisoned_ = poisoned_ || (!done && poisons(done.error()));
        return done;
    }

    io::simulated_file_system& disk_;
    options opts_;
    std::string directory_;
    detail::seeded_choice choose_;
    std::uint64_t values_;  // a counter that makes every value unique
    std::optional<db> db_;
    bool poisoned_ = false;  // whether the database has reported that it takes no more writes
};

inline void write_durably(io::file_system& fs, const std::string& path, bytes_view data) {
    auto file = must(io::file::open(fs, path, io::open_mode::create_exclusive), "create");
    must(file.append(data), "write");
    must(file.sync(), "sync");
    must(io::sync_directory(fs, detail::parent_directory(path)), "sync");
}

/// Leaves a database in the directory of `p` that has a table, up to two frozen logs and perhaps an active log, all
/// durable. If the recovery mode of `p` accepts damage, one byte of the logs is damaged. Sets p.expected to what
/// recovery must recover, and returns the bytes of the logs that it must keep in a file of their own.
inline bytes leave_logs(program& p) {
    must(p.open(), "open");
    must(p.write(p.some(3)), "write");
    must(p.flush(), "flush");
    entry_map left = p.expected.now();
    std::vector<entry_list> batches(4 + p.below(5));
    for (entry_list& batch : batches) {
        batch = p.some(1 + p.below(3), 60);
        must(p.write(batch), "write");
    }
    must(p.close(), "close");

    // Take the log apart, so that its records can be damaged and spread over several logs.
    io::file_system& fs = p.disk();
    const std::string log = detail::joined(p.directory(), detail::log_name);
    bytes rest = read_file(fs, log);
    std::vector<bytes> records;
    for (std::size_t size = 0; !rest.empty(); rest.erase(0, size)) {
        size = 8 + detail::load_le<std::uint32_t>(rest.data());
        records.push_back(rest.substr(0, size));
    }
    require(records.size() == batches.size(), "the log has another number of records than there were writes");

    // point_in_time loses the damaged record and everything after it, salvage only the damaged record.
    const bool salvages = p.opts().wal_recovery == wal::recovery::salvage;
    const bool accepts_damage = salvages || p.opts().wal_recovery == wal::recovery::point_in_time;
    const auto damaged = accepts_damage ? static_cast<std::size_t>(p.below(records.size())) : records.size();
    if (accepts_damage) records[damaged].back() = static_cast<char>(records[damaged].back() ^ 1);
    bytes kept;
    for (std::size_t i = 0; i < records.size(); ++i)
        if (i < damaged || (salvages && i > damaged))
            apply_operations(batches[i], left);
        else
            kept += records[i];

    must(fs.remove(log), "remove");
    const auto frozen = p.below(3);
    std::size_t next = 0;
    for (std::uint64_t number = 1; number <= frozen; ++number) {
        bytes contents_of_log;
        for (auto count = p.below(records.size() - next + 1); count > 0; --count) contents_of_log += records[next++];
        write_durably(fs, detail::joined(p.directory(), detail::frozen_log_name(number)), contents_of_log);
    }
    bytes active;
    while (next < records.size()) active += records[next++];
    if (!active.empty() || p.below(2) == 0) write_durably(fs, log, active);  // an empty active log may be missing
    p.expected = history(left);
    return kept;
}

/// Requires that a checkpoint is complete or has no MANIFEST.
inline void check_copy(options opts, io::file_system& disk, const program::copy& copy) {
    opts.file_system = &disk;
    opts.create_if_missing = false;
    const auto opened = db::open(copy.directory, opts);
    if (opened)
        return require(copy.expected.possible(contents_of(*opened)), "a checkpoint opens with impossible contents");
    require(!copy.complete, "a complete checkpoint does not open: " + opened.error().what);
    const bool listed = io::file::open(disk, copy.directory + "/MANIFEST", io::open_mode::read).has_value();
    require(!listed, "an incomplete checkpoint has a MANIFEST: " + opened.error().what);
}

/// Requires that a directory, after a clean close, has no files but those of the database and those that recovery or
/// repair() kept.
inline void check_names(io::file_system& fs, const std::string& directory, const std::vector<live_table>& tables) {
    std::set<std::string> allowed{"MANIFEST", "LOCK", "wal.log"};
    for (const live_table& t : tables) allowed.insert(detail::table_name(t.id));
    std::string orphan;
    must(fs.list(directory,
                 [&](std::string_view name) {
                     const bool kept =
                         name.starts_with("cut-") || name.starts_with("damaged-") || name.starts_with("MANIFEST.bak");
                     if (!kept && allowed.erase(std::string(name)) == 0) orphan = name;
                 }),
         "list");
    require(orphan.empty(), "an orphan is left after a clean close: " + orphan);
}

/// Opens the database after a crash. Requires that its contents are possible, that it can be written to, and that what
/// is then written survives another power cut and a clean close.
template <class Possible>
void check_recovered(options opts, io::simulated_file_system& disk, const std::string& directory, Possible possible) {
    opts.file_system = &disk;
    auto opened = must(db::open(directory, opts), "open");
    entry_map now = contents_of(opened);
    require(possible(now), "the contents were never written so, or an acknowledged write is missing");
    for (const entry_list& batch :
         {entry_list{{"key7", "written afterwards"}, {"key8", std::nullopt}}, entry_list{{"key9", bytes(700, 'z')}}}) {
        must(opened.write(batch_of(batch), {.sync = true}), "write");
        apply_operations(batch, now);
    }
    for (const char* key : {"key7", "key8", "key9", "key10"}) {
        const auto got = must(opened.get(key), "get");
        const auto found = now.find(key);
        require(found == now.end() ? !got : got == found->second, std::string("get of a wrong value: ") + key);
    }
    if (now.size() % 2 == 0) must(opened.flush(), "flush");  // in half of the states the writes stay in the log
    require(contents_of(opened) == now, "writes after the recovery are not visible");

    auto crashed = disk.after_power_loss({io::power_loss::kind::nothing});
    opts.file_system = &crashed;
    require(contents_of(must(db::open(directory, opts), "open after another power cut")) == now,
            "writes after the recovery are lost in another power cut");

    must(opened.close(), "close");
    opts.file_system = &disk;
    opened = must(db::open(directory, opts), "open again");
    require(contents_of(opened) == now, "writes after the recovery are lost in a clean close");
    const auto report = must(opened.verify(), "verify");
    require(report.damage.empty(), "verify finds damage");
    const auto tables = opened.live_tables();
    must(opened.close(), "close");
    check_names(disk, directory, tables);
}

}  // namespace lsm::test
