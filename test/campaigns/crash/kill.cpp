// Kills processes that write to a database with SIGKILL, in many rounds over the same directory. After each kill the
// database must hold, for every writer, all acknowledged writes and at most the one that was in progress, in order,
// with whole batches and exact values. A process writes through the library from several threads, or is dbctl with
// commands on its standard input.

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <cxxopts.hpp>

#include <lsm/db/db.hpp>

#include "support/flags.hpp"
#include "support/results.hpp"

namespace {

using lsm::test::must;

using contents = std::map<std::string, std::string>;

// The names of the writers. Every key begins with the name of its writer.
constexpr std::string_view threads = "abcd";
constexpr char dbctl_writer = 'e';
constexpr char parent_writer = 'f';
constexpr std::uint64_t keys_per_writer = 400;

[[noreturn]] void stop(const std::string& message) {
    std::fprintf(stderr, "kill_rounds: %s\n", message.c_str());
    std::_Exit(1);
}
// Called for an exception that no one catches, on whichever thread: a failed check ends the process.
[[noreturn]] void stop_with_exception() {
    try {
        std::rethrow_exception(std::current_exception());
    } catch (const std::exception& problem) {
        stop(problem.what());
    }
}

struct round_id {
    std::uint64_t seed;
    std::uint64_t number;

    /// Returns random numbers that depend only on the round and `stream`.
    [[nodiscard]] std::mt19937_64 random(std::uint64_t stream) const {
        std::seed_seq all{seed, number, stream};
        return std::mt19937_64(all);
    }
};

struct change {
    std::string key;
    std::optional<std::string> value;  // no value: a delete
};

struct operation {
    std::vector<change> changes;
    bool sync;
};

/// The sequence of operations of a writer in a round. Equal arguments give equal sequences, so that a check can repeat
/// what a killed process did. Through dbctl every operation is a single change.
class operations {
public:
    operations(round_id round, char writer)
        : round_(round.number), writer_(writer), random_(round.random(static_cast<unsigned char>(writer))) {}

    operation next() {
        operation out{{}, random_() % 32 == 0};
        const bool batch = random_() % 6 == 0 && writer_ != dbctl_writer;
        for (auto left = batch ? 2 + random_() % 30 : 1; left > 0; --left) {
            change& one = out.changes.emplace_back();
            one.key = writer_ + std::to_string(random_() % keys_per_writer);
            if (random_() % 4 == 0) continue;
            one.value = std::to_string(round_) + "." + std::to_string(index_++) + ":";
            one.value->append(random_() % 64 == 0 ? 20000 : random_() % 200, static_cast<char>('a' + index_ % 26));
        }
        return out;
    }

private:
    std::uint64_t round_;
    char writer_;
    std::uint64_t index_ = 0;
    std::mt19937_64 random_;
};

void apply_to(contents& model, const change& one) {
    if (one.value)
        model[one.key] = *one.value;
    else
        model.erase(one.key);
}
void apply_to(contents& model, const operation& applied) {
    for (const change& one : applied.changes) apply_to(model, one);
}

lsm::result<void> perform(lsm::db& db, const operation& performed) {
    const lsm::write_options options{.sync = performed.sync};
    if (performed.changes.size() == 1) {
        const auto& [key, value] = performed.changes.front();
        return value ? db.put(key, *value, options) : db.del(key, options);
    }
    lsm::write_batch batch;
    for (const auto& [key, value] : performed.changes) {
        if (value)
            batch.put(key, *value);
        else
            batch.del(key);
    }
    return db.write(batch, options);
}

/// Returns the contents of a database by writer.
std::map<char, contents> read_all(const lsm::db& db) {
    std::map<char, contents> out;
    auto at = db.scan();
    for (; at.valid(); at.next()) out[at.key().front()].emplace(at.key(), at.value());
    must(at.status());
    return out;
}

/// Applies a writer's operations to `model` until it equals `found`. Returns the number of operations that took, from
/// `least` to `most`, or nothing if no number leads there.
std::optional<std::uint64_t> followed(contents& model, const contents& found, operations all, std::uint64_t least,
                                      std::uint64_t most) {
    const auto differs = [&](const std::string& key) -> std::size_t {
        const auto in_model = model.find(key);
        const auto in_found = found.find(key);
        if (in_model == model.end() || in_found == found.end())
            return (in_model == model.end()) != (in_found == found.end());
        return in_model->second != in_found->second;
    };
    std::uint64_t done = 0;
    for (; done < least; ++done) apply_to(model, all.next());
    // Count the keys that differ once, and then only follow the keys that an operation changes: a comparison of all
    // keys after each operation would be quadratic.
    std::size_t differences = 0;
    for (const auto& [key, value] : model) differences += differs(key);
    for (const auto& [key, value] : found) differences += !model.contains(key);
    for (; differences != 0; ++done) {
        if (done == most) return std::nullopt;
        for (const change& one : all.next().changes) {
            differences -= differs(one.key);
            apply_to(model, one);
            differences += differs(one.key);
        }
    }
    return done;
}

/// The progress of a writer, in memory that the parent process shares.
struct progress {
    std::atomic<std::uint64_t> attempted;
    std::atomic<std::uint64_t> acknowledged;
};
using all_progress = std::array<progress, threads.size()>;

lsm::options options_of(round_id round) {
    auto random = round.random('o');
    lsm::options out;
    out.write_buffer_bytes = std::size_t{32 << 10} << random() % 6;
    out.compaction = {.style = random() % 4 == 0 ? lsm::compaction_style::size_tiered : lsm::compaction_style::leveled,
                      .level0_trigger = static_cast<unsigned>(2 + random() % 3),
                      .level_factor = 4,
                      .level1_bytes = 128 << 10,
                      .target_table_bytes = 32 << 10};
    out.extended_tables = random() % 4 != 0;
    out.log_preallocation_bytes = random() % 2 == 0 ? 0 : 64 << 10;
    out.map_log = random() % 2 == 0;
    out.background_threads = static_cast<unsigned>(1 + random() % 3);
    return out;
}

/// Opens the database, writes to it from all threads, flushes and compacts, until the process is killed.
[[noreturn]] void write_until_killed(const std::string& directory, round_id round, all_progress& shared) {
    auto db = must(lsm::db::open(directory, options_of(round)));
    std::vector<std::thread> running;
    for (std::size_t i = 0; i < threads.size(); ++i) {
        running.emplace_back([&, i] {
            for (operations all(round, threads[i]);;) {
                const operation one = all.next();
                ++shared[i].attempted;
                must(perform(db, one));
                ++shared[i].acknowledged;
            }
        });
    }
    for (auto random = round.random('m');;) {
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 20000));
        must(random() % 3 == 0 ? db.compact() : db.flush());
    }
}

/// Returns the time from the start of a process to its kill. One in four processes is killed at about the time when it
/// opens the database.
std::chrono::microseconds time_to_live(std::mt19937_64& random) {
    return std::chrono::microseconds(random() % (random() % 4 == 0 ? 3'000 : 70'000));
}

/// The rounds over one directory.
class history {
public:
    history(std::string directory, std::uint64_t& acknowledged)
        : directory_(std::move(directory)), checked_(acknowledged) {}

    /// Kills a process that writes from several threads, checks the database, and writes to it. Returns what is wrong,
    /// or nothing.
    std::optional<std::string> kill_threads(round_id round, std::chrono::microseconds after) {
        void* const memory =
            ::mmap(nullptr, sizeof(all_progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) stop("cannot map shared memory");
        auto& shared = *new (memory) all_progress();
        const pid_t child = start([&] { write_until_killed(directory_, round, shared); });
        std::this_thread::sleep_for(after);
        auto wrong = kill(child);
        std::map<char, range> claims;
        for (std::size_t i = 0; i < threads.size(); ++i)
            claims[threads[i]] = {shared[i].acknowledged, shared[i].attempted};
        ::munmap(memory, sizeof(all_progress));
        return wrong ? wrong : check(round, claims);
    }

    /// Kills dbctl, checks the database, and writes to it. Returns what is wrong, or nothing. The answer to a GET
    /// acknowledges all commands before it; of the commands after it, dbctl may have made any number durable.
    std::optional<std::string> kill_dbctl(round_id round, std::chrono::microseconds after, const std::string& program) {
        int in[2], out[2];
        if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) stop("cannot make a pipe");
        const pid_t child = start([&] {
            ::dup2(in[0], 0);
            ::dup2(out[1], 1);
            ::execl(program.c_str(), "dbctl", "--dir", directory_.c_str(), nullptr);
            stop("cannot run " + program);
        });
        ::close(in[0]);
        ::close(out[1]);
        ::fcntl(in[1], F_SETFL, O_NONBLOCK);  // feed() must go on reading answers while dbctl reads no commands
        const range claim = feed(round, after, in[1], out[0]);
        auto wrong = kill(child);
        ::close(in[1]);
        ::close(out[0]);
        return wrong ? wrong : check(round, {{dbctl_writer, claim}});
    }

private:
    struct range {
        std::uint64_t acknowledged = 0;
        std::uint64_t attempted = 0;
    };

    template <class Body>
    static pid_t start(Body body) {
        const pid_t child = ::fork();
        if (child < 0) stop("cannot fork");
        if (child != 0) return child;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // do not outlive the parent
        body();
        std::_Exit(0);
    }
    static std::optional<std::string> kill(pid_t child) {
        int status = 0;
        ::kill(child, SIGKILL);
        if (::waitpid(child, &status, 0) != child) stop("cannot wait for the child process");
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return std::nullopt;
        return "the process ended before it was killed, status " + std::to_string(status);
    }

    // Writes commands to dbctl and reads its answers until `lifetime` is over or dbctl closes its output. Returns how
    // many changes dbctl has acknowledged, and how many it was sent in whole lines.
    static range feed(round_id round, std::chrono::microseconds lifetime, int commands, int answers) {
        const auto end = std::chrono::steady_clock::now() + lifetime;
        operations all(round, dbctl_writer);
        auto random = round.random('p');
        std::string pending;
        std::uint64_t sent_bytes = 0, made_bytes = 0, answered = 0;
        std::vector<std::uint64_t> ends;  // the offset in the input at which each change ends
        std::vector<std::uint64_t> gets;  // the number of changes before each GET
        const auto add = [&](const std::string& line) {
            pending += line;
            made_bytes += line.size();
        };
        for (;;) {
            const auto left =
                std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
            if (left.count() <= 0) break;
            while (pending.size() < 8192) {
                const auto [key, value] = all.next().changes.front();
                add(value ? "PUT " + key + " " + *value + "\n" : "DEL " + key + "\n");
                ends.push_back(made_bytes);
                if (random() % 4 == 0) {
                    add("GET e0\n");
                    gets.push_back(ends.size());
                }
                if (random() % 32 == 0) add(random() % 4 == 0 ? "COMPACT\n" : "FLUSH\n");
            }
            pollfd both[2] = {{commands, POLLOUT, 0}, {answers, POLLIN, 0}};
            ::poll(both, 2, static_cast<int>(left.count()));
            if (both[1].revents != 0) {
                char piece[65536];
                const auto got = ::read(answers, piece, sizeof piece);
                if (got <= 0) break;
                answered += static_cast<std::uint64_t>(std::count(piece, piece + got, '\n'));
            }
            // Pieces of random size, so that the kill can come in the middle of a line.
            if (both[0].revents != 0) {
                const auto put =
                    ::write(commands, pending.data(), std::min<std::size_t>(pending.size(), 1 + random() % 8192));
                if (put > 0) {
                    pending.erase(0, static_cast<std::size_t>(put));
                    sent_bytes += static_cast<std::uint64_t>(put);
                }
            }
        }
        const auto whole = std::upper_bound(ends.begin(), ends.end(), sent_bytes) - ends.begin();
        return {answered == 0 ? 0 : gets[answered - 1], static_cast<std::uint64_t>(whole)};
    }

    // Checks that the database holds what each writer claims and nothing else has changed. Reads it once through a
    // read-only database, before anything is recovered, and again through a writable one, which then writes on. Returns
    // what is wrong, or nothing.
    std::optional<std::string> check(round_id round, const std::map<char, range>& claims) {
        std::optional<std::map<char, contents>> seen;
        auto reader = lsm::db::open(directory_, {.read_only = true});
        if (reader)
            seen = read_all(*reader);
        else if (reader.error().code != lsm::errc::not_found)
            return "read-only open: " + reader.error().what;
        auto opened = lsm::db::open(directory_, options_of(round));
        if (!opened) return opened.error().what;
        auto found = read_all(*opened);
        if (found != seen.value_or(std::map<char, contents>()))
            return "a read-only and a writable database show different contents";
        for (const auto& [writer, claim] : claims) {
            if (claim.attempted > claim.acknowledged + 1 && writer != dbctl_writer)
                return "a thread began a write before the one before it was acknowledged";
            contents& model = models_[writer];
            const auto done = followed(model, found[writer], {round, writer}, claim.acknowledged, claim.attempted);
            if (!done) {
                model = found[writer];  // so that the next rounds do not report it again
                return std::string("writer ") + writer + ": the contents match no number of its operations from " +
                       std::to_string(claim.acknowledged) + " to " + std::to_string(claim.attempted);
            }
            checked_ += claim.acknowledged;
        }
        for (const auto& [writer, model] : models_)
            if (found[writer] != model)
                return std::string("writer ") + writer + ": what it wrote in earlier rounds has changed";
        return write_on(round, *std::move(opened));
    }

    // Writes to the recovered database. In one round of four also verifies it, checks its files and closes it cleanly.
    std::optional<std::string> write_on(round_id round, lsm::db db) {
        auto random = round.random('w');
        contents& model = models_[parent_writer];
        operations all(round, parent_writer);
        for (auto left = random() % 20; left > 0; --left) {
            const operation one = all.next();
            if (auto done = perform(db, one); !done) return done.error().what;
            apply_to(model, one);
        }
        if (read_all(db)[parent_writer] != model) return "writes after the recovery are not visible";
        if (random() % 4 != 0) return std::nullopt;
        if (auto settled = db.settle(); !settled) return settled.error().what;
        const auto report = must(db.verify());
        if (!report.damage.empty()) return report.damage.front().what;
        std::size_t files = 0;
        for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
            const std::string name = entry.path().filename().string();
            if (name.starts_with("sst-") && name.ends_with(".sst"))
                ++files;
            else if (name != "LOCK" && name != "MANIFEST" && name != "wal.log")
                return "an orphan is left: " + name;
        }
        if (files != db.live_tables().size()) return "tables are left that are not in use";
        if (auto closed = db.close(); !closed) return closed.error().what;
        return std::nullopt;
    }

    std::string directory_;
    std::map<char, contents> models_;
    std::uint64_t& checked_;
};

}  // namespace

int main(int argc, char** argv) {
    cxxopts::Options flags("kill_rounds", "Kills processes that write to a database, and checks what they leave");
    flags.add_options()("dir", "an empty directory", cxxopts::value<std::string>())(
        "dbctl", "path of the tool dbctl, which is killed in one round of four", cxxopts::value<std::string>())(
        "rounds", "number of rounds", cxxopts::value<std::uint64_t>()->default_value("1000"))(
        "seed", "seed of everything but the exact moment of a kill",
        cxxopts::value<std::uint64_t>()->default_value("1"));
    const auto given = lsm::test::parsed(std::move(flags), argc, argv);
    if (given.count("dir") == 0 || given.count("dbctl") == 0) stop("--dir and --dbctl are required");
    std::set_terminate(stop_with_exception);
    ::signal(SIGPIPE, SIG_IGN);
    const auto directory = given["dir"].as<std::string>();
    const auto tool = given["dbctl"].as<std::string>();
    const auto seed = given["seed"].as<std::uint64_t>();
    const auto rounds = given["rounds"].as<std::uint64_t>();
    std::uint64_t acknowledged = 0, failures = 0, kills = 0;
    history lasting(directory + "/db", acknowledged);
    for (std::uint64_t i = 0; i < rounds && failures < 10; ++i) {
        const round_id round{seed, i};
        auto random = round.random('k');
        const auto after = time_to_live(random);
        // Most rounds go on over the same directory. One in four begins with none, so that its creation is killed too.
        const bool by_tool = i % 4 == 3, creates = i % 8 >= 6;
        history fresh(directory + "/fresh/db", acknowledged);
        history& here = creates ? fresh : lasting;
        const auto wrong = by_tool ? here.kill_dbctl(round, after, tool) : here.kill_threads(round, after);
        ++kills;
        if (wrong) {
            ++failures;
            std::printf("seed %" PRIu64 ", round %" PRIu64 " (%s, %s directory): %s\n", seed, i,
                        by_tool ? "dbctl" : "threads", creates ? "a fresh" : "the lasting", wrong->c_str());
        }
        if (creates && !wrong) std::filesystem::remove_all(directory + "/fresh");
    }
    std::printf("%" PRIu64 " kills in %" PRIu64 " rounds, %" PRIu64 " acknowledged writes checked, %" PRIu64
                " failures (seed %" PRIu64 ")\n",
                kills, rounds, acknowledged, failures, seed);
    return failures == 0 ? 0 : 1;
}
