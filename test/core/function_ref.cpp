#include <lsm/core/function_ref.hpp>

#include <functional>
#include <memory>
#include <string>

#include "support/catch.hpp"

using lsm::detail::function_ref;

namespace {

int called_with(function_ref<int(int)> f, int argument) { return f(argument); }

}  // namespace

TEST_CASE("function_ref: calls a lambda with its state") {
    int sum = 0;
    auto add = [&sum](int more) { return sum += more; };
    const function_ref<int(int)> f = add;
    CHECK(f(2) == 2);
    CHECK(f(3) == 5);
    CHECK(sum == 5);
}

TEST_CASE("function_ref: calls the callable itself and not a copy") {
    auto count = [n = 0](int by) mutable { return n += by; };
    CHECK(called_with(count, 1) == 1);
    CHECK(called_with(count, 1) == 2);
}

TEST_CASE("function_ref: accepts a temporary and a const callable and a function pointer") {
    CHECK(called_with([](int x) { return x + 1; }, 1) == 2);
    const auto doubled = [](int x) { return 2 * x; };
    CHECK(called_with(doubled, 4) == 8);
    int (*const pointer)(int) = [](int x) { return -x; };
    CHECK(called_with(pointer, 4) == -4);
    const std::function<int(int)> function = doubled;
    CHECK(called_with(function, 5) == 10);
}

TEST_CASE("function_ref: forwards arguments and the result without copies") {
    function_ref<int(std::unique_ptr<int>)> consume = [](std::unique_ptr<int> p) { return *p; };
    CHECK(consume(std::make_unique<int>(4)) == 4);

    std::string text;
    function_ref<void(std::string&)> change = [](std::string& s) { s += "x"; };
    change(text);
    change(text);
    CHECK(text == "xx");

    function_ref<std::string&(std::string&)> same = [](std::string& s) -> std::string& { return s; };
    CHECK(&same(text) == &text);
}

TEST_CASE("function_ref: converts the result of the callable") {
    function_ref<std::string(int)> f = [](int n) { return n == 0 ? "none" : "some"; };
    CHECK(f(0) == "none");
    CHECK(f(1) == "some");
}

TEST_CASE("function_ref: a copy calls the same callable") {
    int calls = 0;
    auto count = [&calls] { ++calls; };
    const function_ref<void()> first = count;
    const function_ref<void()> second = first;
    first();
    second();
    CHECK(calls == 2);
}

TEST_CASE("function_ref: accepts only callables of the signature") {
    STATIC_REQUIRE_FALSE(std::is_constructible_v<function_ref<void(int)>, int>);
    const auto wants_text = [](const std::string&) {};
    STATIC_REQUIRE_FALSE(std::is_constructible_v<function_ref<void(int)>, decltype(wants_text)&>);
    STATIC_REQUIRE(std::is_constructible_v<function_ref<void(const char*)>, decltype(wants_text)&>);
}
