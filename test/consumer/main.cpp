// One of two translation units that include everything and are linked together.

#include <cstdio>

#include <lsm/lsm.hpp>

lsm::result<std::size_t> count_keys(const lsm::db& db);  // in second.cpp

int main(int argc, char** argv) {
    auto db = lsm::db::open(argc > 1 ? argv[1] : "consumer-db");
    if (!db) return std::puts(db.error().what.c_str()), 1;
    if (auto put = db->put("greeting", "hello"); !put) return std::puts(put.error().what.c_str()), 1;
    const auto value = db->get("greeting");
    const auto keys = count_keys(*db);
    if (!value || !*value || **value != "hello" || !keys || *keys != 1) return 1;
    std::puts("hello from a consumer");
}
