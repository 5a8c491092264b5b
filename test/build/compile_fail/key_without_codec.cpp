// error: lsm: Key needs a specialization of lsm::key_codec<Key>
#include <lsm/lsm.hpp>

struct point {
    int x, y;
};

int main() { return lsm::basic_db<lsm::policies<point>>::open("db")->put({1, 2}, "value").has_value(); }
