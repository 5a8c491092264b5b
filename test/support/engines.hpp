#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <lsm/db/db.hpp>

#include "support/databases.hpp"
#include "support/sha256.hpp"

/// What the tests of flushes and compactions share.
namespace lsm::test {

/// Keeps what it is told.
class event_log final : public event_listener {
public:
    std::vector<flush_event> flushes;
    std::vector<compaction_event> compactions;
    std::vector<stall_event> stalls;
    std::vector<error> failures;

private:
    void flushed(const flush_event& e) noexcept override { flushes.push_back(e); }
    void compacted(const compaction_event& e) noexcept override { compactions.push_back(e); }
    void stalled(const stall_event& e) noexcept override { stalls.push_back(e); }
    void failed(const error& e) noexcept override { failures.push_back(e); }
};

/// Random writes of a few hundred keys, and the map that they make.
class random_writes {
public:
    explicit random_writes(std::uint64_t seed) : random_(seed) {}

    /// A batch of one to four operations.
    [[nodiscard]] entry_list next() {
        entry_list out(1 + random_() % 4);
        for (auto& [key, value] : out) {
            key = "key" + std::to_string(random_() % 400);
            if (random_() % 4 != 0) value = bytes(random_() % 80, static_cast<char>('a' + random_() % 26));
        }
        return out;
    }
    void write_to(db& to, std::size_t batches) {
        for (; batches > 0; --batches) {
            const auto batch = next();
            must(to.write(batch_of(batch)));
            apply(batch, model);
        }
    }
    static void apply(const entry_list& batch, entry_map& to) {
        for (const auto& [key, value] : batch) value ? void(to[key] = value) : void(to.erase(key));
    }

    entry_map model;

private:
    std::mt19937_64 random_;
};

/// Gives the database other contents, which are in table 1 again: all tables go before, and the numbers with them.
inline void rewrite(io::file_system& fs, const std::string& directory, bool extended, const entry_list& entries) {
    const auto how = plain({.extended_tables = extended, .file_system = &fs});
    {
        auto writer = must(db::open(directory, how));
        for (const auto& [key, value] : contents_of(writer)) must(writer.del(key));
        must(writer.compact());
        CHECK(writer.live_tables().empty());
    }
    auto writer = must(db::open(directory, how));
    must(writer.write(batch_of(entries)));
    must(writer.flush());
    CHECK(writer.live_tables().front().id == 1);
}

/// MANIFEST as the format page, section 7, has it.
inline std::string manifest_of(const std::vector<live_table>& tables) {
    std::string out;
    for (const auto& t : tables) out += "L" + std::to_string(t.level) + " " + std::to_string(t.id) + "\n";
    return out;
}

inline std::uint64_t bytes_of(const image& files) {
    std::uint64_t out = 0;
    for (const auto& [name, contents] : files) out += contents.size();
    return out;
}

/// The names that are no part of a database with these tables which is at rest.
inline std::vector<std::string> strays(const image& files, const std::vector<live_table>& tables) {
    std::vector<std::string> out;
    for (const auto& [name, contents] : files) {
        bool known = name == "MANIFEST" || name == "wal.log";
        for (const auto& t : tables) known = known || name == detail::table_name(t.id);
        if (!known) out.push_back(name);
    }
    return out;
}

}  // namespace lsm::test
