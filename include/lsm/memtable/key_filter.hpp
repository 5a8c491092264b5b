#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/hash.hpp>
#include <lsm/core/vector_of.hpp>

namespace lsm::detail {

/// Which keys a memtable may have, by their hashes: a Bloom filter of four bits for each key, all of them in one word,
/// so that a question is one load. One thread may add while any number ask: what was added before something that the
/// asker has acquired is seen.
///
/// A filter that was made too small, or of no words, says yes more often than it need, never no by mistake.
template <class Alloc>
class key_filter {
    using word = std::atomic<std::uint64_t>;

public:
    key_filter(std::size_t size_bytes, const Alloc& alloc) : words_(size_bytes / sizeof(word), alloc) {}

    /// What add() needs of a key, whose word is on its way into the processor's cache then.
    [[nodiscard]] std::uint64_t fetch(bytes_view key) const noexcept {
        if (words_.empty()) return 0;
        const std::uint64_t hash = xxh64(key);
        __builtin_prefetch(&words_[place(hash)], 1);
        return hash;
    }
    void add(std::uint64_t fetched) noexcept {
        if (words_.empty()) return;
        word& of_key = words_[place(fetched)];
        of_key.store(of_key.load(std::memory_order_relaxed) | bits(fetched), std::memory_order_relaxed);
    }
    /// `hash` is the xxh64() of a key.
    [[nodiscard]] bool may_contain(std::uint64_t hash) const noexcept {
        if (words_.empty()) return true;
        return (words_[place(hash)].load(std::memory_order_relaxed) & bits(hash)) == bits(hash);
    }
    [[nodiscard]] std::size_t memory_bytes() const noexcept { return words_.size() * sizeof(word); }

private:
    // The upper half of the hash says which word, the lower one which bits of it.
    [[nodiscard]] std::size_t place(std::uint64_t hash) const noexcept {
        return static_cast<std::size_t>((hash >> 32) * words_.size() >> 32);
    }
    [[nodiscard]] static std::uint64_t bits(std::uint64_t hash) noexcept {
        std::uint64_t out = 0;
        for (int i = 0; i < 4; ++i, hash >>= 6) out |= std::uint64_t{1} << (hash & 63);
        return out;
    }

    vector_of<word, Alloc> words_;
};

}  // namespace lsm::detail
