#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/hash.hpp>
#include <lsm/io/file_system.hpp>
#include <lsm/io/memory_file_system.hpp>

namespace lsm::io {

/// What becomes of the changes that no sync has made durable when the power goes. Where there is a choice `seed` makes
/// it.
///
/// Of a file whatever was done since its last sync is open, sector by sector (512 bytes): each may have any of the
/// contents that it went through since, or the front of a newer one and the rest of an older one. Its size is one of
/// those that it went through. What the size covers and no sector does reads as zeros, and what was cut off does not
/// come back.
///
/// Of the names the changes since the last sync of their directory are open. File systems with one journal keep them in
/// order (`prefix`); others need not (`some`): there a change survives without those before it, unless they were
/// about the same names. A rename is one change, also from one directory to another. A directory that is lost takes
/// along what is in it. Names are open also after a sync of the file that has the name.
struct power_loss {
    enum class kind : unsigned char {
        nothing,     ///< none of them survives
        everything,  ///< all do
        prefix,      ///< those up to some moment do, the last write among them perhaps in part
        some,        ///< each by itself does or does not
    };
    kind survivors = kind::some;
    std::uint64_t seed = 0;
};

}  // namespace lsm::io

namespace lsm::detail {

/// Random numbers that are the same everywhere: SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
/// generators, OOPSLA 2014).
class seeded_choice {
public:
    explicit seeded_choice(std::uint64_t seed) noexcept : state_(seed) {}

    std::uint64_t next() noexcept {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return z ^ z >> 31;
    }
    /// 0 to bound - 1. Requires bound > 0.
    std::uint64_t below(std::uint64_t bound) noexcept { return next() % bound; }
    /// How many of `count` things in a row: often none or all.
    std::size_t part_of(std::size_t count) noexcept {
        const auto choice = below(4);
        if (choice < 2) return choice == 0 ? 0 : count;
        return static_cast<std::size_t>(below(count + 1));
    }

private:
    std::uint64_t state_;
};

/// A file's bytes on the disk, and what was done to it since they were synced.
class unsynced_file {
public:
    static constexpr std::size_t sector_bytes = 512;

    explicit unsynced_file(bytes durable = {}) : durable_(std::move(durable)), size_(durable_.size()) {}

    /// As programs see it.
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

    void write(std::uint64_t time, std::uint64_t offset, bytes_view data) {
        size_ = std::max(size_, offset + data.size());
        changes_.push_back({time, offset, bytes(data), size_, false});
    }
    void resize(std::uint64_t time, std::uint64_t size) {
        changes_.push_back({time, size, {}, size, size < size_});
        size_ = size;
    }

    void sync() {
        for (const change& c : changes_) apply(c, c.data.size(), durable_);
        changes_.clear();
    }
    /// Some of what should have been synced is on the disk, and the rest never will be, whatever later syncs say.
    void fail_sync(seeded_choice& choose) {
        durable_ = some(choose);
        changes_.clear();
    }

    void add_times(std::vector<std::uint64_t>& to) const {
        for (const change& c : changes_) to.push_back(c.time);
    }

    [[nodiscard]] const bytes& nothing() const noexcept { return durable_; }
    /// With what was done before `end`, and a piece of what was done then.
    [[nodiscard]] bytes prefix(std::uint64_t end, seeded_choice& choose) const {
        bytes out = durable_;
        for (const change& c : changes_) {
            if (c.time < end) apply(c, c.data.size(), out);
            if (c.time == end && !c.data.empty())
                apply(c, static_cast<std::size_t>(choose.below(c.data.size() + 1)), out);
        }
        return out;
    }
    [[nodiscard]] bytes some(seeded_choice& choose) const {
        struct fate {
            std::size_t changes;  // so many have reached the sector,
            std::size_t torn;     // and so many bytes of the one behind them
        };
        std::map<std::uint64_t, fate> fates;
        const std::size_t resizes = choose.part_of(changes_.size());
        bytes out = durable_;
        for (std::size_t i = 0; i < changes_.size(); ++i) {
            const change& c = changes_[i];
            if (c.shrinks && i < resizes && out.size() > c.size) out.resize(static_cast<std::size_t>(c.size));
            for (std::size_t done = 0; done < c.data.size();) {
                const std::uint64_t at = c.offset + done;
                const auto piece = std::min<std::size_t>(c.data.size() - done, sector_bytes - at % sector_bytes);
                auto found = fates.find(at / sector_bytes);
                if (found == fates.end()) {
                    const std::size_t whole = choose.part_of(changes_.size());
                    const std::size_t torn = choose.below(4) == 0 ? choose.below(sector_bytes) : 0;
                    found = fates.emplace(at / sector_bytes, fate{whole, torn}).first;
                }
                const auto& [whole, torn] = found->second;
                const std::size_t taken = i < whole ? piece : i == whole ? std::min(piece, torn) : 0;
                if (taken != 0) put(bytes_view(c.data).substr(done, taken), at, out);
                done += piece;
            }
        }
        const std::uint64_t size = resizes == 0 ? durable_.size() : changes_[resizes - 1].size;
        out.resize(static_cast<std::size_t>(size));
        return out;
    }

private:
    struct change {
        std::uint64_t time;
        std::uint64_t offset;
        bytes data;
        std::uint64_t size;  // of the file, afterwards
        bool shrinks;
    };

    static void put(bytes_view data, std::uint64_t offset, bytes& into) {
        const auto start = static_cast<std::size_t>(offset);
        if (into.size() < start + data.size()) into.resize(start + data.size());
        std::copy(data.begin(), data.end(), into.begin() + static_cast<std::ptrdiff_t>(start));
    }
    static void apply(const change& c, std::size_t length, bytes& into) {
        put(bytes_view(c.data).substr(0, length), c.offset, into);
        if (length == c.data.size()) into.resize(static_cast<std::size_t>(c.size));
    }

    bytes durable_;
    std::vector<change> changes_;
    std::uint64_t size_;
};

/// Which changes of files and names are on the disk and which are not. Paths are normal ones; only changes that were
/// made come here.
class change_journal {
public:
    using file = std::shared_ptr<unsynced_file>;
    /// What has a name: a file, a directory, or nothing.
    struct node {
        bool there = false;
        file contents = nullptr;  // null for a directory

        friend bool operator==(const node&, const node&) = default;
    };

    [[nodiscard]] file find(const std::string& path) const {
        const auto found = names_.find(path);
        return found == names_.end() ? nullptr : found->second.contents;
    }
    [[nodiscard]] const std::map<std::string, node>& names() const noexcept { return names_; }

    file create(const std::string& path) {
        auto fresh = std::make_shared<unsynced_file>();
        change_names({{path, node{true, fresh}}});
        return fresh;
    }
    void make_directory(const std::string& path) { change_names({{path, node{true}}}); }
    void link(const std::string& from, const std::string& to) { change_names({{to, names_.at(from)}}); }
    void rename(const std::string& from, const std::string& to) {
        if (find(from) == find(to)) return;  // two names of one file: nothing happens
        change_names({{to, names_.at(from)}, {from, node{}}});
    }
    void remove(const std::string& path) { change_names({{path, node{}}}); }

    void write(unsynced_file& to, std::uint64_t offset, bytes_view data) { to.write(++time_, offset, data); }
    void resize(unsynced_file& of, std::uint64_t size) { of.resize(++time_, size); }

    /// Makes the changes of names in a directory durable; where one of them is a rename from or to another directory,
    /// those before it there, too.
    void sync_directory(const std::string& path) {
        std::set<std::string, std::less<>> directories{path};
        for (auto at = changes_.rbegin(); at != changes_.rend(); ++at) {
            const auto inside = [&](const auto& n) { return directories.contains(parent_directory(n.first)); };
            at->synced = std::any_of(at->nodes.begin(), at->nodes.end(), inside);
            if (at->synced)
                for (const auto& [name, what] : at->nodes) directories.emplace(parent_directory(name));
        }
        for (const change& c : changes_)
            if (c.synced) apply(c, durable_);
        std::erase_if(changes_, [](const change& c) { return c.synced; });
    }

    /// The journal of the disk after a power cut: everything in it is durable.
    [[nodiscard]] change_journal after(io::power_loss loss, std::uint64_t seed) const {
        using kind = io::power_loss::kind;
        seeded_choice choose(seed ^ seeded_choice(loss.seed).next());
        const std::uint64_t end = loss.survivors == kind::prefix ? moment(choose) : 0;
        auto left = durable_;
        std::set<std::string, std::less<>> lost;
        const std::uint64_t odds = choose.below(5);  // in quarters
        for (const change& c : changes_) {
            bool survives = loss.survivors == kind::everything || (loss.survivors == kind::prefix && c.time < end);
            if (loss.survivors == kind::some) {
                const auto depends = [&](const auto& n) { return lost.contains(n.first); };
                survives = choose.below(4) < odds && std::none_of(c.nodes.begin(), c.nodes.end(), depends);
            }
            if (survives) apply(c, left);
            if (!survives)
                for (const auto& [name, what] : c.nodes) lost.insert(name);
        }
        change_journal out;
        std::map<const unsynced_file*, file> files;
        for (const auto& [path, what] : left) {
            const std::string_view parent = parent_directory(path);
            if (parent != "." && parent != "/" && !out.names_.contains(std::string(parent))) continue;
            node fresh{true};
            if (const unsynced_file* const old = what.contents.get()) {
                auto& copy = files[old];
                if (!copy) {
                    bytes contents;
                    switch (loss.survivors) {
                        case kind::nothing: contents = old->nothing(); break;
                        case kind::everything: contents = old->prefix(UINT64_MAX, choose); break;
                        case kind::prefix: contents = old->prefix(end, choose); break;
                        case kind::some: contents = old->some(choose); break;
                    }
                    copy = std::make_shared<unsynced_file>(std::move(contents));
                }
                fresh.contents = copy;
            }
            out.names_.emplace_hint(out.names_.end(), path, std::move(fresh));
        }
        out.durable_ = out.names_;
        return out;
    }

    /// Makes an empty file system show what is durable.
    void copy_durable_to(io::memory_file_system& to) const {
        std::map<const unsynced_file*, std::string_view> first_names;
        for (const auto& [path, what] : durable_) {
            if (!what.contents) {
                static_cast<void>(to.make_directory(path));
                continue;
            }
            const auto [known, is_new] = first_names.emplace(what.contents.get(), path);
            if (!is_new) {
                static_cast<void>(to.link(known->second, path));
                continue;
            }
            const auto handle = to.open(path, io::open_mode::create_exclusive);
            static_cast<void>(to.write_at(*handle, 0, what.contents->nothing()));
            static_cast<void>(to.close(*handle));
        }
    }

    /// A hash of what is durable.
    [[nodiscard]] std::uint64_t fingerprint() const {
        std::uint64_t out = 0;
        for (const auto& [path, what] : durable_) {
            out = seeded_choice(out ^ xxh64(path)).next();
            out = seeded_choice(out ^ (what.contents ? xxh64(what.contents->nothing()) : 1)).next();
        }
        return out;
    }

private:
    struct change {
        std::uint64_t time;
        std::vector<std::pair<std::string, node>> nodes;
        bool synced = false;
    };

    static void apply(const change& c, std::map<std::string, node>& to) {
        for (const auto& [name, what] : c.nodes) {
            if (what.there)
                to[name] = what;
            else
                to.erase(name);
        }
    }
    void change_names(std::vector<std::pair<std::string, node>> nodes) {
        changes_.push_back({++time_, std::move(nodes)});
        apply(changes_.back(), names_);
    }

    // That of one of the changes that are open, or the one behind them all.
    [[nodiscard]] std::uint64_t moment(seeded_choice& choose) const {
        std::vector<std::uint64_t> times{time_ + 1};
        for (const change& c : changes_) times.push_back(c.time);
        std::set<const unsynced_file*> seen;
        const auto add = [&](const node& what) {
            if (what.contents && seen.insert(what.contents.get()).second) what.contents->add_times(times);
        };
        for (const auto& [path, what] : names_) add(what);
        for (const auto& [path, what] : durable_) add(what);
        std::sort(times.begin(), times.end());
        return times[static_cast<std::size_t>(choose.below(times.size()))];
    }

    std::uint64_t time_ = 0;
    std::map<std::string, node> names_;    // as programs see them
    std::map<std::string, node> durable_;  // as they are on the disk
    std::vector<change> changes_;          // what lies between them, in order
};

}  // namespace lsm::detail
