// One of two translation units that include everything and are linked together.

#include <cstdio>
#include <optional>

#include <lsm/lsm.hpp>

lsm::result<std::size_t> count_keys(const lsm::db& db);  // in second.cpp

std::optional<lsm::db> until_the_end;  // closed behind main(), when other things of static storage are gone

int main(int argc, char** argv) {
    auto db = lsm::db::open(argc > 1 ? argv[1] : "consumer-db");
    if (!db) return std::puts(db.error().what.c_str()), 1;
    if (auto put = db->put("greeting", "hello"); !put) return std::puts(put.error().what.c_str()), 1;
    const auto value = db->get("greeting");
    const auto keys = count_keys(*db);
    if (!value || !*value || **value != "hello" || !keys || *keys != 1) return 1;
    until_the_end = *std::move(db);
    std::puts("hello from a consumer");
}
