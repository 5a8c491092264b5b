// A database at work: what it tells, moments that stay, copies, and where its work is done.
#include <cstdio>
#include <string>

#include <lsm/lsm.hpp>

// Told by the threads that do the work: be quick, and write nothing to the database.
struct reporter final : lsm::event_listener {
    void flushed(const lsm::flush_event& what) noexcept override {
        std::printf("table %llu\n", static_cast<unsigned long long>(what.table_id));
    }
    void failed(const lsm::error& why) noexcept override { std::puts(why.what.c_str()); }
};

lsm::result<void> run() {
    reporter tells;
    lsm::io::inline_executor here;  // flushes and compactions run inside the calls that make them necessary
    lsm::options how;
    how.write_buffer_bytes = std::size_t{64} << 10;
    how.memory_budget_bytes = std::size_t{16} << 20;
    how.sync = false;  // survives the end of the process, and a power cut up to the last sync
    how.executor = &here;
    how.listener = &tells;
    auto db = lsm::db::open("counters.db", how);
    if (!db) return db.error();

    if (auto done = db->put("count", "before"); !done) return done;
    const auto then = db->snapshot();
    if (!then) return then.error();
    for (int i = 0; i < 1000; ++i)
        if (auto done = db->put("count", std::to_string(i) + std::string(200, '.')); !done) return done;
    if (auto done = db->put("last", "one", {.sync = true}); !done) return done;  // and all before it

    const auto old = db->get("count", {.at = &*then});
    if (!old) return old.error();
    std::printf("then: %s\n", old->value_or("nothing").c_str());

    // A copy that can be opened, whatever goes on here.
    if (auto done = db->checkpoint("counters.copy"); !done) return done;
    const auto copy = lsm::db::open("counters.copy", {.read_only = true});
    if (!copy) return copy.error();
    const auto equal = copy->digest();
    const auto digest = db->digest();
    if (!equal || !digest) return !equal ? equal.error() : digest.error();
    std::printf("the copy is %s\n", *equal == *digest ? "the same" : "another");

    const auto stats = db->stats();
    std::printf("%s\n", stats.trouble ? stats.trouble->what.c_str() : "no trouble");
    return db->close();
}

int main() {
    const auto done = run();
    if (!done) std::puts(done.error().what.c_str());
    return done ? 0 : 1;
}
