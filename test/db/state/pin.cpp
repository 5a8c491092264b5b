#include <lsm/db/state/pin.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "support/catch.hpp"

namespace {

using lsm::detail::unpin_notifier;
using pinned = lsm::detail::pinned_version<std::allocator<std::byte>>;
using plain_version = lsm::detail::version<std::allocator<std::byte>>;

/// Counts the notifications, and calls `then` at each.
struct unpin_listener final : unpin_notifier::listener {
    void pin_released() noexcept override {
        ++count;
        if (then) then();
    }
    int count = 0;
    std::function<void()> then;
};

/// A superseded version and the current one.
struct two_versions {
    two_versions() { notifier->supersede(current.get()); }

    [[nodiscard]] pinned pin_old() const { return {old, 1, notifier}; }
    [[nodiscard]] pinned pin_current() const { return {current, 2, notifier}; }

    unpin_listener listener;
    std::shared_ptr<unpin_notifier> notifier = std::make_shared<unpin_notifier>(&listener);
    std::shared_ptr<plain_version> old = std::make_shared<plain_version>(std::allocator<std::byte>());
    std::shared_ptr<plain_version> current = std::make_shared<plain_version>(std::allocator<std::byte>());
};

}  // namespace

TEST_CASE("pin: it keeps its version and remembers its sequence") {
    two_versions f;
    const std::weak_ptr<plain_version> watched = f.old;
    std::optional<pinned> pin = f.pin_old();
    f.old.reset();
    CHECK(&**pin == watched.lock().get());
    CHECK(pin->at() == 1);
    pin.reset();
    CHECK(watched.expired());
}

TEST_CASE("pin: releasing a superseded version notifies and releasing the current one does not") {
    two_versions f;
    std::optional<pinned> old = f.pin_old(), current = f.pin_current();
    current.reset();
    CHECK(f.listener.count == 0);
    old.reset();
    CHECK(f.listener.count == 1);
    current.emplace(f.pin_current());
    f.notifier->supersede(f.old.get());
    current.reset();
    CHECK(f.listener.count == 2);
}

TEST_CASE("pin: each copy is released once and a moved-from pin releases nothing") {
    two_versions f;
    {
        pinned first = f.pin_old();
        const pinned copy = first;
        const pinned moved = std::move(first);
        CHECK(f.old.use_count() == 3);
    }
    CHECK(f.old.use_count() == 1);
    CHECK(f.listener.count == 2);
}

TEST_CASE("pin: assigning to a pin releases its version") {
    two_versions f;
    pinned pin = f.pin_old();
    pin = f.pin_current();
    CHECK(f.listener.count == 1);
    CHECK(&*pin == f.current.get());
    CHECK(pin.at() == 2);
    CHECK(f.old.use_count() == 1);
    const pinned& same = pin;
    pin = same;
    CHECK(&*pin == f.current.get());
    CHECK(f.current.use_count() == 2);
}

TEST_CASE("pin: a release after the database has disconnected is not notified") {
    two_versions f;
    std::optional<pinned> pin = f.pin_old();
    f.notifier->disconnect();
    pin.reset();
    CHECK(f.listener.count == 0);
}

TEST_CASE("pin: a listener may release further pins") {
    two_versions f;
    std::optional<pinned> first = f.pin_old(), second = f.pin_old();
    f.listener.then = [&] { second.reset(); };
    first.reset();
    CHECK(f.listener.count == 2);
    CHECK(f.old.use_count() == 1);
}

TEST_CASE("pin: it belongs to the database that it was taken from") {
    const two_versions one, other;
    CHECK(one.pin_old().belongs_to(*one.notifier));
    CHECK_FALSE(one.pin_old().belongs_to(*other.notifier));
}
