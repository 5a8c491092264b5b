#include <lsm/core/abandon.hpp>

#include <utility>

#include "support/catch.hpp"

namespace {

/// Counts its destructions, except those of moved-from objects.
struct watched {
    explicit watched(int& counter) : destroyed(&counter) {}
    watched(watched&& other) noexcept : destroyed(std::exchange(other.destroyed, nullptr)) {}
    ~watched() {
        if (destroyed != nullptr) ++*destroyed;
    }
    int* destroyed;
};

}  // namespace

TEST_CASE("abandon: what it takes over is never destroyed") {
    int destroyed = 0;
    {
        watched object(destroyed);
        lsm::detail::abandon(std::move(object));
    }
    CHECK(destroyed == 0);
    { const watched object(destroyed); }
    CHECK(destroyed == 1);
}
