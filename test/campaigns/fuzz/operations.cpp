#include "campaigns/fuzz/entries.hpp"
#include "support/history.hpp"

namespace lsm::test::fuzz {

bool operations(bytes_view in) {
    byte_source seed(in.substr(0, 2));
    modelled_db db(seed.next() << 8 | seed.next());
    for (const auto& operation : operations_of(in.substr(seed.taken()))) db.apply(operation);
    db.finish();
    return true;
}

}  // namespace lsm::test::fuzz
