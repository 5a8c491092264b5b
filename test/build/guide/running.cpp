// A database at work: events, snapshots, copies, and where its background work runs.
#include <cstdio>
#include <string>

#include <lsm/lsm.hpp>

// The threads that do the work make these calls: return quickly, and do not write to the database.
struct reporter final : lsm::event_listener {
    void flushed(const lsm::flush_event& event) noexcept override {
        std::printf("table %llu\n", static_cast<unsigned long long>(event.table_id));
    }
    void failed(const lsm::error& error) noexcept override { std::puts(error.what.c_str()); }
};

lsm::result<void> run() {
    reporter listener;
    lsm::io::inline_executor executor;  // background work runs inside the calls that make it necessary
    lsm::options opts;
    opts.write_buffer_bytes = std::size_t{64} << 10;
    opts.memory_budget_bytes = std::size_t{16} << 20;
    opts.sync = false;  // a power cut may lose what follows the last sync; the end of the process loses nothing
    opts.executor = &executor;
    opts.listener = &listener;
    auto db = lsm::db::open("counters.db", opts);
    if (!db) return db.error();

    if (auto done = db->put("count", "before"); !done) return done;
    const auto then = db->snapshot();
    if (!then) return then.error();
    for (int i = 0; i < 1000; ++i)
        if (auto done = db->put("count", std::to_string(i) + std::string(200, '.')); !done) return done;
    if (auto done = db->put("last", "one", {.sync = true}); !done) return done;  // syncs all earlier writes too

    const auto old = db->get("count", {.at = &*then});
    if (!old) return old.error();
    std::printf("then: %s\n", old->value_or("nothing").c_str());

    // A copy that can be opened; this database stays open and usable.
    if (auto done = db->checkpoint("counters.copy"); !done) return done;
    const auto copy = lsm::db::open("counters.copy", {.read_only = true});
    if (!copy) return copy.error();
    const auto copy_digest = copy->digest();
    const auto own_digest = db->digest();
    if (!copy_digest) return copy_digest.error();
    if (!own_digest) return own_digest.error();
    std::printf("the copy is %s\n", *copy_digest == *own_digest ? "the same" : "different");

    const auto stats = db->stats();
    std::printf("%s\n", stats.trouble ? stats.trouble->what.c_str() : "no trouble");
    return db->close();
}

int main() {
    const auto done = run();
    if (!done) std::puts(done.error().what.c_str());
    return done ? 0 : 1;
}
