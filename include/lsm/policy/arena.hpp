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

/// Allocates memory in pieces, all of which are freed when the arena is destroyed. The pieces are cut from chunks that
/// come from `Alloc`. A chunk is as large as all chunks before it together, but at least 1 KiB and at most 1 MiB; a
/// piece that does not fit into such a chunk gets a chunk of its own. For one thread at a time.
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

    /// Returns `size` bytes, which are valid until the arena is destroyed. Requires that `alignment` is a power of two
    /// and at most that of std::max_align_t. Throws what Alloc throws; then nothing has changed. O(1).
    [[nodiscard]] void* allocate(std::size_t size, std::size_t alignment = alignof(std::max_align_t)) {
        const std::size_t skip = (0 - reinterpret_cast<std::uintptr_t>(free_)) & (alignment - 1);
        if (skip <= left_ && size <= left_ - skip) [[likely]] {
            void* const out = free_ + skip;
            free_ += skip + size;
            left_ -= skip + size;
            return out;
        }
        return allocate_in_new_chunk(size);
    }

    /// Makes room for pieces of `size` bytes in total, including the bytes that alignment skips: they will need no call
    /// of Alloc. May waste the rest of the current chunk. Throws what Alloc throws; then nothing has changed.
    void reserve(std::size_t size) {
        if (size <= left_) return;
        const std::size_t total = std::max(with_header(size), shared_chunk_bytes());
        free_ = add_chunk(total);
        left_ = total - sizeof(chunk);
    }

    /// The bytes that were allocated from Alloc, without those that are left in the current chunk. For the thread that
    /// allocates.
    [[nodiscard]] std::size_t used_bytes() const noexcept { return memory_bytes() - left_; }
    /// The bytes that were allocated from Alloc. For any thread.
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

    // The start of a chunk is aligned for every type.
    void* allocate_in_new_chunk(std::size_t size) {
        const std::size_t shared = shared_chunk_bytes();
        if (with_header(size) > shared) return add_chunk(with_header(size));
        char* const start = add_chunk(shared);
        free_ = start + size;
        left_ = shared - sizeof(chunk) - size;
        return start;
    }

    // The size of a chunk for a piece of `size` bytes. Limited so that it does not wrap; Alloc refuses the limit as
    // well.
    [[nodiscard]] static constexpr std::size_t with_header(std::size_t size) noexcept {
        return std::min(size, std::numeric_limits<std::size_t>::max() / 2) + sizeof(chunk);
    }
    // The size of the next chunk for several pieces.
    [[nodiscard]] std::size_t shared_chunk_bytes() const noexcept {
        return std::clamp(memory_bytes(), smallest_chunk, largest_chunk);
    }

    // Returns the first byte after the chunk's header.
    char* add_chunk(std::size_t size) {
        const std::size_t units = (size + sizeof(unit) - 1) / sizeof(unit);
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

/// A standard allocator over an arena. Deallocating does nothing. The arena must outlive all memory allocated from it.
template <class T>
class arena_allocator {
public:
    using value_type = T;

    arena_allocator(arena& memory) noexcept : arena_(&memory) {}
    template <class U>
    arena_allocator(const arena_allocator<U>& other) noexcept : arena_(other.arena_) {}

    [[nodiscard]] T* allocate(std::size_t count) {
        static_assert(alignof(T) <= alignof(std::max_align_t), "lsm: an arena does not support over-aligned types");
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
