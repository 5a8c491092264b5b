#include <lsm/core/abandon.hpp>

#include <memory>
#include <utility>

#include "support/catch.hpp"

TEST_CASE("abandon: what it takes over is never destroyed") {
    auto owner = std::make_shared<int>(7);
    auto* const kept = new std::shared_ptr<int>(owner);
    lsm::detail::abandon(std::move(*kept));
    delete kept;
    CHECK(owner.use_count() == 2);
    const std::shared_ptr<int> other = owner;
    owner.reset();
    CHECK(other.use_count() == 2);
}
