#pragma once

#include <memory>
#include <vector>

namespace lsm::detail {

/// A vector of T whose memory comes from `Alloc`, rebound to T.
template <class T, class Alloc>
using vector_of = std::vector<T, typename std::allocator_traits<Alloc>::template rebind_alloc<T>>;

}  // namespace lsm::detail
