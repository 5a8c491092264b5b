#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>

#include <lsm/config.hpp>

namespace lsm {

/// Memory that is handed out piece by piece and given back all at once, when the arena goes. Chunks come from `Alloc`
/// and grow with what is held, from 1 KiB to 1 MiB; a piece that would not fit into a fresh chunk gets one of its own.
/// One thread at a time.
template <class Alloc = std::allocator<std::byte>>
class basic_arena {
public:
    explicit basic_arena(const Alloc& alloc = {}) : alloc_(alloc) {}
    basic_arena(const basic_arena&) = delete;
    basic_arena& operator=(const basic_arena&) = delete;
    ~basic_arena() {
        while (chunks_ != nullptr) {
            chunk* const next = chunks_->next;
            unit_traits::deallocate(alloc_, reinterpret_cast<unit*>(chunks_), chunks_->units);
            chunks_ = next;
        }
    }

    /// `size` bytes that last until the arena goes. O(1). Requires `alignment` to be a power of two, at most that of
    /// std::max_align_t. What Alloc throws passes through and leaves the arena as it was.
    [[nodiscard]] void* allocate(std::size_t size, std::size_t alignment = alignof(std::max_align_t)) {
        const std::size_t skip = (0 - reinterpret_cast<std::uintptr_t>(free_)) & (alignment - 1);
        if (skip <= left_ && size <= left_ - skip) [[likely]] {
            void* const out = free_ + skip;
            free_ += skip + size;
            left_ -= skip + size;
            return out;
        }
        return allocate_elsewhere(size);
    }

    /// Sees to it that pieces of `size` bytes together, what alignment adds included, need nothing from Alloc. What is
    /// left of the current chunk may be lost. Throws what Alloc throws; then nothing has changed.
    void reserve(std::size_t size) {
        if (size <= left_) return;
        const std::size_t total =
            std::max(size + sizeof(chunk), std::clamp(memory_bytes(), smallest_chunk, largest_chunk));
        free_ = add_chunk((total + sizeof(unit) - 1) / sizeof(unit));
        left_ = total - sizeof(chunk);
    }

    /// Bytes held from Alloc, but for what the current chunk has left. The thread that allocates only.
    [[nodiscard]] std::size_t used_bytes() const noexcept { return memory_bytes() - left_; }
    /// Bytes held from Alloc, used or not. Any thread may ask.
    [[nodiscard]] std::size_t memory_bytes() const noexcept { return held_.load(std::memory_order_relaxed); }

private:
    struct alignas(std::max_align_t) unit {
        std::byte raw[alignof(std::max_align_t)];
    };
    struct alignas(std::max_align_t) chunk {
        chunk* next;
        std::size_t units;
    };
    using unit_alloc = typename std::allocator_traits<Alloc>::template rebind_alloc<unit>;
    using unit_traits = std::allocator_traits<unit_alloc>;

    static constexpr std::size_t smallest_chunk = std::size_t{1} << 10;
    static constexpr std::size_t largest_chunk = std::size_t{1} << 20;

    // A fresh chunk is aligned for everything.
    void* allocate_elsewhere(std::size_t size) {
        if (size > std::numeric_limits<std::size_t>::max() / 2) {
            const volatile std::size_t units = size / sizeof(unit);  // or the compiler warns of what it sees coming
            return unit_traits::allocate(alloc_, units);             // throws: nobody has that much
        }
        const std::size_t shared = std::clamp(memory_bytes(), smallest_chunk, largest_chunk);
        const bool alone = size + sizeof(chunk) > shared;
        const std::size_t total = alone ? size + sizeof(chunk) : shared;
        char* const start = add_chunk((total + sizeof(unit) - 1) / sizeof(unit));
        if (!alone) {
            free_ = start + size;
            left_ = total - sizeof(chunk) - size;
        }
        return start;
    }

    char* add_chunk(std::size_t units) {
        unit* const raw = unit_traits::allocate(alloc_, units);
        chunks_ = ::new (static_cast<void*>(raw)) chunk{chunks_, units};
        held_.store(memory_bytes() + units * sizeof(unit), std::memory_order_relaxed);
        return reinterpret_cast<char*>(raw) + sizeof(chunk);
    }

    [[no_unique_address]] unit_alloc alloc_;
    chunk* chunks_ = nullptr;
    char* free_ = nullptr;
    std::size_t left_ = 0;
    std::atomic<std::size_t> held_ = 0;
};

using arena = basic_arena<>;

/// A standard allocator over an arena: deallocation does nothing. The arena must outlive all that it allocated.
template <class T>
class arena_allocator {
public:
    using value_type = T;

    arena_allocator(arena& from) noexcept : arena_(&from) {}
    template <class U>
    arena_allocator(const arena_allocator<U>& other) noexcept : arena_(other.arena_) {}

    [[nodiscard]] T* allocate(std::size_t count) {
        static_assert(alignof(T) <= alignof(std::max_align_t), "lsm: an arena has no over-aligned memory");
        constexpr std::size_t most = std::numeric_limits<std::size_t>::max() / sizeof(T);
        return static_cast<T*>(arena_->allocate(count <= most ? count * sizeof(T) : most * sizeof(T), alignof(T)));
    }
    void deallocate(T*, std::size_t) noexcept {}

    template <class U>
    friend bool operator==(const arena_allocator& a, const arena_allocator<U>& b) noexcept {
        return a.arena_ == arena_allocator(b).arena_;
    }

private:
    template <class>
    friend class arena_allocator;
    arena* arena_;
};

}  // namespace lsm
