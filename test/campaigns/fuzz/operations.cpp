#include "campaigns/fuzz/entries.hpp"
#include "support/history.hpp"

namespace lsm::test::fuzz {

bool operations(bytes_view in) {
    byte_source first(in.substr(0, 2));
    modelled_db what(first.next() << 8 | first.next());
    for (const auto& one : operations_of(in.substr(first.taken()))) what.apply(one);
    what.finish();
    return true;
}

}  // namespace lsm::test::fuzz
