// error: lsm: Alloc must be a standard allocator
#include <lsm/lsm.hpp>

struct no_allocator {
    using value_type = std::byte;
};

int main() { lsm::basic_memtable<lsm::policies<lsm::bytes, lsm::bytes, no_allocator>> table; }
