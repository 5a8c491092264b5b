// Keys and values of your own types.
#include <cstdio>
#include <string>
#include <tuple>

#include <lsm/lsm.hpp>

enum class level : unsigned char { trace, warning, fatal };
struct event {
    long line;
    double seconds;
};

// A version is ordered by its numbers, first major, then minor, so it is encoded as a pair of them.
struct version {
    unsigned major, minor;
};
template <>
struct lsm::key_codec<version> {
    using parts = lsm::key_codec<std::pair<unsigned, unsigned>>;
    static constexpr std::size_t size = parts::size;
    template <class Out>
    static void encode(const version& v, Out& out) {
        parts::encode({v.major, v.minor}, out);
    }
    static std::optional<version> decode(lsm::bytes_view in) {
        const auto found = parts::decode(in);
        if (!found) return std::nullopt;
        return version{found->first, found->second};
    }
};

using key = std::tuple<level, version, std::string>;  // sorted by level, then version, then program
using events = lsm::basic_db<lsm::policies<key, event>>;

lsm::result<void> run() {
    auto db = events::open("events.db");
    if (!db) return db.error();
    events::batch batch;
    batch.put({level::fatal, {1, 10}, "server"}, {17, 0.5});
    batch.put({level::fatal, {1, 9}, "server"}, {99, 0.1});
    batch.put({level::trace, {2, 0}, "client"}, {3, 0.2});
    if (auto done = db->write(batch); !done) return done;

    // All fatal events, the oldest version first.
    const auto fatal = lsm::key_prefix<key>(level::fatal);
    auto found = db->scan({.prefix = fatal});
    for (const auto& [k, found_event] : found) {
        const auto& [severity, release, program] = k;
        std::printf("%s %u.%u, line %ld\n", program.c_str(), release.major, release.minor, found_event.line);
    }
    if (auto status = found.status(); !status) return status;

    // A single key: an error, or nothing, or the value.
    const auto one = db->get({level::trace, {2, 0}, "client"});
    if (!one) return one.error();
    if (*one) std::printf("after %.1f s\n", (*one)->seconds);
    return db->close();
}

int main() {
    const auto done = run();
    if (!done) std::puts(done.error().what.c_str());
    return done ? 0 : 1;
}
