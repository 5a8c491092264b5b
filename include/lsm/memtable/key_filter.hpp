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

/// A Bloom filter over the keys of a memtable. Each key sets up to four bits, all of them in one word, so that a query
/// is one load. A filter that is too small for its keys answers "maybe" more often, and one of no words always does;
/// a key that was added is never denied.
///
/// One thread may add while any number query. A query sees every add() that happens before it: the reader must have
/// acquired something that the writer released after the add(), such as the sequence of the write.
// All accesses are relaxed: the words guard no other memory, and what a reader must see comes to it with the sequence.
// Only the writer stores, so its load and store need not be one atomic operation.
template <class Alloc>
class key_filter {
    using word = std::atomic<std::uint64_t>;

public:
    key_filter(std::size_t size_bytes, const Alloc& alloc) : words_(size_bytes / sizeof(word), alloc) {}

    /// Returns the value that add() takes for `key`, and starts loading the key's word into the processor's cache.
    [[nodiscard]] std::uint64_t prefetch(bytes_view key) const noexcept {
        if (words_.empty()) return 0;
        const std::uint64_t hash = xxh64(key);
        __builtin_prefetch(&words_[word_of(hash)], 1);
        return hash;
    }
    void add(std::uint64_t prefetched) noexcept {
        if (words_.empty()) return;
        word& of_key = words_[word_of(prefetched)];
        of_key.store(of_key.load(std::memory_order_relaxed) | bits_of(prefetched), std::memory_order_relaxed);
    }
    /// False only if the key was never added. `hash` is the xxh64() of the key.
    [[nodiscard]] bool may_contain(std::uint64_t hash) const noexcept {
        if (words_.empty()) return true;
        return (words_[word_of(hash)].load(std::memory_order_relaxed) & bits_of(hash)) == bits_of(hash);
    }
    [[nodiscard]] std::size_t memory_bytes() const noexcept { return words_.size() * sizeof(word); }

private:
    // The upper half of the hash selects the word, and the lower half the bits in it.
    [[nodiscard]] std::size_t word_of(std::uint64_t hash) const noexcept {
        return static_cast<std::size_t>((hash >> 32) * words_.size() >> 32);
    }
    [[nodiscard]] static std::uint64_t bits_of(std::uint64_t hash) noexcept {
        std::uint64_t out = 0;
        for (int i = 0; i < 4; ++i, hash >>= 6) out |= std::uint64_t{1} << (hash & 63);
        return out;
    }

    vector_of<word, Alloc> words_;
};

}  // namespace lsm::detail
