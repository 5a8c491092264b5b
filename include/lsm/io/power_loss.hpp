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

/// Which of the unsynced changes survive a power cut. `seed` makes the choices that `survivors` leaves open.
///
/// The bytes of a file are durable after a sync of the file. Until then, each sector (512 bytes) survives
/// independently: with any of the contents that it has had since the last sync, or with the first bytes of a newer one
/// and the rest of an older one. The size is one of those that the file has had since. Bytes within the size that no
/// surviving write covers read as zeros. Truncated bytes do not come back.
///
/// A name is durable after a sync of its directory; a sync of the file does not make it so. File systems with one
/// journal keep the changes of names in order (`prefix`). Others need not (`some`): a change may then survive although
/// an earlier one is lost, unless both are about the same name. A rename is one change, even between directories. With
/// a directory, everything in it is lost.
struct power_loss {
    enum class kind : unsigned char {
        nothing,     ///< no unsynced change survives
        everything,  ///< all of them survive
        prefix,      ///< those up to some moment survive, and perhaps a part of the write at that moment
        some,        ///< each survives or is lost independently of the others
    };
    kind survivors = kind::some;
    std::uint64_t seed = 0;
};

}  // namespace lsm::io

namespace lsm::detail {

/// Pseudorandom numbers that are the same on every platform: SplitMix64 (Steele, Lea, Flood: Fast splittable
/// pseudorandom number generators, OOPSLA 2014).
class seeded_choice {
public:
    explicit seeded_choice(std::uint64_t seed) noexcept : state_(seed) {}

    std::uint64_t next() noexcept {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return z ^ z >> 31;
    }
    /// A number from 0 to bound - 1. Requires bound > 0.
    std::uint64_t below(std::uint64_t bound) noexcept { return next() % bound; }
    /// A number from 0 to `count`, with a preference for 0 and `count`.
    std::size_t part_of(std::size_t count) noexcept {
        const auto choice = below(4);
        if (choice < 2) return choice == 0 ? 0 : count;
        return static_cast<std::size_t>(below(count + 1));
    }

private:
    std::uint64_t state_;
};

/// The durable bytes of a file, and the changes since the last sync. Each change has a time, later than that of every
/// change before it.
class unsynced_file {
public:
    static constexpr std::size_t sector_bytes = 512;

    explicit unsynced_file(bytes durable = {}) : durable_(std::move(durable)), size_(durable_.size()) {}

    /// The size that programs see.
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
    /// Makes some of the changes durable and drops the others, so that a later sync does not write them.
    void fail_sync(seeded_choice& choose) {
        durable_ = some(choose);
        changes_.clear();
    }

    void add_times(std::vector<std::uint64_t>& to) const {
        for (const change& c : changes_) to.push_back(c.time);
    }

    [[nodiscard]] const bytes& durable() const noexcept { return durable_; }
    /// The bytes after a power cut; `end` is the moment that a `prefix` ends at.
    [[nodiscard]] bytes after(io::power_loss::kind survivors, std::uint64_t end, seeded_choice& choose) const {
        using kind = io::power_loss::kind;
        switch (survivors) {
            case kind::nothing: break;
            case kind::everything: return prefix(UINT64_MAX, choose);
            case kind::prefix: return prefix(end, choose);
            case kind::some: return some(choose);
        }
        return durable_;
    }

private:
    struct change {
        std::uint64_t time;
        std::uint64_t offset;
        bytes data;
        std::uint64_t size;  // of the file, after the change
        bool shrinks;
    };

    // With the changes before `end`, and a part of the write at that time.
    [[nodiscard]] bytes prefix(std::uint64_t end, seeded_choice& choose) const {
        bytes out = durable_;
        for (const change& c : changes_) {
            if (c.time < end) apply(c, c.data.size(), out);
            if (c.time == end && !c.data.empty())
                apply(c, static_cast<std::size_t>(choose.below(c.data.size() + 1)), out);
        }
        return out;
    }
    // With some of the changes in each sector, and one of the sizes.
    [[nodiscard]] bytes some(seeded_choice& choose) const {
        struct fate {
            std::size_t changes;  // how many changes reached the sector whole
            std::size_t torn;     // and how many bytes of the next one
        };
        std::map<std::uint64_t, fate> fates;  // of sectors, by number
        const std::size_t resizes = choose.part_of(changes_.size());
        bytes out = durable_;
        for (std::size_t i = 0; i < changes_.size(); ++i) {
            const change& c = changes_[i];
            // Cut now, so that a later write beyond the new end cannot bring the old bytes back.
            if (c.shrinks && i < resizes && out.size() > c.size) out.resize(static_cast<std::size_t>(c.size));
            // Sector by sector: each decides once, at its first write, how many of the changes reach it.
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
        // The size survives independently of the bytes.
        const std::uint64_t size = resizes == 0 ? durable_.size() : changes_[resizes - 1].size;
        out.resize(static_cast<std::size_t>(size));
        return out;
    }

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
    std::vector<change> changes_;  // since the last sync, in order
    std::uint64_t size_;
};

/// The durable files and names of a disk, and the changes that are not durable yet. Requires paths as normal_path()
/// returns them, and changes that a file system has accepted.
class change_journal {
public:
    using file = std::shared_ptr<unsynced_file>;
    /// What a name stands for: a file, a directory, or nothing.
    struct node {
        bool exists = false;
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

    /// Makes the changes of names in a directory durable. If one of them is a rename from or to another directory,
    /// makes the earlier changes there durable too.
    void sync_directory(const std::string& path) {
        std::set<std::string, std::less<>> directories{path};
        // From the last change to the first, since a rename adds its other directory for the changes before it.
        for (auto at = changes_.rbegin(); at != changes_.rend(); ++at) {
            const auto inside = [&](const auto& n) { return directories.contains(parent_directory(n.first)); };
            at->synced = std::any_of(at->nodes.begin(), at->nodes.end(), inside);
            if (at->synced)
                for (const auto& [name, entry] : at->nodes) directories.emplace(parent_directory(name));
        }
        for (const change& c : changes_)
            if (c.synced) apply(c, durable_);
        std::erase_if(changes_, [](const change& c) { return c.synced; });
    }

    /// The journal of the disk after a power cut. Everything in it is durable. `loss` and `seed` together make the
    /// choices.
    [[nodiscard]] change_journal after(io::power_loss loss, std::uint64_t seed) const {
        seeded_choice choose(seed ^ seeded_choice(loss.seed).next());
        const std::uint64_t end = loss.survivors == io::power_loss::kind::prefix ? moment(choose) : 0;
        change_journal out;
        std::map<const unsynced_file*, file> copies;  // one for each file, whatever number of names it has
        for (const auto& [path, old] : surviving_names(loss.survivors, end, choose)) {
            // With a directory, what is in it is lost. The map has the directory before its entries.
            const std::string_view parent = parent_directory(path);
            if (parent != "." && parent != "/" && !out.names_.contains(std::string(parent))) continue;
            node fresh{true};
            if (old.contents) {
                file& copy = copies[old.contents.get()];
                if (!copy) copy = std::make_shared<unsynced_file>(old.contents->after(loss.survivors, end, choose));
                fresh.contents = copy;
            }
            out.names_.emplace_hint(out.names_.end(), path, std::move(fresh));
        }
        out.durable_ = out.names_;
        return out;
    }

    /// Copies the durable files and names to an empty file system.
    void copy_durable_to(io::memory_file_system& to) const {
        std::map<const unsynced_file*, std::string_view> first_names;
        for (const auto& [path, entry] : durable_) {
            if (!entry.contents) {
                static_cast<void>(to.make_directory(path));
                continue;
            }
            // A file with several names is created at the first one and linked to the others.
            const auto [known, is_new] = first_names.emplace(entry.contents.get(), path);
            if (!is_new) {
                static_cast<void>(to.link(known->second, path));
                continue;
            }
            const auto handle = to.open(path, io::open_mode::create_exclusive);
            static_cast<void>(to.write_at(*handle, 0, entry.contents->durable()));
            static_cast<void>(to.close(*handle));
        }
    }

    /// A hash of the durable files and names.
    [[nodiscard]] std::uint64_t fingerprint() const {
        std::uint64_t out = 0;
        for (const auto& [path, entry] : durable_) {
            out = seeded_choice(out ^ xxh64(path)).next();
            out = seeded_choice(out ^ (entry.contents ? xxh64(entry.contents->durable()) : 1)).next();
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
        for (const auto& [name, entry] : c.nodes) {
            if (entry.exists)
                to[name] = entry;
            else
                to.erase(name);
        }
    }
    void change_names(std::vector<std::pair<std::string, node>> nodes) {
        changes_.push_back({++time_, std::move(nodes)});
        apply(changes_.back(), names_);
    }

    // The durable names, and those that unsynced changes leave.
    [[nodiscard]] std::map<std::string, node> surviving_names(io::power_loss::kind survivors, std::uint64_t end,
                                                              seeded_choice& choose) const {
        using kind = io::power_loss::kind;
        auto out = durable_;
        std::set<std::string> lost;                  // a change of these names is lost, so later ones are too
        const std::uint64_t odds = choose.below(5);  // of a change to survive, in quarters
        for (const change& c : changes_) {
            bool survives = survivors == kind::everything || (survivors == kind::prefix && c.time < end);
            if (survivors == kind::some) {
                const auto depends = [&](const auto& n) { return lost.contains(n.first); };
                survives = choose.below(4) < odds && std::none_of(c.nodes.begin(), c.nodes.end(), depends);
            }
            if (survives)
                apply(c, out);
            else
                for (const auto& [name, entry] : c.nodes) lost.insert(name);
        }
        return out;
    }

    // The time of one of the unsynced changes, or a time after all of them.
    [[nodiscard]] std::uint64_t moment(seeded_choice& choose) const {
        std::vector<std::uint64_t> times{time_ + 1};
        for (const change& c : changes_) times.push_back(c.time);
        std::set<const unsynced_file*> seen;
        const auto add = [&](const node& n) {
            if (n.contents && seen.insert(n.contents.get()).second) n.contents->add_times(times);
        };
        for (const auto& [path, entry] : names_) add(entry);
        for (const auto& [path, entry] : durable_) add(entry);
        std::sort(times.begin(), times.end());
        return times[static_cast<std::size_t>(choose.below(times.size()))];
    }

    std::uint64_t time_ = 0;
    std::map<std::string, node> names_;    // as programs see them
    std::map<std::string, node> durable_;  // as a power cut without survivors leaves them
    std::vector<change> changes_;          // of names, from durable_ to names_, in order
};

}  // namespace lsm::detail
