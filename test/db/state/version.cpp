#include <lsm/db/state/version.hpp>

#include <memory>
#include <vector>

#include "support/allocators.hpp"
#include "support/catch.hpp"
#include "support/cursors.hpp"
#include "support/parts.hpp"

namespace {

using namespace lsm::test;

std::vector<std::uint64_t> numbers_in(const db_parts::version& v) {
    std::vector<std::uint64_t> out;
    for (const auto& m : v.memtables) out.push_back(m->number);
    return out;
}

}  // namespace

TEST_CASE("version: it takes over the memtables of another version except one in their order") {
    db_parts::version old{db_parts::alloc()}, all{db_parts::alloc()}, flushed{db_parts::alloc()};
    for (const std::uint64_t number : {3u, 2u, 1u}) old.memtables.push_back(db_parts::memtable_of(number, {}));
    all.memtables.push_back(db_parts::memtable_of(4, {}));
    all.take_memtables_but(nullptr, old);
    CHECK(numbers_in(all) == std::vector<std::uint64_t>{4, 3, 2, 1});
    flushed.take_memtables_but(old.memtables[1].get(), old);
    CHECK(numbers_in(flushed) == std::vector<std::uint64_t>{3, 1});
}

TEST_CASE("version: taking over memtables into reserved memory allocates nothing") {
    using logged = logged_allocator<std::byte>;
    allocation_log log;
    lsm::detail::version<logged> old{logged(log)}, next{logged(log)};
    for (const std::uint64_t number : {2u, 1u})
        old.memtables.push_back(std::make_shared<lsm::detail::db_memtable<logged>>(number, 0, logged(log)));
    next.memtables.reserve(2);
    log.fail_at = log.allocations;
    next.take_memtables_but(nullptr, old);
    CHECK(next.memtables.size() == 2);
}

TEST_CASE("version: cursor_of shows a memtable as of a sequence and does not own it") {
    const auto memtable = db_parts::memtable_of(1, {{"a", "1"}, {"b", "2"}, {"a", "3"}, {"b", deleted}});
    const auto entries_at = [&](lsm::detail::sequence at) {
        auto cursor = lsm::detail::cursor_of(*memtable, at);
        cursor.seek_to_first();
        return walk(cursor);
    };
    CHECK(entries_at(0).empty());
    CHECK(entries_at(2) == entry_list{{"a", "1"}, {"b", "2"}});
    CHECK(entries_at(3) == entry_list{{"a", "3"}, {"b", "2"}});
    CHECK(entries_at(lsm::detail::newest_sequence) == entry_list{{"a", "3"}, {"b", deleted}});
    const auto cursor = lsm::detail::cursor_of(*memtable, 1);
    CHECK(memtable.use_count() == 1);
}
