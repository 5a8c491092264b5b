#include <lsm/lsm.hpp>

lsm::result<std::size_t> count_keys(const lsm::db& db) {
    std::size_t count = 0;
    auto all = db.scan();
    for (; all.valid(); all.next()) ++count;
    if (auto status = all.status(); !status) return std::move(status).error();
    return count;
}
