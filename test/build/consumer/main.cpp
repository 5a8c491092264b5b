// One of two translation units that include the whole library and are linked together.

#include <cstdio>
#include <optional>

#include <lsm/lsm.hpp>

lsm::result<std::size_t> count_keys(const lsm::db& db);  // in second.cpp

// Closed after main(), when other static objects may already be destroyed.
std::optional<lsm::db> open_until_exit;

int main(int argc, char** argv) {
    auto db = lsm::db::open(argc > 1 ? argv[1] : "consumer-db");
    if (!db) return std::puts(db.error().what.c_str()), 1;
    if (auto put = db->put("greeting", "hello"); !put) return std::puts(put.error().what.c_str()), 1;
    const auto value = db->get("greeting");
    const auto keys = count_keys(*db);
    if (!value || !*value || **value != "hello" || !keys || *keys != 1) return 1;
    open_until_exit = *std::move(db);
    std::puts("hello from a consumer");
}
