// error: lsm: Value needs a specialization of lsm::value_codec<Value>
#include <lsm/lsm.hpp>

int main() { lsm::basic_memtable<lsm::policies<lsm::bytes, std::string_view>>().put("key", "value"); }
