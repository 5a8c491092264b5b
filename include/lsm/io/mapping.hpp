#pragma once

#include <cstdint>
#include <utility>

#include <lsm/io/file_system.hpp>

namespace lsm::io {

/// Owns a range of a file mapped into memory, and unmaps it on destruction. `Char` is `const char` for a mapping to
/// read, `char` for one to write to. Move-only. The file_system must outlive it.
template <class Char>
class mapping {
public:
    /// No mapping.
    mapping() = default;
    /// Takes ownership of what `fs` has mapped; a null `begin` makes an empty mapping.
    mapping(file_system& fs, Char* begin, std::uint64_t size) noexcept : fs_(&fs), begin_(begin), size_(size) {}
    mapping(mapping&& other) noexcept
        : fs_(other.fs_), begin_(std::exchange(other.begin_, nullptr)), size_(other.size_) {}
    mapping& operator=(mapping&& other) noexcept {
        mapping old(std::move(*this));
        fs_ = other.fs_;
        begin_ = std::exchange(other.begin_, nullptr);
        size_ = other.size_;
        return *this;
    }
    ~mapping() {
        if (begin_ != nullptr) fs_->unmap(begin_, size_);
    }

    explicit operator bool() const noexcept { return begin_ != nullptr; }
    [[nodiscard]] Char* begin() const noexcept { return begin_; }
    [[nodiscard]] std::uint64_t size() const noexcept { return begin_ != nullptr ? size_ : 0; }

private:
    file_system* fs_ = nullptr;
    Char* begin_ = nullptr;
    std::uint64_t size_ = 0;
};

}  // namespace lsm::io
