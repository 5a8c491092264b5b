#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace lsm::detail {

/// A reference to a callable object, for parameters. Does not own the object, which must outlive the calls.
template <class Signature>
class function_ref;

template <class R, class... Args>
class function_ref<R(Args...)> {
public:
    template <class F>
    requires(std::is_object_v<std::remove_reference_t<F>> && !std::is_same_v<std::remove_cvref_t<F>, function_ref> &&
             std::is_invocable_r_v<R, F&, Args...>) function_ref(F&& callable)
    noexcept
        : object_(const_cast<void*>(static_cast<const void*>(std::addressof(callable)))),
          call_(&call<std::remove_reference_t<F>>) {}

    R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

private:
    template <class Callable>
    static R call(void* object, Args... args) {
        return static_cast<R>((*static_cast<Callable*>(object))(std::forward<Args>(args)...));
    }

    void* object_;
    R (*call_)(void*, Args...);
};

}  // namespace lsm::detail
