// error: lsm: Key needs a specialization of lsm::key_codec<Key>
#include <lsm/lsm.hpp>

struct point {
    int x, y;
};

template <>
struct lsm::key_codec<point> {
    template <class Out>
    static void encode(const point&, Out&) {}
};

int main() { lsm::basic_memtable<lsm::policies<point>>().put({}, "value"); }
