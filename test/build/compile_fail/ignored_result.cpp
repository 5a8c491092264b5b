// error: nodiscard
#include <lsm/lsm.hpp>

#pragma GCC diagnostic error "-Wunused-result"

void store(lsm::db& db) { db.put("key", "value"); }
