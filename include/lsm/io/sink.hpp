#pragma once

#include <cstddef>
#include <memory>

#include <lsm/core/bytes.hpp>
#include <lsm/core/result.hpp>
#include <lsm/io/file.hpp>

namespace lsm::io {

/// Where a stage writes its bytes, front to back. After an error nothing more is written to it.
class sink {
public:
    virtual ~sink() = default;
    virtual result<void> append(bytes_view data) = 0;
};

/// Appends to a string that lives elsewhere.
template <class String = bytes>
class string_sink final : public sink {
public:
    explicit string_sink(String& out) noexcept : out_(&out) {}
    result<void> append(bytes_view data) override {
        out_->append(data.data(), data.size());
        return {};
    }

private:
    String* out_;
};

/// Appends to a file that lives elsewhere, and that is to be synced at the end: what comes is on its way to the disk
/// meanwhile.
class file_sink final : public sink {
public:
    explicit file_sink(file& out) noexcept : out_(&out) {}
    result<void> append(bytes_view data) override {
        auto done = out_->append(data);
        if (done) out_->start_sync();
        return done;
    }

private:
    file* out_;
};

/// Gathers small pieces and passes them on in large ones. What is still gathered goes out with flush(), not on
/// destruction.
template <class Alloc = std::allocator<std::byte>>
class buffered_sink final : public sink {
public:
    explicit buffered_sink(sink& out, const Alloc& alloc = {}) : out_(&out), buffer_(alloc) {
        buffer_.reserve(capacity);
    }

    result<void> append(bytes_view data) override {
        if (buffer_.size() + data.size() > capacity) {
            if (auto done = flush(); !done) return done;
            if (data.size() >= capacity) return out_->append(data);
        }
        buffer_.append(data.data(), data.size());
        return {};
    }

    result<void> flush() {
        auto done = buffer_.empty() ? result<void>() : out_->append(buffer_);
        buffer_.clear();
        return done;
    }

private:
    static constexpr std::size_t capacity = std::size_t{64} << 10;

    sink* out_;
    basic_bytes<Alloc> buffer_;
};

}  // namespace lsm::io
